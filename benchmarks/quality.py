"""Errors on real ratings: beside other libraries, and on published folds.

    python benchmarks/quality.py beside FOLDER_OF_ML_1M [--peers FOLDER] [--seeds 5]
    python benchmarks/quality.py folds FOLDER_OF_ML_100K FOLDER_OF_ML_1M

`beside`: all movies of ML-1M, a random 90/10 split per seed, the same one for everybody; RMSE is
clipped to the scale and of the best epoch where a library shows its epochs. Seconds are of
training alone, without validation, up to that epoch, for ours counted from the second step on; the
last column is when ours first comes within 0.002 of Keras' best RMSE on the same split. Each run
is a process of its own; settings of the peers are in `benchmarks/peers/`.

`folds`: those of scikit-surprise's README, ``KFold(n_splits=5, random_state=0, shuffle=True)`` over
its loader's order, which is the order of the file. All settings come from one experiment.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
from harness import (
    command_line,
    curve,
    export,
    run_peer,
    spread,
    trained,
    trained_as_changed,
    write_table,
)
from numpy.typing import NDArray

from movie_embed.config import DataConfig
from movie_embed.data.loading import load_triples
from movie_embed.evaluation import errors

EXPERIMENTS = ("paper", "fast", "best")
KERAS = "Keras 3, the paper's network"
NEAR, HELD_OUT, FOLDS = 0.002, 0.1, 5
PEERS = {
    KERAS: ("keras", "keras_quality.py"),
    "scikit-surprise SVD": ("surprise", "surprise_svd.py"),
    "LensKit BiasedMF (ALS)": ("lenskit", "lenskit_als.py"),
    "cornac MF": ("cornac", "cornac_mf.py"),
}

Curve = list[tuple[float, float]]  # RMSE and seconds of every epoch


def beside(source: Path, peers: Path = Path(".peers"), seeds: int = 5) -> None:
    """Reach the best error on ML-1M, with other libraries beside."""
    triples = load_triples(DataConfig("ml-1m", str(source), rating_range=[1, 5], min_ratings=1))
    outcomes: dict[str, list[tuple[float, float]]] = defaultdict(list)
    reached: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        for seed in range(seeds):
            train, val = triples.split(HELD_OUT, seed)
            data = export(triples, *map(triples.unpack, (train, val)), Path(name, "data.npz"))
            curves: dict[str, Curve] = {}
            for chosen in EXPERIMENTS:
                run = Path(name, f"{chosen}-{seed}")
                curves[f"movie_embed, experiment={chosen}"] = of_ours(chosen, source, seed, run)
            stars = triples.unpack(val)[2]
            for label, (environment, script) in PEERS.items():
                found = run_peer(environment, script, peers, data, str(seed))
                predicted = np.fromfile(data.with_suffix(".predicted"), np.float32)
                predicted = np.clip(predicted.reshape(-1, len(stars)), *triples.rating_range)
                rmses = [errors([(row, stars)]).rmse for row in predicted]
                curves[label] = list(zip(rmses, found["seconds"], strict=True))
            near = min(curves[KERAS])[0] + NEAR
            for label, points in curves.items():
                outcomes[label].append(min(points))
                first = next((seconds for rmse, seconds in points if rmse <= near), math.inf)
                reached[label].append(first)
            print({label: found[-1] for label, found in outcomes.items()}, flush=True)
    rows = []
    for label, pairs in outcomes.items():
        rmse, seconds = zip(*pairs, strict=True)
        first = f"{statistics.mean(reached[label]):.1f}" if label not in PEERS else ""
        rows.append((label, spread(rmse, 4), f"{statistics.mean(seconds):.1f}", first))
    heading = ("", "RMSE", "seconds, mean", "to Keras' + 0.002")
    write_table("time_to_quality", f"{seeds} seeds", heading, rows)


def of_ours(experiment: str, source: Path, seed: int, run: Path) -> Curve:
    """Train an experiment as a user does."""
    where = ["data=ml-1m", f"data.path={source.resolve()}", "data.min_ratings=1"]
    settings = [f"data.val_fraction={HELD_OUT}", f"seed={seed}", f"experiment={experiment}"]
    metrics = trained(run, *where, *settings)
    epoch_seconds = (1 - HELD_OUT) * metrics["ratings"] / metrics["ratings_per_second"]
    return [(rmse, epoch_seconds * epoch) for epoch, rmse in enumerate(curve(run), 1)]


def folds(ml_100k: Path, ml_1m: Path) -> None:
    """Train on scikit-surprise's folds."""
    from movie_embed.training.datamodule import RatingsDataModule

    rows = []
    for name, source in (("ml-100k", ml_100k), ("ml-1m", ml_1m)):
        held_out = folds_of_triples(source)

        class FoldModule(RatingsDataModule):
            """Ratings split by fold instead of by chance."""

            fold: int

            def setup(self, stage: str | None = None) -> None:
                """Load the triples and hold the fold out."""
                super().setup(stage)
                mine = held_out == self.fold  # noqa: B023
                train, self.val = self.triples.packed[~mine], self.triples.packed[mine]
                self.train = np.random.default_rng(self.seed).permutation(train)

        where = [f"data={name}", f"data.path={source.resolve()}", "data.min_ratings=1"]
        where += ["data.val_fraction=0.2", "save.epoch=last"]
        for experiment in EXPERIMENTS:
            rmses, settings = [], [f"experiment={experiment}", *where]
            for FoldModule.fold in range(FOLDS):
                with tempfile.TemporaryDirectory() as run:
                    found = trained_as_changed(Path(run, "run"), settings, data=FoldModule)
                rmses.append(found["val_rmse"])
            rows.append((name, f"experiment={experiment}", spread(rmses, 4)))
            print(*rows[-1], flush=True)
    write_table("five_folds", "", ("", "", "RMSE, mean of five folds"), rows)


def folds_of_triples(source: Path) -> NDArray[np.int64]:
    """Return in which fold each packed rating is held out: they are sorted by user, then movie."""
    separators = {"u.data": "\t", "ratings.csv": ",", "ratings.dat": "::"}
    name = next(name for name in separators if (source / name).exists())
    with (source / name).open() as file:
        lines = [line.split(separators[name])[:2] for line in file if line[0].isdigit()]
    users, movies = np.array(lines, np.int64).T
    order = np.arange(len(users))
    np.random.RandomState(0).shuffle(order)
    sizes = [len(part) for part in np.array_split(order, FOLDS)]
    folds = np.empty_like(order)
    folds[order] = np.repeat(np.arange(FOLDS), sizes)
    return folds[np.lexsort((movies, users))]


if __name__ == "__main__":
    command_line(__doc__, beside, folds)
