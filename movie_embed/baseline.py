"""The bias-only baseline: what a model without vectors reaches."""

from __future__ import annotations

import numpy as np

from movie_embed.packing import Packed
from movie_embed.triples import Triples

_DAMPING_USER, _DAMPING_MOVIE, _SWEEPS = 15.0, 10.0, 10


def bias_only_rmse(triples: Triples, train: Packed, held_out: Packed) -> float:
    """Return the RMSE of mean + user bias + movie bias, in stars.

    The biases are damped means of the residuals, found by alternating least squares (Koren
    2010, "Factor in the neighbors", section 2.1, with that paper's damping).

    Parameters
    ----------
    triples
        Unpacks the ratings.
    train
        Ratings the biases are fitted to.
    held_out
        Ratings predicted; predictions are clipped to the rating range.
    """
    users, movies, stars = triples.unpack(train)
    counts = triples.counts
    mean = stars.mean(dtype=np.float64)
    residuals = stars - mean
    user_counts = np.bincount(users, minlength=counts.users) + _DAMPING_USER
    movie_counts = np.bincount(movies, minlength=counts.movies) + _DAMPING_MOVIE
    user_biases = np.zeros(counts.users)
    for _ in range(_SWEEPS):
        left = residuals - user_biases[users]
        movie_biases = np.bincount(movies, left, minlength=counts.movies) / movie_counts
        left = residuals - movie_biases[movies]
        user_biases = np.bincount(users, left, minlength=counts.users) / user_counts
    users, movies, stars = triples.unpack(held_out)
    predicted = np.clip(mean + user_biases[users] + movie_biases[movies], *triples.rating_range)
    return float(np.sqrt(np.mean((predicted - stars) ** 2)))
