"""What goes on around the training steps: clocks, progress, curves, stopping."""

from __future__ import annotations

import signal
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.callbacks.progress.tqdm_progress import Tqdm
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.profilers import Profiler

from movie_embed.errors import Interrupted, take_over
from movie_embed.training.datamodule import Batch


class Throughput(pl.Callback):
    """Measure training time, and ratings per second over whole epochs after the first batch.

    Both go on where a resumed run stopped. Shuffling counts, validation does not.
    """

    def __init__(self) -> None:
        self.ratings = 0
        self.seconds = 0.0
        self._earlier = 0.0
        self._fit_started = time.perf_counter()
        self._started: float | None = None
        self._epoch = (0, 0.0)

    @property
    def train_seconds(self) -> float:
        """Seconds of training so far, validation and checkpoints included."""
        return self._earlier + time.perf_counter() - self._fit_started

    def state_dict(self) -> dict[str, Any]:
        """Return what was measured."""
        return {
            "ratings": self.ratings,
            "seconds": self.seconds,
            "train_seconds": self.train_seconds,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on measuring."""
        self.ratings, self.seconds = state_dict["ratings"], state_dict["seconds"]
        self._earlier = state_dict["train_seconds"]

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock of the whole run."""
        self._fit_started = time.perf_counter()

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
        self.ratings += batch.total
        if trainer.is_last_batch:
            self.seconds += time.perf_counter() - self._started

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Log the epoch's throughput."""
        ratings, seconds = self.ratings - self._epoch[0], self.seconds - self._epoch[1]
        if seconds > 0:
            pl_module.log("ratings_per_second", ratings / seconds)


_PHASES = {
    "train_dataloader_next": "data",
    "run_training_batch": "forward and backward",
    "on_before_optimizer_step": "optimiser",
    "on_train_batch_end": "logging and checkpoints",
    "on_validation_start": "validation",
    "on_validation_end": "logging and checkpoints",
}
_NOTHING = nullcontext()


class Phases(Profiler):
    """Add up where training time goes: five sums in place of Lightning's hundred lines."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = defaultdict(float)
        self._begun = cache(lambda action: _PHASES.get(action.rpartition(".")[2]))
        self._phase = ""
        self._since = 0.0

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        """Note what begins; Lightning asks fifty times a step, and its own way takes long."""
        self.start(action_name)
        return _NOTHING

    def start(self, action_name: str) -> None:
        """End the last phase where another begins."""
        phase = self._begun(action_name)
        if phase is None or phase == self._phase:
            return
        now = time.perf_counter()
        if self._phase:
            self.seconds[self._phase] += now - self._since
        self._phase, self._since = phase, now

    def stop(self, action_name: str) -> None:
        """Do nothing: a phase ends where the next begins."""

    def summary(self) -> str:
        """Return the share of each phase in one line."""
        total = sum(self.seconds.values()) or 1.0
        return ", ".join(f"{phase} {part / total:.0%}" for phase, part in self.seconds.items())

    def describe(self) -> None:
        """Print nothing of its own."""


class StopOnSignal(pl.Callback):
    """Let Ctrl-C and SIGTERM finish the batch, and save; a second one stops at once.

    So does the first one where several processes train: they would have to agree on the batch.

    Parameters
    ----------
    checkpoint
        Where to save.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self._asked: type[Interrupted] | None = None
        self._at_once = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the signals, which Lightning gives back when it has ended."""
        self._at_once = trainer.world_size > 1
        if trainer.is_global_zero:
            take_over(self._ask)
        elif threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _ask(self, kind: type[Interrupted]) -> None:
        if self._asked or self._at_once:
            raise kind("stopped at once")
        self._asked = kind

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        """Save and stop, if asked to.

        Raises
        ------
        Interrupted
            For `train` to add how to go on.
        """
        if self._asked:
            trainer.save_checkpoint(self.checkpoint)
            raise self._asked(f"stopped in epoch {trainer.current_epoch + 1}")

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop, if asked to after the last batch; its epoch's checkpoint is there.

        Raises
        ------
        Interrupted
            For `train` to add how to go on.
        """
        if self._asked:
            raise self._asked("stopped after the last epoch, before saving")

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """End the processes that this one has started, which would wait for it."""
        launcher = trainer.strategy.launcher
        if isinstance(exception, Interrupted) and launcher is not None:
            launcher.kill(signal.SIGKILL)


class EarlyStopping(pl.callbacks.EarlyStopping):
    """Lightning's, which a resumed run that had stopped obeys too, unless given more patience.

    Parameters
    ----------
    patience
        Validations without a lower error that are one too many.
    """

    def __init__(self, patience: int) -> None:
        super().__init__("val_rmse", patience=patience, check_on_train_epoch_end=False)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting, with the patience that is now given."""
        super().load_state_dict(state_dict | {"patience": self.patience})

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Train no more where training had stopped."""
        trainer.should_stop = self.wait_count >= self.patience


class Curves(TensorBoardLogger):
    """TensorBoard's logger, without the epoch's number that Lightning adds each time it logs."""

    # It would write its own copy of the settings, and not atomically.
    NAME_HPARAMS_FILE = "config.yaml"

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics, each once a step, and write them: a killed run keeps its curves."""
        super().log_metrics({k: v for k, v in metrics.items() if k != "epoch"}, step)
        self.experiment.flush()


class ProgressBar(TQDMProgressBar):
    """One bar per epoch with the loss, and none for validation, which is over at once."""

    def init_validation_tqdm(self) -> Tqdm:
        """Return a bar that stays hidden."""
        return Tqdm(disable=True)


class EpochLines(pl.Callback):
    """One line per epoch, for output that is kept in a file."""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the epoch's errors."""
        if not trainer.is_global_zero:
            return
        shown = ("train_loss", "val_rmse")
        metrics = [f"{k} {v:.4f}" for k, v in trainer.callback_metrics.items() if k in shown]
        print(f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}:", *metrics, flush=True)
