"""How many threads NumPy's sums may take."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

_bounded = threading.RLock()


@contextmanager
def blas_threads(most: int) -> Iterator[None]:
    """Let BLAS take so many threads within the block, and as many as before after it.

    The number is the whole process's, so of several Python threads one at a time may set it.
    """
    with _bounded, threadpool_limits(most, "blas"):
        yield
