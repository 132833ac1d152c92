"""Train a model with Lightning and leave a run folder behind."""

from __future__ import annotations

import json
import logging
import math
import shlex
import sys
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.plugins import TorchCheckpointIO
from torch import Tensor
from torch.nn.functional import mse_loss

from movie_embed.baseline import bias_only_rmse
from movie_embed.config import TrainConfig
from movie_embed.datamodule import EVAL_BATCH, Batch, Batches, RatingsDataModule
from movie_embed.embeddings import LATEST, SavedEmbeddings, UserEmbeddings
from movie_embed.errors import MovieEmbedError
from movie_embed.model import MovieEmbedding
from movie_embed.storage import atomic_path, write_text
from movie_embed.triples import Packed, Triples

# The loss is a mean over ratings, so one ridge penalty per row, whatever the data's size, is an
# l2 that falls with their number.
_RIDGE = 10.0


class RatingRegression(pl.LightningModule):
    """Fit a `MovieEmbedding` to ratings by mean squared error (paper, section III.D).

    Parameters
    ----------
    users, movies, dim, rating_range
        Shape and scale of the model.
    learning_rate
        Adam's.
    l2
        Keras' ``l2(c)`` on all four tables: it adds ``c * sum(w ** 2)`` to the loss, whose
        gradient ``2 c w`` is Adam's ``weight_decay = 2 c``.
    seed
        Of the initial values.
    """

    unseen: tuple[Tensor, Tensor]
    log_every_n_steps = 50

    def __init__(
        self,
        users: int,
        movies: int,
        dim: int,
        rating_range: tuple[float, float],
        learning_rate: float,
        l2: float,
        seed: int,
    ) -> None:
        super().__init__()
        # Plain values only: the checkpoint must load under torch's weights_only=True.
        self.save_hyperparameters(logger=False)
        generator = torch.Generator().manual_seed(seed)
        self.model = MovieEmbedding(users, movies, dim, rating_range, generator)
        self.learning_rate = learning_rate
        self.l2 = l2

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return dense, fused Adam."""
        decay = 2 * self.l2
        return torch.optim.Adam(
            self.parameters(), lr=self.learning_rate, weight_decay=decay, fused=True
        )

    def on_train_epoch_start(self) -> None:
        """Start the epoch's sums."""
        self._squared_error = torch.zeros((), device=self.device)
        self._trained = 0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the batch's mean squared error, in stars squared."""
        loss = mse_loss(self.model(batch.users, batch.movies), batch.ratings)
        self._squared_error += loss.detach() * len(batch.ratings)
        self._trained += len(batch.ratings)
        # Logging every step would cost more than a small step itself.
        if (self.global_step + 1) % self.log_every_n_steps == 0:
            self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self) -> None:
        """Log the epoch's mean loss and the learning rate.

        Raises
        ------
        MovieEmbedError
            The loss is no longer a finite number.
        """
        loss = float(self._squared_error) / self._trained
        if not math.isfinite(loss):
            raise MovieEmbedError(
                f"training diverged in epoch {self.current_epoch + 1}: the loss is {loss}; "
                f"lower optimizer.learning_rate={self.learning_rate:g}"
            )
        self.log("train_loss_epoch", loss)
        self.log("learning_rate", self.learning_rate)

    def on_validation_epoch_start(self) -> None:
        """Give users and movies met only in validation the average user's and movie's row."""
        self.model.fill_unseen(*(mask.to(self.device) for mask in self.unseen))
        self._errors = torch.zeros(3, dtype=torch.float64)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Sum squared errors, absolute errors and ratings."""
        errors = self.model(batch.users, batch.movies) - batch.ratings
        sums = (errors.square().sum(), errors.abs().sum(), len(errors))
        self._errors += torch.tensor([float(value) for value in sums], dtype=torch.float64)

    def on_validation_epoch_end(self) -> None:
        """Log validation RMSE and MAE, in stars."""
        squared, absolute, count = self._errors.tolist()
        self.log("val_rmse", math.sqrt(squared / count), prog_bar=True)
        self.log("val_mae", absolute / count)


class Throughput(pl.Callback):
    """Measure ratings per second over whole epochs, shuffling included, after the first batch."""

    def __init__(self) -> None:
        self.ratings = 0
        self.seconds = 0.0
        self._started: float | None = None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock, but for the first epoch, whose first batch warms up."""
        self._epoch = (self.ratings, self.seconds)
        if trainer.current_epoch > 0:
            self._started = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
    ) -> None:
        """Count the batch; stop the clock with the last one, before validation."""
        if self._started is None:
            self._started = time.perf_counter()
            return
        self.ratings += len(batch.ratings)
        if trainer.is_last_batch:
            self.seconds += time.perf_counter() - self._started

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the epoch's throughput."""
        ratings, seconds = self.ratings - self._epoch[0], self.seconds - self._epoch[1]
        if seconds > 0:
            pl_module.log("ratings_per_second", ratings / seconds)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint beside its final name and rename it, so that none is ever cut short.

    Lightning's own writer stages it in the system's temporary folder, from where a move to
    another file system is a copy.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Save a checkpoint."""
        with atomic_path(Path(path)) as temporary:
            torch.save(checkpoint, temporary)


class ProgressBar(TQDMProgressBar):
    """One bar per epoch with the loss, and none for validation, which is over at once.

    Where the output is no terminal it moves once an epoch.

    Parameters
    ----------
    refresh_rate
        Steps between two updates in a terminal.
    """

    def __init__(self, refresh_rate: int) -> None:
        super().__init__(refresh_rate=refresh_rate if sys.stdout.isatty() else sys.maxsize)

    def init_validation_tqdm(self) -> Tqdm:
        """Return a bar that stays hidden."""
        return Tqdm(disable=True)


def train(config: TrainConfig, run: Path) -> dict[str, float | int | None]:
    """Train on the configured data and leave a run folder behind.

    Parameters
    ----------
    config
        All settings.
    run
        The folder to write: ``config.yaml``, ``metrics.json``, ``checkpoints/``,
        ``embeddings.safetensors`` and TensorBoard events.

    Returns
    -------
    dict
        What ``metrics.json`` holds; RMSE and MAE in stars.

    Raises
    ------
    MovieEmbedError
        The data cannot be had, or training diverged.
    """
    _quiet_lightning()
    data = RatingsDataModule(config.data, config.seed)
    data.setup()
    module = _module(config, data)
    print(_describe(config, data), module.model.summary(), sep="\n\n", flush=True)
    throughput = Throughput()
    logger = TensorBoardLogger(run, name="", version="", default_hp_metric=False)
    logger.log_hyperparams(asdict(config))
    trainer = _trainer(config, data, logger, [throughput, *_checkpoints(run, len(data.val) > 0)])
    started = time.perf_counter()
    trainer.fit(module, datamodule=data)
    seconds = time.perf_counter() - started
    best = len(data.val) > 0 and config.save.epoch != "last"
    best_epoch = _restore_epoch(module, run / "checkpoints" / f"{'best' if best else 'last'}.ckpt")
    metrics = {
        **_evaluate(data, module.model),
        "best_epoch": best_epoch,
        "epochs": trainer.current_epoch,
        "train_seconds": round(seconds, 3),
        "ratings_per_second": round(throughput.ratings / max(throughput.seconds, 1e-9)),
        **asdict(data.triples.counts),
        "parameters": sum(p.numel() for p in module.model.parameters()),
        "batch_size": data.batch_size,
        "seed": config.seed,
    }
    write_text(run / "config.yaml", OmegaConf.to_yaml(OmegaConf.structured(config)))
    write_text(run / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    _save_embeddings(config, data, module.model, run)
    write_text(LATEST, f"{run.resolve()}\n")
    print(_conclude(data.triples, metrics, run))
    return metrics


def _quiet_lightning() -> None:
    """Keep Lightning's advertisements and internal deprecations out of the user's terminal."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning.utilities._pytree")
    # It counts workers of PyTorch's DataLoader; our batches are slices and need none.
    warnings.filterwarnings("ignore", message=".*does not have many workers")


def _module(config: TrainConfig, data: RatingsDataModule) -> RatingRegression:
    counts = data.triples.counts
    module = RatingRegression(
        users=counts.users,
        movies=counts.movies,
        dim=config.model.dim,
        rating_range=data.triples.rating_range,
        learning_rate=config.optimizer.learning_rate,
        l2=config.model.l2 if config.model.l2 is not None else _RIDGE / len(data.train),
        seed=config.seed,
    )
    module.unseen = data.unseen()
    module.log_every_n_steps = _log_every_n_steps(config, data)
    return module


def _checkpoints(run: Path, validates: bool) -> list[pl.Callback]:
    """Keep the last epoch and, where there is a validation split, the best one."""
    monitors = {"last": None, "best": "val_rmse"} if validates else {"last": None}
    return [
        ModelCheckpoint(
            dirpath=run / "checkpoints",
            filename=name,
            monitor=monitor,
            enable_version_counter=False,
            save_on_train_epoch_end=True,
        )
        for name, monitor in monitors.items()
    ]


def _trainer(
    config: TrainConfig,
    data: RatingsDataModule,
    logger: TensorBoardLogger,
    callbacks: list[pl.Callback],
) -> pl.Trainer:
    settings = asdict(config.trainer)
    settings["log_every_n_steps"] = _log_every_n_steps(config, data)
    if not len(data.val):
        settings["limit_val_batches"] = 0
    if config.trainer.enable_progress_bar:
        callbacks = [*callbacks, ProgressBar(settings["log_every_n_steps"])]
    return pl.Trainer(
        **settings,
        devices=1,
        callbacks=callbacks,
        logger=logger,
        plugins=[AtomicCheckpointIO()],
        num_sanity_val_steps=0,
        # Every epoch asks for its batches anew: their order is a function of the epoch.
        reload_dataloaders_every_n_epochs=1,
        enable_model_summary=False,
    )


def _log_every_n_steps(config: TrainConfig, data: RatingsDataModule) -> int:
    """Return the configured interval, or an epoch where that is shorter."""
    steps = len(data.train_dataloader())
    return min(config.trainer.log_every_n_steps, steps, config.trainer.limit_train_batches or steps)


def _restore_epoch(module: RatingRegression, checkpoint: Path) -> int:
    """Load a checkpoint's weights and return its epoch, from 1."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    module.cpu().load_state_dict(state["state_dict"])
    return int(state["epoch"]) + 1


def _save_embeddings(
    config: TrainConfig, data: RatingsDataModule, model: MovieEmbedding, run: Path
) -> None:
    triples, (_, unseen_movies) = data.triples, data.unseen()
    vectors, biases = model.movie_vectors.detach().numpy(), model.movie_biases.detach().numpy()
    users = UserEmbeddings(
        triples.user_ids, model.user_vectors.detach().numpy(), model.user_biases.detach().numpy()
    )
    # A movie that training never saw has no vector of its own: it joins those left out.
    seen = np.flatnonzero(~unseen_movies.numpy())
    others = np.setdiff1d(np.arange(len(triples.movies)), seen)
    SavedEmbeddings(
        vectors=vectors[seen],
        biases=biases[seen],
        movies=triples.movies.take(np.concatenate([seen, others]), embedded=len(seen)),
        rating_range=triples.rating_range,
        data_name=config.data.name,
        min_ratings=config.data.min_ratings,
        users=users if config.save.users else None,
    ).save(run)


def _evaluate(data: RatingsDataModule, model: MovieEmbedding) -> dict[str, float | None]:
    """Return RMSEs of the saved weights, and of the bias-only baseline on the same ratings."""
    validates = len(data.val) > 0
    val_rmse, val_mae = _errors(data.triples, data.val, model) if validates else (None, None)
    held_out = data.val if validates else data.train
    return {
        "train_rmse": _errors(data.triples, data.train, model)[0],
        "val_rmse": val_rmse,
        "val_mae": val_mae,
        "bias_only_rmse": bias_only_rmse(data.triples, data.train, held_out),
    }


@torch.no_grad()
def _errors(triples: Triples, packed: Packed, model: MovieEmbedding) -> tuple[float, float]:
    squared = absolute = 0.0
    for batch in Batches(triples, packed, EVAL_BATCH):
        errors = (model(batch.users, batch.movies) - batch.ratings).double()
        squared += float(errors.square().sum())
        absolute += float(errors.abs().sum())
    return math.sqrt(squared / len(packed)), absolute / len(packed)


def _describe(config: TrainConfig, data: RatingsDataModule) -> str:
    triples = data.triples
    before, after = triples.before, triples.counts
    low, high = triples.rating_range
    mean = triples.level_counts() @ triples.levels.astype(np.float64) / len(triples)
    lines = [
        f"{'':<34}{'users':>10}{'movies':>10}{'ratings':>14}",
        f"{config.data.name:<34}{before.users:>10,}{before.movies:>10,}{before.ratings:>14,}",
        f"{f'movies with {config.data.min_ratings:,}+ ratings':<34}"
        f"{after.users:>10,}{after.movies:>10,}{after.ratings:>14,}",
        f"ratings from {low:g} to {high:g}, mean {mean:.2f}; "
        f"{len(data.train):,} for training, {len(data.val):,} for validation; "
        f"batches of {data.batch_size:,}",
    ]
    if config.data.name == "demo":
        lines.insert(0, "Simulated ratings, for trying things out: no real person's opinions.\n")
    if triples.duplicates:
        lines.append(f"{triples.duplicates:,} ratings replaced by a later one of the same movie")
    return "\n".join(lines)


def _conclude(triples: Triples, metrics: dict[str, float | int | None], run: Path) -> str:
    epoch = f"epoch {metrics['best_epoch']} of {metrics['epochs']}"
    lines = [f"RMSE in stars, {epoch}", f"  train       {metrics['train_rmse']:.4f}"]
    if metrics["val_rmse"] is not None:
        lines.append(f"  validation  {metrics['val_rmse']:.4f}")
    lines.append(f"  bias only   {metrics['bias_only_rmse']:.4f}")
    speed = f"{metrics['ratings_per_second']:,} ratings/s"
    movies = triples.movies
    most_rated = movies.ids[np.argmax(movies.rating_counts[: movies.embedded])]
    folder = run.relative_to(Path.cwd()) if run.is_relative_to(Path.cwd()) else run
    return "\n".join(
        [
            *lines,
            f"{metrics['epochs']} epochs in {metrics['train_seconds']:.1f} s, {speed}",
            f"\nSaved in {folder}. Try:",
            f"  python recommend.py movie_id={most_rated} {shlex.quote(f'run={folder}')}",
        ]
    )
