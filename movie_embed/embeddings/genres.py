"""The genres: which one tells most of a movie, and how each is drawn, the same in every run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32


class Style(NamedTuple):
    """A genre's colours on white and on dark ground, and its shape, a place in `MARKERS`."""

    light: str
    dark: str
    shape: int


MARKERS = "os^D"  # as Matplotlib calls them
OTHER = Style("#868686", "#8c8c8c", 0)
# The most telling genre first: a western that is also a drama is drawn as a western. The colours
# come from a random search. To red-blind, green-blind, blue-blind and other eyes (Machado 2009)
# any two differ by 4.6 or more in OKLab, where black and white differ by 100, and two of one shape
# by 10.9; each has a contrast of 3 or more to its ground.
_STYLES = {
    "Film-Noir": Style("#2f3b7e", "#086fff", 3),
    "Western": Style("#894403", "#a19c53", 2),
    "Musical": Style("#2450ed", "#3a90ff", 2),
    "Animation": Style("#1b99f8", "#f3f211", 1),
    "Documentary": Style("#00536e", "#d1e8bb", 2),
    "War": Style("#118564", "#019160", 1),
    "Horror": Style("#d23400", "#8cbd15", 3),
    "Children": Style("#ff35cb", "#e9b998", 1),
    "Sci-Fi": Style("#007aff", "#2ed2ff", 3),
    "Fantasy": Style("#a83cb0", "#beff9a", 3),
    "Mystery": Style("#59309d", "#949cf8", 1),
    "Romance": Style("#ff4280", "#c5489e", 2),
    "Crime": Style("#83101d", "#ff002f", 1),
    "Adventure": Style("#836728", "#95731f", 0),
    "Action": Style("#3635c4", "#69ffff", 0),
    "Thriller": Style("#99004d", "#d1d400", 0),
    "Comedy": Style("#20ac2c", "#0eb781", 0),
    "Drama": Style("#ba67aa", "#de35db", 0),
    "IMAX": Style("#7b93ce", "#ff9ae3", 2),
}
_SAME = {"Children's": "Children", "Family": "Children", "Science Fiction": "Sci-Fi"}
_SAME |= {"Music": "Musical"}
_RANKS = {genre: rank for rank, genre in enumerate(_STYLES)}


def by_telling(genres: Iterable[str]) -> list[str]:
    """Return genres sorted, the most telling first; those of no known rank last, by name."""
    return sorted(genres, key=lambda genre: (_RANKS.get(_known(genre), len(_RANKS)), genre))


def style_of(genre: str) -> Style:
    """Return how a genre is drawn; one that is not known has the style of one that is."""
    styles = list(_STYLES.values())
    return _STYLES.get(_known(genre), styles[crc32(genre.encode()) % len(styles)])


def _known(genre: str) -> str:
    return _SAME.get(genre, genre)
