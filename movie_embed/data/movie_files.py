"""Titles, genres and tags by movie id, from the tables beside the ratings or from their own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

import duckdb

from movie_embed.config import DataConfig
from movie_embed.data.files import connect
from movie_embed.data.movies import Id, split_year
from movie_embed.data.relation import source_of, walk
from movie_embed.data.sources import Sources
from movie_embed.data.tables import GENRE_FLAGS, Table
from movie_embed.data.values import BLANKS, BadRows, as_id

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
    links, movies = _read_links(sources.links, whole), dict[Id, Movie]()
    table = sources.movies
    if table is None and "title" in sources.ratings.roles:
        rows = _beside_ratings(sources.ratings, whole, chosen=bool(config.columns.title))
    elif table and table.roles["movie"] == "id" and "imdb" in table.roles and links:
        # Kaggle's The Movies: titles go by TMDB ids. No link leads to its few broken rows.
        by_tmdb = {str(tmdb): movie_id for movie_id, (_, tmdb) in links.items()}
        rows = _keyed(table, whole, bad_rows, by_tmdb)
    else:
        rows = _keyed(table, whole, bad_rows, once=True)
    for key, row in rows:
        flagged = "|".join(genre for genre in GENRE_FLAGS if row.get(genre) == "1")
        genres = split_genre_text(row.get("genres", flagged))
        own = _number(key) if isinstance(key, str) and key.startswith("tt") else 0
        title, year = row["title"], re.search(r"\b(1[89]|20)\d\d\b", row.get("year", ""))
        if year and split_year(title)[1] is None:
            title = f"{title.strip()} ({year[0]})"
        movies[key] = Movie(title, genres, links.get(key, (own, 0)))
    return movies


def read_tags(sources: Sources, whole: bool, bad_rows: BadRows) -> dict[Id, str]:
    """Read the distinct tags of each movie in lower case, sorted and joined by ``|``."""
    tags: dict[Id, set[str]] = {}
    for key, row in _keyed(sources.tags, whole, bad_rows):
        tag = " ".join(row["tag"].lower().replace("|", " ").split())
        tags.setdefault(key, set()).add(tag)
    named = {movie_id: sorted(given - {""}) for movie_id, given in tags.items()}
    return {movie_id: "|".join(given) for movie_id, given in named.items() if given}


def _keyed(
    table: Table | None,
    whole: bool,
    bad_rows: BadRows,
    keys: Mapping[str, Id] | None = None,
    once: bool = False,
) -> Iterator[tuple[Id, Row]]:
    """Yield the good rows of a table, if there is one; raise at its end if there are bad ones.

    Rows that go by other ids have their `keys`, and the others are passed over.
    """
    good, seen = 0, set[Id]()
    for path, number, values in walk(table, (*table.roles,), bad_rows, named=True) if table else ():
        assert table
        row = dict(zip(table.roles, values, strict=True))
        try:
            if keys is not None:
                if (key := keys.get(row["movie"].strip(BLANKS))) is None:
                    continue
            else:
                key = as_id(row["movie"], whole)
            if "\0" in "".join(values):
                raise ValueError("it holds a NUL byte")
            if once and key in seen:
                raise ValueError(f"movie id {row['movie']} is given twice")
            if not {row.get(genre, "0") for genre in GENRE_FLAGS} <= {"0", "1"}:
                raise ValueError("a genre flag is neither 0 nor 1")
        except ValueError as error:
            bad_rows.note(path, number, str(error), table.unit)
            continue
        good += 1
        seen.add(key)
        yield key, row
    for path in table.paths if table else ():
        bad_rows.settle(path, good)


def _beside_ratings(table: Table, whole: bool, chosen: bool) -> Iterator[tuple[Id, Row]]:
    """Yield the titles that stand with the ratings; none where most movies have several.

    A column ``title`` may also hold headings of reviews, unless somebody has `chosen` it.
    """
    texts: dict[Id, list[str]] = {}
    several = set()
    for movie, first, *last in _distinct(table):
        try:
            key = as_id(movie, whole)
        except ValueError:
            continue
        known = texts.setdefault(key, last)
        if first and known[0] and not known[0] == first == last[0]:
            several.add(key)
        texts[key] = [*map(max, known, last)]
    if chosen or 2 * len(several) <= len(texts):
        yield from ((key, dict(zip(_OWN, last, strict=True))) for key, last in texts.items())


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
        yield from (values for _, _, values in walk(table, ("movie", "title", *_OWN), named=True))


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


def _read_links(table: Table | None, whole: bool) -> dict[Id, tuple[int, int]]:
    """Return the IMDb and TMDB numbers by movie id; rows without them are passed over."""
    found = dict[Id, tuple[int, int]]()
    if table and "movie" in table.roles:
        for _, _, (movie, imdb, tmdb) in walk(table, ("movie", "imdb", "tmdb"), named=True):
            with suppress(ValueError):
                found[as_id(movie, whole)] = _number(imdb), _number(tmdb)
    return found


def _number(text: str) -> int:
    number = re.fullmatch(r"(?:tt)?(\d{1,12})(?:\.0)?", text.strip())
    return int(number[1]) if number else 0
