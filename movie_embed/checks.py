"""Checks of values from the command line or from Python, which make them plain."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from movie_embed.errors import MovieEmbedError, did_you_mean, printable

Check = Callable[[str, Any], None]  # of a key and its value


def require(condition: bool, key: str, value: object, allowed: str) -> None:
    """Refuse a setting's value in one line, unless the condition holds."""
    if not condition:
        shown = printable(" ".join(str(value).split()))
        raise MovieEmbedError(f"{key}={shown}: must be {allowed}")


def choose(key: str, value: object, allowed: Collection[str]) -> None:
    """Require one of the allowed words."""
    known = isinstance(value, str) and value in allowed
    near = "" if known else did_you_mean(str(value), allowed)
    require(known, key, value, f"one of {', '.join(allowed)}{near}")


def must(holds: Callable[[Any], bool], allowed: str) -> Check:
    """Return the check of a setting that a condition holds; `allowed` says which."""
    return lambda key, value: require(holds(value), key, value, allowed)


def at_least(least: int) -> Check:
    """Return the check of a setting that is a number of some size."""
    return must(lambda value: value >= least, f"at least {least}")


def fits(pattern: str, allowed: str) -> Check:
    """Return the check of a text, or of each in a list, that it fits a regular expression."""
    return must(lambda value: all(re.fullmatch(pattern, each) for each in listed(value)), allowed)


def one_of(*allowed: str) -> Check:
    """Return the check of a setting that is one of some words."""
    return lambda key, value: choose(key, value, allowed)


def listed(value: Any) -> list[Any]:
    """Return an array, Series or other collection as a list, one value as a list of it.

    Text is one value, and None is no value.
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if value is None:
        return []
    one = isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable)
    return [value] if one else list(value)


def names(key: str, value: Any) -> tuple[str, ...]:
    """Return one name or several as a tuple."""
    given = listed(value)
    named = all(isinstance(name, str) and name.strip() for name in given)
    require(named, key, value, f"a name or a list: '{key}=[one,another]'")
    return tuple(map(str, given))


def whole(key: str, value: Any, least: int | None = None) -> int:
    """Return a whole number of any kind, NumPy's too, as Python's."""
    found = as_whole(value)
    digits = isinstance(value, str) and value.strip().isdecimal()
    near = f"; did you mean {value.strip()} without quotes?" if digits else ""
    shown = repr(value) if isinstance(value, str) else value
    if found is None or least is None:
        require(found is not None, key, shown, f"a whole number{near}")
    else:
        require(found >= least, key, shown, f"at least {least}")
    assert found is not None
    return found


def as_whole(value: Any) -> int | None:
    """Return a whole number of any kind, 1.0 too, as Python's, and None for anything else."""
    if isinstance(value, float | np.floating) and value.is_integer():
        return int(value)  # pandas makes ids floats where one is missing
    try:
        return None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        return None


def is_number(value: object) -> bool:
    """Return whether this is a number of any kind."""
    return isinstance(value, Real) and not isinstance(value, bool)
