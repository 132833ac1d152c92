"""What the neighbours are worth: sequels found, genres shared, catalogue covered.

    python benchmarks/neighbours.py FOLDER [--min-ratings 300] [--seeds 5]

FOLDER is any MovieLens folder or zip. Each experiment is trained as a user would; the baseline
is the cosine of raw rating columns, the traditional vectors the paper starts from (section II.C).
Each is looked at by `metric=cosine`, as the paper does, by `metric=whitened`, and by `metric=mixed`
where it has a second head.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from harness import command_line, spread, trained, write_table
from numpy.typing import NDArray

from movie_embed.config import DataConfig
from movie_embed.data.loading import load_triples
from movie_embed.data.movies import MovieTable
from movie_embed.data.triples import Triples
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.embeddings.spaces import Space, Spaces, unit
from movie_embed.evaluation import coverage, genre_precision, sequel_pairs, sequel_recall, top_rows

# The paper saves its last epoch; the others, as by default, the best on held-out ratings.
EXPERIMENTS = {
    "default settings": [],
    "experiment=paper": ["experiment=paper", "save.epoch=last"],
    "experiment=fast": ["experiment=fast"],
    "experiment=best": ["experiment=best"],
}
K = 10


def measures(movies: MovieTable, similarities: NDArray[np.float32]) -> tuple[float, float, float]:
    """Return sequel recall, genre precision and coverage of the ten most similar."""
    np.fill_diagonal(similarities, -np.inf)
    top = top_rows(similarities, K)
    neighbours, pairs = dict(enumerate(top)), sequel_pairs(movies.titles[: movies.embedded])
    precision = genre_precision(neighbours, movies.genres)
    return sequel_recall(neighbours, pairs), precision, coverage(top, len(top))


def co_rating_vectors(triples: Triples) -> NDArray[np.float32]:
    """Return each movie's column of ratings, 0 where a user gave none."""
    users, movies, stars = triples.unpack(triples.packed)
    columns = np.zeros((triples.counts.movies, triples.counts.users), dtype=np.float32)
    columns[movies, users] = stars
    return columns


def measured(*settings: str) -> dict[str, tuple[float, ...]]:
    """Train as a user would; return validation RMSE and the measures by metric."""
    with tempfile.TemporaryDirectory() as run:
        rmse = trained(Path(run), *settings)["val_rmse"]
        saved = SavedEmbeddings.load(Path(run))
        ease = Spaces(saved, Path(run)).ease
    size = len(saved.vectors)
    space = Space(saved.vectors, saved.biases, size)
    cosine, whitened = (table @ table.T for table in (space.unit, space.whitened))
    tables = {"cosine": cosine, "whitened": whitened}
    if ease:
        together = np.stack([ease.similarities(movie, size) for movie in range(size)])
        tables["mixed"] = (whitened + together) / 2
    return {name: (rmse, *measures(saved.movies, table)) for name, table in tables.items()}


def measure(source: Path, min_ratings: int = 300, seeds: int = 5) -> None:
    """Train the experiments and write the table."""
    path = str(source.resolve())
    triples = load_triples(DataConfig("files", path=path, min_ratings=min_ratings))
    columns = unit(co_rating_vectors(triples))
    raw = measures(triples.movies, columns @ columns.T)
    rows = [("raw co-ratings", "cosine", "", *(f"{value:.3f}" for value in raw))]
    where = ["data=files", f"data.path={path}", f"data.min_ratings={min_ratings}"]
    where.append("data.val_fraction=0.05")
    for label, chosen in EXPERIMENTS.items():
        runs = [measured(*chosen, *where, f"seed={seed}") for seed in range(seeds)]
        for metric in runs[0]:
            part = np.array([run[metric] for run in runs])
            rows.append((label, metric, *(spread(column, 3) for column in part.T)))
            print(rows[-1], flush=True)
    heading = ("", "metric", "val. RMSE", "sequel recall@10", "genre precision@10", "coverage")
    pairs = len(sequel_pairs(triples.movies.titles[: triples.counts.movies]))
    note = f"{triples.counts.movies:,} movies, {pairs:,} ordered pairs of sequels; mean and "
    note += f"standard deviation over {seeds} seeds"
    write_table(f"neighbours_{source.name}", note, heading, rows)


if __name__ == "__main__":
    command_line(__doc__, measure)
