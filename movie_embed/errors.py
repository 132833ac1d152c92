"""The one kind of error a user is meant to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class MovieEmbedError(Exception):
    """A problem the user can mend: the message says what, where and what to do, in one line."""


class TrainingInterrupted(MovieEmbedError):
    """Ctrl-C: nothing is wrong, and the message says how to go on."""


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """Return ``"; did you mean a, b?"`` for the nearest known names, or ``""`` for none."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=cutoff)
    return f"; did you mean {', '.join(near)}?" if near else ""


def cannot_write(path: str | Path, error: Exception) -> str:
    """Return what a user is told of a file that could not be written, say on a full disk."""
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    return f"cannot write {path}: {reason}; make room, mend its rights or choose another folder"
