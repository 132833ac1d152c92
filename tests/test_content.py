"""Vectors from content, and from content and a few ratings."""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from movie_embed.data.movies import MovieTable
from movie_embed.embeddings.content import ContentMap, estimate_rare, with_movie
from movie_embed.embeddings.fold_in import predict_stars
from movie_embed.embeddings.saved import SavedEmbeddings, UserEmbeddings

GENRES, DIM, EMBEDDED, RARE, USERS, RANGE = "ABCDE", 6, 200, 40, 400, (0.5, 5.0)


@pytest.fixture(scope="module")
def world() -> tuple[SavedEmbeddings, UserEmbeddings, np.ndarray]:
    """Movies whose vectors are their genre's and half as much of their own; users' ratings."""
    rng = np.random.default_rng(0)
    size = EMBEDDED + RARE
    of_genre, genres = rng.standard_normal((len(GENRES), DIM)), rng.integers(0, len(GENRES), size)
    vectors = of_genre[genres] + rng.standard_normal((size, DIM)) / 2
    tastes = rng.standard_normal((USERS, DIM)) / 2
    counts = np.zeros(size, np.int64)
    counts[EMBEDDED:] = np.arange(RARE) * 2  # of ratings
    raters = [np.sort(rng.permutation(USERS)[:count]) for count in counts]
    pairs = sorted((int(user), row) for row, some in enumerate(raters) for user in some)
    rows, owners = np.array([row for _, row in pairs]), np.array([user for user, _ in pairs])
    stars = predict_stars((tastes[owners] * vectors[rows]).sum(1), RANGE)
    users = UserEmbeddings(
        ids=np.arange(USERS),
        vectors=tastes.astype(np.float32),
        biases=np.zeros(USERS, np.float32),
        starts=np.searchsorted(owners, np.arange(USERS + 1)),
        rated=rows.astype(np.uint16),
        stars=np.arange(len(rows), dtype=np.uint16),
        levels=stars.astype(np.float32),
    )
    saved = SavedEmbeddings(
        vectors=vectors[:EMBEDDED].astype(np.float32),
        biases=np.zeros(EMBEDDED, np.float32),
        movies=MovieTable(
            ids=np.arange(size),
            titles=[f"Movie{row} (1999)" for row in range(size)],
            genres=[GENRES[genre] for genre in genres],
            tags=[""] * size,
            rating_counts=counts,
            embedded=EMBEDDED,
        ),
        rating_range=RANGE,
        data_name="test",
        min_ratings=100,
        ridge=1.0,
        average_user=np.zeros(DIM + 1, np.float32),
    )
    return saved, users, vectors[EMBEDDED:]


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def without_ratings(users: UserEmbeddings) -> UserEmbeddings:
    none = np.empty(0, np.uint16)
    return dataclasses.replace(users, starts=users.starts * 0, rated=none, stars=none)


def test_content_and_ratings_beat_either_alone(
    world: tuple[SavedEmbeddings, UserEmbeddings, np.ndarray],
) -> None:
    saved, users, true = world
    both = cosines(estimate_rare(saved, users).vectors, true)
    content = cosines(estimate_rare(saved, without_ratings(users)).vectors, true)
    no_genres = dataclasses.replace(saved.movies, genres=[""] * len(saved.movies))
    ratings = cosines(
        estimate_rare(dataclasses.replace(saved, movies=no_genres), users).vectors, true
    )
    assert both[0] == content[0]  # which has no rating
    assert content.mean() > 0.75
    assert both.mean() > max(content.mean(), ratings.mean()) + 0.02
    assert both[20:].mean() > both[:20].mean()


def test_nothing_left_out_needs_no_estimate(
    world: tuple[SavedEmbeddings, UserEmbeddings, np.ndarray],
) -> None:
    saved, users, _ = world
    every = saved.movies.take(np.arange(EMBEDDED), EMBEDDED)
    content = estimate_rare(dataclasses.replace(saved, movies=every), without_ratings(users))
    assert content.vectors.shape == (0, DIM)
    assert content.biases.shape == (0,)


def test_unknown_content_gets_the_mean_movie() -> None:
    table = MovieTable(
        np.arange(4),
        ["Red Car (1990)", "Red Bus (1991)", "Blue Car (2001)", "Unlike"],
        ["Action", "Action|Drama", "Drama", "Western"],
        ["fast|loud", "loud", "", "quiet"],
        np.zeros(4, np.int64),
        3,
    )
    targets = np.array([[1.0, 0], [0, 1], [2, 2]])
    content = ContentMap.fit(table, targets)
    assert set(content.columns) == {
        "decade 1990", "genre Action", "genre Drama", "tag loud", "word car", "word red",
    }  # fmt: skip
    np.testing.assert_allclose(content(table, [3]), targets.mean(axis=0, keepdims=True))
    exact = ContentMap.fit(table, targets, ridge=1e-9)
    np.testing.assert_allclose(exact(table, range(3)), targets, atol=1e-6)


def test_only_a_tag_links_a_rare_movie_to_its_like(
    world: tuple[SavedEmbeddings, UserEmbeddings, np.ndarray],
) -> None:
    saved, users, true = world
    as_tags = dataclasses.replace(
        saved.movies, genres=[""] * len(saved.movies), tags=saved.movies.genres
    )
    tagged = estimate_rare(dataclasses.replace(saved, movies=as_tags), without_ratings(users))
    by_genre = estimate_rare(saved, without_ratings(users))
    np.testing.assert_allclose(tagged.vectors, by_genre.vectors, rtol=1e-5)
    assert cosines(tagged.vectors, true).mean() > 0.75
    assert {"tag A", "tag E"} <= set(tagged.features)


def test_a_movie_that_is_added_has_no_tags(
    world: tuple[SavedEmbeddings, UserEmbeddings, np.ndarray],
) -> None:
    saved, users, _ = world
    tagged = dataclasses.replace(saved.movies, tags=saved.movies.genres)
    saved = dataclasses.replace(saved, movies=tagged)
    longer = with_movie(saved, estimate_rare(saved, users), "Another (1999)", ["B"])
    assert len(longer.movies.tags) == len(longer.movies)
    assert longer.movies.tags[-1] == ""


def test_estimates_take_one_thread(
    world: tuple[SavedEmbeddings, UserEmbeddings, np.ndarray],
) -> None:
    def blas_threads() -> set[int]:
        return {blas["num_threads"] for blas in threadpool_info() if blas["user_api"] == "blas"}

    during = set()

    def watched(rows: Sequence[int]) -> Iterator[int]:
        for row in rows:
            during.update(blas_threads())
            yield row

    saved, users, _ = world
    with threadpool_limits(2, "blas"):
        before = blas_threads()
        estimate_rare(saved, users, watched)
        assert blas_threads() == before
    assert during == {1}
