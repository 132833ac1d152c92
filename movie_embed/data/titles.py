"""Titles, genres and tags by movie id, from the tables that lie beside the ratings."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

import duckdb

from movie_embed.config import DataConfig
from movie_embed.data.files import connect
from movie_embed.data.movies import Id, split_year
from movie_embed.data.relation import source_of, walk
from movie_embed.data.sources import Sources
from movie_embed.data.tables import GENRE_FLAGS, Table
from movie_embed.data.values import BLANKS, BadRows, as_id, id_problem

_NAMED = re.compile(r"'name': *(?:'([^']*)'|\"([^\"]*)\")")

_OWN = ("title", "genres", "year")  # texts that may stand with the ratings

Row = dict[str, str]  # by role


class Movie(NamedTuple):
    """Title and ``|``-joined genres of one movie, and its IMDb and TMDB numbers, 0 if unknown."""

    title: str
    genres: str
    links: tuple[int, int] = (0, 0)


def read_movies(
    sources: Sources, config: DataConfig, whole: bool, bad_rows: BadRows
) -> dict[Id, Movie]:
    """Read title, genres and links by movie id, from a table of movies or from the ratings.

    Ids are whole numbers or text, as the ratings have them. Rows of the wrong width, without
    an id or with one given before are bad.
    """
    if sources.movies is None and "title" in sources.ratings.roles:
        return _read_with_ratings(sources.ratings, whole, chosen=bool(config.columns.title))
    movies: dict[Id, Movie] = {}
    links = _read_links(sources, whole)
    linked = _linked(sources, links)

    def problem(row: Row) -> str:
        if linked:  # Kaggle's table has a few broken rows, and no link leads to them
            return ""
        if fault := _id_problem(row, whole):
            return fault
        if as_id(row["movie"], whole) in movies:
            return f"movie id {row['movie']} is given twice"
        flagged = all(row.get(genre, "0") in ("0", "1") for genre in GENRE_FLAGS)
        return "" if flagged else "a genre flag is neither 0 nor 1"

    for row in _good_rows(sources.movies, problem, bad_rows):
        key = linked.get(row["movie"].strip(BLANKS)) if linked else as_id(row["movie"], whole)
        if key is not None:
            flagged = "|".join(genre for genre in GENRE_FLAGS if row.get(genre) == "1")
            genres = split_genre_text(row.get("genres", flagged))
            movies[key] = Movie(_title(row), genres, links.get(key) or _own_links(key))
    return movies


def _read_with_ratings(table: Table, whole: bool, chosen: bool) -> dict[Id, Movie]:
    """Read titles that stand with the ratings; none where most movies have several.

    A column ``title`` may also hold headings of reviews, unless somebody has `chosen` it.
    """
    texts: dict[Id, list[str]] = {}
    several = set()
    for movie, first, *last in _distinct(table):
        if id_problem("movie", movie, whole):
            continue
        key = as_id(movie, whole)
        known = texts.setdefault(key, last)
        if first and known[0] and not known[0] == first == last[0]:
            several.add(key)
        texts[key] = [*map(max, known, last)]
    if 2 * len(several) > len(texts) and not chosen:
        return {}
    rows = ((key, dict(zip(_OWN, last, strict=True))) for key, last in texts.items())
    return {
        key: Movie(_title(row), split_genre_text(row["genres"]), _own_links(key))
        for key, row in rows
    }


def _distinct(table: Table) -> Iterator[list[str]]:
    """Yield movie, first title by the alphabet, and last title, genres and year."""
    source, parameters = source_of(table, ("movie", *_OWN))
    query = (
        f"SELECT movie, min(nullif(title, '')), max(title), max(genres), max(year) FROM {source}"
    )
    try:
        with connect(given=table.given) as engine:
            rows = engine.execute(f"{query} GROUP BY movie", parameters).fetchall()
        yield from ([text or "" for text in row] for row in rows)
    except duckdb.Error:  # a malformed row, or one that is not UTF-8
        for _, _, values in walk(table, ("movie", "title", *_OWN), named=True):
            if not isinstance(values, str):
                yield values


def read_tags(sources: Sources, whole: bool, bad_rows: BadRows) -> dict[Id, str]:
    """Read the distinct tags of each movie in lower case, sorted and joined by ``|``."""
    tags: dict[Id, set[str]] = {}
    for row in _good_rows(sources.tags, lambda row: _id_problem(row, whole), bad_rows):
        tag = " ".join(row["tag"].lower().replace("|", " ").split())
        tags.setdefault(as_id(row["movie"], whole), set()).add(tag)
    named = {movie_id: sorted(given - {""}) for movie_id, given in tags.items()}
    return {movie_id: "|".join(given) for movie_id, given in named.items() if given}


def _good_rows(
    table: Table | None, problem: Callable[[Row], str], bad_rows: BadRows
) -> Iterator[Row]:
    """Yield the good rows of a table, if there is one; raise at its end if there are bad ones."""
    if table is None:
        return
    good = 0
    for path, number, values in walk(table, (*table.roles,), named=True):
        row = {} if isinstance(values, str) else dict(zip(table.roles, values, strict=True))
        if fault := values if isinstance(values, str) else problem(row):
            bad_rows.note(path, number, fault, table.unit)
        else:
            good += 1
            yield row
    for path in table.paths:
        bad_rows.settle(path, good)


def split_genre_text(text: str) -> str:
    """Return genres joined by ``|``, from MovieLens' form, commas, or a list of names.

    Lists are JSON or Python, of names or of objects with a ``name``.
    """
    stripped = text.strip()
    if stripped.startswith("["):
        if names := [one or other for one, other in _NAMED.findall(stripped)]:
            return "|".join(names)
        try:
            return "|".join(map(str, ast.literal_eval(stripped)))
        except (SyntaxError, ValueError):  # [Drama, Comedy]: a list without quotes
            stripped = stripped.strip("[]")
    if "|" not in stripped and ", " in stripped:
        return "|".join(name.strip() for name in stripped.split(",") if name.strip())
    return stripped


def _read_links(sources: Sources, whole: bool) -> dict[Id, tuple[int, int]]:
    """Return the IMDb and TMDB numbers by movie id; rows without them are passed over."""
    table, found = sources.links, dict[Id, tuple[int, int]]()
    if table is None or "movie" not in table.roles:
        return found
    for _, _, values in walk(table, ("movie", "imdb", "tmdb"), named=True):
        if not isinstance(values, str) and not id_problem("movie", values[0], whole):
            found[as_id(values[0], whole)] = _link(values[1]), _link(values[2])
    return found


def _link(text: str) -> int:
    number = re.fullmatch(r"(?:tt)?(\d{1,12})(?:\.0)?", text.strip())
    return int(number[1]) if number else 0


def _own_links(movie_id: Id) -> tuple[int, int]:
    """Return the numbers of a movie whose id is IMDb's, as ``tt0111161``."""
    return (_link(movie_id) if isinstance(movie_id, str) and movie_id.startswith("tt") else 0), 0


def _linked(sources: Sources, links: dict[Id, tuple[int, int]]) -> dict[str, Id]:
    """Return the movie id of each TMDB id, if titles have TMDB ids, as in Kaggle's The Movies."""
    table = sources.movies
    if table is None or "imdb" not in table.roles or table is sources.links:
        return {}
    if table.roles["movie"] != "id":
        return {}
    return {str(tmdb): movie_id for movie_id, (_, tmdb) in links.items() if tmdb}


def _title(row: dict[str, str]) -> str:
    """Return the title with the year in brackets, wherever the year stands."""
    year = re.search(r"\b(1[89]|20)\d\d\b", row.get("year", ""))
    title = row["title"]
    return f"{title.strip()} ({year[0]})" if year and split_year(title)[1] is None else title


def _id_problem(row: dict[str, str], whole: bool) -> str:
    if problem := id_problem("movie", row["movie"], whole):
        return problem
    return "it holds a NUL byte" if "\0" in "".join(row.values()) else ""
