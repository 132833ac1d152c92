"""Find the tables of a data set in a folder, a zip or beside a file."""

from __future__ import annotations

import itertools
import re
import stat
import weakref
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from movie_embed.config import DataConfig
from movie_embed.data.files import AnyPath, reading, stem_of, suffix_of
from movie_embed.data.tables import (
    OTHER_FORMS,
    RATING_ROLES,
    Table,
    listed,
    look_at,
    no_column,
)
from movie_embed.errors import MovieEmbedError, plural, printable

_SUFFIXES = {
    ".csv", ".tsv", ".dat", ".data", ".base", ".test", ".inter", ".item",
    ".parquet", ".json", ".jsonl", ".ndjson",
}  # fmt: skip
_DEPTH, _LISTED = 3, 18  # folders deep; tables in an error
_EXPECTED = (
    "a user, a movie and a rating column (.csv, .tsv, .dat, .jsonl or .parquet); "
    "data.columns.user=NAME, data.columns.movie=NAME and data.columns.rating=NAME name its "
    "columns, without a header by their places: data.columns.user=1"
)


@dataclass(frozen=True)
class Sources:
    """The tables of a data set, and the names of files that were left aside."""

    ratings: Table
    movies: Table | None = None
    tags: Table | None = None
    links: Table | None = None
    aside: tuple[str, ...] = ()

    @property
    def tables(self) -> list[Table]:
        return [table for table in vars(self).values() if isinstance(table, Table)]

    @property
    def on_disk(self) -> list[Path]:
        """The files whose content determines the ratings."""
        paths = [path for table in self.tables for path in table.paths]
        return sorted(
            {Path(p.root.filename or "") if isinstance(p, zipfile.Path) else p for p in paths}
        )


def find_sources(
    config: DataConfig, given: Table | None = None, path: Path | None = None
) -> Sources:
    """Find the tables of a data set in a folder or zip, or beside a file of ratings.

    Beside ratings that are `given`, a query or a table in memory, titles, tags and links are found.
    """
    if config.path:
        path = Path(config.path).expanduser()
    if path is None:
        assert given
        return _checked(Sources(given), config)
    with reading(path):
        if not path.exists():
            raise MovieEmbedError(f"data.path={path}: no such file or folder")
        if path.suffix.lower() == ".zip" and path.is_file():
            sources = _in_folder(_open_zip(path), path, config, given)
        elif path.is_dir() or given:
            sources = _in_folder(path, path, config, given)
        else:
            others = [look_at(parts, config) for parts in _files(path.parent) if path not in parts]
            sources = _with_others(look_at((path,), config), others, config)
        return _checked(sources, config)


def _in_folder(root: AnyPath, path: Path, config: DataConfig, given: Table | None) -> Sources:
    """Find tables in a folder, or else in the folders in it, three levels deep."""
    level, seen = [root], list[Table]()
    for _ in range(_DEPTH):
        tables = {folder: [look_at(parts, config) for parts in _files(folder)] for folder in level}
        found = [(f, table) for f in level for table in _fitting(tables[f], config, given)]
        if found:
            folder, ratings = found[0]
            folders = dict.fromkeys(str(each) for each, _ in found)
            paths = dict.fromkeys(str(table.paths[0]) for _, table in found)
            for kind, names in (("folders", folders), ("tables", paths)):
                if len(names) > 1:
                    have = f"{kind} have {'titles' if given else 'ratings'}: {', '.join(names)}"
                    raise MovieEmbedError(f"data.path={path}: several {have}; name one of them")
            above = [] if folder in (root, path) else [look_at(p, config) for p in _files(root)]
            others = [t for t in (*tables[folder], *above) if t.paths[0] not in ratings.paths]
            return _with_others(ratings, others, config)
        seen += itertools.chain.from_iterable(tables.values())
        level = [child for folder in level for child in _visible(folder) if child.is_dir()]
    visible = _visible(root)
    zips = [child for child in visible if suffix_of(child) == ".zip"]
    if len(zips) == 1 and isinstance(zips[0], Path):
        return _in_folder(_open_zip(zips[0]), zips[0], config, given)
    for child in visible:
        if suffix_of(child) in OTHER_FORMS:
            look_at((child,), config)
    if len(seen) == 1 and not given and "title" not in seen[0].roles:
        _checked(Sources(seen[0]), config)
    wanted = f"titles, tags or links, to stand beside {given}" if given else _EXPECTED
    told = [f"data.path={path}: found no table with {wanted}", *_described(seen, visible)]
    raise MovieEmbedError("\n".join(told))


def _described(tables: list[Table], visible: list[AnyPath]) -> Iterator[str]:
    """Yield a line for each table that does not fit, and one for the files of other kinds."""
    for table in tables[:_LISTED]:
        kind = "no header, the first row is " if table.sample else ""
        yield f"{table}: {kind}{listed(table.sample or table.names)}"
    if len(tables) > _LISTED:
        yield f"and {plural(len(tables) - _LISTED, 'more table')}"
    if others := [p.name for p in visible if p.is_file() and suffix_of(p) not in _SUFFIXES]:
        yield f"not looked at: {listed(others)}"


def _fitting(tables: list[Table], config: DataConfig, given: Table | None) -> list[Table]:
    """Return the tables that may be the ratings; if several may, the ones with that name.

    Ratings that are `given` fit a folder with titles, tags or links.
    """
    if given:
        return [given] * (len(_with_others(given, tables, config).tables) > 1)
    fitting = [table for table in tables if {"user", "movie", "rating"} <= table.roles.keys()]
    named = {getattr(config.columns, role) for role in RATING_ROLES} - {None, "none"}
    fitting = [table for table in fitting if named <= {*table.names}] or fitting
    if len({(table.kind, table.names) for table in fitting}) == 1 and fitting[0].kind == "parquet":
        parts = tuple(path for table in fitting for path in table.paths)
        fitting = [replace(fitting[0], paths=parts)]  # a folder of shards
    called = [table for table in fitting if stem_of(table.paths[0]) in ("ratings", "rating", "u")]
    # A file of this name without such columns is still meant: its columns are then refused by name.
    meant = [table for table in tables if stem_of(table.paths[0]) in ("ratings", "rating")]
    return called or fitting or meant


def _with_others(ratings: Table, others: list[Table], config: DataConfig) -> Sources:
    """Return ratings with the tables of titles, tags and links beside them."""
    beside = [table for table in others if not {"user", "rating"} <= table.roles.keys()]

    movies, tags, links = (
        next((table for table in beside if roles <= table.roles.keys()), None)
        for roles in ({"movie", "title"}, {"movie", "tag"}, {"tmdb", "imdb"})
    )
    own = config.columns.title
    if movies and own in ratings.names and own not in movies.names:
        movies = None
    used = [ratings, movies, tags, links]
    aside = sorted(table.paths[0].name for table in others if table not in used)
    # A query may read what is left aside here.
    return Sources(ratings, movies, tags, links, () if ratings.kind == "query" else tuple(aside))


def _checked(sources: Sources, config: DataConfig) -> Sources:
    """Refuse ratings that lack a column they need, and settings that no table needs."""
    for role in RATING_ROLES[:3]:
        if role not in sources.ratings.roles:
            raise no_column(sources.ratings, role, getattr(config.columns, role) or role)
    titles, tags = sources.movies or sources.ratings, sources.tags
    owners = dict.fromkeys(("title", "genres", "year"), titles) | {"tag": tags or titles}
    for role, given in vars(config.columns).items():
        table = owners.get(role, sources.ratings)
        named = sources.tables if role == "movie" else [tags if role == "tag" else table]
        if given and given != "none" and not any(t and t.roles.get(role) == given for t in named):
            raise no_column(table, role, given)
    wanted = config.delimiter
    if wanted and not any(t.kind == "text" and t.delimiter == wanted for t in sources.tables):
        where = f"in the first line of {sources.ratings}"
        raise MovieEmbedError(f"data.delimiter={wanted!r}: left out, it is not {where}")
    return sources


def _visible(folder: AnyPath) -> list[AnyPath]:
    """Return the content of a folder, without the files that systems and tools leave."""
    children: list[AnyPath] = [*folder.iterdir()] if folder.is_dir() else []
    return sorted((p for p in children if not p.name.startswith((".", "_"))), key=str)


def _files(folder: AnyPath) -> Iterator[tuple[AnyPath, ...]]:
    """Yield the files of each table in a folder; parts of one table come together."""
    if not folder.is_dir():
        yield (folder,)
    parts: dict[str, list[AnyPath]] = {}
    for path in _visible(folder):
        if path.is_dir():
            if inside := tuple(_parts(path)):
                yield inside
        elif suffix_of(path) in _SUFFIXES or re.search(r"rating.*\.txt$", path.name.lower()):
            # part-00000.csv and part-00001.csv; ratings_2016.csv and ratings_2017.csv
            stem = re.sub(r"^part-.*|[0-9a-f-]{32,}|[0-9]{4,}", "*", stem_of(path))
            parts.setdefault(stem + suffix_of(path), []).append(path)
    yield from map(tuple, parts.values())


def _parts(folder: AnyPath) -> Iterator[AnyPath]:
    """Yield the parts of a table that is a folder: ``ratings.parquet/`` or ``shard=0/``."""
    named = suffix_of(folder) in _SUFFIXES or "=" in folder.name
    for path in _visible(folder):
        if path.is_dir() and "=" in path.name:
            yield from _parts(path)
        elif path.is_file() and named and suffix_of(path) in _SUFFIXES:
            yield path


def _open_zip(path: Path) -> zipfile.Path:
    """Open a zip whose members all lie inside it; a name like ``//x`` would hang `zipfile.Path`."""
    archive = zipfile.ZipFile(path)
    if archive.fp:  # else an error's traceback may keep the file open, and Python warns of it
        weakref.finalize(archive, archive.fp.close)
    for member in archive.infolist():
        parts = member.filename.removesuffix("/").split("/")
        link = stat.S_ISLNK(member.external_attr >> 16)
        if link or not {"", ".."}.isdisjoint(parts) or re.search(r"\\|^\w:", member.filename):
            raise MovieEmbedError(
                f"{path} has a member {printable(member.filename)!r}: names must be relative, with "
                "'/', without '..', and none a link"
            )
    return zipfile.Path(archive)
