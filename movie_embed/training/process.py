"""What training changes of its process: `train` puts it back, `train.py` changes all of it."""

from __future__ import annotations

import ctypes
import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytorch_lightning as pl
import torch

from movie_embed.threads import is_forked

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's malloc.h


@contextmanager
def torch_threads_kept() -> Iterator[None]:
    """Give torch as many threads after the block as before it, and a forked child one within it.

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


class KeepFreedMemory(pl.Callback):
    """Let glibc, where it is, keep what is freed for what is asked for next, to the process's end.

    Every step frees a table of gradients and asks for the next. Given back to the system and taken
    anew, that is a page fault for every 4 kB, which for large tables takes longer than the sums.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Set it only now: what reading the data took is given back."""
        libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        if mallopt := getattr(libc, "mallopt", None):
            mallopt(_MMAP_MAX, 0)
            mallopt(_TRIM_THRESHOLD, -1)
