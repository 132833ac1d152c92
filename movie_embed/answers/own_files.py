"""Files of somebody's own movies, as services and spreadsheets write them, to rows."""

from __future__ import annotations

import csv
import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from movie_embed.answers.own_columns import (
    IMDB_ID,
    YEAR,
    Columns,
    OwnFile,
    is_header,
    own_file,
    rating_of,
    roles_in,
)
from movie_embed.errors import MovieEmbedError

_MOST_BYTES = 2**26
_FORMATS = (  # how a file begins, what it is, what to do
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as CSV (UTF-8)"),
    (b"PAR1", "Parquet", "save it as CSV"),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV"),
    (b"\x1f\x8b", "packed with gzip", "unpack it first"),
    (b"BZh", "packed with bzip2", "unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"%PDF", "a PDF", "save the table that it was made from as CSV"),
    (b"{\\rtf", "a text document (RTF)", "save it as plain text"),
    (b"<", "a web page or XML", "export or save it as CSV"),
    (b"ARROW1", "an Arrow file", "save it as CSV"),
    (b"\x89PNG", "a picture", "a table as CSV is needed"),
    (b"\xff\xd8\xff", "a picture", "a table as CSV is needed"),
)
_ZIPPED = (
    ("xl/workbook.xml", "an Excel workbook", "save the sheet as CSV (UTF-8)"),
    ("xl/workbook.bin", "an Excel workbook", "save the sheet as CSV (UTF-8)"),
    ("word/document.xml", "a Word document", "save the table as CSV or plain text"),
    ("content.xml", "an OpenDocument file", "save the sheet as CSV (UTF-8)"),
    ("Index/Document.iwa", "a Numbers document", "export it as CSV"),
)
_TOP = 10  # rows among which the header is
_UNREADABLE = (
    OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile,
    zlib.error, lzma.LZMAError,
)  # fmt: skip
_WANTED = {
    "ratings": r"(my_?)?ratings?([-_]movies?)?\.(csv|json)|simklbackup\.(csv|json)",
    "watchlist": r"(lists[-_])?watch-?list([-_]movies?)?\.(csv|json)",
    "watched": r"watched([-_]movies?)?\.(csv|json)",
}


def read_own_file(path: Path, columns: Columns, wanted: str) -> OwnFile:
    """Read a file of ratings, or of movies.

    Parameters
    ----------
    path
        CSV of any kind, JSON, plain titles one a line, or a service's zip or unpacked folder.
    columns
        The names of columns that are not recognised.
    wanted
        ``"ratings"``, ``"watchlist"`` or ``"watched"``: what is read of an export with all of them.

    Raises
    ------
    MovieEmbedError
        There is no such file, it has another format, or no column of movies (or ratings).
    """
    try:
        name, content = _content(path.expanduser(), wanted)
    except _UNREADABLE as error:
        reason = getattr(error, "strerror", None) or error
        raise MovieEmbedError(f"{path} cannot be read: {reason}") from error
    if len(content) > _MOST_BYTES:
        raise MovieEmbedError(
            f"{name} is larger than one person's ratings can be: train on it with data=files "
            "data.path=..."
        )
    for start, kind, way in _FORMATS:
        if content.startswith(start):
            raise MovieEmbedError(f"{name} is {kind}: {way}")
    text, rated = _decoded(name, content), wanted == "ratings"
    if text.lstrip()[:1] in ("[", "{") and (parsed := _parsed(text)) is not None:
        file = _json_file(name, parsed, columns, rated)
    elif re.search(r"\.(json|jsonl|ndjson)$", name, re.IGNORECASE) and text.strip():
        raise MovieEmbedError(f"{name} is no whole JSON document: download or save it again")
    else:
        file = _text_file(name, text, columns, rated)
    if not file.rows:
        raise MovieEmbedError(f"{name} has no {'ratings' if rated else 'movies'}")
    return file


def _content(path: Path, wanted: str) -> tuple[str, bytes]:
    """Return the name and the bytes of the file, or of the member of a zip or folder, to read."""
    if path.is_dir():
        members = [str(each.relative_to(path)) for each in path.rglob("*") if each.is_file()]
        path = path / _member(path, members, wanted)
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if not content.startswith(b"PK\3\4"):
        return str(path), content
    with zipfile.ZipFile(path) as archive:
        for part, kind, way in _ZIPPED:
            if part in archive.namelist():
                raise MovieEmbedError(f"{path} is {kind}: {way}")
        chosen = _member(path, archive.namelist(), wanted)
        with archive.open(chosen) as member:
            return f"{path}/{chosen}", member.read(_MOST_BYTES + 1)


def _member(path: Path, members: list[str], wanted: str) -> str:
    """Return which file of an export is meant: not what was deleted, liked or written of it."""
    aside = re.compile(r"(^|[/\\])(\.|_|deleted[/\\]|orphaned[/\\]|likes[/\\]|lists[/\\])")
    tables = [m for m in members if re.search(r"\.(csv|tsv|txt|json)$", m, re.IGNORECASE)]
    tables = [member for member in tables if not aside.search(member)]
    usual = re.compile(rf"(.*[/\\])?({_WANTED[wanted]})", re.IGNORECASE)
    fitting = [member for member in tables if usual.fullmatch(member)] or tables
    if len(fitting) == 1:
        return fitting[0]
    shown = f": {', '.join(sorted(fitting)[:9])}" if fitting else ""
    raise MovieEmbedError(
        f"{path} has {len(fitting) or 'no'} tables that may be meant{shown}; "
        f"{'unpack it and name the file' if path.is_file() else 'name the file'}"
    )


def _decoded(name: str, content: bytes) -> str:
    """Return text of UTF-8, UTF-16 or, where it is neither, the code page of Windows."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = content.decode("utf-16", errors="replace")
    elif b"\0" in content[:2]:  # UTF-16 without its mark
        text = content.decode(f"utf-16-{'be' if content[0] == 0 else 'le'}", errors="replace")
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("cp1252", errors="replace")
    if "\0" in text:
        raise MovieEmbedError(f"{name} is no text: save the table as CSV (UTF-8)")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _parsed(text: str) -> Any:
    """Return what JSON, or JSON lines, say; None where the text is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    try:
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    except (ValueError, RecursionError):
        return None


def _json_file(name: str, parsed: Any, columns: Columns, rated: bool) -> OwnFile:
    found = [*_objects(parsed)]
    header = [*dict.fromkeys(key for row in found for key in row)]
    rows = [(n, [row.get(key, "") for key in header]) for n, row in enumerate(found, start=1)]
    return own_file(name, header, rows, columns, rated, "entry")


def _objects(value: Any) -> Iterator[dict[str, str]]:
    """Yield the movies of a JSON document, flat: a list of them, lists by kind, or by title."""
    if isinstance(value, list):
        yield from map(_object, value)
    elif columns := _columnar(value):
        for row in zip(*columns.values(), strict=False):
            yield dict(zip(columns, map(_text, row), strict=True))
    elif isinstance(value, dict):
        lists = {key: part for key, part in value.items() if _holds_objects(part)}
        for key, part in lists.items():
            yield from ({"type": key, **row} for row in _objects(part))
        for key, each in ({} if lists else value).items():
            rest = _flat(each) if isinstance(each, dict) else {"rating": _text(each)}
            yield {"movie": key, **rest}


def _object(value: Any) -> dict[str, str]:
    if isinstance(value, dict):
        return _flat(value)
    if isinstance(value, list) and len(value) == 2:
        return {"movie": _text(value[0]), "rating": _text(value[1])}
    return {"title": _text(value)}


def _holds_objects(value: Any) -> bool:
    inside = value.values() if isinstance(value, dict) else ()
    return isinstance(value, list) or any(isinstance(e, list) and e for e in inside)


def _columnar(value: Any) -> dict[str, list[Any]]:
    """Return the columns of a table that pandas wrote by column; none where it is no such."""
    if not isinstance(value, dict) or not roles_in("", list(value), {}):
        return {}
    columns = {
        key: list(each.values()) if isinstance(each, dict) else each for key, each in value.items()
    }
    return columns if all(isinstance(each, list) for each in columns.values()) else {}


def _flat(value: dict[str, Any], depth: int = 3) -> dict[str, str]:
    """Return the texts and numbers of an object and of those in it; the outer ones come first."""
    flat = {key: _text(each) for key, each in value.items() if not isinstance(each, dict | list)}
    for key, each in value.items():
        if isinstance(each, dict) and depth:
            inner = _flat(each, depth - 1)
            flat = {**inner, **({key: inner["value"]} if "value" in inner else {}), **flat}
    return flat


def _text(value: Any) -> str:
    return "" if value is None or isinstance(value, bool | list | dict) else str(value)


def _text_file(name: str, text: str, columns: Columns, rated: bool) -> OwnFile:
    lines = text.split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    delimiter = ""
    if named := re.fullmatch(r'"?sep=(.)"?', lines[first].strip()):
        delimiter, first = named[1], min(first + 1, len(lines) - 1)
    if lines[first].startswith("Letterboxd list export"):  # its movies come after what it is
        places = (n for n, line in enumerate(lines) if line.startswith("Position,"))
        first = next(places, first)
    # One column of titles may hold commas.
    samples = lines[first : first + _TOP] if rated else lines[first : first + 1]
    sample = next((line for line in samples if re.search(r"[\t,;|]", line)), "")
    delimiter = delimiter or max("\t,;|", key=sample.count)
    table = [(first + number, row) for number, row in _table(lines[first:], delimiter)]
    if not table:
        return OwnFile(name, [])
    fitting = (n for n, (_, row) in enumerate(table[:_TOP]) if is_header(row, columns, rated))
    table = table[next(fitting, 0) :]  # a sheet may begin with its name
    header = table[0][1] if isinstance(table[0][1], list) else lines[first].split(delimiter)
    if roles_in(name, header, columns):
        return own_file(name, header, table[1:], columns, rated)
    if not rated:
        return own_file(name, ["title", "year"], _plain(lines), columns, rated)
    if bare := _bare_header([row for _, row in table]):
        note = f"{name} has no header: its columns are taken for {', '.join(bare)}"
        return own_file(name, bare, table, columns, rated, notes=(note,))
    return own_file(name, header, table[1:], columns, rated)


def _table(lines: list[str], delimiter: str) -> list[tuple[int, list[str] | str]]:
    """Return numbered rows; where a quote is amiss, a row a line, so that it costs one line."""
    csv.field_size_limit(2**24)  # a review may be long
    found: list[tuple[int, list[str] | str]] = []
    rows = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter, strict=True)
    number = 1
    try:
        for row in rows:
            if "".join(row).strip():
                found.append((number, row))
            number = rows.line_num + 1
    except csv.Error:
        found = [(n, _split(line, delimiter)) for n, line in enumerate(lines, 1) if line.strip()]
    return found


def _split(line: str, delimiter: str) -> list[str] | str:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error:
        # A spreadsheet quotes both ends of such a field; a title may begin with a quoted word.
        row = next(csv.reader([line], delimiter=delimiter, quoting=csv.QUOTE_NONE))
        return row if line.count('"') % 2 == 0 else "a quoted field does not end on its line"


def _plain(lines: list[str]) -> list[tuple[int, list[str] | str]]:
    """Return titles one a line, with the year behind a tab if there is one."""
    bare = (re.sub(r"^\s*(?:[-*\u2022]|\d{1,4}[.)])\s+", "", line).strip() for line in lines)
    rows = [(n, line.strip('"').split("\t")[:2]) for n, line in enumerate(bare, 1)]
    return [(n, row) for n, row in rows if row[0]]


def _bare_header(rows: Sequence[list[str] | str]) -> list[str]:
    """Return the columns of a table without header: a title, or IMDb's id, and a rating."""
    kinds = []
    for column in zip(*(row for row in rows if isinstance(row, list)), strict=False):
        values = [value.strip() for value in column]
        if all(YEAR.fullmatch(value) for value in values):
            kinds.append("year")
        elif all(rating_of(value) or not value for value in values):
            kinds.append("rating")
        else:
            kinds.append("imdb" if all(map(IMDB_ID.fullmatch, values)) else "title")
    movies = kinds.count("title") + kinds.count("imdb")
    return kinds if movies == kinds.count("rating") == 1 and len({*kinds}) == len(kinds) else []
