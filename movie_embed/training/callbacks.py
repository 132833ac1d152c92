"""What goes on around the training steps: throughput, progress, checkpoints that are whole."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.plugins import TorchCheckpointIO

from movie_embed.storage import atomic_path
from movie_embed.training.datamodule import Batch


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


class Curves(TensorBoardLogger):
    """TensorBoard's logger, without the epoch's number that Lightning adds each time it logs."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics, each once a step."""
        super().log_metrics({k: v for k, v in metrics.items() if k != "epoch"}, step)


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
    """One bar per epoch with the loss, and none for validation, which is over at once."""

    def init_validation_tqdm(self) -> Tqdm:
        """Return a bar that stays hidden."""
        return Tqdm(disable=True)


class EpochLines(pl.Callback):
    """One line per epoch, for output that is kept in a file."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the epoch's errors."""
        shown = ("train_loss", "val_rmse")
        metrics = [f"{k} {v:.4f}" for k, v in trainer.callback_metrics.items() if k in shown]
        print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}:", *metrics, flush=True)
