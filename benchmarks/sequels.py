"""Measures of neighbours: sequels found by a rule on titles, and genres in common."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from movie_embed.data.movies import series_of, split_genres

Rows = NDArray[np.integer[Any]]


def sequel_pairs(titles: Iterable[str]) -> list[tuple[int, int]]:
    """Return ordered pairs of rows of movies of one series."""
    series = defaultdict(list)
    for row, title in enumerate(titles):
        series[series_of(title)].append(row)
    series.pop("", None)  # movies without a title: all pairs of 60,000 would fill the memory
    return [(a, b) for rows in series.values() for a in rows for b in rows if a != b]


def sequel_recall(neighbours: Mapping[int, Rows], pairs: Iterable[tuple[int, int]]) -> float:
    """Return the share of pairs (a, b) where b is among the neighbours of a; NaN of no pair."""
    found = [b in neighbours[a] for a, b in pairs]
    return sum(found) / len(found) if found else math.nan


def genre_precision(neighbours: Mapping[int, Rows], genres: Sequence[str]) -> float:
    """Return the share of neighbours with a genre in common, by each movie's ``"A|B"``."""
    sets = [set(split_genres(text)) for text in genres]
    shared = [bool(sets[a] & sets[b]) for a, others in neighbours.items() for b in others]
    return sum(shared) / len(shared)
