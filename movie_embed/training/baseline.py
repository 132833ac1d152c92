"""The bias-only baseline: what a model without vectors reaches."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from movie_embed.data.packing import PackedSource
from movie_embed.data.triples import Triples

_USER, _MOVIE = 0, 1
_DAMPING = (15.0, 10.0)
_SWEEPS = 50  # at most
_SETTLED = 5e-3  # stars

Floats = NDArray[np.float64]


def bias_only_rmse(triples: Triples, train: PackedSource, held_out: PackedSource) -> float:
    """Return the RMSE of mean + user bias + movie bias, in stars.

    The biases are damped means of the residuals, found by alternating least squares (Koren
    2010, "Factor in the neighbors", section 2.1, with that paper's damping) until the users'
    change by less than 0.005 stars (root mean square).

    Parameters
    ----------
    triples
        Unpacks the ratings.
    train
        Ratings the biases are fitted to.
    held_out
        Ratings predicted; predictions are clipped to the rating range.
    """
    mean = sum(stars.sum(dtype=np.float64) for _, _, stars in triples.unpack_blocks(train))
    mean /= len(train)
    user_biases = np.zeros(triples.counts.users)
    for _ in range(_SWEEPS):
        movie_biases = _damped_means(triples, train, _MOVIE, mean + user_biases)
        previous = user_biases
        user_biases = _damped_means(triples, train, _USER, mean + movie_biases)
        if np.mean((user_biases - previous) ** 2) < _SETTLED**2:
            break
    squared = 0.0
    for users, movies, stars in triples.unpack_blocks(held_out):
        predicted = mean + user_biases[users] + movie_biases[movies]
        squared += float(np.sum((np.clip(predicted, *triples.rating_range) - stars) ** 2))
    return float(np.sqrt(squared / len(held_out)))


def _damped_means(triples: Triples, train: PackedSource, side: int, expected: Floats) -> Floats:
    """Return each user's or movie's mean of stars less those expected from the other side."""
    size = (triples.counts.users, triples.counts.movies)[side]
    sums, sizes = np.zeros(size), np.full(size, _DAMPING[side])
    for *rows, stars in triples.unpack_blocks(train):
        sums += np.bincount(rows[side], stars - expected[rows[1 - side]], size)
        sizes += np.bincount(rows[side], minlength=size)
    means: Floats = sums / sizes
    return means
