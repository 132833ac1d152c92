"""Which ratings are for training, for validation and for testing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from movie_embed.data.ratings import DataSet

TRAIN, VAL, TEST, UNUSED = range(4)  # of cold movies, for example

Parts = NDArray[np.uint8]


def split(data: DataSet, val_fraction: float, seed: int) -> Parts:
    """Return the part of each rating; each of a trained movie has its own seeded draw."""
    rng, ratings = np.random.default_rng([seed, 0]), data.ratings
    parts = np.full(len(ratings), UNUSED, np.uint8)
    for block in ratings.slices():
        trained = ratings.movies[block] < data.movies.embedded
        held_out = rng.random(int(trained.sum()), dtype=np.float32) < val_fraction
        parts[block][trained] = np.where(held_out, np.uint8(VAL), np.uint8(TRAIN))
    return parts
