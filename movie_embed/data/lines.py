"""Lines of text to fields, by Python's csv, so that a quote amiss costs one line and not a file."""

from __future__ import annotations

import csv
from collections.abc import Iterable

csv.field_size_limit(2**24)  # a plot or a review may be long


class LineError(ValueError):
    """A quote is amiss."""


def quoted_rows(lines: Iterable[str], delimiter: str) -> list[tuple[int, list[str]]]:
    """Return every row with its line number; a quoted field may hold line ends.

    A quote amiss would swallow the lines up to the next one. Whoever asked goes on with
    `split_line` then.
    """
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    found, number = [], 1
    try:
        for row in rows:
            found.append((number, row))
            number = rows.line_num + 1
    except csv.Error as error:
        raise LineError(str(error)) from error
    return found


def split_line(line: str, delimiter: str, quotes: bool = True, strict: bool = False) -> list[str]:
    """Split one line without its end. If `strict`, text after a closing quote is wrong."""
    if '"' not in line or not quotes or len(delimiter) > 1:
        return line.split(delimiter)
    try:
        # The reader keeps the line end inside a field only if its quote is still open.
        fields = next(csv.reader([f"{line}\n"], delimiter=delimiter, strict=strict))
    except csv.Error:
        fields = ["\n"]
    if fields[-1].endswith("\n"):
        raise LineError("a quoted field does not end on its line")
    return fields
