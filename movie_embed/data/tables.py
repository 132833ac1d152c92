"""One table of raw data: its layout, and its form in DuckDB's SQL."""

from __future__ import annotations

import glob
import re
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from movie_embed.config import ColumnNames, DataConfig
from movie_embed.data.files import (
    AnyPath,
    connect,
    open_bytes,
    reading,
    stem_of,
    suffix_of,
)
from movie_embed.data.lines import LineError, split_line
from movie_embed.data.movies import split_year
from movie_embed.errors import MovieEmbedError, did_you_mean, printable

# Common names of columns, in small letters without punctuation; the first that is there is taken.
_NAMES: dict[str, tuple[str, ...]] = {
    "user": ("userid", "user", "uid", "username", "reviewerid", "memberid", "customerid", "custid"),
    "movie": (
        "movieid", "movie", "itemid", "item", "filmid", "bookid", "animeid", "productid",
        "parentasin", "asin", "businessid", "artistid", "jokeid", "isbn",
    ),
    "rating": ("rating", "stars", "score", "userrating", "ratingval", "overall"),
    "timestamp": (
        "timestamp", "time", "date", "datetime", "ratedat", "daterated", "ratingdate", "ratingtime",
        "reviewdate", "reviewtime", "unixreviewtime", "createdat", "watcheddate", "watchedat",
    ),
    "title": ("title", "movietitle", "name", "originaltitle"),
    "genres": ("genres", "genre", "class"),
    "year": ("year", "releaseyear", "yearreleased", "originalpublicationyear", "releasedate"),
    "tag": ("tag",),
    "imdb": ("imdbid",),
    "tmdb": ("tmdbid",),
}  # fmt: skip
RATING_ROLES = ("user", "movie", "rating", "timestamp")
GENRE_FLAGS = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime",
    "Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance",
    "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_MOVIES, _TAGS = ("movie", "title", "genres"), ("user", "movie", "tag", "timestamp")
# Well-known files without a header: their separator, and what their columns are.
_KNOWN: dict[str, tuple[str, tuple[str, ...]]] = {
    "u.data": ("\t", RATING_ROLES),
    "u.item": ("|", ("movie", "title", "date", "video date", "URL", *GENRE_FLAGS)),
    "ratings.dat": ("::", RATING_ROLES),
    "movies.dat": ("::", _MOVIES),
    "tags.dat": ("::", _TAGS),
    "movie_titles.csv": (",", ("movie", "year", "title")),  # the Netflix Prize
}
OTHER_FORMS = {
    **dict.fromkeys((".xlsx", ".xls"), "save the sheet as CSV"),
    **dict.fromkeys((".sqlite", ".db"), "export the table as CSV or Parquet"),
    **dict.fromkeys((".feather", ".arrow"), "save it as Parquet"),
    ".pkl": "save it as CSV or Parquet",
}
_DELIMITERS = ("::", "\t", ";", ",", "|")  # of two that fit equally the first
_USUAL = {".dat": "::", ".data": "\t", ".base": "\t", ".test": "\t", ".txt": " "}  # unquoted
_NUMBER = re.compile(r"\s*[-+]?[0-9]+([.,][0-9]+)?\s*")
_HEAD = 2**16


@dataclass(frozen=True)
class Table:
    """One table, in one file or in parts of one layout."""

    paths: tuple[AnyPath, ...]  # as the user knows them, in the order in which they are read
    kind: str  # text, json or parquet; query and frame are no files
    names: tuple[str, ...]  # of the columns
    roles: dict[str, str]  # the name of the column that has a role: user, title, ...
    delimiter: str = ","  # of text, as all that follows
    first: int = 0  # how many lines stand above the rows
    sample: tuple[str, ...] = ()  # the first row, if there is no header: columns are "1", "2", ...
    quotes: bool = False
    local: tuple[Path, ...] = ()  # the paths, or ordinary files with the same content
    given: Any = None  # a query's text, or a table of pandas, Arrow or Polars

    def __str__(self) -> str:
        parts = f" and {len(self.paths) - 1:,} more parts" if len(self.paths) > 1 else ""
        return f"{self.paths[0].name}{parts}"

    @property
    def unit(self) -> str:
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
            return replace(_described(first, config), paths=paths, local=())


def given_table(kind: str, given: Any, config: DataConfig) -> Table:
    """Return a query, or a table in memory, as a table of ratings."""
    path = Path("data.query" if kind == "query" else "the table given")
    with reading(path):
        return _described(Table((path,), kind, (), {}, local=(path,), given=given), config)


def _described(table: Table, config: DataConfig) -> Table:
    """Return a table with the columns that DuckDB finds in it."""
    relation, parameters = relation_of(table)
    with connect(given=table.given) as engine:
        rows = engine.execute(f"DESCRIBE FROM {relation}", parameters).fetchall()
    names = tuple(row[0] for row in rows)
    return replace(table, names=names, roles=_roles_in(names, config.columns, table.paths[0]))


def relation_of(table: Table) -> tuple[str, dict[str, Any]]:
    """Return a table as SQL to stand behind FROM, and its parameters."""
    if table.kind == "frame":
        return "given", {}
    if table.kind == "query":
        return f"({table.given})", {}
    files = {"files": [glob.escape(str(path)) for path in table.local]}
    if table.kind == "parquet":
        return "read_parquet($files, union_by_name=true)", files
    if table.kind == "json":
        return "read_json($files, convert_strings_to_integers=false)", files
    layout = {
        "delimiter": table.delimiter,
        "quote": '"' if table.quotes else "",
        "first": table.first,
        # Unused columns may share a name or have none.
        "columns": {f"c{place}": "VARCHAR" for place in range(len(table.names))},
    }
    return (
        "read_csv($files, delim=$delimiter, quote=$quote, escape=$quote, skip=$first, "
        "header=false, columns=$columns, auto_detect=false)"
    ), files | layout


def listed(names: Sequence[str]) -> str:
    """Return the names of columns for a message."""
    return printable(", ".join(names)) or "nothing"


def no_column(table: Table, role: str, wanted: str) -> MovieEmbedError:
    """Return the error that names a missing column and the setting for it."""
    setting = f"data.columns.{role}"
    if table.sample:
        return MovieEmbedError(
            f"{table.paths[0]} has no header, and its first row is {listed(table.sample)}: "
            f"{setting}=N says by its place, 1 to {len(table.names)}, which column is the {role}"
        )
    near = did_you_mean(wanted, map(printable, table.names))
    ways = f"{setting}=NAME names it"
    if table.kind == "text" and len(table.names) < 2:
        ways = f"data.delimiter says what separates its fields, {ways}"
    return MovieEmbedError(
        f"{table.paths[0]}: no column {wanted!r}, it has {listed(table.names)}{near} ({ways})"
    )


def _text_table(paths: tuple[AnyPath, ...], config: DataConfig) -> Table:
    path, quotes = paths[0], suffix_of(paths[0]) not in _USUAL
    with open_bytes(path) as file:
        head = file.read(_HEAD)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise MovieEmbedError(f"{path} is in UTF-16: save it as UTF-8")
    lines = re.split("\r\n|\r|\n", head.decode("utf-8-sig", errors="replace"))
    above = 1 if re.fullmatch(r"sep=.", lines[0]) else 0
    while lines[above].startswith("#") and len(lines) > above + 1:  # a comment
        above += 1
    rows = [line for line in lines[above : above + 100] if line.strip()] or [""]
    if len(head) == _HEAD and len(lines) < above + 100:
        rows = rows[:-1] or rows  # the last line is cut
    separator, usual = _layout(path, rows, config.delimiter)
    try:
        names = tuple(map(str.strip, split_line(lines[above], separator, quotes)))
    except LineError as error:
        raise MovieEmbedError(f"{path}, line {above + 1}: {error}") from error
    if len(names) > 3 and names == tuple(map(str, range(len(names)))):
        # pandas numbers columns without names; the first row is the next one.
        above, rows = above + 1, rows[1:] or [""]
        names = tuple(split_line(rows[0], separator, quotes))
    words = [name for name in names if not _NUMBER.fullmatch(name)]
    named = len(_roles_in(words, config.columns, path)) > 1
    if named or {*vars(config.columns).values()} & {*words} or (words == [*names] and not usual):
        quotes, roles = len(separator) == 1, _roles_in(names, config.columns, path)
        return Table(paths, "text", names, roles, separator, above + 1, quotes=quotes)
    # Numbers name no columns.
    split = _split(rows, separator, quotes)
    widths = Counter(map(len, split))
    width = max(widths, key=lambda width: (widths[width], width))
    if not usual:
        usual = _usual_columns(path, next(row for row in split if len(row) == width))
    elif usual != RATING_ROLES or width != 3:
        width = len(usual)
    quotes = quotes and len(separator) == 1 and (b'"' in head or not usual)
    places = tuple(str(place) for place in range(1, width + 1))
    roles = _by_place(usual, places, config.columns)
    return Table(paths, "text", places, roles, separator, above, sample=names, quotes=quotes)


def _layout(path: AnyPath, rows: list[str], given: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the separator of fields, and the columns of a well-known file without a header.

    A separator is the one that gives most rows as many fields as the first row has.
    """
    separator, usual = _KNOWN.get(path.name.lower(), ("", ()))
    quotes, fitting = suffix_of(path) not in _USUAL, dict[str, int]()
    for delimiter in _DELIMITERS:
        width, *more = map(len, _split(rows, delimiter, quotes))
        if width > 1:
            fitting[delimiter] = more.count(width)
    guess = max(fitting, key=fitting.__getitem__, default="")
    words = {len(row.split(" ")) for row in rows}
    if not guess and len(words) == 1 and max(words) > 2:
        guess = " "
    if given and given in rows[0] and given != separator:
        return given, ()
    if separator and (separator in rows[0] or not guess):
        return separator, usual
    return guess or _USUAL.get(suffix_of(path), ","), ()


def _split(rows: list[str], separator: str, quotes: bool) -> list[list[str]]:
    """Return the fields of rows, of a row that is malformed only its text."""
    split = list[list[str]]()
    for row in rows:
        try:
            split.append(split_line(row, separator, quotes))
        except LineError:
            split.append([row])
    return split


def _usual_columns(path: AnyPath, row: list[str]) -> tuple[str, ...]:
    """Return what the columns of a file without a header usually are."""
    number = len(row) > 2 and _NUMBER.fullmatch(row[2])
    titled = len(row) > 1 and split_year(row[1])[1] and not number
    if (titled or stem_of(path) in ("movie", "movies")) and len(row) in (2, 3):
        return ("movie", "title", "year") if number else _MOVIES[: len(row)]
    if stem_of(path) in ("tag", "tags") and len(row) == 4:
        return _TAGS
    return RATING_ROLES[: len(row)] if number and len(row) in (3, 4) else ()


def _by_place(
    usual: tuple[str, ...], places: tuple[str, ...], columns: ColumnNames
) -> dict[str, str]:
    """Return the column in each role, where columns go by their places: ``"1"``, ``"2"``, ...

    A setting that is a place moves its role. Those of ratings leave titles and tags as they are.
    """
    roles = dict(zip(usual, places, strict=False))
    for role, place in vars(columns).items():
        if place == "none":
            roles.pop(role, None)
        elif place in places:
            foreign = bool(usual) and (role in RATING_ROLES) != ("rating" in usual)
            needed = [roles.get(name) for name in RATING_ROLES[:3]]
            if not foreign or (role not in RATING_ROLES and place not in needed):
                roles = {r: p for r, p in roles.items() if p != place} | {role: place}
    return roles


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
            raise MovieEmbedError(
                f"{path}: {times} columns {chosen!r}, it has {listed(names)}; rename one of them, "
                f"or name another column: data.columns.{role}=NAME"
            )
        roles[role] = chosen
    if "movie" not in roles and "user" not in roles and "title" in roles and "id" in plain:
        roles["movie"] = plain["id"]
    return roles


def made_local(table: Table, folder: Path) -> Table:
    """Return a table whose files DuckDB can open: members of a zip are copied to a folder."""
    if not any(isinstance(p, zipfile.Path) or p.name.lower().endswith(".bz2") for p in table.paths):
        return replace(table, local=tuple(Path(str(path)) for path in table.paths))
    folder.mkdir()
    targets = []
    for number, path in enumerate(table.paths):
        # DuckDB tells a compression by the ending.
        target = folder / f"{number}-{re.sub(r'[.]bz2$', '', path.name, flags=re.IGNORECASE)}"
        with reading(path), open_bytes(path) as packed, target.open("wb") as plain:
            shutil.copyfileobj(packed, plain, 2**20)
        targets.append(target)
    return replace(table, local=tuple(targets))
