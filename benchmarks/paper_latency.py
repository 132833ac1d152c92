"""Time of the paper's questions (section VI), in-process, beside bare NumPy and scikit-learn.

    OMP_NUM_THREADS=1 python benchmarks/paper_latency.py

The paper reports 11 ms for one movie and 24 ms for three among 1,005. All are asked about the same
random movies. Bare NumPy is the product of normalised vectors with the query, `argpartition` and a
sort of the ten, which gives row numbers; ours gives titles, years and genres with them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from harness import ROOT, machine, table, write_section
from numpy.typing import NDArray
from recommend_speed import recommender
from sklearn.neighbors import NearestNeighbors

from movie_embed import Recommender

SIZES = {1_005: 2_000, 27_278: 500, 1_000_000: 30}
K = 10

Rows = NDArray[np.intp]
Ask = Callable[[Rows], object]


def ways(ours: Recommender) -> dict[str, Ask]:
    """Return ways to find the ten nearest of the mean of some rows, which are no answers."""
    vectors = ours.embeddings.vectors
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    neighbours = NearestNeighbors(metric="cosine", algorithm="brute").fit(unit)

    def bare(rows: Rows) -> Rows:
        scores = unit @ unit[rows].mean(axis=0)
        scores[rows] = -np.inf
        best = np.argpartition(scores, -K)[-K:]
        found: Rows = best[np.argsort(-scores[best])]
        return found

    def scikit_learn(rows: Rows) -> Rows:
        query = unit[rows].mean(axis=0, keepdims=True)
        found = neighbours.kneighbors(query, K + len(rows), return_distance=False)[0]
        return found[~np.isin(found, rows)][:K]

    return {
        "movie_embed": lambda rows: ours.similar((rows + 1).tolist(), K),
        "bare NumPy": bare,
        "scikit-learn": scikit_learn,
    }


def milliseconds(ask: Ask, questions: list[Rows]) -> NDArray[np.float64]:
    """Return the time of each question, after a few that warm up."""
    for question in questions[:5]:
        ask(question)
    times = []
    for question in questions:
        started = time.perf_counter()
        ask(question)
        times.append(1000 * (time.perf_counter() - started))
    return np.array(times)


def main() -> None:
    """Measure and write the table."""
    rows = []
    for movies, repeats in SIZES.items():
        asks = ways(recommender(movies))
        for named in (1, 3):
            rng = np.random.default_rng(0)
            questions = [rng.choice(movies, named, replace=False) for _ in range(repeats)]
            times = {name: milliseconds(ask, questions) for name, ask in asks.items()}
            bare = np.median(times["bare NumPy"])
            for name, column in times.items():
                median, slow = np.median(column), np.percentile(column, 99)
                cells = (f"{median:.3f}", f"{slow:.3f}", f"{median / bare:.2f}")
                rows.append((f"{movies:,}", named, name, *cells))
                print(*rows[-1], flush=True)
    heading = ("movies", "asked about", "", "median, ms", "p99, ms", "of bare NumPy")
    text = f"{machine()}\n\n{table(heading, rows)}"
    write_section("paper_latency", text, ROOT / "docs" / "paper.md")


if __name__ == "__main__":
    main()
