"""Devices, memory and threads: checks before training, and settings of the process."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator

from movie_embed.config import TrainConfig, TrainerConfig
from movie_embed.data.ratings import Counts
from movie_embed.errors import MovieEmbedError
from movie_embed.threads import is_forked

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_GB = 1e9
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's malloc.h
_SHARED_BATCH = 8_192


def check_devices(config: TrainerConfig) -> None:
    """Refuse more accelerators than the machine has, and say how many it has."""
    mps = int(MPSAccelerator.is_available())
    gpus = mps or CUDAAccelerator.auto_device_count()
    there = {"cpu": config.devices, "gpu": gpus, "mps": mps, "auto": gpus or config.devices}
    if config.devices > (found := there[config.accelerator]):
        raise MovieEmbedError(
            f"trainer.accelerator={config.accelerator} trainer.devices={config.devices}: PyTorch "
            f"finds {found} here; set trainer.accelerator=cpu"
            + (f" or trainer.devices={found}" if found else "")
        )


def check_memory(config: TrainConfig, counts: Counts) -> None:
    """Refuse a model that does not fit into memory, and say how much it needs."""
    width = config.model.dim + 1
    # The processes divide the users; each has all movies.
    rows = counts.users + counts.movies * config.trainer.devices
    rows *= 2 if config.model.implicit == "both" else 1
    # Weights, and where they are trained gradients and Adam's two moments, of float32.
    table = 4 * rows * width * (4 if config.trainer.accelerator == "cpu" else 1)
    # A vector that is fitted to ratings takes two matrices of float64.
    needed = max(table, 2 * 8 * width**2)
    if needed > (memory := _memory()):
        raise MovieEmbedError(
            f"model.dim={config.model.dim} needs {needed / _GB:,.1f} GB of memory or more for "
            f"{counts.users:,} users and {counts.movies:,} movies, and this machine has "
            f"{memory / _GB:,.1f} GB: lower it"
        )


def _memory() -> float:
    """Return the memory limit of this process in bytes, as far as the system tells."""
    limits = [float("inf")]
    with suppress(AttributeError, ValueError, OSError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in _LIMITS:
        with suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text()))
    return min(limits)


def quiet_lightning() -> None:
    """Keep Lightning's advertisements and internal deprecations out of the user's terminal."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning.utilities._pytree")
    # Values that several processes log are summed before.
    warnings.filterwarnings("ignore", message="It is recommended to use .*sync_dist=True")
    # A resumed run goes on in its own folder.
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")


@contextmanager
def threads_given_back() -> Iterator[None]:
    """Set torch's threads back when the block ends.

    In a fork it has one from the start: sharing work with OpenMP's others, which did not outlive
    the fork, would wait for ever.
    """
    before = torch.get_num_threads()
    try:
        if is_forked():
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)


def set_threads(config: TrainConfig, batch_size: int) -> None:
    """Let ``trainer.threads`` share a step: by default all cores, or one if the step is small."""
    threads, processes = config.trainer.threads, config.trainer.devices
    if threads is None:
        # Sharing a small step costs more than it saves. With implicit vectors each step goes over
        # all ratings, whatever the batch.
        large = batch_size // processes >= _SHARED_BATCH or config.model.implicit != "none"
        threads = max(torch.get_num_threads() // processes, 1) if large else 1
    if not is_forked():
        torch.set_num_threads(threads)


class KeepMemory(pl.Callback):
    """Keep freed memory for the rest of the process, once what reading took has been given back.

    A step allocates buffers of up to a table of gradients, and frees them. glibc would give large
    ones back to the system, and each 4 kB taken anew is a page fault: for large tables that takes
    longer than the sums.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell glibc, where it is the C library."""
        libc = ctypes.CDLL(None) if sys.platform == "linux" else None
        if mallopt := getattr(libc, "mallopt", None):
            mallopt(_MMAP_MAX, 0)
            mallopt(_TRIM_THRESHOLD, -1)
