"""What a row of a raw file must look like, how lines are counted, what becomes of bad rows."""

from __future__ import annotations

import csv
import logging
import re
import reprlib
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any

import numpy as np

from movie_embed.errors import MovieEmbedError

Limits = tuple[np.float32, np.float32]
Row = list[Any] | str  # its fields, or what is wrong with it

_LISTED = 20
_UNCLOSED = "a quoted field does not end on its line"
_log = logging.getLogger(__name__)

_ID = re.compile(r"[ \t]*-?0*[0-9]{1,19}[ \t]*")
_NUMBER = re.compile(r"[ \t]*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?[ \t]*")


def numbered_rows(
    lines: Iterable[str], skip: int = 0, strict: bool = False
) -> Iterator[tuple[int, Row]]:
    """Yield the numbers of the lines of CSV and the row on each, leaving out blank lines.

    Parameters
    ----------
    lines
        The lines, with or without their ends.
    skip
        How many lines to leave out at the start.
    strict
        Whether to refuse text after a closing quote.
    """
    for number, line in enumerate(lines, start=1):
        if number > skip and (text := line.rstrip("\r\n")):
            yield number, _split_csv(text, strict)


def _split_csv(text: str, strict: bool) -> Row:
    """Split one line, so that an open quote costs that line and not those after it."""
    if '"' not in text and len(text) < csv.field_size_limit():
        return text.split(",")  # what the reader makes of it, sooner
    try:
        row = next(csv.reader([f"{text}\n"], strict=strict))
    except csv.Error:
        return _UNCLOSED if len(text) < csv.field_size_limit() else "it is too long"
    return _UNCLOSED if row[-1].endswith("\n") else row


def split_lines(lines: Iterable[str], split: Callable[[str], Row]) -> Iterator[tuple[int, Row]]:
    """Yield the numbers of lines and what they are split to, leaving out blank lines."""
    for number, line in enumerate(lines, start=1):
        if text := line.rstrip("\r\n"):
            yield number, split(text)


class BadRows:
    """The rows that are not as they must be: the run ends with a list of them, or goes without.

    Parameters
    ----------
    skip
        Whether they are left out.
    """

    def __init__(self, skip: bool = False) -> None:
        self.skip = skip
        self._numbers: defaultdict[str, array[int]] = defaultdict(lambda: array("q"))
        self._listed: list[str] = []

    @property
    def count(self) -> int:
        """How many there are, in all files."""
        return sum(map(len, self._numbers.values()))

    def numbers(self, path: object) -> frozenset[int]:
        """Return the numbers of a file's bad rows."""
        return frozenset(self._numbers[str(path)])

    def note(self, path: object, number: int, problem: str, unit: str = "line") -> None:
        """Take down what is wrong with a row."""
        numbers = self._numbers[str(path)]
        numbers.append(number)
        if len(numbers) <= _LISTED:
            self._listed.append(f"{path}, {unit} {number}: {problem}")

    def settle(self, path: object, good: int, fate: str = "bad rows left out") -> None:
        """Leave the bad rows of a file out, with a warning, or raise for them.

        Parameters
        ----------
        path
            The file, which has been read to its end.
        good
            How many good rows it has; without any it is refused even if bad ones are left out.
        fate
            What the warning calls them.
        """
        bad, self._listed, told = len(self._numbers[str(path)]), [], self._listed
        if bad > _LISTED:
            told.append(f"and {bad - _LISTED:,} more bad rows")
        if bad and self.skip and good:
            _log.warning("%s", "\n".join([f"{path}: {bad:,} {fate}", *told]))
        elif bad:
            way = "it has no good row" if self.skip else "data.on_bad_rows=skip leaves bad rows out"
            raise MovieEmbedError("\n".join(told) + f"; {way}")


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
