"""Whether this machine can do a training, asked before the work."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pytorch_lightning.accelerators import CUDAAccelerator, MPSAccelerator

from movie_embed.config import TrainConfig, TrainerConfig
from movie_embed.data.triples import Counts
from movie_embed.errors import MovieEmbedError

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_GB = 1e9


def check_devices(config: TrainerConfig) -> None:
    """Refuse accelerators that are not there.

    Raises
    ------
    MovieEmbedError
        With how many there are.
    """
    mps = int(MPSAccelerator.is_available())
    gpus = mps or CUDAAccelerator.auto_device_count()
    there = {"gpu": gpus, "mps": mps, "auto": gpus or config.devices}
    found = there.get(config.accelerator, config.devices)
    if config.devices > found:
        raise MovieEmbedError(
            f"trainer.accelerator={config.accelerator} trainer.devices={config.devices}: PyTorch "
            f"finds {found} here; set trainer.accelerator=cpu"
            + (f" or trainer.devices={found}" if found else "")
        )


def check_memory(config: TrainConfig, counts: Counts) -> None:
    """Refuse a model that cannot fit into memory.

    Raises
    ------
    MovieEmbedError
        With how much it needs and there is.
    """
    width = config.model.dim + 1
    tables = 2 if config.model.implicit == "both" else 1
    # Weights, and where they are trained gradients and Adam's two moments.
    copies = 4 if config.trainer.accelerator == "cpu" else 1
    table = 4 * width * (counts.users + counts.movies) * tables * copies
    # A vector that is fitted to ratings takes two matrices of float64.
    needed = max(table * config.trainer.devices, 2 * 8 * width**2)
    if needed > (memory := _memory()):
        raise MovieEmbedError(
            f"model.dim={config.model.dim} needs {needed / _GB:,.1f} GB of memory or more for "
            f"{counts.users:,} users and {counts.movies:,} movies, and this machine has "
            f"{memory / _GB:,.1f} GB: lower it"
        )


def _memory() -> float:
    """Return how many bytes there are for this process, as far as the system tells."""
    limits = [float("inf")]
    with suppress(AttributeError, ValueError, OSError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for path in _LIMITS:
        with suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text()))
    return min(limits)
