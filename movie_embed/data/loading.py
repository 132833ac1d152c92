"""The configured ratings, from raw files or from the cache on the disk."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields, replace
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from movie_embed.config import DataConfig
from movie_embed.data import demo
from movie_embed.data.datasets import DATA_SETS
from movie_embed.data.files import reading
from movie_embed.data.movie_files import Movie, read_movies, read_tags
from movie_embed.data.movielens import cache_dir, fetch, wait_for
from movie_embed.data.movies import MovieTable, ids_of
from movie_embed.data.ratings import Counts, DataSet, Ratings, numbered
from movie_embed.data.reader import Read, read_ratings
from movie_embed.data.sources import Sources, find_sources
from movie_embed.data.tables import Table, given_table, made_local
from movie_embed.data.values import BadRows
from movie_embed.errors import MovieEmbedError, plural
from movie_embed.storage import ColumnFile, atomic_folder, write_columns

_CACHE_VERSION = 7  # raise it when the same source and settings give other ratings
_FILE = "ratings.safetensors"
_PLAIN = ("rating_range", "duplicates", "bad_rows", "notes")
_MOVIELENS = {"userId", "movieId", "rating"}
_log = logging.getLogger(__name__)

Texts = tuple[Mapping[Any, Movie], Mapping[Any, str]]  # titles with genres, and tags, by movie id


def load_ratings(config: DataConfig, frame: Any = None) -> DataSet:
    """Load the configured data set, from the cache of ratings where that has it.

    The cache is keyed by the bytes of the source and the settings that shape the result. It is
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
    if frame is not None or config.query:  # whether their content has changed is not known
        kind, given = ("query", _query(config)) if frame is None else ("frame", frame)
        table = given_table(kind, given, config)
        return _read_apart(config, find_sources(config, table))
    sources = None if config.name == "demo" else _find(config)
    on_disk = sources.on_disk if sources else demo.SOURCES
    name = f"{config.name}-{_cache_key(config, on_disk)}"
    try:
        cached = cache_dir(config.cache_dir, "ratings") / name
        lock = wait_for(cached.with_suffix(".lock"))
    except MovieEmbedError as error:
        if config.cache_dir:
            raise
        _log.warning("%s; going on without", error)
        return _read_apart(config, sources)
    with lock:
        if cached.exists():
            try:
                return _read_cache(cached / _FILE)
            except MovieEmbedError as error:
                _log.warning("%s; building it again", error)
        return _build_cache(cached, config, sources)


def load_held_out(config: DataConfig, data: DataSet, source: Any) -> tuple[Ratings, NDArray[Any]]:
    """Read ratings to be held out from a file or a table in memory; and the ids of their movies."""
    with tempfile.TemporaryDirectory() as scratch:
        if isinstance(source, str):
            table = find_sources(replace(config, path=source)).ratings
            table = made_local(table, Path(scratch, "ratings"))
        else:
            table = given_table("frame", source, config)
        bad_rows = BadRows(skip=config.on_bad_rows == "skip")
        config = replace(config, rating_range=list(data.rating_range), split="random")
        read = read_ratings(table, config, data.rating_range, bad_rows, Path(scratch))
    return read.ratings, read.movie_ids


def _read_apart(config: DataConfig, sources: Sources | None) -> DataSet:
    with tempfile.TemporaryDirectory() as scratch:
        return _read(config, sources, Path(scratch))


def _build_cache(cached: Path, config: DataConfig, sources: Sources | None) -> DataSet:
    data = None
    try:
        with atomic_folder(cached) as folder:
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                data = _read(config, sources, Path(scratch))
            _write_cache(folder / _FILE, data)
    except MovieEmbedError as error:
        if data is None:
            raise
        _log.warning("%s; going on without", error)
    return data


def _query(config: DataConfig) -> str:
    """Return ``data.query``, from the file that it names if it is one."""
    file = Path(config.query or "").expanduser()
    if file.suffix != ".sql":
        return config.query or ""
    with reading(file):
        return file.read_text(encoding="utf-8").strip().removesuffix(";")


def _find(config: DataConfig) -> Sources:
    config.check_source()
    if config.path:
        return find_sources(config)
    folder = cache_dir(config.cache_dir)
    archive = fetch(DATA_SETS[config.name], folder, download=config.download)
    return find_sources(config, path=archive)


def _read(config: DataConfig, sources: Sources | None, scratch: Path) -> DataSet:
    """Read raw or, without sources, simulated ratings."""
    if sources is None:
        drawn = demo.draw_ratings(config.users or demo.DEFAULT_USERS)
        table, scale = given_table("frame", drawn, config), demo.RATING_RANGE
        read = read_ratings(table, config, scale, BadRows(), scratch)
        return _data_set(read, (demo.movies(), {}), config, scale)
    tables = {name: table for name, table in vars(sources).items() if isinstance(table, Table)}
    local: dict[str, Any] = {name: made_local(t, scratch / name) for name, t in tables.items()}
    sources = replace(sources, **local)
    bad_rows = BadRows(skip=config.on_bad_rows == "skip")
    given = (config.rating_range[0], config.rating_range[1]) if config.rating_range else None
    usual = (0.5, 5.0) if {*sources.ratings.names} >= _MOVIELENS else None
    read = read_ratings(sources.ratings, config, given or usual, bad_rows, scratch)
    whole = read.movie_ids.dtype != object
    texts = read_movies(sources, config, whole, bad_rows), read_tags(sources, whole, bad_rows)
    data = _data_set(read, texts, config, given or _observed_range(read.ratings.levels))
    notes = tuple(_notes(sources, data.movies, read, given is None))
    return replace(data, bad_rows=bad_rows.count, notes=notes)


def _data_set(read: Read, texts: Texts, config: DataConfig, scale: tuple[float, float]) -> DataSet:
    ratings, movies, before = numbered(read.ratings, read.movie_ids, texts, config.min_ratings)
    return DataSet(ratings, movies, scale, before, int(read.rows.sum()) - before.ratings)


def _observed_range(levels: NDArray[np.float32]) -> tuple[float, float]:
    low, high = float(levels[0]), float(levels[-1])
    if low == high:
        way = "give the scale, 'data.rating_range=[lowest,highest]'"
        raise MovieEmbedError(f"every rating is {low:g}: {way}")
    return low, high


def _notes(sources: Sources, movies: MovieTable, read: Read, observed: bool) -> Iterator[str]:
    """Yield the files that were read and left aside, and doubts about their content."""
    aside = f"; left aside: {', '.join(sources.aside)}" if sources.aside else ""
    yield f"read: {', '.join(map(str, sources.tables))}{aside}"
    table = sources.ratings
    if table.sample:
        roles, places = ", ".join(table.roles), ", ".join(table.roles.values())
        yield f"{table.paths[0].name} has no header: {roles} are its columns {places}"
    named = sum(map(bool, movies.titles))
    if "title" in table.roles and not sources.movies and not named:
        yield (
            f"most movies have several texts in the column {table.roles['title']!r}, which is not "
            f"taken for titles: 'data.columns.title={table.roles['title']}' takes it"
        )
    elif not (sources.movies or "title" in table.roles):
        way = ""
        if table.kind == "query":
            way = " (data.path=FOLDER reads one beside a query)"
        elif sources.aside or len(table.names) > len(table.roles):
            way = " (data.columns.title=NAME names its column)"
        yield f"no table of titles: movies go by their ids{way}"
    elif named < len(movies) / 2:
        yield f"only {named:,} of {len(movies):,} movies have a title"
    yield from read.notes
    if observed:
        yield from _scale_notes(read.ratings.levels.tolist(), read.rows.tolist())


def _scale_notes(levels: list[float], counts: list[int]) -> Iterator[str]:
    """Yield doubts about the scale: an end far from the rest, or a frequent 0 or -1."""
    if len(levels) < 4:
        return
    steps = np.diff(levels)
    for end, step, rest in ((0, steps[0], levels[1:]), (-1, steps[-1], levels[:-1])):
        frequent = levels[end] <= 0 and counts[end] > sum(counts) / 10
        if frequent or step > 2 * np.median(steps):
            yield (
                f"the scale is {levels[0]:g} to {levels[-1]:g} because of "
                f"{plural(counts[end], 'rating')} of {levels[end]:g}; if they are none: "
                f"'data.rating_range=[{rest[0]:g},{rest[-1]:g}]' data.on_bad_rows=skip"
            )


def _cache_key(config: DataConfig, sources: Iterable[Path]) -> str:
    reading_of = (config.name, config.columns, config.rating_range, config.on_bad_rows)
    shaping = (*reading_of, config.delimiter, config.text_ids, config.min_ratings, config.users)
    key = repr((_CACHE_VERSION, shaping, config.needs_times))
    digest = xxhash.xxh3_128(key.encode())
    for source in sources:
        with reading(source), source.open("rb") as file:
            digest.update(f"{source.name}/{source.stat().st_size}/".encode())
            file_digest(file, lambda: digest)
    return digest.hexdigest()


def _write_cache(file: Path, data: DataSet) -> None:
    about = {name: getattr(data, name) for name in _PLAIN}
    about |= {"before": asdict(data.before), "trained": data.movies.embedded}
    columns = vars(data.ratings) | data.movies.to_columns()
    columns = {name: column for name, column in columns.items() if column is not None}
    # `atomic_folder` flushes it.
    write_columns(file, "ratings", columns, about, durable=False)


def _read_cache(file: Path) -> DataSet:
    cached = ColumnFile(file, "ratings")
    columns, about = cached.read(), cached.metadata
    ratings = {column.name: columns.get(column.name) for column in fields(Ratings)}
    plain: dict[str, Any] = {
        name: tuple(of) if isinstance(of := about[name], list) else of for name in _PLAIN
    }
    return DataSet(
        ratings=Ratings(**ratings | {"user_ids": ids_of(columns["user_ids"])}),
        movies=MovieTable.from_columns(columns, about["trained"]),
        before=Counts(**about["before"]),
        **plain,
    )
