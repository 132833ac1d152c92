"""What the neighbours are worth: sequels found, genres shared, catalogue covered.

    python benchmarks/neighbours.py FOLDER [--min-ratings 300]

FOLDER is any MovieLens folder or zip. Each experiment is trained as a user would; the baseline
is the cosine of raw rating columns, the traditional vectors the paper starts from (section II.C).
Each is looked at by `metric=cosine`, as the paper does, and by `metric=whitened`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from harness import machine, run_child, table, write_section
from numpy.typing import NDArray

from movie_embed.config import DataConfig
from movie_embed.data.movies import MovieTable, split_genres, split_year
from movie_embed.data.triples import Triples, load_triples
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.embeddings.spaces import Space, unit

# The paper saves its last epoch; the others, as by default, the best on held-out ratings.
EXPERIMENTS = {
    "default settings": [],
    "experiment=paper": ["experiment=paper", "save.epoch=last"],
    "experiment=fast": ["experiment=fast"],
    "experiment=best": ["experiment=best"],
}
K = 10

Rows = NDArray[np.int64]


def series_of(title: str) -> str:
    """Return the series a title belongs to: what stands before a number, colon or 'and the'.

    "Toy Story 2 (1999)" and "Toy Story (1995)" are both "toy story"; so "Harry Potter and the
    Goblet of Fire", "Star Wars: Episode IV - A New Hope" and "Godfather: Part II, The".
    """
    name = re.sub(r"\s*\(.*?\)", "", split_year(title)[0])
    name = re.sub(r", (The|A|An)$", "", name)
    name = re.split(r":| and the | - ", name)[0]
    return re.sub(r"(\s+Part)?\s+(\d{1,2}|[IVX]+)$", "", name).strip().lower()


def sequel_pairs(movies: MovieTable) -> list[tuple[int, int]]:
    """Return ordered pairs of rows of movies of one series."""
    series = defaultdict(list)
    for row, title in enumerate(movies.titles[: movies.embedded]):
        series[series_of(title)].append(row)
    return [(a, b) for rows in series.values() for a in rows for b in rows if a != b]


def top_rows(unit: NDArray[np.float32]) -> Rows:
    """Return the rows of the ten nearest of every row, by cosine of normalised vectors."""
    similarities = unit @ unit.T
    np.fill_diagonal(similarities, -np.inf)
    return np.argsort(-similarities, axis=1, kind="stable")[:, :K]


def measures(movies: MovieTable, top: Rows) -> tuple[float, float, float]:
    """Return sequel recall, genre precision and catalogue coverage, each from 0 to 1."""
    pairs = sequel_pairs(movies)
    found = sum(b in top[a] for a, b in pairs)
    genres = [set(split_genres(text)) for text in movies.genres[: movies.embedded]]
    shared = [bool(genres[row] & genres[other]) for row in range(len(top)) for other in top[row]]
    return found / len(pairs), float(np.mean(shared)), len(np.unique(top)) / len(top)


def co_rating_vectors(triples: Triples) -> NDArray[np.float32]:
    """Return each movie's column of ratings, 0 where a user gave none."""
    users, movies, stars = triples.unpack(triples.packed)
    columns = np.zeros((triples.counts.movies, triples.counts.users), dtype=np.float32)
    columns[movies, users] = stars
    return columns


def trained(chosen: list[str], config: DataConfig, seed: int) -> list[tuple[float, ...]]:
    """Train as a user would; return validation RMSE and the measures, for both metrics."""
    with tempfile.TemporaryDirectory() as run:
        where = ["data=files", f"data.path={config.path}", f"data.min_ratings={config.min_ratings}"]
        settings = ["data.val_fraction=0.05", f"seed={seed}", f"hydra.run.dir={run}"]
        settings.append("save.figures=false")
        run_child([sys.executable, "train.py", *chosen, *where, *settings])
        rmse = json.loads((Path(run) / "metrics.json").read_text())["val_rmse"]
        saved = SavedEmbeddings.load(Path(run))
    space = Space(saved.vectors, saved.biases, len(saved.vectors))
    tables = space.unit, space.whitened
    return [(rmse, *measures(saved.movies, top_rows(table))) for table in tables]


def main() -> None:
    """Train the experiments and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", type=Path, help="a MovieLens folder or zip")
    parser.add_argument("--min-ratings", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    config = DataConfig(
        name="files", path=str(options.source.resolve()), min_ratings=options.min_ratings
    )
    triples = load_triples(config)
    raw = measures(triples.movies, top_rows(unit(co_rating_vectors(triples))))
    rows = [("raw co-ratings", "cosine", "", *(f"{value:.3f}" for value in raw))]
    for label, chosen in EXPERIMENTS.items():
        runs = np.array([trained(chosen, config, seed) for seed in range(options.seeds)])
        for metric, part in zip(("cosine", "whitened"), runs.swapaxes(0, 1), strict=True):
            found = zip(part.mean(0), part.std(0, ddof=1), strict=True)
            rows.append((label, metric, *(f"{mean:.3f} ± {spread:.3f}" for mean, spread in found)))
            print(rows[-1], flush=True)
    heading = ("", "metric", "val. RMSE", "sequel recall@10", "genre precision@10", "coverage")
    pairs = len(sequel_pairs(triples.movies))
    note = (
        f"{machine()}; {triples.counts.movies:,} movies, {pairs:,} ordered pairs of sequels; "
        f"mean and standard deviation over {options.seeds} seeds"
    )
    write_section(f"neighbours_{options.source.name}", f"{note}\n\n{table(heading, rows)}")


if __name__ == "__main__":
    main()
