"""Users' ratings one after another: one form in memory, in the cache and in the saved file."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from movie_embed.data.movie_files import Movie
from movie_embed.data.movies import MovieTable
from movie_embed.errors import MovieEmbedError

BLOCK = 2**20  # ratings, so that temporary arrays stay below 8 MB whatever the size of the data

Mask = NDArray[np.bool_]
Indices = NDArray[np.integer[Any]]
Columns = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]


def bit_width(size: int) -> int:
    """Return how many bits an index below `size` takes."""
    return max(size - 1, 0).bit_length()


def smallest(size: int, least: int = 8) -> np.dtype[Any]:
    """Return the unsigned type, of `least` bits or more, of an index below `size`."""
    return np.dtype(f"u{max(np.min_scalar_type(max(size - 1, 0)).itemsize, least // 8)}")


@dataclass(frozen=True)
class Ratings:
    """Every user's ratings, one user after the other, by movie within a user.

    Attributes
    ----------
    starts
        User `i` has the ratings from ``starts[i]`` up to ``starts[i + 1]``; int64, (users + 1,).
    movies
        The number of each rating's movie, ascending within a user; uint16 or uint32, (ratings,).
    values
        The place of each rating's stars in `levels`; uint8 or uint16, (ratings,).
    levels
        The distinct stars, ascending, float32.
    user_ids
        As in the data: int64, or `str` where they are text; (users,).
    times
        Seconds since 1970, float64, -inf where there is none; (ratings,). None unless
        ``data.split`` needs them.
    """

    starts: NDArray[np.int64]
    movies: NDArray[np.unsignedinteger[Any]]
    values: NDArray[np.unsignedinteger[Any]]
    levels: NDArray[np.float32]
    user_ids: NDArray[Any]
    times: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.movies)

    def slices(self, size: int = BLOCK) -> Iterator[slice]:
        """Yield slices of whole users that have about `size` ratings, and together all of them."""
        firsts = np.searchsorted(self.starts, np.arange(0, len(self) + size, size))
        edges = np.unique(self.starts[np.minimum(firsts, len(self.user_ids))]).tolist()
        yield from map(slice, edges, edges[1:])

    def users(self, part: slice) -> NDArray[np.int32]:
        """Return the user of each rating of a slice."""
        first = np.searchsorted(self.starts, part.start, "right") - 1
        last = np.searchsorted(self.starts, part.stop)
        ends: Indices = np.clip(self.starts[first : last + 1], part.start, part.stop)
        counts = ends[1:] - ends[:-1]
        return np.repeat(np.arange(first, last, dtype=np.int32), counts)

    def part(self, part: slice, chosen: Mask | None = None) -> Columns:
        """Return users, movies and stars of a slice of ratings, or of the `chosen` of all in it."""
        users, movies, values = self.users(part), self.movies[part], self.values[part]
        if chosen is not None:
            mine = chosen[part]
            users, movies, values = users[mine], movies[mine], values[mine]
        return users, movies.astype(np.int32), self.levels.take(values)

    def blocks(self, chosen: Mask | None = None, size: int = BLOCK) -> Iterator[Columns]:
        """Yield users, movies and stars a block at a time, so that memory stays small."""
        yield from (self.part(part, chosen) for part in self.slices(size))

    def columns(self, chosen: Mask | None = None) -> Columns:
        """Return users, movies and stars of all ratings, or of the chosen."""
        if chosen is None:
            return self.part(slice(0, len(self)))
        users, movies, stars = (
            np.concatenate(column) for column in zip(*self.blocks(chosen), strict=True)
        )
        return users, movies, stars

    def level_counts(self, chosen: Mask) -> NDArray[np.int64]:
        """Return how many of the chosen ratings have each of the `levels`."""
        counts = np.zeros(len(self.levels), np.int64)
        for part in self.slices():
            counts += np.bincount(self.values[part][chosen[part]], minlength=len(counts))
        return counts

    def reordered(self, order: Indices, staying: Mask | None = None) -> Ratings:
        """Return the ratings of all users, or those who stay, with the movies numbered anew.

        `order` has the old numbers in their new order. Within a user movies ascend again.
        """
        staying = np.ones(len(self.user_ids), np.bool_) if staying is None else staying
        if staying.all() and np.array_equal(order, np.arange(len(order))):
            return self
        number = np.zeros(int(order.max()) + 1, np.uint64)
        number[order] = np.arange(len(order), dtype=np.uint64)
        low, high = bit_width(len(self.levels)), bit_width(len(self.levels)) + bit_width(len(order))
        descents = np.append(np.flatnonzero(np.diff(order) < 0) + 1, len(order))
        first = np.uint64(int(descents[0]) << low)  # key of the movies that are no longer in order
        kept = np.append(0, np.cumsum(np.where(staying, np.diff(self.starts), 0)))
        movies = np.empty(kept[-1], smallest(len(order), least=16))
        values = np.empty(kept[-1], self.values.dtype)
        times = None if self.times is None else np.empty(kept[-1])

        def write(part: slice) -> None:
            users = self.users(part)
            keys = number.take(self.movies[part]) << np.uint64(low)
            keys |= self.values[part]
            # Movies with a low number keep their order, and the others theirs, where these are
            # trained and cold ones. Of two parts in order a stable sort makes one in a tenth of
            # the time.
            low_ones = keys < first
            keys |= users.astype(np.uint64) << np.uint64(high)
            start, stop = np.searchsorted(self.starts, (part.start, part.stop))
            target = slice(kept[start], kept[stop])
            if times is not None and self.times is not None:
                mine = np.flatnonzero(staying[users])
                times[target] = self.times[part][mine[np.argsort(keys[mine])]]
            keys = np.concatenate([keys[of & staying[users]] for of in (low_ones, ~low_ones)])
            keys.sort(kind="stable")
            values[target] = keys & np.uint64(2**low - 1)
            keys >>= np.uint64(low)
            movies[target] = keys & np.uint64(2 ** (high - low) - 1)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            deque(pool.map(write, self.slices()), maxlen=0)  # raises what a thread raised
        starts = np.append(0, kept[1:][staying])
        return Ratings(starts, movies, values, self.levels, self.user_ids[staying], times)


@dataclass(frozen=True)
class Counts:
    """How many users, movies and ratings there are."""

    users: int
    movies: int
    ratings: int


@dataclass(frozen=True)
class DataSet:
    """Ratings with the movies that they are of.

    Movies are numbered once: those with enough ratings to be trained first, then the other rated
    ones, then those that nobody rated. Users without a rating of a trained movie are left out.

    Attributes
    ----------
    ratings
        Of movies that are trained and of those with fewer ratings.
    movies
        All movies in the order of their numbers; ``movies.embedded`` of them are trained.
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

    ratings: Ratings
    movies: MovieTable
    rating_range: tuple[float, float]
    before: Counts
    duplicates: int
    bad_rows: int = 0
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> Counts:
        """Counts of what is trained, held-out ratings included."""
        ratings = int(self.movies.rating_counts[: self.movies.embedded].sum())
        return Counts(len(self.ratings.user_ids), self.movies.embedded, ratings)

    @property
    def trained(self) -> Mask:
        """Which ratings are of movies that are trained."""
        return self.ratings.movies < self.movies.embedded


def numbered(
    ratings: Ratings,
    movie_ids: NDArray[Any],
    texts: tuple[Mapping[Any, Movie], Mapping[Any, str]],
    min_ratings: int,
) -> tuple[Ratings, MovieTable, Counts]:
    """Renumber the movies, trained ones of `min_ratings` ratings first, and leave users out.

    `texts` has titles and genres, and tags, by movie id. Returned are also all movies, and the
    counts of all ratings.
    """
    counts = np.zeros(len(movie_ids), np.int64)
    for part in ratings.slices():
        counts += np.bincount(ratings.movies[part], minlength=len(counts))
    trained = counts >= min_ratings
    if not trained.any():
        raise MovieEmbedError(
            f"data.min_ratings={min_ratings} leaves no movie: of {np.count_nonzero(counts):,} "
            f"movies with {len(ratings):,} ratings the most rated has {counts.max():,}; use at "
            "most that"
        )
    staying = np.zeros(len(ratings.user_ids), np.bool_)
    for part in ratings.slices():
        staying[ratings.users(part)[trained[ratings.movies[part]]]] = True
    order = np.append(np.flatnonzero(trained), np.flatnonzero((counts > 0) & ~trained))
    users = int(np.count_nonzero(np.diff(ratings.starts)))
    table = _movie_table(*texts, movie_ids[order], counts[order], int(trained.sum()))
    before = Counts(users, len(order), len(ratings))
    return ratings.reordered(order, staying), table, before


def _movie_table(
    titles: Mapping[Any, Movie],
    tags: Mapping[Any, str],
    rated_ids: NDArray[Any],
    counts: NDArray[np.int64],
    trained: int,
) -> MovieTable:
    unrated = np.array(sorted(titles.keys() - set(rated_ids.tolist())), dtype=rated_ids.dtype)
    ids = np.concatenate([rated_ids, unrated])
    nameless = Movie("", "")
    movies = [titles.get(movie_id, nameless) for movie_id in ids.tolist()]
    links = np.array([movie.links for movie in movies], np.int64)
    return MovieTable(
        ids=ids,
        titles=[movie.title for movie in movies],
        genres=[movie.genres for movie in movies],
        tags=[tags.get(movie_id, "") for movie_id in ids.tolist()],
        rating_counts=np.append(counts, np.zeros(len(unrated), int)),
        embedded=trained,
        links=links if links.any() else None,
    )
