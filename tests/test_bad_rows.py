"""`data.on_bad_rows=skip`: what is left out, what is kept, and how it is told."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import (
    MOVIES,
    ROWS,
    data_set,
    files_config,
    load,
    movies_csv,
    movies_of,
    ratings_bare,
    ratings_csv,
    ratings_kaggle,
    rows_of,
    tags_of,
    write_folder,
    write_zip,
)

from movie_embed.config import DataConfig
from movie_embed.data.loading import load_triples
from movie_embed.errors import MovieEmbedError

EXPECTED = [row[:3] for row in ROWS]
BAD = {
    "rating.csv": (ratings_kaggle(), b'1,2,3,"2005-04-02 23:53:47\n1,2\n'),
    "ratings.csv": (ratings_csv(), b"1,2,nan,4\n1_0,2,3.0,4\n"),
    "ratings.dat": (ratings_bare(), b"1::2::3\n1::2::99::4\n"),
    "u.data": (ratings_bare(delimiter="\t"), b"1\t2\t\t4\n1 2 3 4\n"),
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("place", [1, 3, -1])
def test_bad_ratings_are_left_out(
    name: str, place: int, zipped: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content, bad = BAD[name]
    lines = content.splitlines(keepends=True)
    lines.insert(place % (len(lines) + 1), bad)
    members = {name: b"".join(lines)}
    path = write_zip(tmp_path / "x.zip", members) if zipped else write_folder(tmp_path, members)
    triples = load(path, skip=True)
    assert rows_of(triples) == EXPECTED
    assert triples.bad_rows == 2
    assert f"{path / name}: 2 bad rows left out\n{path / name}, line " in caplog.text


def test_bad_rows_of_parquet_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = pa.table(
        {
            "userId": pa.array([1, None, 3, 2**64 - 1], pa.uint64()),
            "movieId": [5, 6, 7, 8],
            "rating": [1.0, 2.0, 3.0, 4.0],
            "timestamp": [9, 8, 7, 6],
        }
    )
    pq.write_table(table, tmp_path / "ratings.parquet")
    triples = load(tmp_path / "ratings.parquet", skip=True)
    assert rows_of(triples) == [(1, 5, 1.0), (3, 7, 3.0)]
    assert "row 2: user id '' is" in caplog.text
    assert "row 4: user id '18446744073709551615' is" in caplog.text


def test_bad_movies_and_tags_are_left_out(tmp_path: Path) -> None:
    movies = movies_csv() + b"10,Again,Drama\r\n50\r\n"
    tags = b"userId,movieId,tag,timestamp\n1,10,space,5\n1,10,a\0,5\n"
    write_folder(tmp_path, {"ratings.csv": ratings_csv(), "movies.csv": movies, "tags.csv": tags})
    triples = load(tmp_path, skip=True)
    assert movies_of(triples) == MOVIES
    assert tags_of(triples) == {10: "space"}
    assert triples.bad_rows == 3


def test_a_file_without_a_good_row_is_refused_all_the_same(tmp_path: Path) -> None:
    data_set(tmp_path, b"userId,movieId,rating\n1,2\n")
    with pytest.raises(MovieEmbedError, match=r"line 2: expected 3 fields.*it has no good row$"):
        load(tmp_path, skip=True)


def test_skipping_has_a_cache_of_its_own_that_knows_how_many(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data_set(folder, ratings_csv() + b"9,10\n" + b"1,10,0.5,2000000000\n")
    skip = files_config(folder, tmp_path / "cache", on_bad_rows="skip")
    for _ in range(2):
        triples = load_triples(skip)
        assert (triples.bad_rows, triples.duplicates, len(triples)) == (1, 1, len(ROWS))
    assert caplog.text.count("1 bad rows left out") == 1
    with pytest.raises(MovieEmbedError, match="line 7: expected 4 fields, got 2"):
        load_triples(files_config(folder, tmp_path / "cache"))


def test_the_choice_is_checked() -> None:
    with pytest.raises(MovieEmbedError, match=r"data\.on_bad_rows=warn: must be one of fail, skip"):
        DataConfig(on_bad_rows="warn")
