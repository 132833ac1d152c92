"""A table of ratings as a relation: user, movie, rating and time of every row, all text.

As SQL for the engine, and row by row for the numbers of bad lines.
"""

from __future__ import annotations

import csv
import mmap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb

from movie_embed.data.tables import (
    RATING_ROLES,
    Table,
    engine_path,
    numbered_lines,
    reading,
    split_line,
)

Numbered = Iterator[tuple[object, int, list[str | None] | str]]


def roles_of(table: Table) -> tuple[str, ...]:
    """Return which of user, movie, rating and timestamp a table has."""
    return tuple(role for role in RATING_ROLES if role in table.roles)


def source_of(table: Table, time: bool = False) -> tuple[str, dict[str, Any]]:
    """Return a relation as SQL to stand behind FROM, and its parameters.

    Parameters
    ----------
    table
        The table; names of its columns are quoted, everything else is a parameter.
    time
        Whether the timestamp is wanted, too; NULL where there is none.
    """
    columns = [
        f"{_name(table.roles[role])}::VARCHAR AS {role}"
        for role in roles_of(table)
        if time or role != "timestamp"
    ]
    if time and "timestamp" not in table.roles:
        columns.append("NULL::VARCHAR AS timestamp")
    parameters: dict[str, Any] = {"files": [engine_path(path) for path in table.local]}
    if table.kind == "frame":
        relation, parameters = "given", {}
    elif table.kind == "query":
        relation, parameters = f"({table.given})", {}
    elif table.kind == "parquet":
        relation = "read_parquet($files, union_by_name=true)"
    elif table.kind == "json":
        relation = "read_json($files, convert_strings_to_integers=false)"
    else:
        names = _unique(table.names)
        if table.quotes:
            columns.append(f"concat({', '.join(map(_name, names))}) AS everything")
        parameters |= {
            "delimiter": table.delimiter,
            "quote": '"' if table.quotes else "",
            "first": table.first,
            "columns": dict.fromkeys(names, "VARCHAR"),
        }
        relation = (
            "read_csv($files, delim=$delimiter, quote=$quote, escape=$quote, skip=$first, "
            "header=false, columns=$columns, auto_detect=false)"
        )
    return f"(SELECT {', '.join(columns)} FROM {relation})", parameters


def _name(name: str) -> str:
    quoted = name.replace('"', '""')
    return f'"{quoted}"'


def _unique(names: tuple[str, ...]) -> list[str]:
    """Return names that differ: columns that nobody reads may share one or have none."""
    unique: list[str] = []
    for number, name in enumerate(names):
        taken = {other.casefold() for other in unique}
        unique.append(f"{name} {number}" if not name or name.casefold() in taken else name)
    return unique


def without_needless_quotes(table: Table) -> Table:
    """Return a table of text without quoted fields as such: the engine reads it faster."""
    return replace(table, quotes=table.quotes and any(map(_holds_quotes, table.local)))


def _holds_quotes(path: Path) -> bool:
    if path.suffix.lower() in (".gz", ".zst") or not path.stat().st_size:
        return True
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as octets:
        return octets.find(b'"') >= 0


def walk(table: Table, engine: duckdb.DuckDBPyConnection) -> Numbered:
    """Yield every row by file and number: user, movie, stars, time; or its problem."""
    if table.kind == "text":
        yield from _numbered(table)
        return
    for path, file in zip(table.paths, table.local, strict=True):
        source, parameters = source_of(replace(table, unpacked=(file,)), time=True)
        with reading(path):
            rows = engine.cursor().execute(f"FROM {source}", parameters)
        for number, row in enumerate(iter(rows.fetchone, None), start=1):
            yield path, number, list(row)


def _numbered(table: Table) -> Numbered:
    where = [table.names.index(table.roles[role]) for role in roles_of(table)]
    longest, width = csv.field_size_limit(), len(table.names)
    for path, file in zip(table.paths, table.local, strict=True):
        for number, line in numbered_lines(file, table.first):
            fields = split_line(line, table) if len(line) < longest else "it is too long"
            if len(fields) == width + 1 and not fields[-1]:  # the engine reads such a line, too
                fields = fields[:-1]
            if isinstance(fields, str):
                yield path, number, fields
            elif len(fields) != width:
                yield path, number, f"expected {width} fields, got {len(fields)}"
            else:
                yield path, number, [fields[column] for column in where]
