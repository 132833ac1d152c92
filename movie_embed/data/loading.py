"""The configured ratings as triples, from raw files or from the cache on the disk."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xxhash
from filelock import FileLock

from movie_embed.config import DataConfig
from movie_embed.data import demo
from movie_embed.data.movielens import RELEASES, cache_dir, fetch, wait_for
from movie_embed.data.movies import MovieTable
from movie_embed.data.packing import Packed, drop_pages
from movie_embed.data.ratings import SortedRatings, sorted_ratings
from movie_embed.data.sources import Sources, find_sources
from movie_embed.data.tables import Table, given_table, made_local, reading
from movie_embed.data.titles import read_movies, read_tags
from movie_embed.data.triples import Counts, Triples, filtered
from movie_embed.data.values import BadRows
from movie_embed.errors import MovieEmbedError, cannot_write
from movie_embed.storage import (
    atomic_folder,
    digest_of,
    read_columns,
    write_columns,
)

_CACHE_VERSION = 6  # raise it when the same source and settings give other triples
_COLUMNS = "columns.safetensors"
_MOVIELENS = {"userId", "movieId", "rating"}
_log = logging.getLogger(__name__)


def load_triples(config: DataConfig, frame: Any = None) -> Triples:
    """Load the configured data set, from the cache of packed triples where that has it.

    The cache is keyed by the bytes of the source and the settings that shape the result, and
    built under a lock: of runs that start together one builds it and the others wait.

    Parameters
    ----------
    config
        Which data, and how they are read and filtered.
    frame
        Ratings in memory instead: a table of pandas, Arrow or Polars. They are not cached.

    Raises
    ------
    MovieEmbedError
        The data set cannot be found, fetched or read, or the threshold leaves nothing.
    """
    if frame is not None or config.query:  # whether what they hold has changed is not known
        kind, given = ("query", _query(config)) if frame is None else ("frame", frame)
        return _read(config, Sources(given_table(kind, given, config)), None)
    sources = None if config.name == "demo" else _find(config)
    on_disk = sources.on_disk if sources else demo.SOURCES
    name = f"{config.name}-{_cache_key(config, on_disk)}"
    try:
        cached = cache_dir(config.cache_dir) / "triples" / name
        lock = _lock(cached)
    except MovieEmbedError as error:
        if config.cache_dir:
            raise
        _log.warning("%s; going on without", error)
        return _read(config, sources, None)
    with lock:
        if cached.exists():
            try:
                return _read_cache(cached, config.window)
            except MovieEmbedError as error:
                _log.warning("%s; building it again", error)
        triples = _read(config, sources, cached)
        try:
            _write_cache(cached, triples)
        except MovieEmbedError as error:
            _log.warning("%s; going on without", error)
            return triples
        if len(triples) <= config.window:
            return triples
        del triples  # its files, mapped too, would count beside those of the cache
        return _read_cache(cached, config.window)


def _query(config: DataConfig) -> str:
    """Return ``data.query``, from the file that it names if it is one."""
    file = Path(config.query or "").expanduser()
    if file.suffix != ".sql":
        return config.query or ""
    with reading(file):
        return file.read_text(encoding="utf-8").strip().removesuffix(";")


def _lock(cached: Path) -> AbstractContextManager[object]:
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        return wait_for(FileLock(cached.with_suffix(".lock")))
    except OSError as error:
        raise MovieEmbedError(
            f"{cached.parent} cannot hold the cache: {error.strerror}; choose another folder with "
            "data.cache_dir=..."
        ) from error


def _find(config: DataConfig) -> Sources:
    config.check_source()
    if config.path:
        return find_sources(Path(config.path).expanduser(), config)
    folder = cache_dir(config.cache_dir)
    return find_sources(fetch(RELEASES[config.name], folder, download=config.download), config)


@contextmanager
def _scratch(cached: Path | None) -> Iterator[Path]:
    """Yield an empty folder, which is removed in the end: beside the cache, where there is one."""
    if cached is None:
        with tempfile.TemporaryDirectory() as name:
            yield Path(name)
        return
    # The lock is held, so a folder of this name is one that a killed process has left.
    folder = cached.with_name(f".{cached.name}.scratch")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.mkdir()
        yield folder
    except OSError as error:
        raise MovieEmbedError(cannot_write(folder, error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read(config: DataConfig, sources: Sources | None, cached: Path | None) -> Triples:
    """Make triples of raw or, without sources, simulated ratings."""
    with _scratch(cached) as scratch:
        if sources:
            return _read_files(config, _local(sources, scratch), scratch)
        drawn = demo.draw_ratings(config.users or demo.DEFAULT_USERS)
        table = given_table("frame", pd.DataFrame(drawn._asdict()), config)
        ratings = sorted_ratings(table, config, demo.RATING_RANGE, BadRows(), scratch)
        return filtered(ratings, (demo.movies(), {}), config.min_ratings, demo.RATING_RANGE)


def _read_files(config: DataConfig, sources: Sources, scratch: Path) -> Triples:
    bad_rows = BadRows(skip=config.on_bad_rows == "skip")
    given = (config.rating_range[0], config.rating_range[1]) if config.rating_range else None
    usual = (0.5, 5.0) if {*sources.ratings.names} >= _MOVIELENS else None
    ratings = sorted_ratings(sources.ratings, config, given or usual, bad_rows, scratch)
    whole = ratings.movie_ids.dtype != object
    texts = read_movies(sources, whole, bad_rows), read_tags(sources, whole, bad_rows)
    large = len(ratings.keys) > config.window
    scale = given or _observed_range(ratings)
    triples = filtered(ratings, texts, config.min_ratings, scale, scratch if large else None)
    notes = tuple(_notes(sources, triples, ratings, given is None))
    return replace(triples, bad_rows=bad_rows.count, notes=notes)


def _local(sources: Sources, scratch: Path) -> Sources:
    """Unpack the members of a zip that are read."""

    def local(name: str) -> Table | None:
        table: Table | None = getattr(sources, name)
        return made_local(table, scratch / name) if table else None

    ratings = local("ratings")
    assert ratings is not None
    return replace(
        sources, ratings=ratings, movies=local("movies"), tags=local("tags"), links=local("links")
    )


def _observed_range(ratings: SortedRatings) -> tuple[float, float]:
    low, high = float(ratings.levels[0]), float(ratings.levels[-1])
    if low == high:
        raise MovieEmbedError(
            f"all {sum(ratings.star_counts.values()):,} ratings are {low:g}: give the scale, "
            "'data.rating_range=[lowest,highest]'"
        )
    return low, high


def _notes(
    sources: Sources, triples: Triples, ratings: SortedRatings, observed: bool
) -> Iterator[str]:
    """Yield what was read and left aside, and what may not be as the user thinks."""
    aside = f"; left aside: {', '.join(sources.aside)}" if sources.aside else ""
    yield f"read: {', '.join(map(str, sources.tables))}{aside}"
    table = sources.ratings
    if table.kind == "text" and not table.first:
        yield f"{table.path.name} has no header: its columns are {', '.join(table.names)}"
    named = sum(map(bool, triples.movies.titles))
    if not sources.movies:
        yield "no table of titles: movies go by their ids (data.columns.title names its column)"
    elif named < len(triples.movies) / 2:
        yield f"only {named:,} of {len(triples.movies):,} movies have a title"
    yield from ratings.notes
    if observed:
        yield from _scale_notes(ratings.star_counts)


def _scale_notes(counts: dict[float, int]) -> Iterator[str]:
    """Yield doubts about the scale: an end far off, or so frequent that it is no rating."""
    values = sorted(counts)
    if len(values) < 4:
        return
    steps = np.diff(values)
    ends = ((values[0], steps[0], values[1:]), (values[-1], steps[-1], values[:-1]))
    for value, step, rest in ends:
        frequent = value <= 0 and counts[value] > sum(counts.values()) / 10
        if frequent or step > 2 * np.median(steps):
            yield (
                f"the scale is {values[0]:g} to {values[-1]:g} because of {counts[value]:,} "
                f"ratings of {value:g}; if they are none: 'data.rating_range=[{rest[0]:g},"
                f"{rest[-1]:g}]' data.on_bad_rows=skip"
            )


def _cache_key(config: DataConfig, sources: Iterable[Path]) -> str:
    reading_of = (config.name, config.columns, config.rating_range, config.on_bad_rows)
    shaping = (*reading_of, config.delimiter, config.text_ids, config.min_ratings, config.users)
    digest = xxhash.xxh3_128(repr((_CACHE_VERSION, shaping)).encode())
    for source in sources:
        with reading(source), source.open("rb") as file:
            digest.update(f"{source.name}/{source.stat().st_size}/".encode())
            file_digest(file, lambda: digest)
    return digest.hexdigest()


def _write_cache(path: Path, triples: Triples) -> None:
    with atomic_folder(path) as folder:
        for name in ("packed", "rare"):
            getattr(triples, name).tofile(folder / name)
        write_columns(
            folder / _COLUMNS,
            "triples",
            {
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
                "notes": triples.notes,
                "arrays": {
                    name: (array.dtype.str, array.size, digest_of(array))
                    for name, array in (("packed", triples.packed), ("rare", triples.rare))
                },
            },
            durable=False,  # what a power cut spoils is built again
        )


def _read_cache(path: Path, window: int) -> Triples:
    columns, metadata = read_columns(path / _COLUMNS, "triples")
    arrays = {
        name: _read_array(path / name, dtype, size, digest, window)
        for name, (dtype, size, digest) in metadata["arrays"].items()
    }
    low, high = metadata["rating_range"]
    return Triples(
        packed=arrays["packed"],
        rare=arrays["rare"],
        levels=columns["levels"],
        user_ids=columns["user_ids"],
        movies=MovieTable.from_columns(columns, metadata["embedded"]),
        rating_range=(low, high),
        before=Counts(**metadata["before"]),
        duplicates=metadata["duplicates"],
        bad_rows=metadata["bad_rows"],
        notes=tuple(metadata["notes"]),
    )


def _read_array(path: Path, dtype: str, size: int, digest: str, window: int) -> Packed:
    """Read an array of the cache, or map it where it is larger than the window."""
    try:
        if size > window:
            array: Packed = np.memmap(path, np.dtype(dtype), "r")
        else:
            array = np.fromfile(path, np.dtype(dtype))
    except (OSError, ValueError) as error:
        raise MovieEmbedError(f"{path} cannot be read: {error}") from error
    if len(array) != size or digest_of(array) != digest:
        raise MovieEmbedError(f"{path} is damaged: it does not match its checksum")
    drop_pages(array)
    return array
