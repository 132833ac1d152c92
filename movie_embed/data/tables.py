"""One table of raw data: its layout, and its form in DuckDB's SQL."""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from movie_embed.config import ColumnNames, DataConfig
from movie_embed.data.files import (
    AnyPath,
    connect,
    engine_path,
    open_bytes,
    reading,
    stem_of,
    suffix_of,
)
from movie_embed.data.lines import split_line
from movie_embed.errors import MovieEmbedError, did_you_mean, printable

# Common names of columns, in small letters without punctuation; the first that is there is taken.
_NAMES: dict[str, tuple[str, ...]] = {
    "user": ("userid", "user", "uid", "username", "reviewerid", "memberid", "customerid", "custid"),
    "movie": (
        "movieid", "movie", "itemid", "item", "filmid", "bookid", "animeid", "productid", "asin",
        "businessid", "artistid", "jokeid", "isbn",
    ),
    "rating": ("rating", "stars", "score", "userrating", "ratingval", "overall"),
    "timestamp": ("timestamp", "time", "date", "datetime", "ratedat", "unixreviewtime"),
    "title": ("title", "movietitle", "name", "originaltitle"),
    "genres": ("genres", "genre", "class"),
    "year": ("year", "releaseyear", "yearreleased", "originalpublicationyear", "releasedate"),
    "tag": ("tag",),
    "imdb": ("imdbid",),
    "tmdb": ("tmdbid",),
}  # fmt: skip
RATING_ROLES = ("user", "movie", "rating", "timestamp")
_BARE = {"movies": ("movie", "title", "genres"), "tags": ("user", "movie", "tag", "timestamp")}
GENRE_FLAGS = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime",
    "Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance",
    "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_U_ITEM = ("movie", "title", "date", "video date", "URL", *GENRE_FLAGS)
OTHER_FORMS = {
    **dict.fromkeys((".xlsx", ".xls"), "save the sheet as CSV"),
    **dict.fromkeys((".sqlite", ".db"), "export the table as CSV or Parquet"),
    **dict.fromkeys((".feather", ".arrow"), "save it as Parquet"),
    ".pkl": "save it as CSV or Parquet",
}
_DELIMITERS = ("::", "\t", ";", ",", "|")
_USUAL = {".dat": "::", ".data": "\t", ".base": "\t", ".test": "\t", ".txt": " "}  # unquoted
_SPOKEN = {"tab": "\t", "space": " ", "comma": ",", "semicolon": ";", "bar": "|"}
_HEAD = 2**16


@dataclass(frozen=True)
class Table:
    """One table, in one file or in parts of one layout.

    Attributes
    ----------
    paths
        The files as the user knows them, in the order in which they are read.
    kind
        ``"text"``, ``"json"`` or ``"parquet"``; ``"query"`` and ``"frame"`` are not files.
    names
        Names of the columns.
    roles
        The name of each column that has a known meaning, by role: ``"user"``, ``"title"``, ...
    delimiter
        The separator of fields in text.
    first
        The number of lines above the rows of text; 1 or more if there is a header.
    quotes
        Whether fields of text may be quoted.
    unpacked
        Ordinary files with the same content, if `paths` are members of a zip; see `local`.
    given
        A query's text, or a table in memory: of pandas, Arrow or Polars.
    """

    paths: tuple[AnyPath, ...]
    kind: str
    names: tuple[str, ...]
    roles: dict[str, str]
    delimiter: str = ","
    first: int = 0
    quotes: bool = False
    unpacked: tuple[Path, ...] = ()
    given: Any = None

    def __str__(self) -> str:
        parts = f" and {len(self.paths) - 1:,} more parts" if len(self.paths) > 1 else ""
        return f"{self.path.name}{parts}"

    @property
    def path(self) -> AnyPath:
        """The first file, which names the table in messages."""
        return self.paths[0]

    @property
    def local(self) -> tuple[Path, ...]:
        """The files as DuckDB opens them."""
        return self.unpacked or tuple(Path(str(path)) for path in self.paths)

    @property
    def unit(self) -> str:
        """The word for a row in messages."""
        return "line" if self.kind == "text" else "row"


def look_at(paths: tuple[AnyPath, ...], config: DataConfig) -> Table:
    """Return a table with the layout of its first file, or raise if that cannot be read."""
    path, suffix = paths[0], suffix_of(paths[0])
    with reading(path):
        if suffix in OTHER_FORMS:
            raise MovieEmbedError(f"{path} is not read as it is: {OTHER_FORMS[suffix]}")
        if suffix not in (".parquet", ".json", ".jsonl", ".ndjson"):
            return _text_table(paths, config)
        table = Table(paths, "parquet" if suffix == ".parquet" else "json", (), {})
        with tempfile.TemporaryDirectory() as folder:
            first = made_local(replace(table, paths=paths[:1]), Path(folder) / "table")
            return replace(_described(first, config), paths=paths, unpacked=())


def given_table(kind: str, given: Any, config: DataConfig) -> Table:
    """Return a query, or a table in memory, as a table of ratings."""
    path = Path("data.query" if kind == "query" else "the table given")
    with reading(path):
        table = _described(Table((path,), kind, (), {}, given=given), config)
    require_ratings(table, config)
    return table


def _described(table: Table, config: DataConfig) -> Table:
    """Return a table with the columns that DuckDB finds in it."""
    relation, parameters = relation_of(table)
    with connect(given=table.given) as engine:
        rows = engine.execute(f"DESCRIBE FROM {relation}", parameters).fetchall()
    names = tuple(row[0] for row in rows)
    return replace(table, names=names, roles=_roles_in(names, config.columns, table.path))


def relation_of(table: Table) -> tuple[str, dict[str, Any]]:
    """Return a table as SQL to stand behind FROM, and its parameters."""
    if table.kind == "frame":
        return "given", {}
    if table.kind == "query":
        return f"({table.given})", {}
    files = {"files": [engine_path(path) for path in table.local]}
    if table.kind == "parquet":
        return "read_parquet($files, union_by_name=true)", files
    if table.kind == "json":
        return "read_json($files, convert_strings_to_integers=false)", files
    layout = {
        "delimiter": table.delimiter,
        "quote": '"' if table.quotes else "",
        "first": table.first,
        "columns": dict.fromkeys(unique_names(table), "VARCHAR"),
    }
    return (
        "read_csv($files, delim=$delimiter, quote=$quote, escape=$quote, skip=$first, "
        "header=false, columns=$columns, auto_detect=false)"
    ), files | layout


def unique_names(table: Table) -> list[str]:
    """Return names that differ, because unused columns may share one or have none."""
    unique: list[str] = []
    for number, name in enumerate(table.names):
        taken = {other.casefold() for other in unique}
        unique.append(f"{name} {number}" if not name or name.casefold() in taken else name)
    return unique


def quoted(name: str) -> str:
    """Return the name of a column as SQL."""
    return '"{}"'.format(name.replace('"', '""'))


def require_ratings(table: Table, config: DataConfig) -> None:
    """Refuse a table that lacks a column which ratings must have."""
    for role in RATING_ROLES[:3]:
        if role not in table.roles:
            raise no_column(table, role, getattr(config.columns, role) or role)


def listed(names: Sequence[str]) -> str:
    """Return the names of columns for a message."""
    return printable(", ".join(names)) or "nothing"


def no_column(table: Table, role: str, wanted: str) -> MovieEmbedError:
    """Return the error that names a missing column and the setting for it."""
    near = did_you_mean(wanted, map(printable, table.names))
    return MovieEmbedError(
        f"{table.path}: no column {wanted!r}, it has {listed(table.names)}{near} "
        f"(data.columns.{role} names it, data.delimiter what separates fields)"
    )


def _text_table(paths: tuple[AnyPath, ...], config: DataConfig) -> Table:
    path = paths[0]
    with open_bytes(path) as file:
        head = file.read(_HEAD)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise MovieEmbedError(f"{path} is in UTF-16: save it as UTF-8")
    lines = re.split("\r\n|\r|\n", head.decode("utf-8-sig", errors="replace"))
    if path.name.lower() == "u.item":
        return Table(paths, "text", _U_ITEM, {name: name for name in _U_ITEM}, "|")
    first = 1 if re.fullmatch(r"sep=.", lines[0]) else 0
    header = lines[first] if len(lines) > first else ""
    sample = next((line for line in lines[first:] if line.strip()), "")
    given = _SPOKEN.get(config.delimiter or "", config.delimiter)
    table = Table(paths, "text", (), {}, given or _delimiter(sample, suffix_of(path)))
    fields = split_line(header, table.delimiter, quotes=suffix_of(path) not in _USUAL)
    if isinstance(fields, str):
        raise MovieEmbedError(f"{path}, line {first + 1}: {fields}")
    names = tuple(name.strip() for name in fields)
    bare = _bare_names(path, [line for line in lines[:99] if line.strip()], table.delimiter)
    roles = _roles_in(names, config.columns, path)
    if bare and not roles:
        return replace(table, names=bare, roles={name: name for name in bare})
    quotes = len(table.delimiter) == 1
    return replace(table, names=names, roles=roles, first=first + 1, quotes=quotes)


def _bare_names(path: AnyPath, lines: list[str], delimiter: str) -> tuple[str, ...]:
    """Return the columns of a file without header, or none if it cannot be one."""
    if suffix_of(path) == ".dat" and stem_of(path) in _BARE:
        return _BARE[stem_of(path)]
    rows = [line.split(delimiter) for line in lines]
    three, four = (sum(len(row) == width for row in rows) for width in (3, 4))
    # A header names its third column; a row without one has stars there.
    stars = rows[0][2] if rows and len(rows[0]) > 2 else ""
    bare = re.fullmatch(r"\s*-?[0-9.]+\s*", stars) and 2 * max(three, four) > len(rows)
    if not bare and suffix_of(path) not in (".dat", ".data"):
        return ()
    return RATING_ROLES[:3] if three > four else RATING_ROLES


def _delimiter(line: str, suffix: str) -> str:
    """Return the separator of a line's fields: the one that occurs most often."""
    if suffix in _USUAL and not any(delimiter in line for delimiter in ("::", "\t")):
        return _USUAL[suffix]
    return max(_DELIMITERS, key=lambda d: (line.count(d), d == ","))


def _roles_in(names: Sequence[str], columns: ColumnNames, path: AnyPath) -> dict[str, str]:
    """Return the name of the column in each role."""
    plain: dict[str, str] = {}
    for name in reversed(names):
        # RecBole writes the type behind a name: user_id:token.
        plain[re.sub(r"[\W_]", "", name.partition(":")[0].lower())] = name
    roles = {}
    for role, common in _NAMES.items():
        given = getattr(columns, role, None)
        usual = next((plain[key] for key in common if key in plain), None)
        chosen = given if given in names else usual
        if given == "none" or chosen is None:
            continue
        if (times := names.count(chosen)) > 1:
            raise MovieEmbedError(f"{path}: {times} columns {chosen!r}, it has {listed(names)}")
        roles[role] = chosen
    if "movie" not in roles and "title" in roles and "id" in plain:
        roles["movie"] = plain["id"]
    return roles


def made_local(table: Table, folder: Path) -> Table:
    """Return a table whose files DuckDB can open: members of a zip are copied to a folder."""
    if not any(isinstance(p, zipfile.Path) or p.name.lower().endswith(".bz2") for p in table.paths):
        return table
    folder.mkdir()
    targets = []
    for number, path in enumerate(table.paths):
        # DuckDB tells a compression by the ending.
        target = folder / f"{number}-{re.sub(r'[.]bz2$', '', path.name, flags=re.IGNORECASE)}"
        with reading(path), open_bytes(path) as packed, target.open("wb") as plain:
            shutil.copyfileobj(packed, plain, 2**20)
        targets.append(target)
    return replace(table, unpacked=tuple(targets))
