"""Simulated ratings, for trying things out on a machine that has no MovieLens files.

The package ships no ratings, only a model of them: the 1,005 most rated movies of a pooled
MovieLens sample with their popularity, bias and factors, and the distribution of users'
biases and factors (`scripts/fit_demo.py` learns them). Users are drawn from that
distribution, their movies by popularity, and their stars from the model plus noise.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from movie_embed.ratings import Movie, Ratings
from movie_embed.storage import read_columns

MODEL_FILE = Path(__file__).with_name("demo.safetensors")
RATING_RANGE = (0.5, 5.0)
DEFAULT_USERS = 9_000

_BLOCK = 4_096
_SEED = 2020


@cache
def _model() -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    return read_columns(MODEL_FILE, "demo model")


def movies() -> dict[int, Movie]:
    """Return title and genres of the 1,005 movies by MovieLens id."""
    columns, _ = _model()
    rows = zip(columns["movie_ids"].tolist(), columns["titles"], columns["genres"], strict=True)
    return {movie_id: Movie(title, genres) for movie_id, title, genres in rows}


def draw_ratings(users: int, seed: int = _SEED) -> Ratings:
    """Draw simulated ratings; the same for the same number of users and seed.

    Parameters
    ----------
    users
        How many users to draw, with ids from 1; one who happens to rate nothing is absent.
    seed
        Of the draw.

    Returns
    -------
    Ratings
        Sorted by user, then movie; half stars from 0.5 to 5.
    """
    rng = np.random.default_rng(seed)
    blocks = [
        _draw_block(rng, start, min(start + _BLOCK, users)) for start in range(0, users, _BLOCK)
    ]
    user_rows, movie_rows, stars = (np.concatenate(part) for part in zip(*blocks, strict=True))
    columns, _ = _model()
    return Ratings(user_rows.astype(np.int64) + 1, columns["movie_ids"][movie_rows], stars)


def _draw_block(
    rng: np.random.Generator, start: int, stop: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    columns, metadata = _model()
    size = stop - start
    traits = rng.standard_normal((size, len(columns["user_mean"])), dtype=np.float32)
    traits = columns["user_mean"] + traits @ columns["user_spread"].T
    users, rated = _draw_choices(rng, size)
    scores = np.einsum("ij,ij->i", traits[users, :-1], columns["factors"].astype(np.float32)[rated])
    scores += traits[users, -1] + columns["biases"][rated]
    low, high = RATING_RANGE
    values = low + (high - low) / (1 + np.exp(-scores))
    values += metadata["noise"] * rng.standard_normal(len(values), dtype=np.float32)
    stars = np.clip(np.rint(values * 2) / 2, low, high).astype(np.float32)
    return (users + start).astype(np.int32), rated.astype(np.int32), stars


def _draw_choices(
    rng: np.random.Generator, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw who rates what: a movie of popularity p is rated with probability 1 - exp(-p t).

    The user's activity t is log-normal: many rate few movies and a few rate most.
    """
    columns, metadata = _model()
    activity = rng.lognormal(metadata["activity_mean"], metadata["activity_std"], size)
    exposure = np.outer(activity.astype(np.float32), columns["popularity"])
    chosen = rng.standard_exponential(exposure.shape, dtype=np.float32) < exposure
    users, rated = np.nonzero(chosen)
    return users, rated
