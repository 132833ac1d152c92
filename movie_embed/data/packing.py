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
BLOCK = 2**20
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
    if values.dtype.kind == "i":
        largest = int(values.view(f"u{values.itemsize}").max())  # a negative id is a huge one here
        if largest < _DENSE:
            return values.astype(np.int32, copy=False), np.arange(largest + 1)
    encoded, distinct = _encoded(values)
    return _coded(encoded, distinct, np.arange(len(distinct), dtype=np.int32)), distinct


def star_levels(values: NDArray[np.float32]) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Return level indices and levels; beyond 65,536 distinct stars, the nearest on a grid."""
    encoded, distinct = _encoded(values)
    if len(distinct) <= MAX_LEVELS:
        return _coded(encoded, distinct, np.arange(len(distinct), dtype=np.uint16)), distinct
    low, high = float(distinct[0]), float(distinct[-1])
    nearest = np.rint((distinct.astype(np.float64) - low) / (high - low) * (MAX_LEVELS - 1))
    grid = np.linspace(low, high, MAX_LEVELS).astype(np.float32)
    return _coded(encoded, distinct, nearest.astype(np.uint16)), grid


def _encoded(values: NDArray[Any]) -> tuple[list[pa.DictionaryArray], NDArray[Any]]:
    """Return values as blocks with a dictionary each, and all distinct values, ascending."""
    encoded = [*in_threads(lambda p: pa.array(values[p]).dictionary_encode(), blocks(len(values)))]
    return encoded, np.unique(np.concatenate([block.dictionary.to_numpy() for block in encoded]))


def _coded(
    encoded: list[pa.DictionaryArray], distinct: NDArray[Any], codes: NDArray[Any]
) -> NDArray[Any]:
    """Return the code of each encoded value, given those of the distinct ones."""

    def coded(block: pa.DictionaryArray) -> NDArray[Any]:
        own = codes.take(np.searchsorted(distinct, block.dictionary.to_numpy()))
        taken: NDArray[Any] = own.take(block.indices.to_numpy())
        return taken

    return joined(in_threads(coded, encoded), sum(map(len, encoded)))


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

    def in_order(part: slice) -> bool:
        user, movie = (ranks[part.start : part.stop + 1] for ranks in (users, movies))
        same_user = user[1:] == user[:-1]
        return bool(np.all((user[1:] > user[:-1]) | (same_user & (movie[1:] > movie[:-1]))))

    if all(in_threads(in_order, blocks(len(users)))):
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
        triples: Packed = user_part.take(user)
        triples |= movie_part.take(movie)
        triples |= star
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
    for counted in in_threads(lambda p: np.bincount(rows[p], minlength=size), blocks(len(rows))):
        counts += counted
    return counts


def raters(
    users: NDArray[np.int32], movies: NDArray[np.int32], kept: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.bool_]]]:
    """Yield who rated, a block of ratings at a time, so that a user may come again.

    Parameters
    ----------
    users, movies
        Ranks, shape (ratings,), by user.
    kept
        Which movies are, shape (movies,).

    Yields
    ------
    tuple of array
        Ranks of users, int32, and whether each rated a kept movie in this block.
    """

    def raters_in(part: slice) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
        user = users[part]
        first = np.flatnonzero(np.diff(user, prepend=np.int32(-1)))
        return user[first], np.logical_or.reduceat(kept.take(movies[part]), first)

    yield from in_threads(raters_in, blocks(len(users)))


def blocks(size: int, rows: int = BLOCK) -> Iterator[slice]:
    """Yield slices of `rows`, the last maybe fewer, that cover `size` rows."""
    yield from (slice(start, min(start + rows, size)) for start in range(0, size, rows))


def joined(parts: Iterable[NDArray[Any]], size: int) -> NDArray[Any]:
    """Return one or more arrays, of at most `size` numbers, as one; each is let go once copied."""
    end = 0
    for part in parts:
        if not end:
            whole = np.empty(size, part.dtype)
        whole[end : end + len(part)] = part
        end += len(part)
    return whole[:end]


def in_threads(function: Callable[[_Part], _Outcome], parts: Iterable[_Part]) -> Iterator[_Outcome]:
    """Yield what a function makes of each part, in their order; threads share the work."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(function, parts)


def _renumbered(kept: NDArray[np.bool_], shift: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the new index of each kept row, shifted left; a lone index 0 may shift fully out."""
    index: NDArray[Any] = (np.cumsum(kept) - kept).astype(np.uint64)
    return (index << np.uint64(shift)).astype(dtype)
