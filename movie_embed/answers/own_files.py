"""Files of somebody's own movies, as services and spreadsheets write them, to rows."""

from __future__ import annotations

import json
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from movie_embed.answers.own_columns import Columns, OwnFile, own_file, roles_in
from movie_embed.data.lines import Fields, quoted_rows, split_line
from movie_embed.errors import MovieEmbedError

_MOST_BYTES = 2**26
_FORMATS = (  # how a file begins, what it is, what to do
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save the sheet as CSV (UTF-8)"),
    (b"PAR1", "Parquet", "save it as CSV"),
    (b"SQLite format 3", "an SQLite database", "export the table as CSV"),
    (b"\x1f\x8b", "packed with gzip", "unpack it first"),
    (b"%PDF", "a PDF", "save the table that it was made from as CSV"),
    (b"<", "a web page or XML", "export or save it as CSV"),
)
_ZIPPED = (
    ("xl/", "an Excel workbook", "save the sheet as CSV (UTF-8)"),
    ("word/", "a Word document", "save the table as CSV or plain text"),
    ("content.xml", "an OpenDocument file", "save the sheet as CSV (UTF-8)"),
    ("Index/", "a Numbers document", "export it as CSV"),
)
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

    It is CSV of any kind, JSON, plain titles one a line, or a service's zip or unpacked folder, of
    which the table `wanted` is read: ``"ratings"``, ``"watchlist"`` or ``"watched"``.

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
        for start, kind, way in _ZIPPED:
            if any(member.startswith(start) for member in archive.namelist()):
                raise MovieEmbedError(f"{path} is {kind}: {way}")
        chosen = _member(path, archive.namelist(), wanted)
        with archive.open(chosen) as member:
            return f"{path}/{chosen}", member.read(_MOST_BYTES + 1)


def _member(path: Path, members: list[str], wanted: str) -> str:
    """Return the wanted file of an export; deleted, liked and written-about movies are others."""
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
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = content.decode("cp1252", errors="replace")
    if "\0" in text:
        raise MovieEmbedError(f"{name} is no text: save the table as CSV (UTF-8)")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _parsed(text: str) -> Any:
    """Return the content of JSON or JSON lines; None if the text is neither."""
    for document in (text, f"[{','.join(filter(str.strip, text.splitlines()))}]"):
        try:
            return json.loads(document)
        except (ValueError, RecursionError):
            continue
    return None


def _json_file(name: str, parsed: Any, columns: Columns, rated: bool) -> OwnFile:
    found = [*_objects(parsed)]
    header = [*dict.fromkeys(key for row in found for key in row)]
    rows = [(n, [row.get(key, "") for key in header]) for n, row in enumerate(found, start=1)]
    return own_file(name, header, rows, columns, rated, "entry")


def _objects(value: Any) -> Iterator[dict[str, str]]:
    """Yield the movies of a JSON document, flat: a list of them, lists by kind, or by title."""
    if isinstance(value, list):
        yield from (_flat(e) if isinstance(e, dict) else {"title": _text(e)} for e in value)
    elif isinstance(value, dict):
        lists = {key: part for key, part in value.items() if isinstance(part, list)}
        for key, part in lists.items():
            yield from ({"type": key, **row} for row in _objects(part))
        for key, each in ({} if lists else value).items():
            rest = _flat(each) if isinstance(each, dict) else {"rating": _text(each)}
            yield {"movie": key, **rest}


def _flat(value: dict[str, Any], depth: int = 3) -> dict[str, str]:
    """Return the texts and numbers of an object and of those in it; the outer ones come first."""
    flat = {key: _text(each) for key, each in value.items() if not isinstance(each, dict | list)}
    for each in value.values():
        if isinstance(each, dict) and depth:
            flat = {**_flat(each, depth - 1), **flat}
    return flat


def _text(value: Any) -> str:
    return "" if value is None or isinstance(value, bool | list | dict) else str(value)


def _text_file(name: str, text: str, columns: Columns, rated: bool) -> OwnFile:
    """Read text whose first line names the columns, or that is plain titles."""
    lines = text.split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    delimiter = ""
    if named := re.fullmatch(r'"?sep=(.)"?', lines[first].strip()):
        delimiter, first = named[1], first + 1
    elif lines[first].startswith("Letterboxd list export"):  # the movies come after a description
        first = next((n for n, line in enumerate(lines) if line.startswith("Position,")), first)
    lines[:first] = [""] * first
    delimiter = delimiter or max("\t,;|", key="".join(lines[first : first + 1]).count)
    whole = quoted_rows((f"{line}\n" for line in lines), delimiter)
    numbered: Sequence[tuple[int, Fields]]
    numbered = whole or [(n, split_line(line, delimiter)) for n, line in enumerate(lines, 1)]
    table = [(number, fields) for number, fields in numbered if "".join(fields).strip()]
    if not table:
        return OwnFile(name, [])
    header = table[0][1] if isinstance(table[0][1], list) else lines[first].split(delimiter)
    if not rated and not roles_in(header, columns):
        return own_file(name, ["title", "year"], _plain(lines), columns, rated)
    return own_file(name, header, table[1:], columns, rated)


def _plain(lines: list[str]) -> list[tuple[int, Fields]]:
    """Return titles one a line, with the year behind a tab if there is one."""
    bare = (re.sub(r"^\s*(?:[-*\u2022]|\d{1,4}[.)])\s+", "", line).strip() for line in lines)
    return [(n, line.strip('"').split("\t")[:2]) for n, line in enumerate(bare, 1) if line]
