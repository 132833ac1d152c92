"""Files of any container, encoding and dialect to tables of text."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from movie_embed.answers.imports.words import known_columns
from movie_embed.data.json_rows import flat_table
from movie_embed.data.lines import decoded, split_rows
from movie_embed.errors import MovieEmbedError

_MOST_ROWS, _MOST_COLUMNS, _MOST_CELLS, _MOST_LINES, _MOST_BYTES = 10**5, 10**3, 10**7, 10**6, 2**25
_FORMATS = {  # how a file, or a name in a zip, begins, and what it is
    b"\xd0\xcf\x11\xe0": "an old Excel workbook", b"xl/": "an Excel workbook",
    b"content.xml": "an OpenDocument file", b"Index/": "a Numbers document",
    b"word/": "a Word document", b"{\\rtf": "rich text", b"%PDF": "a PDF", b"PAR1": "Parquet",
    b"SQLite format 3": "an SQLite database", b"<?xml": "XML", b"<": "a web page",
    b"\x1f\x8b": "packed with gzip",
}  # fmt: skip
_WANTED = {"ratings": "ratings?|simklbackup", "watchlist": "watch-?list", "watched": "watched"}
# Deleted, liked and written-about movies are others than those that are wanted.
_ASIDE = re.compile(r"(^|[/\\])(\.|_|deleted[/\\]|orphaned[/\\]|likes[/\\]|lists[/\\])")


class Line(NamedTuple):
    """One row of a table; `fault` says what is wrong with it."""

    number: int
    cells: list[str]
    fault: str = ""


class Table(NamedTuple):
    """A file as text: its name, the line that names the columns, the others, a word for one."""

    name: str
    head: Line
    lines: list[Line]
    unit: str = "line"


def read_table(file: Path | bytes, name: str, wanted: str, knows: Callable[[str], bool]) -> Table:
    """Read CSV of any kind, JSON or plain titles, alone or in a service's zip or unpacked folder.

    Of a whole export the table `wanted` is read. Lines are plain titles only where the data `knows`
    some of them.
    """
    try:
        name, content = _content(file, name, wanted)
    except MovieEmbedError:
        raise
    except Exception as error:  # zipfile raises almost anything
        reason = getattr(error, "strerror", None) or error
        raise MovieEmbedError(f"{name} cannot be read: {reason}") from error
    _refuse_formats(name, content.lstrip(b"\xef\xbb\xbf \t\r\n"))
    # The names of the columns tell an older encoding.
    text = decoded(content, lambda text: known_columns(re.split("[\t,;|\n]", text[:1_000])))
    if "\0" in text:
        raise MovieEmbedError(f"{name} is no text: save the table as CSV (UTF-8)")
    if text.lstrip()[:1] in ("[", "{"):
        for document in (text, f"[{','.join(filter(str.strip, text.splitlines()))}]"):
            with suppress(ValueError, RecursionError):
                header, rows = flat_table(json.loads(document), _MOST_ROWS + 1)
                _require_bounded(name, len(rows), _MOST_ROWS, len(header))
                texts = ([row.get(key, "") for key in header] for row in rows)
                lines = [Line(n, cells) for n, cells in enumerate(texts, 1)]
                return Table(name, Line(0, header), lines, "entry")
    if re.search(r"(?i)\.(json|jsonl|ndjson)$", name) and text.strip():
        raise MovieEmbedError(f"{name} is no whole JSON document: download or save it again")
    return _text_table(name, text, wanted, knows)


def _refuse_formats(name: str, *starts: bytes) -> None:
    for mark, kind in _FORMATS.items():
        if any(start.startswith(mark) for start in starts):
            raise MovieEmbedError(f"{name} is {kind}: export or save its table as CSV (UTF-8)")


def _require_bounded(name: str, size: int, most: int, columns: int = 0) -> None:
    if size > most or columns > _MOST_COLUMNS or size * columns > _MOST_CELLS:
        told = f"{name} has more than {_MOST_ROWS:,} rows or {_MOST_COLUMNS:,} columns"
        raise MovieEmbedError(f"{told}: that is no one person's list")


def _content(file: Path | bytes, name: str, wanted: str) -> tuple[str, bytes]:
    """Return the name and the bytes of the file, or of the member of a zip or folder, to read."""
    if isinstance(file, Path) and file.is_dir():
        file /= _member(name, [str(each.relative_to(file)) for each in file.rglob("*")], wanted)
        name = str(file)
    with io.BytesIO(file) if isinstance(file, bytes) else file.open("rb") as opened:
        content = opened.read(_MOST_BYTES + 1)
    if content.startswith(b"PK\3\4") and len(content) <= _MOST_BYTES:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _refuse_formats(name, *map(str.encode, archive.namelist()))
            chosen = _member(name, archive.namelist(), wanted)
            name, content = f"{name}/{chosen}", archive.open(chosen).read(_MOST_BYTES + 1)
    _require_bounded(name, len(content), _MOST_BYTES)
    return name, content


def _member(name: str, members: list[str], wanted: str) -> str:
    tables = [m for m in members if re.search(r"(?i)\.(csv|tsv|txt|json)$", m)]
    tables = [member for member in tables if not _ASIDE.search(member)]
    name_of = rf"(?i)(.*[/\\])?(my_?|lists[-_])?({_WANTED[wanted]})([-_]movies?)?\.(csv|json)"
    fitting = [member for member in tables if re.fullmatch(name_of, member)] or tables
    if len(fitting) != 1:
        told = ", ".join([f"{len(fitting) or 'no'} tables that may be meant", *sorted(fitting)[:9]])
        raise MovieEmbedError(f"{name} has {told}: unpack it, and name the file")
    return fitting[0]


def _text_table(name: str, text: str, wanted: str, knows: Callable[[str], bool]) -> Table:
    """Read text whose first line names the columns, or that is plain titles."""
    lines = text.split("\n", _MOST_LINES)
    _require_bounded(name, len(lines), _MOST_LINES)
    named = re.match(r'\s*"?sep=(.)"?[ \t]*\n', text)
    above = text[: named.end()].count("\n") if named else 0
    sample = [(n, line) for n, line in enumerate(lines[above:], above) if line.strip()][:100]
    delimiter, start, agreeing = _dialect(sample or [(0, "")], named[1] if named else "\t,;|")
    table = _split(name, lines[start:], start, delimiter or "\x1f")
    if wanted != "ratings" and not known_columns(table.head.cells):
        bare = [Line(n, [title]) for n, title in enumerate(map(_bare, lines), 1) if title]
        known = sum(knows(line.cells[0]) for line in bare[:100])
        if known * 5 > len(sample) or not delimiter or agreeing < len(sample):
            return Table(name, Line(0, ["title"]), bare)
    return table


def _dialect(sample: list[tuple[int, str]], delimiters: str) -> tuple[str, int, int]:
    """Return the delimiter, ``""`` if there is none, the header, and how many lines are like it.

    The header is the one of the first lines that names most known columns, if several, since some
    exports begin with a title or a description; else the first line.
    """
    best = ("", sample[0][0], 0)
    for delimiter in delimiters:
        rows = [next(csv.reader([line[:9_999]], delimiter=delimiter), []) for _, line in sample]
        known, head = max((known_columns(row), place) for place, row in enumerate(rows[:20]))
        head = head if known > 1 else 0
        agreeing = sum(len(row) == len(rows[head]) for row in rows[head:])
        if len(rows[head]) > 1 and agreeing > best[2]:
            best = (delimiter, sample[head][0], agreeing)
    return best


def _split(name: str, lines: list[str], above: int, delimiter: str) -> Table:
    """Return the header and the lines below it that are not blank; all have as many fields."""
    found = [row for row in split_rows(lines, delimiter) if "".join(row[1]).strip()]
    (number, header, _), *rows = found or [(0, [], "")]
    width, fitted = len(header), []
    _require_bounded(name, len(rows), _MOST_ROWS, width)
    for n, cells, fault in rows:
        more = f"it has {len(cells)} fields, the header {width}: a comma inside needs quotes"
        fault = fault or (more if "".join(cells[width:]).strip() else "")
        fitted.append(Line(above + n, (cells + [""] * width)[:width], fault))
    return Table(name, Line(above + number, header), fitted)


def _bare(line: str) -> str:
    """Return a title without the mark or number of its place in a list, its year in brackets."""
    title = re.sub(r"^\s*(?:[-*\u2022]|\d{1,4}[.)])\s+", "", line).strip().strip('"')
    return re.sub(r"\s*\t\s*(\d{4})\b.*", r" (\1)", title)
