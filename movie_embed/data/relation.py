"""A table as a relation of text: as SQL for DuckDB, and row by row.

Ratings are read row by row only to find the lines of bad rows; titles and tags always are.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from movie_embed.data.files import AnyPath, connect, reading, text_lines
from movie_embed.data.lines import LineError, quoted_rows, split_line
from movie_embed.data.tables import Table, relation_of
from movie_embed.data.values import BadRows


def source_of(table: Table, roles: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return the columns of a table as SQL to stand behind FROM, and its parameters.

    A column that the table lacks is NULL. Column names are quoted, everything else is a parameter,
    so that no file name or delimiter is taken for SQL. With quotes ``everything`` has the text of
    all fields, in which a line end shows a quote that stays open.
    """
    places = {name: f"c{place}" for place, name in enumerate(table.names)}
    if table.kind != "text":
        places = {name: '"{}"'.format(name.replace('"', '""')) for name in table.names}
    given = {role: places[name] for role, name in table.roles.items()}
    columns = [f"{given.get(role, 'NULL')}::VARCHAR AS {role}" for role in roles]
    if table.kind == "text" and table.quotes:
        every = ", ".join(f"c{place}" for place in range(len(table.names)))
        columns.append(f"concat({every}) AS everything")
    relation, parameters = relation_of(table)
    return f"(SELECT {', '.join(columns)} FROM {relation})", parameters


def holds_quotes(path: Path) -> bool:
    """Return whether a file of text may have quotes; without them DuckDB reads it faster."""
    if path.suffix.lower() in (".gz", ".zst") or not path.stat().st_size:
        return True
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as octets:
        return octets.find(b'"') >= 0


def walk(
    table: Table, roles: Sequence[str], bad_rows: BadRows | None = None, named: bool = False
) -> Iterator[tuple[AnyPath, int, list[str]]]:
    """Yield every row by file and number: its values by `roles`; note the malformed ones.

    `named` tables have titles or tags. In them a quoted field may hold line ends if all quotes of
    the file close, and a line that is not UTF-8 is in Windows' code page.
    """
    width, at = len(table.names), {name: column for column, name in enumerate(table.names)}
    where = [at[table.roles[role]] if role in table.roles else width for role in roles]
    note = bad_rows.note if bad_rows else lambda *_: None
    for path, file in zip(table.paths, table.local, strict=True):
        with reading(path):
            if table.kind != "text":
                yield from ((path, *row) for row in _records(replace(table, local=(file,)), roles))
                continue
            for number, fields in _rows(file, table, named, partial(note, path)):
                if len(fields) == width + 1 and not fields[-1]:  # DuckDB reads such a line, too
                    fields = fields[:-1]
                if len(fields) != width:
                    note(path, number, f"expected {width} fields, got {len(fields)}")
                else:
                    yield path, number, [[*fields, ""][column] for column in where]


def _records(table: Table, roles: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    with connect(given=table.given) as engine:
        source, parameters = source_of(table, roles)
        rows = engine.execute(f"FROM {source}", parameters)
        for number, row in enumerate(iter(rows.fetchone, None), start=1):
            yield number, [value or "" for value in row]


def _rows(
    path: Path, table: Table, named: bool, note: Callable[[int, str], None]
) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows below the header that are not blank, with their lines."""
    # Ratings are read a row a line, so that an open quote costs its line and not those after it.
    if named and table.quotes:
        with text_lines(path, "windows") as lines, suppress(LineError):
            whole = quoted_rows(lines, table.delimiter)
            yield from ((number, row) for number, row in whole if number > table.first and row)
            return
    # A title or tag may hold an unquoted separator.
    free = next((table.roles[role] for role in ("title", "tag") if role in table.roles), None)
    at = table.names.index(free) if free else 0
    joins = free and not table.quotes and (len(table.delimiter) > 1 or free == table.names[-1])
    with text_lines(path, "windows" if named else "surrogateescape") as lines:
        for number, end in enumerate(lines, start=1):
            line = end.rstrip("\r\n")
            if number <= table.first or not line:
                continue
            try:
                fields = split_line(line, table.delimiter, table.quotes, strict=named)
            except LineError as error:
                note(number, str(error))
                continue
            more = len(fields) - len(table.names) + 1
            if joins and more > 1:
                joined = table.delimiter.join(fields[at : at + more])
                fields = [*fields[:at], joined, *fields[at + more :]]
            yield number, fields
