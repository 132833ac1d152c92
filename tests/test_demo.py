"""The simulated ratings and the model they are drawn from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from movie_embed.data import demo

USERS = 3_000
LOW, HIGH = demo.RATING_RANGE


@pytest.fixture(scope="module")
def ratings() -> pd.DataFrame:
    return demo.draw_ratings(USERS)


def test_the_movies_are_the_papers_number_and_all_are_named() -> None:
    movies = demo.movies()
    assert len(movies) == 1_005
    assert all(movie.title and movie.genres for movie in movies.values())
    assert movies[1].title == "Toy Story (1995)"
    assert movies[4896].title.startswith("Harry Potter and the")
    assert "Crime" in movies[858].genres.split("|")
    assert movies[79132].title == "Inception (2010)"


def test_every_user_and_movie_is_there_and_no_pair_twice(ratings: pd.DataFrame) -> None:
    assert demo.MODEL_FILE.stat().st_size < 250_000
    assert np.array_equal(np.unique(ratings.user), np.arange(1, USERS + 1))
    assert set(ratings.movie.tolist()) == set(demo.movies())
    assert np.all(np.diff(ratings.user.astype(np.int64) * 2**32 + ratings.movie) > 0)


def test_stars_are_halves_on_the_scale_and_spread_as_in_movielens(ratings: pd.DataFrame) -> None:
    assert ratings.rating.dtype == np.float32
    levels, counts = np.unique(ratings.rating, return_counts=True)
    assert levels.tolist() == np.arange(LOW, HIGH + 0.5, 0.5).tolist()
    assert levels[counts.argmax()] == 4
    assert 3.5 < ratings.rating.mean() < 3.8
    assert 0.9 < ratings.rating.std() < 1.15


def test_few_users_rate_most_and_movies_by_popularity(
    ratings: pd.DataFrame,
) -> None:
    per_user = np.bincount(ratings.user)[1:]
    assert 40 < np.median(per_user) < 70
    assert 80 < per_user.mean() < 95
    assert per_user.max() > 500
    counts = [np.sum(ratings.movie == movie_id) for movie_id in demo.movies()]
    assert np.corrcoef(np.log(demo.model().popularity), np.log(counts))[0, 1] > 0.95


@pytest.mark.parametrize("users", [1, 300, 5_000])
def test_a_draw_is_a_function_of_users_and_seed(users: int) -> None:
    first, again, other = (demo.draw_ratings(users, seed) for seed in (3, 3, 4))
    for name in ("user", "movie", "rating"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.movie, other.movie)


def test_stars_follow_the_model() -> None:
    rng = np.random.default_rng(0)
    tastes = rng.standard_normal((500, demo.model().factors.shape[1]), dtype=np.float32)
    users, movies = (axis.ravel() for axis in np.indices((500, 1_005), dtype=np.int32))
    expected = demo.expected_stars(tastes, users, movies)
    assert expected.min() > LOW
    assert expected.max() < HIGH
    stars = demo.draw_stars(rng, tastes, users, movies)
    assert np.corrcoef(expected, stars)[0, 1] > 0.8
    assert abs(np.mean(stars - expected)) < 0.02
