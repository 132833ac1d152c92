"""Ids to ranks and ratings to single integers, in little memory.

Work goes in blocks of rows where NumPy would otherwise widen all of them to 64 bits at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from movie_embed.errors import MovieEmbedError

Packed = NDArray[np.unsignedinteger[Any]]

_MAX_LEVELS = 2**16
MAX_BITS = 52  # the 12 left of 64 are what a shuffle needs
_BLOCK = 2**20


def ranked(values: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Return the rank of each value among the distinct values, and those, ascending."""
    encoded = pa.array(values).dictionary_encode()
    distinct = encoded.dictionary.to_numpy()
    order = np.argsort(distinct)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return _take(rank, encoded.indices.to_numpy()), distinct[order]


def star_levels(values: NDArray[np.float32]) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Return level indices and levels; beyond 65,536 distinct stars, the nearest on a grid."""
    ranks, levels = ranked(values)
    if len(levels) <= _MAX_LEVELS:
        return ranks.astype(np.uint16), levels
    low, high = float(levels[0]), float(levels[-1])
    nearest = np.rint((levels.astype(np.float64) - low) / (high - low) * (_MAX_LEVELS - 1))
    grid = np.linspace(low, high, _MAX_LEVELS).astype(np.float32)
    return _take(nearest.astype(np.uint16), ranks), grid


def latest_ratings(
    users: NDArray[np.int32],
    movies: NDArray[np.int32],
    timestamps: Callable[[], NDArray[np.int64] | None],
) -> NDArray[np.int64] | None:
    """Find the order by user, then movie, with the latest rating of each pair only.

    Parameters
    ----------
    users, movies
        Ranks, shape (ratings,).
    timestamps
        Called only if a pair is repeated: the latest counts, else the last in the file.

    Returns
    -------
    array or None
        Positions, or None where the ratings are in this order already.
    """
    same_user = users[1:] == users[:-1]
    if np.all((users[1:] > users[:-1]) | (same_user & (movies[1:] > movies[:-1]))):
        return None
    pairs = users.astype(np.int64) << 32 | movies
    order = np.argsort(pairs, kind="stable")
    ordered = pairs[order]
    repeated = ordered[1:] == ordered[:-1]
    if repeated.any() and (times := timestamps()) is not None:
        order = np.lexsort((times, pairs))
    last: NDArray[np.int64] = order[np.append(~repeated, True)]
    return last


def pack(
    users: NDArray[np.int32],
    movies: NDArray[np.int32],
    stars: NDArray[np.uint16],
    kept: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    levels: int,
    max_bits: int,
) -> Packed:
    """Pack the ratings of kept movies as ``user | movie | star`` from the highest bit down.

    Parameters
    ----------
    users, movies, stars
        Indices, shape (ratings,).
    kept
        Which users and which movies to keep; they are numbered anew, without gaps.
    levels
        How many stars there are.
    max_bits
        How wide a packed rating may be.

    Returns
    -------
    array
        uint32 where that is wide enough, else uint64.
    """
    sizes = (int(kept[0].sum()), int(kept[1].sum()), levels)
    user_bits, movie_bits, star_bits = map(bit_width, sizes)
    bits = user_bits + movie_bits + star_bits
    if bits > max_bits:
        raise MovieEmbedError(
            f"{sizes[0]:,} users, {sizes[1]:,} movies and {levels:,} distinct ratings take "
            f"{bits} bits a rating; at most {max_bits} fit"
        )
    dtype = np.dtype(np.uint32 if bits <= 32 else np.uint64)
    user_part = _renumbered(kept[0], movie_bits + star_bits, dtype)
    movie_part = _renumbered(kept[1], star_bits, dtype)
    packed = [np.empty(0, dtype)]
    for part in blocks(len(users)):
        chosen = kept[0][users[part]] & kept[1][movies[part]]
        pairs = user_part[users[part][chosen]] | movie_part[movies[part][chosen]]
        packed.append(pairs | stars[part][chosen])
    return np.concatenate(packed)


def bit_width(size: int) -> int:
    """Return how many bits an index below `size` takes."""
    return max(size - 1, 0).bit_length()


def count_rows(rows: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    """Return how often each row below `size` occurs."""
    counts = np.zeros(size, dtype=np.int64)
    for part in blocks(len(rows)):
        counts += np.bincount(rows[part], minlength=size)
    return counts


def blocks(size: int) -> Iterator[slice]:
    """Yield slices that cover `size` rows."""
    yield from (slice(start, start + _BLOCK) for start in range(0, size, _BLOCK))


def _take(table: NDArray[Any], rows: NDArray[np.int32]) -> NDArray[Any]:
    taken = np.empty(len(rows), dtype=table.dtype)
    for part in blocks(len(rows)):
        taken[part] = table[rows[part]]
    return taken


def _renumbered(kept: NDArray[np.bool_], shift: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the new index of each kept row, shifted left; a lone index 0 may shift fully out."""
    index: NDArray[Any] = (np.cumsum(kept) - kept).astype(np.uint64)
    return (index << np.uint64(shift)).astype(dtype)
