"""The rules for ids and stars in raw files, and the rows that break them."""

from __future__ import annotations

import logging
import re
import reprlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from movie_embed.data.movies import Id
from movie_embed.errors import MovieEmbedError, plural

Limits = tuple[float, float] | None  # lowest and highest star; None: any finite number

BLANKS = " \t"
_LISTED = 20
_WHOLE = re.compile(r"(0|-?[1-9][0-9]{0,18})(\.0+)?")
_PADDED = re.compile(r"-?0[0-9]+")
_GROUPED = re.compile(r"[0-9]{1,3}(,[0-9]{3})+")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_NONE = ("", "nan", "none", "null", "na")
_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]+,[0-9]{1,2}")
_log = logging.getLogger(__name__)


def holds_whole_ids(counts: Mapping[str, int]) -> bool:
    """Return whether the ids of a column are whole numbers; otherwise they are text.

    They are numbers if most rows with an id have a number; `counts` has the number of rows for each
    text. An id with leading zeros, as in ``0120735``, makes all of them text, because a number
    would lose the zeros.
    """
    whole = total = 0
    for text, count in counts.items():
        stripped = text.strip(BLANKS)
        total += count if stripped else 0
        if _PADDED.fullmatch(stripped):
            return False
        if _WHOLE.fullmatch(stripped) or _GROUPED.fullmatch(stripped):
            whole += count
    return 2 * whole > total


def as_id(text: str, whole: bool, role: str = "movie", hint: str = "") -> Id:
    """Return the id in a text, the number 1 for ``1.0``; ValueError if the text has none.

    The hint is for texts that are no numbers.
    """
    stripped = text.strip(BLANKS)
    match = _WHOLE.fullmatch(stripped)
    if whole and match and -(2**63) <= (number := int(match[1])) < 2**63:
        return number
    if not whole and stripped and stripped.isprintable():
        return stripped
    fault = "is not a whole number within 64 bits" if whole else "is empty or no printable text"
    numeric = _NUMBER.fullmatch(stripped) or _GROUPED.fullmatch(stripped)
    named = whole and text.isprintable() and stripped.lower() not in _NONE and not numeric
    raise ValueError(f"{role} id {reprlib.repr(text)} {fault}{hint if named else ''}")


def as_stars(text: str) -> np.float32:
    """Return the stars in a text; NaN if it is no number."""
    stripped = text.strip(BLANKS)
    if _DECIMAL_COMMA.fullmatch(stripped):
        stripped = stripped.replace(",", ".")
    with np.errstate(over="ignore"):
        return np.float32(stripped if _NUMBER.fullmatch(stripped) else "nan")


def check_stars(text: str, limits: Limits, hint: str = "") -> None:
    """Raise ValueError unless a text has stars within limits; the hint is about the limits."""
    stars, ends = as_stars(text), np.finfo(np.float32)
    low, high = limits or (ends.min, ends.max)
    if np.isnan(stars):
        raise ValueError(f"rating {reprlib.repr(text)} is not a number")
    if not np.float32(low) <= stars <= np.float32(high):
        shown = text.strip()[:30]
        raise ValueError(f"rating {shown} is not between {low:g} and {high:g}{hint}")


def faults(texts: Iterable[str], check: Callable[[str], object]) -> dict[str, str]:
    """Return the errors that a check raises, by text."""
    found = {}
    for text in texts:
        try:
            check(text)
        except ValueError as error:
            found[text] = str(error)
    return found


@dataclass
class BadRows:
    """Collect rows that cannot be read; raise with a list of them, or skip them."""

    skip: bool = False
    count: int = 0  # of all files
    _counts: Counter[str] = field(default_factory=Counter)
    _listed: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def note(self, path: object, number: int, problem: str, unit: str = "line") -> None:
        """Note the fault of a row."""
        self.count += 1
        self._counts[str(path)] += 1
        if self._counts[str(path)] <= _LISTED:
            self._listed[str(path)].append(f"{path}, {unit} {number}: {problem}")

    def settle(
        self, path: object, good: int, noun: str = "bad row", outcome: str = "left out"
    ) -> None:
        """Leave the bad rows of a file out with a warning, or raise.

        A file without any `good` row is refused in any case. The warning calls a bad row by the
        `noun`, and says the `outcome`.
        """
        bad, told = self._counts.pop(str(path), 0), self._listed.pop(str(path), [])
        if not bad:
            return
        if bad > _LISTED:
            told.append(f"and {plural(bad - _LISTED, f'more {noun}')}")
        if self.skip and good:
            _log.warning("%s", "\n".join([f"{path}: {plural(bad, noun)} {outcome}", *told]))
            return
        way = (
            f"{outcome} with data.on_bad_rows=skip"
            if good
            else f"it has no good {noun.split()[-1]}"
        )
        first = f"{told.pop(0)}; " if bad == 1 else f"{path}: "
        raise MovieEmbedError("\n".join([f"{first}{plural(bad, noun)}, {way}", *told]))
