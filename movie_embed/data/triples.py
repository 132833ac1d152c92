"""Columns to triples: threshold, dense indices, the on-disk cache and the split.

One rating is one unsigned integer, ``user | movie | star`` from the highest bit down, so
sorting the integers sorts by user, then movie, and a batch is a slice of an array.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from hashlib import file_digest
from pathlib import Path

import numpy as np
import xxhash
from filelock import FileLock
from numpy.typing import NDArray

from movie_embed.config import DataConfig
from movie_embed.data import demo
from movie_embed.data.files import RatingsFiles, find_files, reading
from movie_embed.data.movielens import RELEASES, cache_dir, fetch, wait_for
from movie_embed.data.movies import MovieTable
from movie_embed.data.packing import (
    MAX_BITS,
    Packed,
    PackedSource,
    Ranked,
    bit_width,
    blocks,
    count_rows,
    joined,
    latest_ratings,
    pack,
    ranked,
    raters,
    shuffled,
    star_levels,
    unpacked,
)
from movie_embed.data.ratings import Ratings, read_ratings, read_timestamps
from movie_embed.data.rows import BadRows
from movie_embed.data.shards import rank_shards
from movie_embed.data.tags import read_tags
from movie_embed.data.titles import Movie, read_movies
from movie_embed.errors import MovieEmbedError
from movie_embed.storage import (
    ArrayFile,
    atomic_folder,
    read_columns,
    remove_leftovers,
    write_columns,
)

_CACHE_VERSION = 4  # raise it when the same source and settings give other triples
_LONG_BLOCK = 2**22
_COLUMNS = "columns.safetensors"
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Counts:
    """How many users, movies and ratings there are."""

    users: int
    movies: int
    ratings: int


@dataclass(frozen=True)
class Triples:
    """Filtered ratings with dense indices, packed, and all that is needed to name them again.

    Attributes
    ----------
    packed
        One unsigned integer a rating, ascending, hence sorted by user, then movie.
    rare
        Ratings that the threshold dropped, by users who stay, packed alike; a movie index counts
        from the first row of the table that is not embedded.
    levels
        The distinct stars, ascending, float32; a packed star is an index into it.
    user_ids
        The id of each user index, int64, shape (users,).
    movies
        All movies; a movie index is a row among the embedded ones.
    rating_range
        The lowest and highest star of the scale.
    before
        Counts before the threshold.
    duplicates
        Ratings dropped because the user rated the movie again later.
    bad_rows
        Rows of the raw files that were left out, as ``data.on_bad_rows=skip`` asks for.
    """

    packed: PackedSource
    rare: PackedSource
    levels: NDArray[np.float32]
    user_ids: NDArray[np.int64]
    movies: MovieTable
    rating_range: tuple[float, float]
    before: Counts
    duplicates: int
    bad_rows: int = 0

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

    def unpack(
        self, packed: Packed
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
        """Return user indices, movie indices and stars of packed ratings, each of their shape."""
        return self._unpack(packed, self.movies.embedded)

    def unpack_rare(
        self, rare: Packed
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
        """Return user indices, table rows and stars of `rare` ratings, each of their shape."""
        users, movies, stars = self._unpack(rare, self.before.movies - self.movies.embedded)
        return users, movies + np.int32(self.movies.embedded), stars

    def _unpack(
        self, packed: Packed, movies: int
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
        users, rows, stars = unpacked(packed, bit_width(movies), bit_width(len(self.levels)))
        return users, rows, self.levels.take(stars)

    def unpack_blocks(
        self, packed: PackedSource
    ) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]]:
        """Yield what `unpack` returns, a block at a time, to go through all in little memory."""
        yield from (self.unpack(packed[part]) for part in blocks(len(packed)))

    def level_counts(self) -> NDArray[np.int64]:
        """Return how many ratings have each of the `levels`."""
        mask = 2 ** bit_width(len(self.levels)) - 1
        counts = np.zeros(len(self.levels), dtype=np.int64)
        for part in blocks(len(self)):
            stars = (self.packed[part] & mask).astype(np.int64)
            counts += np.bincount(stars, minlength=len(self.levels))
        return counts

    def split(self, val_fraction: float, seed: int) -> tuple[Packed, Packed]:
        """Return training and validation ratings; each goes to either by its own seeded draw.

        Training ratings are shuffled within blocks of 4 million, so that any few that lie
        together are of unrelated users; validation ratings stay sorted.
        """
        train, val = (np.concatenate([*part]) for part in self._parts(val_fraction, seed))
        return train, val

    def split_on_disk(
        self, val_fraction: float, seed: int, folder: Path
    ) -> tuple[ArrayFile, ArrayFile]:
        """Return what `split` does in files, which vanish with the arrays.

        Raises
        ------
        MovieEmbedError
            The disk is full.
        """
        try:
            train, val = (
                ArrayFile.write(tempfile.TemporaryFile(dir=folder), part)  # noqa: SIM115
                for part in self._parts(val_fraction, seed)
            )
        except OSError as error:
            raise MovieEmbedError(f"{folder} cannot hold the ratings: {error.strerror}") from error
        return train, val

    def _parts(self, val_fraction: float, seed: int) -> tuple[Iterator[Packed], Iterator[Packed]]:
        source = np.random.SFC64([seed, 0, 3])
        train = (
            shuffled(part, self.bits, source) for part in self._drawn(val_fraction, seed, False)
        )
        return train, self._drawn(val_fraction, seed, True)

    def _drawn(self, val_fraction: float, seed: int, held_out: bool) -> Iterator[Packed]:
        rng = np.random.default_rng([seed, 0])
        for part in blocks(len(self), _LONG_BLOCK):
            packed = self.packed[part]
            yield packed[(rng.random(len(packed), dtype=np.float32) < val_fraction) == held_out]


def load_triples(config: DataConfig) -> Triples:
    """Load the configured data set, from the cache of packed triples where that has it.

    The cache is keyed by the bytes of the source and the settings that shape the result, and
    built under a lock: of runs that start together one builds it and the others wait.

    Raises
    ------
    MovieEmbedError
        The data set cannot be found, fetched or read, or the threshold leaves nothing.
    """
    files = None if config.name == "demo" else _find(config)
    sources = demo.SOURCES if files is None else files.on_disk
    suffix = "shards" if files is not None and files.shards else "safetensors"
    name = f"{config.name}-{_cache_key(config, sources)}.{suffix}"
    try:
        cached = cache_dir(config.cache_dir) / "triples" / name
        lock = _lock(cached)
    except MovieEmbedError as error:
        if config.cache_dir or suffix == "shards":
            raise
        _log.warning("%s; going on without", error)
        return _read(config, files)
    with lock:
        if cached.exists():
            try:
                return _read_cache(cached)
            except MovieEmbedError as error:
                _log.warning("%s; building it again", error)
        if files is not None and files.shards:
            return _read_shards(config, files, cached)
        triples = _read(config, files)
        remove_leftovers(cached.parent, cached.name)
        try:
            _write_cache(cached, triples)
        except MovieEmbedError as error:
            _log.warning("%s; going on without", error)
    return triples


def _lock(cached: Path) -> AbstractContextManager[object]:
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        return wait_for(FileLock(cached.with_suffix(".lock")))
    except OSError as error:
        raise MovieEmbedError(
            f"{cached.parent} cannot hold the cache: {error.strerror}; choose another folder with "
            "data.cache_dir=..."
        ) from error


def _find(config: DataConfig) -> RatingsFiles:
    if config.path:
        return find_files(Path(config.path).expanduser(), config.columns)
    folder = cache_dir(config.cache_dir)
    archive = fetch(RELEASES[config.name], folder, download=config.download)
    return find_files(archive, config.columns)


def _read(config: DataConfig, files: RatingsFiles | None) -> Triples:
    return _read_demo(config) if files is None else _read_files(config, files)


def _read_demo(config: DataConfig) -> Triples:
    ratings = demo.draw_ratings(config.users or demo.DEFAULT_USERS)
    return pack_ratings(ratings, demo.movies(), config.min_ratings, demo.RATING_RANGE)


def _read_files(config: DataConfig, files: RatingsFiles) -> Triples:
    rating_range = _given_range(config)
    bad_rows = BadRows(skip=config.on_bad_rows == "skip")
    ratings = read_ratings(files, rating_range, bad_rows)
    triples = pack_ratings(
        ratings,
        read_movies(files, bad_rows),
        config.min_ratings,
        rating_range or _observed_range(ratings.values, len(ratings)),
        timestamps=lambda: read_timestamps(files, bad_rows),
        tags=read_tags(files, bad_rows),
    )
    return replace(triples, bad_rows=bad_rows.count)


def _read_shards(config: DataConfig, files: RatingsFiles, cached: Path) -> Triples:
    """Prepare shards on disk; what is packed stays in files, in the cache's own folder."""
    if config.on_bad_rows == "skip":
        raise MovieEmbedError(
            f"data.on_bad_rows=skip: must be fail for the shards in {files.ratings}, which are "
            "read twice; mend them, or give one file"
        )
    rating_range = _given_range(config)
    with atomic_folder(cached) as folder:

        def store(name: str, packed: Iterator[Packed]) -> ArrayFile:
            return ArrayFile.write((folder / name).open("wb+"), packed)

        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            ratings = rank_shards(files, rating_range, Path(scratch))
            triples = _pack(
                ratings,
                (read_movies(files), read_tags(files)),
                config.min_ratings,
                rating_range or _observed_range(ratings.levels, ratings.read),
                store,
            )
        _write_cache(folder / _COLUMNS, triples)
    return triples


def _given_range(config: DataConfig) -> tuple[float, float] | None:
    ends = config.rating_range
    return (float(ends[0]), float(ends[1])) if ends else None


def _observed_range(values: NDArray[np.float32], ratings: int) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise MovieEmbedError(
            f"all {ratings:,} ratings are {low:g}: give the scale, "
            "data.rating_range=[lowest,highest]"
        )
    return low, high


def pack_ratings(
    ratings: Ratings,
    titles: Mapping[int, Movie],
    min_ratings: int,
    rating_range: tuple[float, float],
    timestamps: Callable[[], NDArray[np.int64] | None] = lambda: None,
    tags: Mapping[int, str] | None = None,
) -> Triples:
    """Filter ratings by movie, index users and movies densely, and pack.

    Parameters
    ----------
    ratings
        Raw ratings in any order.
    titles
        Title and genres by movie id; movies without ratings are kept in the table.
    min_ratings
        Movies with fewer ratings are left out, and users who then have none.
    rating_range
        The lowest and highest star of the scale.
    timestamps
        Called only if a user rated a movie twice: the latest rating counts, by time where
        there is one, else by place in the file.
    tags
        ``|``-joined tags by movie id; none by default.

    Raises
    ------
    MovieEmbedError
        No movie has `min_ratings` ratings.
    """
    users, user_ids = ranked(ratings.users)
    movies, rated_ids = ranked(ratings.movies)
    stars, levels = star_levels(ratings.values)
    latest = latest_ratings(users, movies, timestamps)
    if latest is not None:
        users, movies, stars = users[latest], movies[latest], stars[latest]
    return _pack(
        Ranked([(users, movies, stars)], user_ids, rated_ids, levels, len(ratings)),
        (titles, tags or {}),
        min_ratings,
        rating_range,
        lambda _, packed: joined(packed, len(ratings)),
    )


def _pack(
    ratings: Ranked,
    texts: tuple[Mapping[int, Movie], Mapping[int, str]],
    min_ratings: int,
    rating_range: tuple[float, float],
    store: Callable[[str, Iterator[Packed]], PackedSource],
) -> Triples:
    """Filter ranked ratings by movie, and pack and store those kept and those left out."""
    user_ids, rated_ids, levels = ratings.user_ids, ratings.movie_ids, ratings.levels
    counts = np.zeros(len(rated_ids), dtype=np.int64)
    for _, movies, _ in ratings.parts:
        counts += count_rows(movies, len(rated_ids))
    rated, kept = counts > 0, counts >= min_ratings
    if not kept.any():
        raise MovieEmbedError(
            f"data.min_ratings={min_ratings} leaves no movie: of {rated.sum():,} movies with "
            f"{counts.sum():,} ratings the most rated has {counts.max():,}; use at most that"
        )
    active, remaining = np.zeros((2, len(user_ids)), dtype=np.bool_)
    for users, movies, _ in ratings.parts:
        for some, stay in raters(users, movies, kept):
            active[some] = True
            remaining[some[stay]] = True
    before = Counts(int(active.sum()), int(rated.sum()), int(counts.sum()))

    def packed(chosen: NDArray[np.bool_], max_bits: int) -> Iterator[Packed]:
        for part in ratings.parts:
            yield from pack(*part, (remaining, chosen), len(levels), max_bits)

    return Triples(
        packed=store("packed", packed(kept, MAX_BITS)),
        rare=store("rare", packed(rated & ~kept, max_bits=64)),
        levels=levels,
        user_ids=user_ids[remaining].astype(np.int64),
        movies=_movie_table(*texts, rated_ids[rated], counts[rated], kept[rated]),
        rating_range=rating_range,
        before=before,
        duplicates=ratings.read - before.ratings,
    )


def _movie_table(
    titles: Mapping[int, Movie],
    tags: Mapping[int, str],
    rated_ids: NDArray[np.int64],
    counts: NDArray[np.int64],
    kept: NDArray[np.bool_],
) -> MovieTable:
    unrated = np.array(sorted(titles.keys() - set(rated_ids.tolist())), dtype=np.int64)
    ids = np.concatenate([rated_ids[kept], rated_ids[~kept], unrated]).astype(np.int64)
    nameless = Movie("", "")
    movies = [titles.get(movie_id, nameless) for movie_id in ids.tolist()]
    return MovieTable(
        ids=ids,
        titles=[movie.title for movie in movies],
        genres=[movie.genres for movie in movies],
        tags=[tags.get(movie_id, "") for movie_id in ids.tolist()],
        rating_counts=np.concatenate([counts[kept], counts[~kept], np.zeros_like(unrated)]),
        embedded=int(kept.sum()),
    )


def _cache_key(config: DataConfig, sources: Iterable[Path]) -> str:
    reading_of = (config.name, config.columns, config.rating_range, config.on_bad_rows)
    shaping = (*reading_of, config.min_ratings, config.users)
    digest = xxhash.xxh3_128(repr((_CACHE_VERSION, shaping)).encode())
    for source in sources:
        with reading(source), source.open("rb") as file:
            digest.update(f"{source.name}/{source.stat().st_size}/".encode())
            file_digest(file, lambda: digest)
    return digest.hexdigest()


def _write_cache(path: Path, triples: Triples) -> None:
    packed = {"packed": triples.packed, "rare": triples.rare}
    write_columns(
        path,
        "triples",
        {
            **{name: array for name, array in packed.items() if isinstance(array, np.ndarray)},
            "levels": triples.levels,
            "user_ids": triples.user_ids,
            **triples.movies.to_columns(),
        },
        {
            "embedded": triples.movies.embedded,
            "rating_range": triples.rating_range,
            "before": asdict(triples.before),
            "duplicates": triples.duplicates,
            "bad_rows": triples.bad_rows,
            "files": {
                name: (array.dtype.str, array.size, array.digest())
                for name, array in packed.items()
                if isinstance(array, ArrayFile)
            },
        },
        durable=False,  # what a power cut spoils is built again
    )


def _read_cache(path: Path) -> Triples:
    columns, metadata = read_columns(path / _COLUMNS if path.is_dir() else path, "triples")
    for name, stored in metadata["files"].items():
        columns[name] = ArrayFile.read(path / name, *stored)
    low, high = metadata["rating_range"]
    return Triples(
        packed=columns["packed"],
        rare=columns["rare"],
        levels=columns["levels"],
        user_ids=columns["user_ids"],
        movies=MovieTable.from_columns(columns, metadata["embedded"]),
        rating_range=(low, high),
        before=Counts(**metadata["before"]),
        duplicates=metadata["duplicates"],
        bad_rows=metadata.get("bad_rows", 0),
    )
