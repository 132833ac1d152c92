"""The table of movies."""

from __future__ import annotations

import numpy as np
import pytest

from movie_embed.data.movies import TABLE_COLUMNS, MovieTable, split_genres, split_tags, split_year


@pytest.fixture
def table() -> MovieTable:
    return MovieTable(
        ids=np.array([10, 5, 7]),
        titles=["Matrix, The (1999)", "Up (2009)", "Unknown"],
        genres=["Action|Sci-Fi", "Animation", ""],
        tags=["hackers|simulation", "", "odd"],
        rating_counts=np.array([9, 4, 0]),
        embedded=2,
    )


def test_rows_are_found_taken_and_saved(table: MovieTable) -> None:
    assert [table.row_of(movie_id) for movie_id in (10, 5, 7, 1, -1)] == [0, 1, 2, None, None]
    assert table.row_of(2**70) is None
    taken = table.take(np.array([2, 0]), embedded=1)
    again = MovieTable.from_columns(taken.to_columns(), taken.embedded)
    assert tuple(taken.to_columns()) == TABLE_COLUMNS
    for one in (taken, again):
        assert (one.ids.tolist(), one.titles) == ([7, 10], ["Unknown", "Matrix, The (1999)"])
        assert (one.genres, one.tags) == (["", "Action|Sci-Fi"], ["odd", "hackers|simulation"])
        assert (one.rating_counts.tolist(), one.embedded) == ([0, 9], 1)
    assert len(table.take(np.array([], dtype=np.int64), 0)) == 0


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("Toy Story (1995)", ("Toy Story", 1995)),
        ("Toy Story (1995) ", ("Toy Story", 1995)),
        ("(500) Days of Summer (2009)", ("(500) Days of Summer", 2009)),
        ("2001: A Space Odyssey (1968)", ("2001: A Space Odyssey", 1968)),
        ("Doctor Who (2005-2010)", ("Doctor Who", 2005)),
        ("Fawlty Towers (1975\u20131979)", ("Fawlty Towers", 1975)),
        ("Black Mirror (2011-)", ("Black Mirror", 2011)),
        ("Seven (a.k.a. Se7en) (1995)", ("Seven (a.k.a. Se7en)", 1995)),
        ("1984", ("1984", None)),
        ("unknown ", ("unknown", None)),
        ("Cosmos (19955)", ("Cosmos (19955)", None)),
        ("", ("", None)),
        ("(1995)", ("", 1995)),
    ],
)
def test_years_are_split_off(title: str, expected: tuple[str, int | None]) -> None:
    assert split_year(title) == expected


def test_genres_are_split() -> None:
    assert split_genres("Adventure|Children's") == ("Adventure", "Children's")
    assert split_genres("") == split_genres("(no genres listed)") == split_tags("") == ()
    assert split_tags("hackers|simulation") == ("hackers", "simulation")
