"""Ids to ranks and ratings to single integers, in little memory.

Work goes in blocks of rows where NumPy would otherwise widen all of them to 64 bits at once, and
threads share the blocks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from movie_embed.errors import MovieEmbedError
from movie_embed.storage import ArrayFile

_Part = TypeVar("_Part")
_Outcome = TypeVar("_Outcome")
Packed = NDArray[np.unsignedinteger[Any]]
PackedSource = Packed | ArrayFile  # in memory, or in a file

MAX_LEVELS = 2**16
MAX_BITS = 52  # the 12 left of 64 are what a shuffle needs
_BLOCK = 2**20
_DENSE = 2**20  # ids below it serve as ranks


@dataclass(frozen=True)
class Ranked:
    """Ratings with ranks for ids, each pair of user and movie once.

    Attributes
    ----------
    parts
        Ranks of users and of movies, int32, and indices of stars, uint16, each of shape
        (ratings,), by user, then movie; together all ratings. It is gone through again and again.
    user_ids, movie_ids
        The ids by rank, ascending; some may have no rating.
    levels
        The stars by index, ascending, float32.
    read
        How many ratings there were, those given again included.
    """

    parts: Iterable[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint16]]]
    user_ids: NDArray[Any]
    movie_ids: NDArray[Any]
    levels: NDArray[np.float32]
    read: int


def ranked(values: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Return the rank of each value among the distinct values, and those, ascending.

    Small whole numbers are ranks already, among all up to the largest.
    """
    if values.dtype.kind == "i" and values.min() >= 0 and values.max() < _DENSE:
        return values.astype(np.int32, copy=False), np.arange(values.max() + 1)
    encoded = [*in_threads(lambda p: pa.array(values[p]).dictionary_encode(), blocks(len(values)))]
    distinct = np.unique(np.concatenate([block.dictionary.to_numpy() for block in encoded]))

    def ranks(block: pa.DictionaryArray) -> NDArray[np.int32]:
        rank = np.searchsorted(distinct, block.dictionary.to_numpy()).astype(np.int32)
        taken: NDArray[np.int32] = rank.take(block.indices.to_numpy())
        return taken

    return np.concatenate([*in_threads(ranks, encoded)]), distinct


def star_levels(values: NDArray[np.float32]) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Return level indices and levels; beyond 65,536 distinct stars, the nearest on a grid."""
    ranks, levels = ranked(values)
    if len(levels) <= MAX_LEVELS:
        return ranks.astype(np.uint16), levels
    low, high = float(levels[0]), float(levels[-1])
    nearest = np.rint((levels.astype(np.float64) - low) / (high - low) * (MAX_LEVELS - 1))
    grid = np.linspace(low, high, MAX_LEVELS).astype(np.float32)
    indices = nearest.astype(np.uint16)
    parts = in_threads(lambda part: indices.take(ranks[part]), blocks(len(ranks)))
    return np.concatenate([*parts]), grid


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
    order = np.argsort(pairs)
    ordered = pairs[order]
    repeated = ordered[1:] == ordered[:-1]
    if repeated.any():
        times = timestamps()
        tied = np.append(repeated, False) | np.append(False, repeated)
        rows = order[tied]
        when = () if times is None else (times[rows],)
        order[tied] = rows[np.lexsort((rows, *when, pairs[rows]))]
    last: NDArray[np.int64] = order[np.append(~repeated, True)]
    return last


def pack(
    users: NDArray[np.int32],
    movies: NDArray[np.int32],
    stars: NDArray[np.uint16],
    kept: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    levels: int,
    max_bits: int,
) -> Iterator[Packed]:
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

    Yields
    ------
    array
        A block of them; uint32 where that is wide enough, else uint64.
    """
    sizes = (int(kept[0].sum()), int(kept[1].sum()), levels)
    _, movie_bits, star_bits = map(bit_width, sizes)
    bits = checked_bits(*sizes, max_bits)
    dtype = np.dtype(np.uint32 if bits <= 32 else np.uint64)
    user_part = _renumbered(kept[0], movie_bits + star_bits, dtype)
    movie_part = _renumbered(kept[1], star_bits, dtype)

    def packed(part: slice) -> Packed:
        columns = users[part], movies[part], stars[part]
        rows = np.flatnonzero(kept[0].take(columns[0]) & kept[1].take(columns[1]))
        user, movie, star = (column.take(rows) for column in columns)
        triples: Packed = user_part.take(user) | movie_part.take(movie) | star
        return triples

    yield from in_threads(packed, blocks(len(users)))


def checked_bits(users: int, movies: int, levels: int, max_bits: int) -> int:
    """Return how many bits a packed rating takes.

    Raises
    ------
    MovieEmbedError
        They are more than `max_bits`.
    """
    bits = sum(map(bit_width, (users, movies, levels)))
    if bits > max_bits:
        raise MovieEmbedError(
            f"{users:,} users, {movies:,} movies and {levels:,} distinct ratings take "
            f"{bits} bits a rating; at most {max_bits} fit"
        )
    return bits


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
    """Put random bits above each rating's own and sort: a uniform shuffle in one pass.

    The bits come raw from the generator, whose stream NumPy keeps from version to version, as it
    does not for `permutation`.

    Parameters
    ----------
    packed
        Ratings.
    bits
        How many low bits of a rating are its own.
    source
        Of the random bits.

    Returns
    -------
    array
        The same ratings.
    """
    own = np.uint64(2**bits - 1)
    keys: NDArray[np.uint64] = source.random_raw(len(packed))
    keys &= ~own
    keys |= packed
    keys.sort()
    keys &= own
    return keys.astype(packed.dtype)


def bit_width(size: int) -> int:
    """Return how many bits an index below `size` takes."""
    return max(size - 1, 0).bit_length()


def count_rows(rows: NDArray[np.int32], size: int) -> NDArray[np.int64]:
    """Return how often each row below `size` occurs."""
    counts = np.zeros(size, dtype=np.int64)
    for part in blocks(len(rows)):
        counts += np.bincount(rows[part], minlength=size)
    return counts


def blocks(size: int, rows: int = _BLOCK) -> Iterator[slice]:
    """Yield slices of `rows`, the last maybe fewer, that cover `size` rows."""
    yield from (slice(start, min(start + rows, size)) for start in range(0, size, rows))


def in_threads(function: Callable[[_Part], _Outcome], parts: Iterable[_Part]) -> Iterator[_Outcome]:
    """Yield what a function makes of each part, in their order; threads share the work."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(function, parts)


def _renumbered(kept: NDArray[np.bool_], shift: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the new index of each kept row, shifted left; a lone index 0 may shift fully out."""
    index: NDArray[Any] = (np.cumsum(kept) - kept).astype(np.uint64)
    return (index << np.uint64(shift)).astype(dtype)
