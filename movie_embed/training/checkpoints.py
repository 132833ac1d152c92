"""Checkpoints: which are kept, how they stay whole, and how a run goes on from one."""

from __future__ import annotations

import json
import math
from concurrent.futures import Future, ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins import TorchCheckpointIO
from torch import nn

from movie_embed.config import TrainConfig
from movie_embed.errors import MovieEmbedError, plural
from movie_embed.storage import FORMAT_VERSION, atomic_path, check_format
from movie_embed.training.callbacks import can_go_on_from
from movie_embed.training.datamodule import RatingsDataModule
from movie_embed.training.divided import USER_ROWS, ByUsers, fill_rows
from movie_embed.training.regression import RatingRegression

_VERSION_KEY = "movie_embed_format"
_NO_CHECKPOINT = "it is damaged, no checkpoint, or holds more than numbers"
_NO_MEMORY = "there is not enough memory for it; resume the run where there is more"


class Keep(pl.callbacks.Checkpoint):
    """Checkpoints of the last epoch, or step, and of the best epoch by what is monitored.

    Lightning's ModelCheckpoint keeps absolute paths in its state, so a run folder that is moved
    forgets its best epoch. No step is saved that validation follows: the epoch is saved after it.
    """

    def __init__(self, folder: Path, monitor: str, mode: str, every_n_steps: int | None) -> None:
        self.last, self.best = folder / "last.ckpt", folder / "best.ckpt"
        self.monitor, self.sign = monitor, -1 if mode == "max" else 1
        self.every_n_steps = every_n_steps
        self._least = math.inf

    def state_dict(self) -> dict[str, Any]:
        return {"least": self._least}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on with the best so far; a run begun with version 1.0 has it with Lightning's."""
        for state in checkpoint["callbacks"].values():
            if (best := state.get("best_model_score", state.get("least"))) is not None:
                self._least = float(best)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *arguments: Any
    ) -> None:
        due = self.every_n_steps and trainer.global_step % self.every_n_steps == 0
        if due and can_go_on_from(trainer, arguments[-1]):
            trainer.save_checkpoint(self.last)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        value = self.sign * float(trainer.callback_metrics[self.monitor])
        if value < self._least:
            self._least = value
            trainer.save_checkpoint(self.best)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.save_checkpoint(self.last)


def resumed_step(config: TrainConfig, data: RatingsDataModule, last: Path) -> int:
    """Return the step of the last checkpoint, once it is fit to go on from, or 0 without one."""
    if not last.is_file():
        return 0
    state = AtomicCheckpointIO().load_checkpoint(last)
    try:
        data.load_state_dict(state[type(data).__qualname__])
    except MovieEmbedError as error:
        new = "start a new run without resume="
        raise MovieEmbedError(f"resume={config.resume}: {error}; {new}") from None
    epochs, metrics = state["epoch"] + 1, last.parents[1] / "metrics.json"
    # A longer run over the same folder keeps the model it began with until it has saved its own.
    saved = metrics.is_file() and json.loads(metrics.read_text("utf-8"))["epochs"] == epochs
    # How many validations in a row had no lower error, where that is counted.
    waits = max((each.get("wait_count", 0) for each in state["callbacks"].values()), default=0)
    early = waits >= (config.trainer.early_stopping or math.inf)
    if saved and (early or epochs >= config.trainer.max_epochs):
        patient = f" trainer.early_stopping={waits + 3}" if early else ""
        raise MovieEmbedError(
            f"resume={config.resume}: the run has finished its {plural(epochs, 'epoch')}; "
            f"go on with trainer.max_epochs={epochs + 5}{patient} or the like"
        )
    return int(state["global_step"])


def restore_epoch(module: RatingRegression, checkpoint: Path) -> int:
    """Load a checkpoint's weights and return its epoch, from 1."""
    state = AtomicCheckpointIO().load_checkpoint(checkpoint)
    for name in USER_ROWS:  # where they were divided over processes, the module has some only
        setattr(module.model, name.removeprefix("model."), nn.Parameter(state["state_dict"][name]))
    module.cpu().load_state_dict(state["state_dict"])
    return int(state["epoch"]) + 1


class AtomicCheckpointIO(TorchCheckpointIO):
    """Checkpoints that are whole: written beside their final name, and checked when loaded.

    Lightning's own writer stages them in the system's temporary folder, from where a move to
    another file system is a copy, and its reader notices no flipped bit.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        with atomic_path(Path(path)) as temporary, temporary.open("wb") as file:
            try:
                torch.save({**checkpoint, _VERSION_KEY: FORMAT_VERSION}, file)
            except RuntimeError as error:
                # torch calls a full disk an internal failure of its own.
                raise error.__context__ or error from None

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any = "cpu",
        weights_only: bool | None = True,
        strategy: ByUsers | None = None,
    ) -> dict[str, Any]:
        """Load a checkpoint; nothing in it can run code, whatever `weights_only` is.

        Users' rows are those of a process of the `strategy`, or all.
        """
        try:
            with ZipFile(path) as archive:  # torch writes checksums of each part, and reads none
                if archive.testzip() is not None:
                    raise BadZipFile
            checkpoint = torch.load(path, map_location, weights_only=True)  # noqa: TID251
        except Exception as error:  # damage makes both raise almost anything
            memory = isinstance(error, MemoryError) or "can't allocate memory" in str(error)
            reason = _NO_MEMORY if memory else getattr(error, "strerror", None) or _NO_CHECKPOINT
            raise MovieEmbedError(f"{path} cannot be loaded: {reason}") from error
        version = checkpoint.get(_VERSION_KEY) if isinstance(checkpoint, dict) else None
        if not isinstance(version, int):
            raise MovieEmbedError(f"{path} is no checkpoint of movie_embed")
        check_format(path, version)
        fill_rows(checkpoint, Path(path), strategy)
        _check_content(path, checkpoint)
        return dict(checkpoint)


class BackgroundCheckpointIO(AtomicCheckpointIO):
    """Checkpoints written while training goes on, from a copy.

    Unlike Lightning's ``AsyncCheckpointIO``, no more than one waits: on a slow disk, copies would
    fill the memory. The next save, load or the end of training tells that one could not be written.
    """

    def __init__(self) -> None:
        self._pending: Future[None] | None = None

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        self.teardown()
        writer = ThreadPoolExecutor(1)
        self._pending = writer.submit(super().save_checkpoint, deepcopy(checkpoint), path)
        writer.shutdown(wait=False)  # its thread ends with the file

    def load_checkpoint(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        self.teardown()
        return super().load_checkpoint(*arguments, **options)

    def teardown(self) -> None:
        pending, self._pending = self._pending, None
        if pending:
            pending.result()


def _check_content(path: str | Path, checkpoint: dict[str, Any]) -> None:
    optimizers = checkpoint.get("optimizer_states", ())
    moments = (some for adam in optimizers for some in adam["state"].values())
    tables = [*checkpoint["state_dict"].values(), *(t for some in moments for t in some.values())]
    # Of extremes, since isfinite() would make copies of the tables.
    if not all(end.isfinite() for table in tables if table.numel() for end in table.aminmax()):
        raise MovieEmbedError(f"{path} holds weights that are not finite: train again")
