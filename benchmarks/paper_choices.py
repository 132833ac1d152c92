"""What each choice that the paper leaves open does to its run, one changed at a time.

    python benchmarks/paper_choices.py FOLDER [--min-ratings 300] [--seeds 3]

FOLDER is any MovieLens folder or zip; a twentieth of its ratings is held out. Each row is
`experiment=paper` with one thing changed. Error and neighbours are those after the last epoch, as
the paper saves them, beside the best epoch's error. What the project has no setting for is changed
here.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from harness import ROOT, machine, table, write_section
from hydra import compose, initialize_config_dir
from neighbours import measures, top_rows
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from movie_embed.config import TrainConfig, register_schemas
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.embeddings.spaces import unit
from movie_embed.training import run as training
from movie_embed.training.datamodule import Batches, RatingsDataModule
from movie_embed.training.regression import RatingRegression

DOCS = ROOT / "docs" / "paper.md"
BATCHES = (8_192, 4_096, 1_024)
STRENGTHS = ("1e-7", "1e-5", "1e-4")
DIGITS = (4, 1, 4, 3)  # of best RMSE, its epoch, last RMSE and recall

Outcome = tuple[float, ...]


class RegularisedBiases(RatingRegression):
    """The bias tables are pulled to zero as the vectors are."""

    def configure_optimizers(self) -> Any:
        """Return Adam with one weight decay for all tables."""
        adam: torch.optim.Adam = super().configure_optimizers()
        adam.param_groups[1]["weight_decay"] = adam.param_groups[0]["weight_decay"]
        return adam


class ZeroBiases(RatingRegression):
    """The biases start at zero instead of he_normal."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        for biases in (self.model.user_biases, self.model.movie_biases):
            biases.data.zero_()


class OneOrder(RatingsDataModule):
    """Every epoch takes the ratings in the same order."""

    def train_dataloader(self) -> Batches:
        """Return the first epoch's batches."""
        return Batches(self.triples, self.train, self.batch_size, (self.seed, 0))


class FullShuffle(RatingsDataModule):
    """Every epoch shuffles all ratings anew, not runs of them."""

    def train_dataloader(self) -> Batches:
        """Return batches whose runs are of other ratings every epoch."""
        batches = super().train_dataloader()
        assert isinstance(batches.packed, np.ndarray)
        batches.packed = np.random.default_rng(batches.shuffle).permutation(batches.packed)
        return batches


CHANGES: dict[str, list[str]] = {
    "`experiment=paper`": [],
    **{f"batches of {size:,}": [f"data.batch_size={size}"] for size in BATCHES},
    **{f"`model.l2={l2}`": [f"model.l2={l2}"] for l2 in STRENGTHS},
    "biases regularised too": [],
    "biases start at zero": [],
    "one order for all epochs": [],
    "every epoch shuffles all ratings": [],
}
CODE: dict[str, tuple[str, type]] = {
    "biases regularised too": ("RatingRegression", RegularisedBiases),
    "biases start at zero": ("RatingRegression", ZeroBiases),
    "one order for all epochs": ("RatingsDataModule", OneOrder),
    "every epoch shuffles all ratings": ("RatingsDataModule", FullShuffle),
}


def trained(settings: list[str], run: Path) -> Outcome:
    """Train as changed, in silence; return best RMSE, its epoch, last RMSE and sequel recall."""
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = OmegaConf.to_object(compose("train", ["experiment=paper", *settings]))
    assert isinstance(config, TrainConfig)
    silence = contextlib.redirect_stdout(io.StringIO())
    with silence, contextlib.chdir(run.parent):  # where outputs/latest is written, too
        training.train(config, run)
    errors = [event.value for event in EventAccumulator(str(run)).Reload().Scalars("val_rmse")]
    saved = SavedEmbeddings.load(run)
    recall = measures(saved.movies, top_rows(unit(saved.vectors)))[0]
    return min(errors), 1 + errors.index(min(errors)), errors[-1], recall


def changed(label: str) -> contextlib.AbstractContextManager[Any]:
    """Train with a row's own class in place of ours, where it has one."""
    return patch.object(training, *CODE[label]) if label in CODE else contextlib.nullcontext()


def cell(values: Sequence[float], digits: int) -> str:
    """Return the mean over the seeds and, of several, their standard deviation."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def main() -> None:
    """Train every row and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", type=Path, help="a MovieLens folder or zip")
    parser.add_argument("--min-ratings", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    register_schemas()
    where = ["data=files", f"data.path={options.source.resolve()}"]
    where += [f"data.min_ratings={options.min_ratings}", "data.val_fraction=0.05"]
    rows = []
    for label, settings in CHANGES.items():
        outcomes = []
        for seed in range(10, 10 + options.seeds):  # other splits than those reported elsewhere
            with tempfile.TemporaryDirectory() as folder, changed(label):
                chosen = [*where, "save.epoch=last", f"seed={seed}", *settings]
                outcomes.append(trained(chosen, Path(folder) / "run"))
        columns = zip(*outcomes, strict=True)
        rows.append((label, *map(cell, columns, DIGITS)))
        print(*rows[-1], sep=" | ", flush=True)
    heading = ("", "best RMSE", "its epoch", "last RMSE", "sequel recall@10")
    note = f"{machine()}; seeds: {options.seeds}"
    write_section("paper_choices", f"{note}\n\n{table(heading, rows)}", DOCS)


if __name__ == "__main__":
    main()
