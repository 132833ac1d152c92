"""Time of the paper's questions (section VI), in-process, beside bare NumPy and scikit-learn.

    OMP_NUM_THREADS=1 python benchmarks/paper_latency.py

The paper reports 11 ms for one movie and 24 ms for three among 1,005. Asked are random movies; the
three ways answer each question in turn, so that all meet the same noise. Bare NumPy is the product
of normalised vectors with the query, `argpartition` and a sort of the ten, which gives row numbers;
ours gives titles, years and genres with them.
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

SIZES = {1_005: 2_000, 27_278: 500, 1_000_000: 50}
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


def milliseconds(asks: dict[str, Ask], movies: int, named: int) -> dict[str, NDArray[np.float64]]:
    """Return the times of each way, after some that warm up."""
    rng = np.random.default_rng(0)
    questions = [rng.choice(movies, named, replace=False) for _ in range(SIZES[movies] + 5)]
    times = np.zeros((len(questions), len(asks)))
    for row, question in enumerate(questions):
        for column, ask in enumerate(asks.values()):
            started = time.perf_counter()
            ask(question)
            times[row, column] = 1000 * (time.perf_counter() - started)
    return dict(zip(asks, times[5:].T, strict=True))


def main() -> None:
    """Measure and write the table."""
    rows = []
    for movies in SIZES:
        asks = ways(recommender(movies))
        for named in (1, 3):
            times = milliseconds(asks, movies, named)
            medians = {name: np.median(column) for name, column in times.items()}
            for name, column in times.items():
                ratio = medians[name] / medians["bare NumPy"]
                cells = (f"{medians[name]:.3f}", f"{np.percentile(column, 99):.3f}", f"{ratio:.2f}")
                rows.append((f"{movies:,}", named, name, *cells))
                print(*rows[-1], flush=True)
    heading = ("movies", "asked about", "", "median, ms", "p99, ms", "of bare NumPy")
    text = f"{machine()}\n\n{table(heading, rows)}"
    write_section("paper_latency", text, ROOT / "docs" / "paper.md")


if __name__ == "__main__":
    main()
