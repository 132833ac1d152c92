"""Median time of each kind of question, in-process, at 1,005 and at 100,000 movies of 50 numbers.

OMP_NUM_THREADS=1 python benchmarks/recommend_speed.py
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import combinations

import numpy as np

from movie_embed import Filters, Recommender
from movie_embed.data.movies import MovieTable
from movie_embed.embeddings.saved import ContentVectors, SavedEmbeddings, UserEmbeddings

DIM, USERS, RATINGS, REPEATS = 50, 10_000, 300, 30
GENRES = ("Action", "Animation", "Children", "Comedy", "Drama", "Horror", "Sci-Fi", "War")
PAIRS = ["|".join(pair) for pair in combinations(GENRES, 2)]

QUESTIONS: dict[str, Callable[[Recommender], object]] = {
    "similar to one": lambda r: r.similar(1),
    "similar to three, mean": lambda r: r.similar([1, 2, 3]),
    "similar to three, max": lambda r: r.similar([1, 2, 3], combine="max"),
    "not like another": lambda r: r.similar(1, not_like=2),
    "dot product": lambda r: r.similar(1, metric="dot"),
    "explained": lambda r: r.similar([1, 2, 3], explain=True),
    "filtered": lambda r: r.similar(
        1, filters=Filters(["Animation"], ["War"], (1950, 2000), min_count=10)
    ),
    "diverse": lambda r: r.similar(1, diversity=0.3),
    "with rare movies": lambda r: r.similar(1, filters=Filters(include_rare=True)),
    "by title": lambda r: r.similar("the example 7"),
    "by part of a title": lambda r: r.movie_id("only"),
    "misspelt title": lambda r: r.similar("exmaple 7"),
    "for a user": lambda r: r.for_user(5),
    "for a user, explained": lambda r: r.for_user(5, explain=True),
    "for somebody's 2 ratings": lambda r: r.for_ratings({1: 5, 2: 3}),
    f"for somebody's {RATINGS} ratings": lambda r: r.for_ratings(
        {movie: 1 + movie % 5 for movie in range(1, RATINGS + 1)}
    ),
    "similar users": lambda r: r.similar_users(5),
}


def recommender(movies: int) -> Recommender:
    """Make random embeddings of so many movies, one in a hundred of them rare."""
    rng = np.random.default_rng(0)
    rare = movies // 100
    table = MovieTable(
        ids=np.arange(1, movies + rare + 1),
        titles=[f"Example {i}, The ({1920 + i % 100})" for i in range(1, movies + rare)]
        + ["Only One (2000)"],
        genres=[PAIRS[i] for i in rng.integers(0, len(PAIRS), movies + rare)],
        tags=[""] * (movies + rare),
        rating_counts=rng.integers(1, 1000, movies + rare),
        embedded=movies,
    )
    users = UserEmbeddings(
        ids=np.arange(USERS),
        vectors=rng.standard_normal((USERS, DIM), dtype=np.float32),
        biases=np.zeros(USERS, np.float32),
        starts=np.arange(USERS + 1) * RATINGS,
        rated=rng.integers(0, movies, USERS * RATINGS).astype(np.uint32),
        stars=rng.integers(0, 5, USERS * RATINGS).astype(np.uint8),
        levels=np.arange(1, 6, dtype=np.float32),
    )
    content = rng.standard_normal((rare, DIM), dtype=np.float32)
    saved = SavedEmbeddings(
        vectors=rng.standard_normal((movies, DIM), dtype=np.float32),
        biases=np.zeros(movies, np.float32),
        movies=table,
        rating_range=(1.0, 5.0),
        data_name="random",
        min_ratings=1,
        ridge=10.0,
        average_user=np.zeros(DIM + 1, np.float32),
        users=users,
        content=ContentVectors(content, np.zeros(rare, np.float32), [], content[:1]),
    )
    return Recommender(saved)


def milliseconds(ask: Callable[[], object]) -> float:
    """Return the median time of some repeats after a first, which may parse or read."""
    ask()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        ask()
        times.append(1000 * (time.perf_counter() - started))
    return statistics.median(times)


def main() -> None:
    """Print a Markdown table."""
    small, large = recommender(1_005), recommender(100_000)
    print("| question, ms | 1,005 movies | 100,000 movies |\n| --- | --- | --- |")
    for name, ask in QUESTIONS.items():
        medians = [milliseconds(lambda r=r: ask(r)) for r in (small, large)]  # type: ignore[misc]  # noqa: B023
        print(f"| {name} | {medians[0]:.2f} | {medians[1]:.1f} |")


if __name__ == "__main__":
    main()
