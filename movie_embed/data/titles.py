"""The raw table of movies, in every layout, to titles and genres by id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from movie_embed.config import ColumnNames
from movie_embed.data.files import AnyPath, RatingsFiles, listed, reading, text_lines
from movie_embed.data.rows import (
    BadRows,
    Row,
    id_problem,
    numbered_rows,
    shape_problem,
    split_lines,
)
from movie_embed.errors import MovieEmbedError

_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime",
    "Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance",
    "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_FLAGS = slice(5, 5 + len(_GENRES_100K))


class Movie(NamedTuple):
    """Title and ``|``-joined genres of one movie, as in the raw file."""

    title: str
    genres: str


class _Rows(NamedTuple):
    """Numbered rows of one file, how many fields each must have, and where the fields are."""

    rows: Iterator[tuple[int, Row]]
    width: int
    movie: int
    title: int
    genres: int | slice | None


def read_movies(files: RatingsFiles, bad_rows: BadRows | None = None) -> dict[int, Movie]:
    """Read the table of movies: id to title and genres; empty if the data set has none.

    Parameters
    ----------
    files
        What `find_files` found.
    bad_rows
        Whether bad rows are left out, and where they are noted; by default they are refused.

    Raises
    ------
    MovieEmbedError
        A row of the wrong width, without a whole id or with an id given before, by file and
        line.
    """
    movies: dict[int, Movie] = {}
    if files.movies is None:
        return movies
    bad_rows = bad_rows or BadRows()
    with reading(files.movies):
        layout = _layout(files.movies, files.columns)
        for number, row in layout.rows:
            if problem := _problem(row, layout, movies):
                bad_rows.note(files.movies, number, problem)
            else:
                genres = _genres(row, layout.genres)
                movies[int(row[layout.movie])] = Movie(row[layout.title], genres)
        bad_rows.settle(files.movies, len(movies))
    return movies


def _layout(path: AnyPath, columns: ColumnNames) -> _Rows:
    suffix, lines = path.suffix.lower(), text_lines(path)
    if suffix == ".csv":
        return _csv_layout(path, lines, columns)
    if suffix == ".dat":
        return _Rows(split_lines(lines, _split_dat), 3, movie=0, title=1, genres=2)
    rows = split_lines(lines, lambda line: line.split("|"))
    return _Rows(rows, _FLAGS.stop, movie=0, title=1, genres=_FLAGS)


def _csv_layout(path: AnyPath, lines: Iterator[str], columns: ColumnNames) -> _Rows:
    rows = numbered_rows(lines, strict=True)
    names, movie, title = movie_columns(path, rows, columns, "title")
    genres = names.index("genres") if "genres" in names else None
    return _Rows(rows, len(names), movie, title, genres)


def movie_columns(
    path: AnyPath, rows: Iterator[tuple[int, Row]], columns: ColumnNames, told: str
) -> tuple[list[str], int, int]:
    """Read the header of a table about movies: its names, and where the id and what is told are.

    Raises
    ------
    MovieEmbedError
        There is not exactly one column of each.
    """
    _, names = next(rows, (1, []))
    if isinstance(names, str):
        raise MovieEmbedError(f"{path}, line 1: {names}")
    movie = columns.movie if columns.movie in names else "movieId"
    for name in (movie, told):
        if names.count(name) != 1:
            raise MovieEmbedError(f"{path}: expected one column {name!r}, it has {listed(names)}")
    return names, names.index(movie), names.index(told)


def _split_dat(line: str) -> Row:
    """Split at the first and the last ``::``, since titles may hold it too."""
    movie_id, *rest = line.split("::", 1)
    return [movie_id, *(part for text in rest for part in text.rsplit("::", 1))]


def _problem(row: Row, layout: _Rows, known: dict[int, Movie]) -> str:
    if problem := shape_problem(row, layout.width):
        return problem
    movie_id = row[layout.movie]
    if problem := id_problem("movie", movie_id):
        return problem
    if int(movie_id) in known:
        return f"movie id {movie_id} is given twice"
    if "\0" in "".join(row):
        return "it holds a NUL byte"
    if layout.genres == _FLAGS and not set(row[_FLAGS]) <= {"0", "1"}:
        return "a genre flag is neither 0 nor 1"
    return ""


def _genres(row: Row, where: int | slice | None) -> str:
    if where is None:
        return ""
    if isinstance(where, int):
        return row[where]
    flagged = zip(_GENRES_100K, row[where], strict=True)
    return "|".join(genre for genre, flag in flagged if flag == "1")
