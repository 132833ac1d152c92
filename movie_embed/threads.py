"""Threads of BLAS, and forked processes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import current_process

from threadpoolctl import threadpool_limits

_imported_by = os.getpid()
_bounded = threading.RLock()


@contextmanager
def blas_threads(most: int) -> Iterator[None]:
    """Limit BLAS to a number of threads within the block.

    The limit is the whole process's, so one Python thread at a time may set it.
    """
    with _bounded, threadpool_limits(most, "blas"):
        yield


def is_forked() -> bool:
    """Whether this process is a fork of another: the threads of OpenMP did not survive that."""
    return os.getpid() != _imported_by or type(current_process()).__name__ == "ForkProcess"
