"""Ratings as triples of dense indices: the threshold, the split, and how they are unpacked."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from movie_embed.data.movies import MovieTable
from movie_embed.data.packing import (
    MAX_BITS,
    Packed,
    bit_width,
    blocks,
    checked_bits,
    in_threads,
    joined,
    shuffled,
    unpacked,
)
from movie_embed.data.ratings import SortedRatings
from movie_embed.data.titles import Movie
from movie_embed.errors import MovieEmbedError
from movie_embed.storage import drop_pages

_LONG_BLOCK = 2**22
Unpacked = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]


@dataclass(frozen=True)
class Counts:
    """How many users, movies and ratings there are."""

    users: int
    movies: int
    ratings: int


@dataclass(frozen=True)
class Triples:
    """Filtered ratings with dense indices, packed, and the names behind the indices.

    Attributes
    ----------
    packed
        One unsigned integer a rating, ascending, hence sorted by user, then movie; mapped from
        the cache if there are more than ``data.window``.
    rare
        Ratings of movies below the threshold, by users who stay, packed alike; movie indices
        count from the first row of the table that is not embedded.
    levels
        The distinct stars, ascending, float32; a packed star is an index into it.
    user_ids
        The id of each user index, int64, or `str` where the files have text; shape (users,).
    movies
        All movies; a movie index is a row among the embedded ones.
    rating_range
        The lowest and highest star of the scale.
    before
        Counts before the threshold.
    duplicates
        Ratings dropped because the user rated the movie again later.
    bad_rows
        Rows of the raw files that ``data.on_bad_rows=skip`` left out.
    notes
        Lines for the user about how the files were read.
    """

    packed: Packed
    rare: Packed
    levels: NDArray[np.float32]
    user_ids: NDArray[Any]
    movies: MovieTable
    rating_range: tuple[float, float]
    before: Counts
    duplicates: int
    bad_rows: int = 0
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.packed)

    @property
    def counts(self) -> Counts:
        """Counts after the threshold."""
        return Counts(len(self.user_ids), self.movies.embedded, len(self.packed))

    @property
    def bits(self) -> int:
        """How many low bits of a packed rating are in use."""
        return sum(map(bit_width, (len(self.user_ids), self.movies.embedded, len(self.levels))))

    def unpack(self, packed: Packed) -> Unpacked:
        """Return user indices, movie indices and stars of packed ratings, each of their shape."""
        return self._unpack(packed, self.movies.embedded)

    def unpack_rare(self, rare: Packed) -> Unpacked:
        """Return user indices, table rows and stars of `rare` ratings, each of their shape."""
        users, movies, stars = self._unpack(rare, self.before.movies - self.movies.embedded)
        return users, movies + np.int32(self.movies.embedded), stars

    def _unpack(self, packed: Packed, movies: int) -> Unpacked:
        users, rows, stars = unpacked(packed, bit_width(movies), bit_width(len(self.levels)))
        return users, rows, self.levels.take(stars)

    def unpack_blocks(self, packed: Packed) -> Iterator[Unpacked]:
        """Yield the results of `unpack`, a block at a time, so that memory stays small."""
        for part in blocks(len(packed)):
            yield self.unpack(packed[part])
            drop_pages(packed)

    def level_counts(self) -> NDArray[np.int64]:
        """Return how many ratings have each of the `levels`."""
        mask = 2 ** bit_width(len(self.levels)) - 1
        counts = np.zeros(len(self.levels), dtype=np.int64)
        for part in blocks(len(self)):
            stars = (self.packed[part] & mask).astype(np.int64)
            counts += np.bincount(stars, minlength=len(self.levels))
            drop_pages(self.packed)
        return counts

    def split(
        self, val_fraction: float, seed: int, folder: Path | None = None
    ) -> tuple[Packed, Packed]:
        """Return training and validation ratings; each rating has its own seeded draw.

        Training ratings are shuffled within blocks of 4 million, so neighbours are of unrelated
        users; validation ratings stay sorted. With a folder both are kept in files, which vanish
        with the arrays.
        """
        source = np.random.SFC64([seed, 0, 3])
        parts = [
            (shuffled(part, self.bits, source) for part in self._drawn(val_fraction, seed, False)),
            self._drawn(val_fraction, seed, True),
        ]
        most = 0 if folder else len(self)
        train, val = (joined(part, self.packed.dtype, most, folder) for part in parts)
        return train, val

    def _drawn(self, val_fraction: float, seed: int, held_out: bool) -> Iterator[Packed]:
        rng = np.random.default_rng([seed, 0])
        for part in blocks(len(self), _LONG_BLOCK):
            packed = self.packed[part]
            yield packed[(rng.random(len(packed), dtype=np.float32) < val_fraction) == held_out]
            drop_pages(self.packed)


def filtered(
    ratings: SortedRatings,
    texts: tuple[Mapping[Any, Movie], Mapping[Any, str]],
    min_ratings: int,
    rating_range: tuple[float, float],
    folder: Path | None = None,
) -> Triples:
    """Leave out movies below the threshold, number the others and their users, and pack.

    `texts` has titles and genres, and tags, by movie id. Movies without ratings stay in the table.
    Packed ratings are in memory or, with a folder, in files there.

    Raises
    ------
    MovieEmbedError
        No movie has `min_ratings` ratings.
    """
    keys, (movie_bits, star_bits) = ratings.keys, ratings.bits
    user_count, movie_count = len(ratings.user_ids), len(ratings.movie_ids)

    def pairs(part: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        # `unpacked` would copy each into 32 bits, which NumPy widens again to index with them. The
        # 63 bits of a key, at most, are never negative as a signed integer.
        of = keys[part].view(np.int64)
        return of >> (movie_bits + star_bits), of >> star_bits & (2**movie_bits - 1)

    def counted(part: slice) -> NDArray[np.intp]:
        return np.bincount(pairs(part)[1], minlength=movie_count)

    def mark(part: slice) -> None:
        users, movies = pairs(part)
        active[users], remaining[users[kept[movies]]] = True, True

    counts = sum(in_threads(counted, keys), np.zeros(movie_count, np.intp))
    rated, kept = counts > 0, counts >= min_ratings
    if not kept.any():
        raise MovieEmbedError(
            f"data.min_ratings={min_ratings} leaves no movie: of {rated.sum():,} movies with "
            f"{len(keys):,} ratings the most rated has {counts.max():,}; use at most that"
        )
    active, remaining = np.zeros((2, user_count), np.bool_)
    deque(in_threads(mark, keys), maxlen=0)

    def packed(chosen: NDArray[np.bool_], max_bits: int) -> Packed:
        sizes = int(remaining.sum()), int(chosen.sum()), len(ratings.levels)
        dtype = np.uint32 if checked_bits(*sizes, max_bits) <= 32 else np.uint64
        low = bit_width(sizes[2])
        # New indices are shifted to their places in the integer. A row without one has -1, which
        # makes the integer negative: its rating is left out.
        user_part = np.where(remaining, np.cumsum(remaining) - 1 << bit_width(sizes[1]) + low, -1)
        movie_part = np.where(chosen, np.cumsum(chosen) - 1 << low, -1)

        def repacked(part: slice) -> Packed:
            users, movies = pairs(part)
            new = user_part.take(users)
            new |= movie_part.take(movies)
            new |= (keys[part] & (2**star_bits - 1)).view(np.int64)
            return new[new >= 0].astype(dtype)

        parts = in_threads(repacked, keys)
        return joined(parts, dtype, 0 if folder else int(counts[chosen].sum()), folder)

    return Triples(
        packed=packed(kept, MAX_BITS),
        rare=packed(rated & ~kept, 63),
        levels=ratings.levels,
        user_ids=ratings.user_ids[remaining],
        movies=_movie_table(*texts, ratings.movie_ids[rated], counts[rated], kept[rated]),
        rating_range=rating_range,
        before=Counts(int(active.sum()), int(rated.sum()), len(keys)),
        duplicates=int(ratings.level_counts.sum()) - len(keys),
    )


def _movie_table(
    titles: Mapping[Any, Movie],
    tags: Mapping[Any, str],
    rated_ids: NDArray[Any],
    counts: NDArray[np.int64],
    kept: NDArray[np.bool_],
) -> MovieTable:
    unrated = np.array(sorted(titles.keys() - set(rated_ids.tolist())), dtype=rated_ids.dtype)
    order = np.argsort(~kept, kind="stable")
    ids = np.concatenate([rated_ids[order], unrated])
    nameless = Movie("", "")
    movies = [titles.get(movie_id, nameless) for movie_id in ids.tolist()]
    links = np.array([movie.links for movie in movies], np.int64)
    return MovieTable(
        ids=ids,
        titles=[movie.title for movie in movies],
        genres=[movie.genres for movie in movies],
        tags=[tags.get(movie_id, "") for movie_id in ids.tolist()],
        rating_counts=np.concatenate([counts[order], np.zeros(len(unrated), int)]),
        embedded=int(kept.sum()),
        links=links if links.any() else None,
    )
