"""What a row of a raw file must look like, and how its line is counted."""

from __future__ import annotations

import csv
import re
import reprlib
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

import numpy as np

Limits = tuple[np.float32, np.float32]
Row = list[Any] | str  # its fields, or what is wrong with it

_UNCLOSED = "a quoted field does not end on its line"
_BREAK = re.compile(r"[\r\n]")
_ID = re.compile(r"[ \t]*-?0*[0-9]{1,19}[ \t]*")
_NUMBER = re.compile(r"[ \t]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*")


def numbered_rows(
    lines: Iterable[str], skip: int = 0, strict: bool = False
) -> Iterator[tuple[int, Row]]:
    """Yield the rows of CSV and the lines they begin on, leaving out blank lines.

    Parameters
    ----------
    lines
        The text, line ends as they are.
    skip
        How many lines to leave out at the start.
    strict
        Whether to refuse text after a closing quote.
    """
    number = 1
    ended = (line if line.endswith(("\r", "\n")) else f"{line}\n" for line in lines)
    reader = csv.reader(ended, strict=strict)
    try:
        for row in reader:
            if row and number > skip:
                yield number, _UNCLOSED if _BREAK.search("".join(row)) else row
            number = reader.line_num + 1
    except csv.Error:
        yield number, _UNCLOSED


def rating_problem(row: Row, width: int, where: list[int], limits: Limits) -> str:
    """Say what is wrong with a row of ratings; nothing is ``""``.

    Parameters
    ----------
    row
        Its fields, as text or as they come out of Parquet.
    width
        How many fields there must be.
    where
        Positions of user, movie and rating.
    limits
        Lowest and highest rating.
    """
    if problem := shape_problem(row, width):
        return problem
    user, movie, stars = (row[column] for column in where)
    if problem := id_problem("user", user) or id_problem("movie", movie):
        return problem
    if not _NUMBER.fullmatch(str(stars)):
        return f"rating {reprlib.repr(stars)} is not a number"
    low, high = limits
    good = low <= np.float32(stars) <= high
    return "" if good else f"rating {str(stars).strip()[:30]} is not between {low:g} and {high:g}"


def shape_problem(row: Row, width: int) -> str:
    """Say what is wrong with a row as such; nothing is ``""``."""
    if isinstance(row, str):
        return row
    return "" if len(row) == width else f"expected {width} fields, got {len(row)}"


def id_problem(role: str, value: object) -> str:
    """Say what is wrong with the id of a user or movie; nothing is ``""``."""
    if is_id(value):
        return ""
    return f"{role} id {reprlib.repr(value)} is not a whole number within 64 bits"


def is_id(value: object) -> bool:
    """Whether a field is a whole number that 64 bits hold."""
    return bool(_ID.fullmatch(str(value))) and -(2**63) <= int(str(value)) < 2**63


def time_kind(value: object) -> str:
    """Return whether a timestamp is ``missing``, ``seconds``, a ``date`` or ``unknown``."""
    text = "" if value is None else str(value)
    if not text:
        return "missing"
    if _NUMBER.fullmatch(text):
        return "seconds"
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return "unknown"
    return "date"
