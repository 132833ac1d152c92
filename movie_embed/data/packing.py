"""A rating as one integer, ``user | movie | star`` from the highest bit down.

Each of the three is an index in just the bits that it needs. At the paper's size these are 32, so
that a rating takes 4 bytes instead of 12. Sorting the integers sorts by user, then movie, and a
batch is a slice of one array.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from movie_embed.errors import MovieEmbedError
from movie_embed.storage import drop_pages

_Outcome = TypeVar("_Outcome")
Packed = NDArray[np.unsignedinteger[Any]]


MAX_LEVELS = 2**16
MAX_BITS = 52  # `shuffled` needs the other 12 of 64
BLOCK = 2**20  # ratings, so that temporary arrays stay below 8 MB whatever the size of the data


def bit_width(size: int) -> int:
    """Return how many bits an index below `size` takes."""
    return max(size - 1, 0).bit_length()


def blocks(size: int, rows: int = BLOCK) -> Iterator[slice]:
    """Yield slices of `rows`, the last maybe fewer, that cover `size` rows."""
    yield from (slice(start, min(start + rows, size)) for start in range(0, size, rows))


def unpacked(
    packed: Packed, movie_bits: int, star_bits: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint16]]:
    """Return users, movies and stars of packed ratings, as indices, each of their shape."""
    users = packed >> (movie_bits + star_bits)
    movies = packed >> star_bits
    movies &= 2**movie_bits - 1
    stars = packed & (2**star_bits - 1)
    if packed.dtype == np.uint32:  # then no copy is needed
        return users.view(np.int32), movies.view(np.int32), stars.astype(np.uint16)
    return users.astype(np.int32), movies.astype(np.int32), stars.astype(np.uint16)


def shuffled(packed: Packed, bits: int, source: np.random.SFC64) -> Packed:
    """Return ratings in random order; `bits` is the number of low bits that a rating has.

    Random bits are put above those of each rating, the integers are sorted, and the random bits are
    cut off again. They come raw from the generator: NumPy keeps this stream from version to
    version, and promises nothing for `permutation`, with which an update would change the order.
    """
    own = np.uint64(2**bits - 1)
    keys: NDArray[np.uint64] = source.random_raw(len(packed))
    keys &= ~own
    keys |= packed
    keys.sort()
    keys &= own
    return keys.astype(packed.dtype)


def in_threads(function: Callable[[slice], _Outcome], array: NDArray[Any]) -> Iterator[_Outcome]:
    """Yield a function's result for each block of an array, in order; threads share the work."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for outcome in pool.map(function, blocks(len(array))):
            yield outcome
            drop_pages(array)


def joined(
    parts: Iterable[NDArray[Any]], dtype: Any, most: int, folder: Path | None = None
) -> NDArray[Any]:
    """Return arrays as one, in memory or, if it has more than `most` elements, in a file.

    The file lies in the folder and vanishes with the array. Without a folder `most` must suffice.
    """
    # The system gives memory only to the part that is filled, and no array is copied twice.
    whole, size, parts = np.empty(most, dtype), 0, iter(parts)
    for part in parts:
        if size + len(part) > most and folder:
            return _joined_in_file(chain((whole[:size], part), parts), dtype, folder)
        whole[size : size + len(part)] = part
        size += len(part)
    whole.resize(size, refcheck=False)
    return whole


def _joined_in_file(parts: Iterable[NDArray[Any]], dtype: Any, folder: Path) -> NDArray[Any]:
    size = 0
    try:
        with TemporaryFile(dir=folder) as file:
            for part in parts:  # pages that are written do not count as our memory, mapped ones do
                file.write(part.astype(dtype, copy=False).data)
                size += len(part)
            file.flush()
            return np.memmap(file, dtype, "r+", shape=(size,))
    except OSError as error:
        raise MovieEmbedError(f"{folder} cannot hold the ratings: {error.strerror}") from error


def checked_bits(users: int, movies: int, levels: int, max_bits: int) -> int:
    """Return how many bits a packed rating takes, or refuse more than `max_bits`."""
    bits = sum(map(bit_width, (users, movies, levels)))
    if bits > max_bits:
        raise MovieEmbedError(
            f"{users:,} users, {movies:,} movies and {levels:,} distinct ratings take "
            f"{bits} bits a rating; at most {max_bits} fit"
        )
    return bits
