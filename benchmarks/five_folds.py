"""RMSE on scikit-surprise's own five folds of ML-100K and ML-1M.

    python benchmarks/five_folds.py FOLDER_OF_ML_100K FOLDER_OF_ML_1M

The folds are those of its README's table: ``KFold(n_splits=5, random_state=0, shuffle=True)`` over
its loader's order, which is the order of the file. All settings come from one experiment.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
from harness import ROOT, machine, table, write_section
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from movie_embed.config import ColumnNames, TrainConfig, register_schemas
from movie_embed.data.files import find_files
from movie_embed.data.ratings import read_ratings
from movie_embed.training import run as training
from movie_embed.training.datamodule import RatingsDataModule

EXPERIMENTS = ("paper", "fast", "best")
FOLDS = 5


def fold_of_each(count: int) -> np.ndarray:
    """Return the fold in which each rating of the file is held out."""
    order = np.arange(count)
    np.random.RandomState(0).shuffle(order)
    folds = np.empty(count, dtype=np.int64)
    for fold, part in enumerate(np.array_split(order, FOLDS)):
        folds[part] = fold
    return folds


class FoldModule(RatingsDataModule):
    """Ratings split by fold instead of by chance."""

    folds: np.ndarray
    fold: int

    def setup(self, stage: str | None = None) -> None:
        """Load the triples and hold the fold out."""
        super().setup(stage)
        held_out = self.folds == self.fold
        train, self.val = self.triples.packed[~held_out], self.triples.packed[held_out]
        self.train = np.random.default_rng(self.seed).permutation(train)


def folds_of_triples(source: Path) -> np.ndarray:
    """Return the fold of each packed rating: they are sorted by user, then movie."""
    ratings = read_ratings(find_files(source, ColumnNames()), (1, 5))
    folds = fold_of_each(len(ratings))
    return folds[np.lexsort((ratings.movies, ratings.users))]


def rmse(experiment: str, name: str, source: Path, fold: int, run: Path) -> float:
    """Train on all folds but one and return the error on that one, after the last epoch."""
    overrides = [f"experiment={experiment}", f"data={name}", f"data.path={source.resolve()}"]
    overrides += ["data.min_ratings=1", "data.val_fraction=0.2", "save.epoch=last"]
    overrides.append("save.figures=false")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = OmegaConf.to_object(compose("train", overrides))
    assert isinstance(config, TrainConfig)
    FoldModule.fold = fold
    result = training.train(config, run)["val_rmse"]
    assert result is not None
    return result


def main() -> None:
    """Train every fold and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("ml_100k", type=Path)
    parser.add_argument("ml_1m", type=Path)
    options = parser.parse_args()
    register_schemas()
    training.RatingsDataModule = FoldModule  # type: ignore[misc]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, source in (("ml-100k", options.ml_100k), ("ml-1m", options.ml_1m)):
            FoldModule.folds = folds_of_triples(source)
            for experiment in EXPERIMENTS:
                errors = [
                    rmse(
                        experiment, name, source, fold, Path(folder) / f"{name}-{experiment}-{fold}"
                    )
                    for fold in range(FOLDS)
                ]
                spread = statistics.stdev(errors)
                mean = statistics.mean(errors)
                rows.append((name, f"experiment={experiment}", f"{mean:.4f}", f"{spread:.4f}"))
    heading = ("", "", "RMSE, mean of five folds", "standard deviation")
    write_section("five_folds", f"{machine()}\n\n{table(heading, rows)}")


if __name__ == "__main__":
    main()
