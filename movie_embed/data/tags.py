"""The raw tags that users gave to movies, in every layout, to distinct tags by movie id."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from movie_embed.config import ColumnNames
from movie_embed.data.files import AnyPath, RatingsFiles, reading, text_lines
from movie_embed.data.rows import (
    BadRows,
    Row,
    id_problem,
    numbered_rows,
    shape_problem,
    split_lines,
)
from movie_embed.data.titles import movie_columns


class _Rows(NamedTuple):
    """Numbered rows of one file, how many fields each must have, and where the fields are."""

    rows: Iterator[tuple[int, Row]]
    width: int
    movie: int
    tag: int


def read_tags(files: RatingsFiles, bad_rows: BadRows | None = None) -> dict[int, str]:
    """Read the distinct tags of each movie; empty if the data set has none.

    Parameters
    ----------
    files
        What `find_files` found.
    bad_rows
        Whether bad rows are left out, and where they are noted; by default they are refused.

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
    bad_rows = bad_rows or BadRows()
    tags: dict[int, set[str]] = {}
    with reading(files.tags):
        layout = _layout(files.tags, files.columns)
        for number, row in layout.rows:
            if problem := _problem(row, layout):
                bad_rows.note(files.tags, number, problem)
            else:
                tag = " ".join(row[layout.tag].lower().replace("|", " ").split())
                tags.setdefault(int(row[layout.movie]), set()).add(tag)
        bad_rows.settle(files.tags, len(tags))
    named = {movie_id: sorted(given - {""}) for movie_id, given in tags.items()}
    return {movie_id: "|".join(given) for movie_id, given in named.items() if given}


def _layout(path: AnyPath, columns: ColumnNames) -> _Rows:
    lines = text_lines(path)
    if path.suffix.lower() == ".dat":
        return _Rows(split_lines(lines, _split_dat), 4, movie=1, tag=2)
    rows = numbered_rows(lines, strict=True)
    names, movie, tag = movie_columns(path, rows, columns, "tag")
    return _Rows(rows, len(names), movie, tag)


def _split_dat(line: str) -> Row:
    """Split at the first two ``::`` and the last, since a tag may hold it too."""
    *ids, rest = line.split("::", 2)
    return [*ids, *rest.rsplit("::", 1)]


def _problem(row: Row, layout: _Rows) -> str:
    if problem := shape_problem(row, layout.width):
        return problem
    movie_id = row[layout.movie]
    if problem := id_problem("movie", movie_id):
        return problem
    return "it holds a NUL byte" if "\0" in row[layout.tag] else ""
