"""The one kind of error a user is meant to read."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

started_as = "movie-embed {}"  # `commands.run` says if it was a script


class MovieEmbedError(Exception):
    """A problem the user can mend; one line has the problem, its place and a remedy."""


class UnknownError(MovieEmbedError):
    """There is no such movie or user; over HTTP a 404."""


class UnknownColumns(MovieEmbedError):
    """No column is known to have movies, or ratings; `columns` names some that may, by meaning."""

    def __init__(self, message: str, columns: dict[str, str]) -> None:
        super().__init__(message)
        self.columns = columns


class Interrupted(BaseException):
    """Ctrl-C, or SIGTERM, with which containers and schedulers ask a process to end.

    Nothing is wrong; after training has begun, the message says how to go on. A script then exits
    with 128 and the number of the signal.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


def plural(count: float | None, noun: str) -> str:
    """Return ``"1 run"``, ``"2 runs"``, and large numbers with commas."""
    if count != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("ry") else f"{noun}s"
    return f"{count:,} {noun}"


def printable(text: str, longest: int = 200) -> str:
    """Return text that is safe to show on one line: cut short, odd characters escaped."""
    shown = text[: longest + 1]
    shown = shown if shown.isprintable() else ascii(shown)
    return shown if len(shown) <= longest else f"{shown[:longest]}..."


def program(command: str) -> str:
    """Return how a command is started, as the running one was."""
    return started_as.format(command)


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """Return ``"; did you mean a, b?"`` for the nearest known names, or ``""`` for none."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=cutoff)
    return f"; did you mean {', '.join(near)}?" if near else ""


def cannot_write(path: str | Path, error: Exception) -> str:
    """Return the message for a file that could not be written, say on a full disk."""
    reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
    way = "free some space, fix its permissions or choose another folder"
    return f"cannot write {path}: {reason}; {way}"
