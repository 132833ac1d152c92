"""Somebody's own ratings from a small CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from movie_embed.answers.lookup import Movie, MovieId
from movie_embed.errors import MovieEmbedError

_MOVIE = ("movieId", "movie_id", "title", "movie")
_STARS = ("stars", "rating")


def read_own_ratings(path: Path) -> dict[Movie, float]:
    """Read stars by movie id or title.

    Parameters
    ----------
    path
        A CSV file with a header; one column is named ``movieId`` or ``title``, one ``stars`` or
        ``rating``, others are left aside.

    Raises
    ------
    MovieEmbedError
        There is no such file, it is empty, or a row cannot be read; by file and line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            ratings = _ratings(path, file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MovieEmbedError(f"ratings={path} cannot be read: {error}") from error
    if not ratings:
        raise MovieEmbedError(f"{path} has no ratings: a header, then a row a movie, is expected")
    return ratings


def _ratings(path: Path, file: IO[str]) -> dict[Movie, float]:
    ratings: dict[Movie, float] = {}
    for number, movie, stars in _rows(path, file):
        try:
            value = float(stars)
        except ValueError:
            raise MovieEmbedError(
                f"{path}, line {number}: {stars!r} is no number of stars"
            ) from None
        if movie in ratings:
            raise MovieEmbedError(f"{path}, line {number}: {movie} is rated twice")
        ratings[movie] = value
    return ratings


def _rows(path: Path, file: IO[str]) -> Iterator[tuple[int, Movie, str]]:
    rows = csv.reader(file, strict=True)
    header = [name.strip() for name in next(rows, [])]
    if not header:
        return
    movie, stars = _column(path, header, _MOVIE), _column(path, header, _STARS)
    by_id = header[movie] in ("movieId", "movie_id")
    for row in rows:
        if not row:
            continue
        if len(row) != len(header):
            wrong = f"{len(row)} fields, the header has {len(header)}"
            raise MovieEmbedError(f"{path}, line {rows.line_num}: {wrong}")
        name = row[movie].strip()
        if by_id and not name:
            raise MovieEmbedError(f"{path}, line {rows.line_num}: it has no movie id")
        movie_id = int(name) if name.isdecimal() else MovieId(name)
        yield rows.line_num, movie_id if by_id else name, row[stars]


def _column(path: Path, header: list[str], names: tuple[str, ...]) -> int:
    for name in names:
        if name in header:
            return header.index(name)
    raise MovieEmbedError(
        f"{path}: its header has none of {', '.join(names)}; it has {', '.join(header)}"
    )
