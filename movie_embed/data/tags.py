"""The raw tags that users gave to movies, in every layout, to distinct tags by movie id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, NamedTuple

from movie_embed.config import ColumnNames
from movie_embed.data.files import AnyPath, RatingsFiles, open_text, reading
from movie_embed.data.rows import Row, id_problem, numbered_rows, shape_problem
from movie_embed.data.titles import movie_columns
from movie_embed.errors import MovieEmbedError


class _Rows(NamedTuple):
    """Numbered rows of one file, how many fields each must have, and where the fields are."""

    rows: Iterator[tuple[int, Row]]
    width: int
    movie: int
    tag: int


def read_tags(files: RatingsFiles) -> dict[int, str]:
    """Read the distinct tags of each movie; empty if the data set has none.

    Returns
    -------
    dict
        By movie id the tags in lower case, sorted and joined by ``|``, as genres are.

    Raises
    ------
    MovieEmbedError
        A row of the wrong width, without a whole id or with a NUL byte, by file and line.
    """
    if files.tags is None:
        return {}
    tags: dict[int, set[str]] = {}
    with reading(files.tags), open_text(files.tags) as file:
        layout = _layout(files.tags, file, files.columns)
        for number, row in layout.rows:
            if problem := _problem(row, layout):
                raise MovieEmbedError(f"{files.tags}, line {number}: {problem}")
            if tag := " ".join(row[layout.tag].lower().replace("|", " ").split()):
                tags.setdefault(int(row[layout.movie]), set()).add(tag)
    return {movie_id: "|".join(sorted(given)) for movie_id, given in tags.items()}


def _layout(path: AnyPath, file: IO[str], columns: ColumnNames) -> _Rows:
    if path.suffix.lower() == ".dat":
        return _Rows(_dat_rows(file), 4, movie=1, tag=2)
    rows = numbered_rows(file, strict=True)
    names, movie, tag = movie_columns(path, rows, columns, "tag")
    return _Rows(rows, len(names), movie, tag)


def _dat_rows(file: IO[str]) -> Iterator[tuple[int, Row]]:
    """Split at the first two ``::`` and the last, since a tag may hold it too."""
    for number, line in enumerate(file, start=1):
        if text := line.rstrip("\r\n"):
            *ids, rest = text.split("::", 2)
            yield number, [*ids, *rest.rsplit("::", 1)]


def _problem(row: Row, layout: _Rows) -> str:
    if problem := shape_problem(row, layout.width):
        return problem
    movie_id = row[layout.movie]
    if problem := id_problem("movie", movie_id):
        return problem
    return "it holds a NUL byte" if "\0" in row[layout.tag] else ""
