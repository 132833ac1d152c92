"""Titles, genres and tags by movie id, from the tables that lie beside the ratings."""

from __future__ import annotations

import ast
import csv
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from movie_embed.data.movies import Id, split_year
from movie_embed.data.sources import Sources
from movie_embed.data.tables import (
    Table,
    connect,
    engine_path,
    numbered_lines,
    reading,
    split_line,
)
from movie_embed.data.values import BLANKS, BadRows, as_id, id_problem

_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime",
    "Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance",
    "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_FLAGS = slice(5, 5 + len(_GENRES_100K))
_ESCAPED = re.compile("[\udc80-\udcff]")
_NAMED = re.compile(r"'name': *(?:'([^']*)'|\"([^\"]*)\")")

Rows = Iterator[tuple[int, dict[str, str] | str]]


class Movie(NamedTuple):
    """Title and ``|``-joined genres of one movie, as in the raw file; its numbers elsewhere.

    They are those of IMDb and TMDB, 0 where one is not known.
    """

    title: str
    genres: str
    links: tuple[int, int] = (0, 0)


def read_movies(sources: Sources, whole: bool, bad_rows: BadRows) -> dict[Id, Movie]:
    """Read title and genres by movie id; empty if the data set has no table of movies.

    Parameters
    ----------
    sources
        The tables of the data set; those of titles and links must be ordinary files.
    whole
        Whether movie ids are whole numbers, as in the ratings.
    bad_rows
        Whether bad rows are left out, and where they are noted.

    Raises
    ------
    MovieEmbedError
        A row of the wrong width, without an id, or with an id given before, by file and line.
    """
    movies: dict[Id, Movie] = {}
    table = sources.movies
    if table is None:
        return movies
    links = _read_links(sources, whole)
    linked = _linked(sources, links)
    with reading(table.path):
        for number, row in _rows(table):
            problem = row if isinstance(row, str) else _problem(row, whole, movies, linked)
            if problem:
                bad_rows.note(table.path, number, problem, table.unit)
                continue
            assert not isinstance(row, str)
            movie_id = row["movie"].strip(BLANKS)
            key = linked.get(movie_id) if linked else as_id(movie_id, whole)
            if key is not None:
                genres = split_genre_text(row.get("genres", ""))
                movies[key] = Movie(_title(row), genres, links.get(key) or _own_links(key))
        bad_rows.settle(table.path, len(movies))
    return movies


def read_tags(sources: Sources, whole: bool, bad_rows: BadRows) -> dict[Id, str]:
    """Read the distinct tags of each movie; empty if the data set has none.

    Parameters
    ----------
    sources, whole, bad_rows
        As in `read_movies`.

    Returns
    -------
    dict
        By movie id the tags in lower case, sorted and joined by ``|``, as genres are.

    Raises
    ------
    MovieEmbedError
        A row of the wrong width, without an id or with a NUL byte, by file and line.
    """
    tags: dict[Id, set[str]] = {}
    table = sources.tags
    if table is None:
        return {}
    with reading(table.path):
        for number, row in _rows(table):
            if problem := row if isinstance(row, str) else _id_problem(row, whole):
                bad_rows.note(table.path, number, problem, table.unit)
                continue
            assert not isinstance(row, str)
            tag = " ".join(row["tag"].lower().replace("|", " ").split())
            tags.setdefault(as_id(row["movie"].strip(BLANKS), whole), set()).add(tag)
        bad_rows.settle(table.path, len(tags))
    named = {movie_id: sorted(given - {""}) for movie_id, given in tags.items()}
    return {movie_id: "|".join(given) for movie_id, given in named.items() if given}


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
    """Return the IMDb and TMDB numbers by movie id; a row without them says nothing."""
    table, found = sources.links, dict[Id, tuple[int, int]]()
    if table is None or "movie" not in table.roles:
        return found
    with reading(table.path):
        for _, row in _rows(table):
            if not isinstance(row, str) and not id_problem("movie", row["movie"], whole):
                key = as_id(row["movie"].strip(BLANKS), whole)
                found[key] = _link(row["imdb"]), _link(row["tmdb"])
    return found


def _link(text: str) -> int:
    number = re.fullmatch(r"(?:tt)?(\d{1,12})(?:\.0)?", text.strip())
    return int(number[1]) if number else 0


def _own_links(movie_id: Id) -> tuple[int, int]:
    """Return the IMDb number of a movie that goes by it, as ``tt0111161``."""
    return (_link(movie_id) if isinstance(movie_id, str) and movie_id.startswith("tt") else 0), 0


def _linked(sources: Sources, links: dict[Id, tuple[int, int]]) -> dict[str, Id]:
    """Return the movie id of each TMDB id, where titles go by those (Kaggle's "The Movies")."""
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


def _problem(
    row: dict[str, str], whole: bool, known: dict[Id, Movie], linked: dict[str, Id]
) -> str:
    if linked:  # its table of titles is known to hold a few broken rows, which no link names
        return ""
    if problem := _id_problem(row, whole):
        return problem
    if as_id(row["movie"].strip(BLANKS), whole) in known:
        return f"movie id {row['movie']} is given twice"
    return row.get("flags", "")


def _id_problem(row: dict[str, str], whole: bool) -> str:
    if problem := id_problem("movie", row["movie"], whole):
        return problem
    return "it holds a NUL byte" if "\0" in "".join(row.values()) else ""


def _rows(table: Table) -> Rows:
    """Yield the number of each row, and its values by role or what is wrong with it."""
    if table.kind != "text":
        yield from _engine_rows(table)
    elif table.first:
        yield from _csv_rows(table)
    else:
        yield from _bare_rows(table)


def _engine_rows(table: Table) -> Rows:
    columns = ", ".join(
        '"{}"::VARCHAR'.format(name.replace('"', '""')) for name in table.roles.values()
    )
    with connect() as engine:
        query = f"SELECT {columns} FROM read_{table.kind}($1)"
        rows = engine.execute(query, [[engine_path(path) for path in table.local]]).fetchall()
    for number, row in enumerate(rows, start=1):
        yield number, dict(zip(table.roles, ("" if v is None else v for v in row), strict=True))


def _csv_rows(table: Table) -> Rows:
    where = [(role, table.names.index(name)) for role, name in table.roles.items()]
    for path in table.local:
        lines = [_decoded(line) for _, line in numbered_lines(path, 0, blank=True)]
        for number, row in _whole_rows(lines, table) or _single_rows(lines, table):
            if isinstance(row, str):
                yield number, row
            elif len(row) != len(table.names):
                yield number, f"expected {len(table.names)} fields, got {len(row)}"
            else:
                yield number, {role: row[column] for role, column in where}


def _whole_rows(lines: list[str], table: Table) -> list[tuple[int, list[str] | str]]:
    """Return the rows of a file in which fields may hold line ends; none if a quote is amiss."""
    csv.field_size_limit(2**24)  # a plot may be long
    rows = csv.reader((f"{line}\n" for line in lines), delimiter=table.delimiter, strict=True)
    found: list[tuple[int, list[str] | str]] = []
    number = 1
    try:
        for row in rows:
            if number > table.first and row:
                found.append((number, row))
            number = rows.line_num + 1
    except csv.Error:
        return []
    return found


def _single_rows(lines: list[str], table: Table) -> Iterator[tuple[int, list[str] | str]]:
    """Yield a row a line, so that an open quote costs its line and not those after it."""
    for number, line in enumerate(lines, start=1):
        if number > table.first and line:
            yield number, split_line(line, table, strict=True)


def _bare_rows(table: Table) -> Rows:
    split, width = _SPLITS[_layout(table)]
    for path in table.local:
        for number, line in numbered_lines(path, table.first):
            row = split(_decoded(line))
            if len(row) != width:
                yield number, f"expected {width} fields, got {len(row)}"
            else:
                yield number, _SHAPES[_layout(table)](row)


def _layout(table: Table) -> str:
    return "u.item" if table.delimiter == "|" else "tags" if "tag" in table.roles else "movies"


def _split_movie(line: str) -> list[str]:
    """Split at the first and the last ``::``, since titles may hold it too."""
    movie_id, *rest = line.split("::", 1)
    return [movie_id, *(part for text in rest for part in text.rsplit("::", 1))]


def _split_tag(line: str) -> list[str]:
    """Split at the first two ``::`` and the last, since a tag may hold it too."""
    *ids, rest = line.split("::", 2)
    return [*ids, *rest.rsplit("::", 1)]


def _flagged(row: list[str]) -> dict[str, str]:
    flags = zip(_GENRES_100K, row[_FLAGS], strict=True)
    fault = "" if set(row[_FLAGS]) <= {"0", "1"} else "a genre flag is neither 0 nor 1"
    genres = "|".join(genre for genre, flag in flags if flag == "1")
    return {"movie": row[0], "title": row[1], "genres": genres, "flags": fault}


_SPLITS: dict[str, tuple[Callable[[str], list[str]], int]] = {
    "movies": (_split_movie, 3),
    "tags": (_split_tag, 4),
    "u.item": (lambda line: line.split("|"), _FLAGS.stop),
}
_SHAPES: dict[str, Callable[[list[str]], dict[str, str]]] = {
    "movies": lambda row: dict(zip(("movie", "title", "genres"), row, strict=True)),
    "tags": lambda row: {"movie": row[1], "tag": row[2]},
    "u.item": _flagged,
}


def _decoded(line: str) -> str:
    """Return a line as text: UTF-8 if it can be, else the code page of Windows."""
    if line.isascii() or not _ESCAPED.search(line):
        return line
    octets = line.encode("utf-8", "surrogateescape")
    try:
        return octets.decode("cp1252")
    except UnicodeDecodeError:
        return octets.decode("latin-1")
