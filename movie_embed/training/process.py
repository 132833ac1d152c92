"""What training changes of its process: only `train.py` changes all of it."""

from __future__ import annotations

import ctypes
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl
import torch

from movie_embed.config import TrainConfig
from movie_embed.threads import is_forked

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's malloc.h
_SHARED_BATCH = 8_192


@contextmanager
def forked_threads() -> Iterator[None]:
    """Give torch one thread within the block, where this process was forked.

    GNU OpenMP's threads do not outlive a fork: a child that shares work among them waits for ever.
    """
    before = torch.get_num_threads()
    if is_forked():
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def quiet_lightning() -> None:
    """Keep Lightning's advertisements and internal deprecations out of the user's terminal."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning.utilities._pytree")
    # What several processes log is summed over them before.
    warnings.filterwarnings("ignore", message="It is recommended to use .*sync_dist=True")
    # A resumed run goes on in its own folder.
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")


class OwnProcess(pl.Callback):
    """Set threads and memory for the whole process, once the data have been read.

    Parameters
    ----------
    config
        Of the run: ``trainer.threads`` share a step, by default all cores; a small step is one
        thread's, since sharing it costs more than it saves.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set both; what reading the data took has been given back."""
        if not is_forked():
            torch.set_num_threads(self.config.trainer.threads or self._threads(trainer))
        # Every step frees a table of gradients and asks for the next. Given back to the system and
        # taken anew, that is a page fault for every 4 kB, which for large tables takes longer than
        # the sums. So glibc, where it is, keeps what is freed.
        libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        if mallopt := getattr(libc, "mallopt", None):
            mallopt(_MMAP_MAX, 0)
            mallopt(_TRIM_THRESHOLD, -1)

    def _threads(self, trainer: pl.Trainer) -> int:
        processes, data = self.config.trainer.devices, trainer.datamodule  # type: ignore[attr-defined]
        # With implicit vectors each step goes over all ratings, whatever the batch.
        implicit = self.config.model.implicit != "none"
        large = implicit or data.batch_size // processes >= _SHARED_BATCH
        return max(torch.get_num_threads() // processes, 1) if large else 1
