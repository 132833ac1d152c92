"""More ratings than memory: the shards of a data set to sorted ratings on disk.

The shards are read twice: to count who rated how often, then to deal the ratings to partitions
of neighbouring users, each small enough to be sorted in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from movie_embed.data.files import RatingsFiles
from movie_embed.data.packing import (
    MAX_LEVELS,
    Ranked,
    bit_width,
    checked_bits,
    latest_ratings,
    unpacked,
)
from movie_embed.data.ratings import Ratings, stream_ratings
from movie_embed.errors import MovieEmbedError

_PARTITION = 2**22  # ratings, or more: there are at most so many partitions
_PARTITIONS = 2**10
_PENDING = 2**22
_RECORD = np.dtype([("packed", np.uint64), ("time", np.int64)])


class _Tally:
    """How often each value occurs.

    Attributes
    ----------
    values
        The distinct values, ascending.
    counts
        How often each occurs, int64.
    """

    def __init__(self, dtype: type[np.generic]) -> None:
        self.values = np.empty(0, dtype)
        self.counts = np.empty(0, np.int64)
        self._pending: list[pa.StructArray] = []

    def add(self, values: NDArray[Any]) -> None:
        """Count values, and merge the counts once they have become many."""
        self._pending.append(pa.array(values).value_counts())
        if sum(map(len, self._pending)) > max(len(self.values), _PENDING):
            self.merge()

    def merge(self) -> None:
        """Bring `values` and `counts` up to date."""
        new = [[part.field(k).to_numpy() for part in self._pending] for k in (0, 1)]
        values = np.concatenate([self.values, *new[0]])
        counts = np.concatenate([self.counts, *new[1]])
        self.values, rows = np.unique(values, return_inverse=True)
        self.counts = np.bincount(rows, counts, len(self.values)).astype(np.int64)
        self._pending = []


@dataclass(frozen=True)
class _Partitions:
    """Files of packed ranks, ascending from each to the next; read one at a time."""

    paths: list[Path]
    movie_bits: int
    star_bits: int

    def __iter__(
        self,
    ) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint16]]]:
        for path in self.paths:
            yield unpacked(np.fromfile(path, np.uint64), self.movie_bits, self.star_bits)


def rank_shards(
    files: RatingsFiles, rating_range: tuple[float, float] | None, folder: Path
) -> Ranked:
    """Sort the ratings of all shards by user, then movie, the latest of each pair only.

    Parameters
    ----------
    files
        What `find_files` found.
    rating_range
        The lowest and highest star allowed; None allows any finite number.
    folder
        An empty one, for the sorted ratings: 8 bytes each, and 16 until they are sorted.

    Raises
    ------
    MovieEmbedError
        A shard cannot be read or has a bad row, or there are no ratings.
    """
    users, movies, stars = _Tally(np.int64), _Tally(np.int64), _Tally(np.float32)
    for ratings, _ in stream_ratings(files, rating_range):
        users.add(ratings.users)
        movies.add(ratings.movies)
        stars.add(ratings.values)
    for tally in (users, movies, stars):
        tally.merge()
    if not len(users.values):
        raise MovieEmbedError(f"{files.ratings} has no ratings")
    levels = stars.values
    if len(levels) > MAX_LEVELS:
        levels = np.linspace(levels[0], levels[-1], MAX_LEVELS, dtype=np.float32)
    read = int(users.counts.sum())
    checked_bits(len(users.values), len(movies.values), len(levels), max_bits=64)
    ranked = Ranked((), users.values, movies.values, levels, read)
    paths = _deal(ranked, stream_ratings(files, rating_range), users.counts, folder)
    bits = bit_width(len(ranked.movie_ids)), bit_width(len(levels))
    for path in paths:
        _sort(path, *bits)
    return Ranked(_Partitions(paths, *bits), users.values, movies.values, levels, read)


def _deal(
    ranked: Ranked,
    blocks: Iterator[tuple[Ratings, NDArray[np.int64]]],
    counts: NDArray[np.int64],
    folder: Path,
) -> list[Path]:
    """Append each rating to the file of its user's partition, and return the files."""
    rows = max(_PARTITION, ranked.read // _PARTITIONS)
    _, partition = np.unique((np.cumsum(counts) - counts) // rows, return_inverse=True)
    paths = [folder / str(number) for number in range(partition[-1] + 1)]
    partition = partition.astype(np.uint16)
    for ratings, times in blocks:
        records, users = _records(ranked, ratings, times)
        chosen = partition[users]
        order = np.argsort(chosen, kind="stable")
        ends = np.cumsum(np.bincount(chosen, minlength=len(paths)))
        for path, part in zip(paths, np.split(records[order], ends[:-1]), strict=True):
            with path.open("ab") as file:
                file.write(part.data)
    return paths


def _records(
    ranked: Ranked, ratings: Ratings, times: NDArray[np.int64]
) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Return packed ratings with their times, and the ranks of their users."""
    movie_bits, star_bits = bit_width(len(ranked.movie_ids)), bit_width(len(ranked.levels))
    users, movies = (
        pc.index_in(pa.array(ids), pa.array(known)).to_numpy().astype(np.int64)
        for ids, known in ((ratings.users, ranked.user_ids), (ratings.movies, ranked.movie_ids))
    )
    halfway = (ranked.levels[1:].astype(np.float64) + ranked.levels[:-1]) / 2
    records = np.empty(len(ratings), _RECORD)
    records["packed"] = users << (movie_bits + star_bits) | movies << star_bits
    records["packed"] |= np.searchsorted(halfway, ratings.values).astype(np.uint64)
    records["time"] = times
    return records, users


def _sort(path: Path, movie_bits: int, star_bits: int) -> None:
    """Sort a partition by user, then movie, and leave its packed ratings, each pair's latest."""
    records = np.fromfile(path, _RECORD)
    users, movies, _ = unpacked(records["packed"], movie_bits, star_bits)
    latest = latest_ratings(users, movies, lambda: records["time"])
    packed = records["packed"] if latest is None else records["packed"][latest]
    packed.tofile(path)
