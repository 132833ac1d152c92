"""Saved embeddings made by hand, for questions whose answers can be worked out."""

from dataclasses import replace

import numpy as np

from movie_embed.data.movies import MovieTable
from movie_embed.embeddings.saved import ContentVectors, SavedEmbeddings, UserEmbeddings

MOVIES, DIM, DROPPED_ID, UNTRAINED_ID = 200, 8, 9_000, 9_001
STARS = np.array([0.5, 2.0, 5.0], np.float32)


def random_vectors(rows: int = MOVIES, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, DIM)).astype(np.float32)


def users() -> UserEmbeddings:
    """User 5 rated movies 10, 20 and the one below the threshold; user 6 movie 30; 7 nothing."""
    return UserEmbeddings(
        ids=np.array([5, 6, 7]),
        vectors=random_vectors(3, seed=1),
        biases=np.array([0.2, -0.1, 0], np.float32),
        starts=np.array([0, 3, 4, 4]),
        rated=np.array([0, 1, MOVIES, 2], np.uint8),
        stars=np.array([2, 1, 0, 2], np.uint8),
        levels=STARS,
    )


def saved(vectors: np.ndarray) -> SavedEmbeddings:
    """Movies 10, 20, 30... with vectors; one below the threshold; one held out entirely."""
    ids = np.append(np.arange(1, len(vectors) + 1) * 10, [DROPPED_ID, UNTRAINED_ID])
    table = MovieTable(
        ids=ids.astype(np.int64),
        titles=[f"Movie, The {i} ({1950 + i % 70})" for i in ids],
        genres=["Comedy|Drama" if i % 20 else "(no genres listed)" for i in ids],
        tags=[""] * len(ids),
        rating_counts=np.append(np.full(len(vectors), 500), [3, 300]).astype(np.int64),
        embedded=len(vectors),
    )
    return SavedEmbeddings(
        vectors=vectors,
        biases=np.linspace(-1, 1, len(vectors), dtype=np.float32),
        movies=table,
        rating_range=(0.5, 5.0),
        data_name="ml-test",
        min_ratings=100,
        ridge=10.0,
        average_user=np.zeros(DIM + 1, np.float32),
        users=users(),
        content=ContentVectors(
            vectors=random_vectors(2, seed=2),
            biases=np.zeros(2, np.float32),
            features=["genre Comedy", "genre Drama"],
            weights=np.arange(3 * (DIM + 1), dtype=np.float32).reshape(3, DIM + 1),
        ),
    )


HOSTILE = "<img src=x onerror=\"alert(1)\"> & 'quotes' </script> (1999)"


def hostile() -> SavedEmbeddings:
    """Saved embeddings of which the first title is markup, and two are those of movies."""
    made = saved(random_vectors())
    titles = [HOSTILE, "Alien (1979)", "Aliens (1986)", *made.movies.titles[3:]]
    counts = made.movies.rating_counts.copy()
    counts[2] = 900
    return replace(made, movies=replace(made.movies, titles=titles, rating_counts=counts))
