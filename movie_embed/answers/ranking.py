"""From vectors to scores, and from scores to the best rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from movie_embed.checks import is_number, listed, require
from movie_embed.evaluation import top_rows

Floats = NDArray[np.floating[Any]]
Scores = NDArray[np.float32]
Rows = NDArray[np.intp]

_ESTIMATE = 0.8  # docs/cold_start.md
_POOL = 10


def best_rows(scores: Floats, allowed: NDArray[np.bool_], k: int) -> Rows:
    """Return at most `k` allowed rows from the highest score down; ties go to the first row."""
    top: Rows = top_rows(np.where(allowed, scores, -np.inf)[None], max(k, 1))[0]
    return top[top >= 0][:k]


def diverse_rows(
    scores: Floats, allowed: NDArray[np.bool_], k: int, unit: Floats, diversity: float
) -> Rows:
    """Choose rows one by one by maximal marginal relevance (Carbonell and Goldstein 1998).

    Each next row is the best by ``(1 - diversity) * relevance - diversity * likeness``, where
    relevance is the score, scaled to 0..1 over the ``10 k`` best, and likeness the greatest cosine
    to a row chosen before. `scores` and `allowed` have the shape (movies,), and `unit` has the
    normalised vectors, shape (movies, dim).
    """
    pool = best_rows(scores, allowed, _POOL * k if diversity else k)
    if diversity == 0 or len(pool) < 2:
        return pool
    relevance = scores[pool] - scores[pool[-1]]
    gain = (1 - diversity) * relevance / max(relevance[0], np.finfo(np.float32).tiny)
    likeness = np.full(len(pool), -1.0)
    chosen: list[int] = []
    while len(chosen) < min(k, len(pool)):
        merit = gain - diversity * likeness
        merit[chosen] = -np.inf
        chosen.append(int(np.argmax(merit)))
        likeness = np.maximum(likeness, unit[pool] @ unit[pool[chosen[-1]]])
    return pool[chosen]


def mean_query(
    liked: NDArray[np.float32], disliked: NDArray[np.float32], weights: Iterable[float] | None
) -> NDArray[np.float32]:
    """Return the weighted mean of the liked vectors, less half the mean of the disliked."""
    weighed = [1] * len(liked) if weights is None else listed(weights)
    fits = len(weighed) == len(liked) and all(is_number(w) and 0 < w < np.inf for w in weighed)
    require(fits, "weights", weighed, f"{len(liked)}, one a movie, all above 0")
    shares = np.array(weighed, np.float32)
    query: NDArray[np.float32] = shares @ liked / shares.sum()
    if len(disliked):
        query = query - disliked.mean(axis=0) / 2
    return query


def estimates_drawn(scores: Scores, learned: int, center: float) -> Scores:
    """Return scores in which those of estimated vectors, after the learned ones, are shrunk.

    An estimate has only what movies of its kind share. A learned vector also has a part of its own,
    which takes it away from a query, so estimates would score too high.
    """
    if len(scores) > learned:
        scores[learned:] = center + _ESTIMATE * (scores[learned:] - center)
    return scores
