"""Files of any container, encoding and dialect to tables of text."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from movie_embed.answers.imports.words import known_columns
from movie_embed.data.lines import LineError, quoted_rows, split_line
from movie_embed.errors import MovieEmbedError

MOST_ROWS, _MOST_LINES, _MOST_BYTES, _MOST_CELLS = 100_000, 10**6, 2**25, 10**7
LISTED_AS = "listed as"  # the column that has the key of a list in JSON
_SHEET = "save the sheet as CSV (UTF-8)"
_FORMATS = {  # how a file, or a name in a zip, begins: what it is and what to do
    b"\xd0\xcf\x11\xe0": f"an old Excel workbook: {_SHEET}",
    b"PAR1": "Parquet: save it as CSV",
    b"SQLite format 3": "an SQLite database: export the table as CSV",
    b"\x1f\x8b": "packed with gzip: unpack it first",
    b"%PDF": "a PDF: save the table that it was made from as CSV",
    b"{\\rtf": "rich text: save it as plain text",
    b"<?xml": "XML: export CSV or JSON, or save the table as CSV",
    b"<": "a web page: copy its table into a spreadsheet and save that as CSV",
    b"xl/": f"an Excel workbook: {_SHEET}",
    b"word/": "a Word document: save its text as plain text, or its table as CSV",
    b"content.xml": f"an OpenDocument file: {_SHEET}",
    b"Index/": "a Numbers document: export it as CSV",
}
_OLDER = ("cp1252", "cp1251", "cp1253", "gb18030", "cp932", "cp949", "big5")
_WANTED = {
    "ratings": r"(my_?)?ratings?([-_]movies?)?\.(csv|json)|simklbackup\.(csv|json)",
    "watchlist": r"(lists[-_])?watch-?list([-_]movies?)?\.(csv|json)",
    "watched": r"watched([-_]movies?)?\.(csv|json)",
}


class Line(NamedTuple):
    """One row of a table: its number, its texts, and what is wrong with it, if anything is."""

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
    except Exception as error:  # zipfile and the codecs raise almost anything
        reason = getattr(error, "strerror", None) or error
        raise MovieEmbedError(f"{name} cannot be read: {reason}") from error
    _refuse(name, content.lstrip(b"\xef\xbb\xbf \t\r\n"))
    text = _decoded(name, content)
    if text.lstrip()[:1] in ("[", "{") and (document := _parsed(text)) is not None:
        return _json_table(name, document)
    if re.search(r"\.(json|jsonl|ndjson)$", name, re.IGNORECASE) and text.strip():
        raise MovieEmbedError(f"{name} is no whole JSON document: download or save it again")
    return _text_table(name, text, wanted, knows)


def _refuse(name: str, *starts: bytes) -> None:
    for start in starts:
        if told := next((told for mark, told in _FORMATS.items() if start.startswith(mark)), ""):
            raise MovieEmbedError(f"{name} is {told}")


def _bounded(name: str, fits: bool) -> None:
    if not fits:
        raise MovieEmbedError(
            f"{name} is larger than one person's list can be, {MOST_ROWS:,} rows: ratings of many "
            "people are trained on, with data=files data.path=..."
        )


def _content(file: Path | bytes, name: str, wanted: str) -> tuple[str, bytes]:
    """Return the name and the bytes of the file, or of the member of a zip or folder, to read."""
    if isinstance(file, Path) and file.is_dir():
        name = _member(name, [str(each.relative_to(file)) for each in file.rglob("*")], wanted)
        file = file / name
    with io.BytesIO(file) if isinstance(file, bytes) else file.open("rb") as opened:
        content = opened.read(_MOST_BYTES + 1)
    _bounded(name, len(content) <= _MOST_BYTES)
    if content.startswith(b"PK\3\4"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _refuse(name, *(member.encode() for member in archive.namelist()))
            chosen = _member(name, archive.namelist(), wanted)
            with archive.open(chosen) as member:
                name, content = f"{name}/{chosen}", member.read(_MOST_BYTES + 1)
        _bounded(name, len(content) <= _MOST_BYTES)
    return name, content


def _member(name: str, members: list[str], wanted: str) -> str:
    """Return the wanted file of an export; deleted, liked and written-about movies are others."""
    aside = re.compile(r"(^|[/\\])(\.|_|deleted[/\\]|orphaned[/\\]|likes[/\\]|lists[/\\])")
    tables = [m for m in members if re.search(r"(?i)\.(csv|tsv|txt|json)$", m)]
    tables = [member for member in tables if not aside.search(member)]
    usual = re.compile(rf"(?i)(.*[/\\])?({_WANTED[wanted]})")
    fitting = [member for member in tables if usual.fullmatch(member)] or tables
    if len(fitting) == 1:
        return fitting[0]
    shown = f": {', '.join(sorted(fitting)[:9])}" if fitting else ""
    told = f"{name} has {len(fitting) or 'no'} tables that may be meant{shown}"
    raise MovieEmbedError(f"{told}; unpack it if it is a zip, and name the file")


def _decoded(name: str, content: bytes) -> str:
    """Return text of UTF-8, UTF-16 or the older encoding in which the columns have known names."""
    wide = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}.get(content[:2], "")
    if not wide and b"\0" in content[:2]:
        wide = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    try:
        text = content.decode(wide or "utf-8-sig", "replace" if wide else "strict")
    except UnicodeDecodeError:
        texts = [content.decode(each, "replace") for each in _OLDER]
        text = max(texts, key=lambda t: known_columns(re.split("[\t,;|]", t.partition("\n")[0])))
    if "\0" in text:
        raise MovieEmbedError(f"{name} is no text: save the table as CSV (UTF-8)")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _parsed(text: str) -> Any:
    """Return the content of JSON or JSON lines; None if the text is neither."""
    for document in (text, f"[{','.join(filter(str.strip, text.splitlines()))}]"):
        with suppress(ValueError, RecursionError):
            return json.loads(document)
    return None


def _json_table(name: str, document: Any) -> Table:
    found = list(islice(_objects(document), MOST_ROWS + 1))
    # What is outside goes before what is inside.
    header = sorted({key: 0 for row in found for key in row}, key=lambda key: key.count("."))
    _bounded(name, len(found) <= MOST_ROWS and len(found) * len(header) <= _MOST_CELLS)
    lines = [Line(n, [row.get(key, "") for key in header]) for n, row in enumerate(found, 1)]
    return Table(name, Line(0, header), lines, "entry")


def _objects(document: Any) -> Iterator[dict[str, str]]:
    """Yield the movies of a document, flat: objects in lists, else texts, else titles or ids."""
    lists = list(_lists(document))
    bare = isinstance(document, list) or all(isinstance(e, list) for e in document.values())
    if any(isinstance(each, dict) for _, part in lists for each in part):
        for key, part in lists:
            yield from ({LISTED_AS: key, **dict(_flat(e))} for e in part if isinstance(e, dict))
    elif bare:
        yield from ({LISTED_AS: key, "title": _text(each)} for key, part in lists for each in part)
    else:
        for key, each in document.items():
            rest = dict(_flat(each)) if isinstance(each, dict) else {"rating": _text(each)}
            yield {"movieid" if key.isdecimal() else "movie": key, **rest}


def _lists(value: Any, key: str = "", depth: int = 8) -> Iterator[tuple[str, list[Any]]]:
    """Yield each list in a document, with its key; lists in other lists are parts of a movie."""
    if isinstance(value, list):
        yield key, value
    elif isinstance(value, dict) and depth:
        for name, each in value.items():
            yield from _lists(each, name, depth - 1)


def _flat(value: dict[str, Any], within: str = "", depth: int = 4) -> Iterator[tuple[str, str]]:
    """Yield the texts of an object by name; those of objects in it are named ``"movie.title"``."""
    for key, each in value.items():
        if isinstance(each, dict) and depth:
            yield from _flat(each, f"{within}{key}.", depth - 1)
        else:
            yield within + key, _text(each)


def _text(value: Any) -> str:
    """Return a value as CSV has it, an object or a list as the texts in it."""
    if isinstance(value, dict | list):
        parts = list(value.values()) if isinstance(value, dict) else value
        return " ".join(_text(each) for each in parts[:20] if not isinstance(each, list))
    return "" if value is None else str(value).lower() if value in (True, False) else str(value)


def _text_table(name: str, text: str, wanted: str, knows: Callable[[str], bool]) -> Table:
    """Read text whose first line names the columns, or that is plain titles."""
    _bounded(name, text.count("\n") <= _MOST_LINES)
    named = re.match(r'\s*"?sep=(.)"?[ \t]*\n', text)
    above = text[: named.end()].count("\n") if named else 0
    lines = enumerate(islice(io.StringIO(text), above, None), above + 1)
    sample = list(islice(((n, line) for n, line in lines if line.strip()), 100))
    delimiter, start, agreeing = _dialect(sample, named[1] if named else "\t,;|")
    found = _split(text, start, delimiter or "\x1f")
    _bounded(name, len(found) <= MOST_ROWS + 1)
    if found and wanted != "ratings" and not known_columns(found[0].cells):
        titles = enumerate(map(_bare, io.StringIO(text)), 1)
        bare = [Line(n, [title]) for n, title in titles if title]
        known = sum(knows(line.cells[0]) for line in bare[:100])
        if known * 5 > len(sample) or not delimiter or agreeing < len(sample):
            return Table(name, Line(0, ["title"]), bare)
    head = found[0] if found else Line(0, [])
    return Table(name, head, [_fitted(line, len(head.cells)) for line in found[1:]])


def _dialect(sample: list[tuple[int, str]], delimiters: str) -> tuple[str, int, int]:
    """Return the delimiter, ``""`` if there is none, the header, and how many lines are like it.

    The header is the one of the first lines that names most known columns, if several, since some
    exports begin with a title or a description; else the first line.
    """
    best = ("", sample[0][0] if sample else 1, 0)
    for delimiter in delimiters if sample else "":
        rows = [next(csv.reader([line], delimiter=delimiter), []) for _, line in sample]
        known, head = max((known_columns(row), place) for place, row in enumerate(rows[:20]))
        head = head if known > 1 else 0
        agreeing = sum(len(row) == len(rows[head]) for row in rows[head:])
        if len(rows[head]) > 1 and agreeing > best[2]:
            best = (delimiter, sample[head][0], agreeing)
    return best


def _split(text: str, start: int, delimiter: str) -> list[Line]:
    """Return the lines that are not blank, from the header on; a quote amiss costs its line."""
    try:
        whole = quoted_rows(islice(io.StringIO(text), start - 1, None), delimiter)
        lines = [Line(start - 1 + number, cells) for number, cells in whole]
    except LineError:
        apart = enumerate(islice(text.split("\n"), start - 1, None), start)
        lines = [_line(number, line, delimiter) for number, line in apart]
    return [line for line in lines if any(map(str.strip, line.cells))]


def _line(number: int, line: str, delimiter: str) -> Line:
    try:
        return Line(number, split_line(line, delimiter))
    except LineError as error:
        return Line(number, line.split(delimiter), str(error))


def _fitted(line: Line, width: int) -> Line:
    """Return a line with as many fields as the header."""
    told = f"it has {len(line.cells)} fields, the header {width}: a comma inside needs quotes"
    fault = line.fault or ("".join(line.cells[width:]).strip() and told)
    return Line(line.number, (line.cells + [""] * width)[:width], fault)


def _bare(line: str) -> str:
    """Return a title without the mark or number of its place in a list, its year in brackets."""
    title = re.sub(r"^\s*(?:[-*\u2022]|\d{1,4}[.)])\s+", "", line).strip().strip('"')
    return re.sub(r"\s*\t\s*(\d{4})\b.*", r" (\1)", title)
