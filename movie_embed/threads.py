"""How many threads there may be."""

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
    """Let BLAS take so many threads within the block, and as many as before after it.

    The number is the whole process's, so of several Python threads one at a time may set it.
    """
    with _bounded, threadpool_limits(most, "blas"):
        yield


def is_forked() -> bool:
    """Whether this process began as a copy of another, which may have used threads."""
    return os.getpid() != _imported_by or type(current_process()).__name__ == "ForkProcess"
