"""Lines of text to fields, by Python's csv, so that a quote amiss costs one line and not a file."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Sequence

csv.field_size_limit(2**24)  # a plot or a review may be long


_OLDER = ("cp1252", "cp1251", "gb18030", "cp932", "cp949", "big5")


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


def split_rows(lines: Sequence[str], delimiter: str) -> list[tuple[int, list[str], str]]:
    """Return every row with its line number and its fault; a quote amiss costs only its line."""
    try:
        rows = quoted_rows((f"{line}\n" for line in lines), delimiter)
        return [(number, fields, "") for number, fields in rows]
    except LineError:
        return [_apart(*numbered, delimiter) for numbered in enumerate(lines, start=1)]


def _apart(number: int, line: str, delimiter: str) -> tuple[int, list[str], str]:
    try:
        return number, split_line(line, delimiter), ""
    except LineError as error:
        return number, [line], str(error)


def decoded(content: bytes, sense: Callable[[str], int]) -> str:
    """Return text of UTF-8, UTF-16 or the older encoding that makes most sense, by its lines."""
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    if b"\0" in content[:2] and encoding != "utf-16":
        encoding = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    try:
        text = content.decode(encoding, "strict" if encoding == "utf-8-sig" else "replace")
    except UnicodeDecodeError:
        text = max((content.decode(each, "replace") for each in _OLDER), key=sense)
    return text.replace("\r\n", "\n").replace("\r", "\n")
