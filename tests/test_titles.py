"""Titles as people type them."""

import numpy as np
import pytest

from movie_embed import MovieEmbedError
from movie_embed.answers.titles import TitleIndex
from movie_embed.data.movies import MovieTable

TITLES = [
    "Toy Story (1995)",
    "Toy Story 2 (1999)",
    "Matrix, The (1999)",
    "Inception (2010)",
    "Amelie (Fabuleux destin d'Amélie Poulain, Le) (2001)",
    "Seven (a.k.a. Se7en) (1995)",
    "(500) Days of Summer (2009)",
    "Blade Runner 2049 (2017)",
    "Sabrina (1954)",
    "Sabrina (1995)",
    "Fast & Furious (2009)",
    "Ocean's Eleven (2001)",
    "Léon: The Professional (1994)",
    "Star Wars: Episode IV - A New Hope (1977)",
    "Star Wars: Episode V - The Empire Strikes Back (1980)",
    "Heat (1995)",
    "Lord of the Rings: The Fellowship of the Ring, The (2001)",
    "Lord of the Rings: The Two Towers, The (2002)",
    "Harry Potter and the Sorcerer's Stone (a.k.a. The Philosopher's Stone) (2001)",
    "Godfather, The (1972)",
    "Godfather: Part II, The (1974)",
    "Rocky V (1990)",
    "V for Vendetta (2006)",
    "E.T. the Extra-Terrestrial (1982)",
    "Eternal Sunshine of the Spotless Mind (2004)",
    "WALL·E (2008)",
    "Walled In (2009)",
    "X-Men (2000)",
    "Omen, The (1976)",
    # not embedded:
    "Heat (1986)",
    "Unseen (2020)",
    "",
]
EMBEDDED = TITLES.index("Heat (1986)")


@pytest.fixture(scope="module")
def search() -> TitleIndex:
    size = len(TITLES)
    ids, counts = np.arange(100, 100 + size), np.arange(1000, 1000 + size)
    return TitleIndex(MovieTable(ids, TITLES, [""] * size, [""] * size, counts, EMBEDDED))


@pytest.mark.parametrize(
    ("typed", "title"),
    [
        ("toy story", "Toy Story (1995)"),
        ("TOY STORY 2", "Toy Story 2 (1999)"),
        ("the matrix", "Matrix, The (1999)"),
        ("Matrix, The (1999)", "Matrix, The (1999)"),
        ("matrix", "Matrix, The (1999)"),
        ("matrix 1999", "Matrix, The (1999)"),
        ("incpetion", "Inception (2010)"),
        ("nception", "Inception (2010)"),  # whose first letter is no Roman numeral
        ("inceptoin (2010)", "Inception (2010)"),
        ("amelie", "Amelie (Fabuleux destin d'Amélie Poulain, Le) (2001)"),
        (
            "le fabuleux destin d'amelie poulain",
            "Amelie (Fabuleux destin d'Amélie Poulain, Le) (2001)",
        ),
        ("se7en", "Seven (a.k.a. Se7en) (1995)"),
        ("seven", "Seven (a.k.a. Se7en) (1995)"),
        ("500 days of summer", "(500) Days of Summer (2009)"),
        ("blade runner 2049", "Blade Runner 2049 (2017)"),
        ("sabrina 1954", "Sabrina (1954)"),
        ("Sabrina (1995)", "Sabrina (1995)"),
        ("fast and furious", "Fast & Furious (2009)"),
        ("oceans eleven", "Ocean's Eleven (2001)"),
        ("leon", "Léon: The Professional (1994)"),
        ("empire strikes back", "Star Wars: Episode V - The Empire Strikes Back (1980)"),
        ("heat", "Heat (1995)"),
        ("heat (1986)", "Heat (1986)"),
        ("unseen", "Unseen (2020)"),
    ],
)
def test_a_clear_title_is_found(search: TitleIndex, typed: str, title: str) -> None:
    assert TITLES[search.row(typed)] == title


@pytest.mark.parametrize(
    ("typed", "beginning"),
    [
        ("harry potter sorcerers stone", "Harry Potter and the Sorc"),
        ("stone sorcerers potter", "Harry Potter and the Sorc"),
        ("lord of rings fellowship", "Lord of the Rings: The Fellowship"),
        ("rings two tow", "Lord of the Rings: The Two"),
        ("star wars 4", "Star Wars: Episode IV"),
        ("godfather 2", "Godfather: Part II"),
        ("godfahter part ii", "Godfather: Part II"),
        ("v for vendeta", "V for"),
        ("inceptoin 2010", "Inception"),
        ("et", "E.T. the Extra"),
        ("e t", "E.T. the Extra"),
        ("walle", "WALL·E"),
        ("xmen", "X-Men"),
        ("toystory", "Toy Story (1995)"),
    ],
)
def test_a_title_that_is_not_exact_is_said_to_be_taken_for_one(
    search: TitleIndex, typed: str, beginning: str, caplog: pytest.LogCaptureFixture
) -> None:
    found = TITLES[search.row(typed)]
    assert found.startswith(beginning)
    assert caplog.messages == [f'"{typed}" is taken for {found}']


@pytest.mark.parametrize("typed", ["toy story 4", "godfather 3", "rocky 4", "rocky iv"])
def test_no_title_is_taken_for_one_with_another_number(search: TitleIndex, typed: str) -> None:
    assert not search.rows(typed)


@pytest.mark.parametrize("title", [title for title in TITLES if title])
def test_every_title_finds_itself(search: TitleIndex, title: str) -> None:
    assert TITLES[search.row(title)] == title


def test_namesakes_are_listed_most_rated_first(search: TitleIndex) -> None:
    with pytest.raises(MovieEmbedError) as told:
        search.row("sabrina")
    assert str(told.value).splitlines() == [
        '"sabrina" fits 2 movies; add the year or give the id:',
        "      109  Sabrina (1995)  (ratings: 1,009)",
        "      108  Sabrina (1954)  (ratings: 1,008)",
    ]
    with pytest.raises(MovieEmbedError, match='"star wars" fits 2 movies'):
        search.row("star wars")


def test_of_namesakes_one_with_ten_times_the_ratings_is_taken_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    titles = ["Titanic (1953)", "Titanic (1943)", "Titanic (1997)"]
    for most, taken in ((1_000, True), (999, False)):
        counts = np.array([60, 40, most])
        index = TitleIndex(MovieTable(np.arange(3), titles, [""] * 3, [""] * 3, counts, 3))
        if taken:
            assert index.row("titanic") == 2
            assert caplog.messages == [
                '"titanic" fits 3 movies and is taken for Titanic (1997), the most rated by far'
            ]
        else:
            with pytest.raises(MovieEmbedError, match='"titanic" fits 3 movies; add the year'):
                index.row("titanic")


def test_a_question_in_other_letters_gets_no_nearest_title(search: TitleIndex) -> None:
    with pytest.raises(MovieEmbedError, match=r"Latin letters: give the English or original one$"):
        search.row("Матрица")


def test_titles_are_found_while_they_are_typed(search: TitleIndex) -> None:
    assert [TITLES[row] for row in search.typed("et")][:2] == [
        "E.T. the Extra-Terrestrial (1982)", "Eternal Sunshine of the Spotless Mind (2004)",
    ]  # fmt: skip
    assert [TITLES[row] for row in search.typed("sabr")] == ["Sabrina (1995)", "Sabrina (1954)"]
    assert TITLES[search.typed("incpetion")[0]] == "Inception (2010)"
    assert search.typed("{") == search.typed("") == []


@pytest.mark.parametrize("typed", ["matrx reloadde", "toy story (1950)", "qwertyuiop", "", "?"])
def test_an_unknown_title_lists_the_nearest(search: TitleIndex, typed: str) -> None:
    with pytest.raises(MovieEmbedError, match="no movie is called") as told:
        search.row(typed)
    if typed.startswith(("matrx", "toy")):
        assert typed[:3].title() in str(told.value)


def test_a_long_list_is_cut() -> None:
    titles = [f"Saga {part} (2000)" for part in range(25)]
    search = TitleIndex(MovieTable(np.arange(25), titles, [""] * 25, [""] * 25, np.arange(25), 25))
    with pytest.raises(MovieEmbedError, match="and 15 more"):
        search.row("saga")


def test_a_title_asked_of_data_without_titles_points_to_ids() -> None:
    nothing, counts = [""] * 3, np.arange(3)
    search = TitleIndex(MovieTable(counts, nothing, nothing, nothing, counts, 3))
    with pytest.raises(MovieEmbedError, match="the data has no titles: give its movie_id"):
        search.row("heat")
