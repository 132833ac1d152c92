"""What goes on around the training steps: clocks, progress, curves, stopping."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Timer
from pytorch_lightning.profilers import PassThroughProfiler

from movie_embed.cli import take_over
from movie_embed.errors import Interrupted
from movie_embed.storage import write_text

_NOTHING = nullcontext()


def can_go_on_from(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Whether a checkpoint after this batch misses nothing: a resumed run would not validate."""
    return not trainer.is_last_batch and (batch_idx + 1) % (trainer.val_check_batch or 1) != 0


class Throughput(Timer):
    """Lightning's clock of the training, and ratings per second of whole epochs.

    The first batch, which warms up, and validation do not count; shuffling does. Both go on where
    a resumed run stopped.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ratings = 0
        self.seconds = 0.0
        self._started: float | None = None
        self._epoch = (0, 0.0)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "ratings": self.ratings, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self.ratings, self.seconds = state_dict["ratings"], state_dict["seconds"]

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock, but for the first epoch."""
        self._epoch = (self.ratings, self.seconds)
        if trainer.current_epoch > 0:
            self._started = time.perf_counter()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Count the batch; stop the clock with the last one, before validation."""
        if self._started is None:
            self._started = time.perf_counter()
            return
        self.ratings += batch.total
        if trainer.is_last_batch:
            self.seconds += time.perf_counter() - self._started

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        ratings, seconds = self.ratings - self._epoch[0], self.seconds - self._epoch[1]
        if seconds > 0:
            pl_module.log("ratings_per_second", ratings / seconds)


class Unprofiled(PassThroughProfiler):
    """A profiler that measures nothing. Lightning's own costs more, at fifty calls a step."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        return _NOTHING


class StopOnSignal(pl.Callback):
    """On Ctrl-C or SIGTERM, finish the batch and save; a second signal stops at once.

    Where several processes train, the first signal stops at once: they cannot agree on a batch.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self._asked: int | None = None
        self._at_once = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take over the signals, which Lightning gives back when it has ended."""
        self._at_once = trainer.world_size > 1
        if trainer.is_global_zero:
            take_over(self._ask)
        elif threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends the others
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _ask(self, number: int) -> None:
        if self._asked or self._at_once:
            raise Interrupted("stopped at once", number)
        self._asked = number

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *arguments: Any
    ) -> None:
        """Save and stop, if asked to; `train` adds how to go on."""
        if self._asked and can_go_on_from(trainer, arguments[-1]):
            trainer.save_checkpoint(self.checkpoint)
            raise Interrupted(f"stopped in epoch {trainer.current_epoch + 1}", self._asked)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop, if asked to in the last batch of the epoch before; its checkpoint is there."""
        if self._asked:
            raise Interrupted(f"stopped after epoch {trainer.current_epoch}", self._asked)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop, if asked to after the last batch; its epoch's checkpoint is there."""
        if self._asked:
            raise Interrupted("stopped after the last epoch, before saving", self._asked)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """End the processes that this one has started, which would wait for it."""
        launcher = trainer.strategy.launcher
        if isinstance(exception, Interrupted) and launcher is not None:
            launcher.kill(signal.SIGKILL)


class EarlyStopping(pl.callbacks.EarlyStopping):
    """Lightning's; a run that stopped early stays stopped when it is resumed.

    More patience lets it go on.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict | {"patience": self.patience})

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = self.wait_count >= self.patience


class Epochs(pl.callbacks.Checkpoint):
    """The curves that a run keeps itself, an epoch a row of ``epochs.csv``.

    Where no bar is shown, each epoch is a line of output as well. Lightning calls a `Checkpoint`
    after the module, which logs its loss as an epoch ends.
    """

    def __init__(self, file: Path, monitor: str, lines: bool) -> None:
        self.file, self.monitor, self.lines = file, monitor, lines
        self._rows: list[dict[str, float]] = []
        self._validated: dict[str, float] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self._rows, "validated": self._validated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._rows, self._validated = state_dict["rows"], state_dict["validated"]

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = trainer.callback_metrics.items()
        self._validated = {k: float(v) for k, v in metrics if k.startswith("val_")}

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics, number = trainer.callback_metrics, trainer.current_epoch + 1
        of_steps = {name for name in metrics if f"{name}_epoch" in metrics or name[:4] == "val_"}
        row = {name: float(metrics[name]) for name in metrics if name not in of_steps}
        self._rows.append({"epoch": number} | row | self._validated)
        self._validated = {}
        if not trainer.is_global_zero:
            return
        names = dict.fromkeys(name for row in self._rows for name in row)
        lines = [names, *([row.get(name, "") for name in names] for row in self._rows)]
        write_text(self.file, "".join(f"{','.join(map(str, line))}\n" for line in lines))
        if self.lines:
            shown = [
                f"{name.removesuffix('_epoch')} {metrics[name]:.4f}"
                for name in ("train_loss_epoch", self.monitor)
                if name in metrics
            ]
            print(f"epoch {number}/{trainer.max_epochs}:", *shown, flush=True)
