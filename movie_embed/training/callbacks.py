"""What goes on around the training steps: throughput, progress, checkpoints that are whole."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm
from pytorch_lightning.plugins import TorchCheckpointIO

from movie_embed.errors import MovieEmbedError
from movie_embed.storage import FORMAT_VERSION, atomic_path, newer_format
from movie_embed.training.datamodule import Batch

_VERSION_KEY = "movie_embed_format"
_NO_CHECKPOINT = "it is damaged, no checkpoint, or holds more than numbers"


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
    """Checkpoints that are whole: written beside their final name, and checked when loaded.

    Lightning's own writer stages them in the system's temporary folder, from where a move to
    another file system is a copy, and its reader notices no flipped bit.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Save a checkpoint."""
        # Given a path, torch would call a full disk an internal failure of its own.
        with atomic_path(Path(path)) as temporary, temporary.open("wb") as file:
            torch.save({**checkpoint, _VERSION_KEY: FORMAT_VERSION}, file)

    def load_checkpoint(
        self, path: str | Path, map_location: Any = "cpu", weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Load a checkpoint that `save_checkpoint` wrote; nothing in it can run code.

        Parameters
        ----------
        path
            The file.
        map_location
            As in `torch.load`.
        weights_only
            Lightning's parameter; the file is loaded as if it were true in any case.

        Returns
        -------
        dict
            What was saved.

        Raises
        ------
        MovieEmbedError
            The file is absent, damaged, no checkpoint of ours, of a newer format, or holds weights
            that are not finite.
        """
        try:
            _check_sums(path)
            checkpoint = torch.load(path, map_location, weights_only=True)  # noqa: TID251
        except Exception as error:  # damage makes both raise almost anything
            reason = getattr(error, "strerror", None) or _NO_CHECKPOINT
            raise MovieEmbedError(f"{path} cannot be loaded: {reason}") from error
        _check_content(path, checkpoint)
        return dict(checkpoint)


def _check_sums(path: str | Path) -> None:
    """Compare each part with the checksum that torch writes and does not read."""
    with ZipFile(path) as archive:
        if archive.testzip() is not None:
            raise BadZipFile


def _check_content(path: str | Path, checkpoint: Any) -> None:
    version = checkpoint.get(_VERSION_KEY) if isinstance(checkpoint, dict) else None
    if not isinstance(version, int):
        raise MovieEmbedError(f"{path} is no checkpoint of movie_embed")
    if version > FORMAT_VERSION:
        raise MovieEmbedError(newer_format(path, version))
    optimizers = checkpoint.get("optimizer_states", ())
    moments = (some for adam in optimizers for some in adam["state"].values())
    tables = [*checkpoint["state_dict"].values(), *(t for some in moments for t in some.values())]
    if not all(table.isfinite().all() for table in tables):
        raise MovieEmbedError(f"{path} holds weights that are not finite: train again")


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
