"""Simulated ratings, for trying things out on a machine that has no MovieLens files.

The package ships no ratings, only a model of them: the 1,005 most rated movies of a pooled
MovieLens sample with their popularity, biases and factors, and how active users are
(`scripts/fit_demo.py` learns them). Each user draws tastes, interests and an activity, movies by
popularity and interest, and stars from the model plus noise.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from movie_embed.data.movie_files import Movie
from movie_embed.data.movies import Id
from movie_embed.storage import read_columns

MODEL_FILE = Path(__file__).with_name("demo.safetensors")
SOURCES = [MODEL_FILE, Path(__file__)]  # files that determine the draw
RATING_RANGE = (0.5, 5.0)
DEFAULT_USERS = 9_000

_BLOCK = 4_096
_INTEREST = 1.3  # spread of the logarithm of a user's interest in a movie
_BUSIER, _SKEW = 0.4, 1.25  # make up for the ratings, mostly of popular movies, that it takes
_SEED = 2020

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]


@cache
def model() -> SimpleNamespace:
    """Return the model that `scripts/fit_demo.py` fitted.

    That is ``movie_ids``, ``titles`` and ``genres`` as in MovieLens; ``popularity``, how readily a
    movie is rated, with sum 1; ``biases`` and ``factors``, shapes (movies,) and (movies, tastes): a
    movie's score is its bias plus the product of its factors and the user's tastes, which are
    standard normal; ``noise``, the standard deviation of stars around the model's;
    ``whole_stars``, the share of users who never give half a star; and ``activity_mean`` and
    ``activity_std`` of the logarithm of users' activity, which is normal.
    """
    columns, metadata = read_columns(MODEL_FILE, "demo model")
    columns["factors"] = columns["factors"].astype(np.float32)
    return SimpleNamespace(**columns, **metadata)


def movies() -> dict[Id, Movie]:
    """Return title and genres of the 1,005 movies by MovieLens id."""
    rows = zip(model().movie_ids.tolist(), model().titles, model().genres, strict=True)
    return {movie_id: Movie(title, genres) for movie_id, title, genres in rows}


def draw_ratings(users: int, seed: int = _SEED) -> pd.DataFrame:
    """Draw simulated ratings; the same for the same number of users and seed.

    Users have ids from 1 and rate one movie or more. The ratings are sorted by user, then movie, no
    pair twice; stars are halves from 0.5 to 5.
    """
    rng = np.random.default_rng(seed)
    blocks = []
    for start in range(0, users, _BLOCK):
        size = min(_BLOCK, users - start)
        rows, rated = _draw_choices(rng, size)
        tastes = rng.standard_normal((size, model().factors.shape[1]), dtype=np.float32)
        blocks.append((rows + np.int32(start), rated, draw_stars(rng, tastes, rows, rated)))
    rows, rated, stars = (np.concatenate(part) for part in zip(*blocks, strict=True))
    columns = {"user": rows + np.int32(1), "movie": model().movie_ids[rated], "rating": stars}
    return pd.DataFrame(columns)


def _draw_choices(rng: np.random.Generator, size: int) -> tuple[Rows, Rows]:
    """Draw the pairs of users and movies that are rated, as rows.

    A user with the interest i in a movie of popularity p comes to it after an exponential time of
    rate i p and rates all that come before the activity t, hence each with probability
    1 - exp(-i p t); the first always. Interest is log-normal with mean 1 and alike for movies with
    like factors, so who rates what tells of series and genres, as in life. It is drawn apart from
    the tastes: stars say the same of a movie whoever chooses it. Activity is log-normal: many rate
    few movies and a few rate most.
    """
    demo = model()
    activity = rng.lognormal(demo.activity_mean + _BUSIER, demo.activity_std, (size, 1))
    traits = demo.factors[:, :-1]  # the last is a user's bias
    traits = traits * np.float32(_INTEREST) / np.linalg.norm(traits, axis=1, keepdims=True)
    interest = rng.standard_normal((size, traits.shape[1]), dtype=np.float32) @ traits.T
    interest -= np.float32(_INTEREST**2 / 2)
    arrival = rng.standard_exponential((size, len(demo.popularity)), dtype=np.float32)
    popularity = demo.popularity**_SKEW
    arrival /= popularity / popularity.sum() * np.exp(interest, out=interest)
    chosen = arrival < activity.astype(np.float32)
    chosen[np.arange(size), arrival.argmin(axis=1)] = True
    users, rated = np.nonzero(chosen)
    return users.astype(np.int32), rated.astype(np.int32)


def draw_stars(rng: np.random.Generator, tastes: Floats, users: Rows, rated: Rows) -> Floats:
    """Add noise to `expected_stars` and round: some users give whole stars only."""
    stars = expected_stars(tastes, users, rated)
    stars += np.float32(model().noise) * rng.standard_normal(len(stars), dtype=np.float32)
    whole = rng.random(len(tastes)) < model().whole_stars
    steps = np.where(whole, 1, 2).astype(np.float32)[users]
    rounded: Floats = np.clip(np.rint(stars * steps) / steps, *RATING_RANGE)
    return rounded


def expected_stars(tastes: Floats, users: Rows, rated: Rows) -> Floats:
    """Return stars before noise and rounding, float32.

    `tastes` holds a standard normal vector a user, shape (users, tastes); `users` and `rated` are
    rows of it and of the model's movies, shape (ratings,).
    """
    demo = model()
    scores = np.einsum("ij,ij->i", tastes[users], demo.factors[rated]) + demo.biases[rated]
    low, high = RATING_RANGE
    stars: Floats = low + (high - low) / (1 + np.exp(-scores))
    return stars
