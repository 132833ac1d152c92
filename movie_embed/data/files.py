"""Open files of any kind: as bytes, as lines, and by DuckDB; and tell of errors in one line."""

from __future__ import annotations

import bz2
import codecs
import csv
import glob
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import duckdb

from movie_embed.errors import MovieEmbedError, printable

AnyPath = Path | zipfile.Path

_COMPRESSED = (".gz", ".zst", ".bz2")
_BOMB_RATIO, _BOMB_SIZE = 200, 2**26
_READ_ERRORS = (
    OSError,
    EOFError,
    ValueError,
    LookupError,
    RuntimeError,  # an encrypted zip
    csv.Error,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    duckdb.Error,
)


def suffix_of(path: AnyPath) -> str:
    """Return the ending in small letters, without that of a compression."""
    name = path.name.lower()
    for ending in _COMPRESSED:
        name = name.removesuffix(ending)
    return Path(name).suffix


def stem_of(path: AnyPath) -> str:
    """Return a file's name in small letters, up to its first dot."""
    return path.name.lower().partition(".")[0]


def open_bytes(path: AnyPath) -> IO[bytes]:
    """Open a file or member of a zip, unless it would unpack to far more than it is."""
    if isinstance(path, zipfile.Path):
        info = path.root.getinfo(path.at)
        if info.file_size > max(_BOMB_RATIO * info.compress_size, _BOMB_SIZE):
            raise MovieEmbedError(
                f"{path} unpacks {info.compress_size:,} bytes to {info.file_size:,}: "
                "refused as a zip bomb"
            )
        return path.open("rb")
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".zst": _open_zst}
    opener = openers.get(path.suffix.lower())
    return opener(path) if opener else path.open("rb")


def _open_zst(path: Path) -> IO[bytes]:
    """Unpack with DuckDB, because Python before 3.14 cannot."""
    layout = "columns=$2, delim='\\x01', quote='', escape='', header=false, auto_detect=false"
    with connect() as engine:
        query, columns = f"SELECT line FROM read_csv($1, {layout})", {"line": "VARCHAR"}
        rows = engine.execute(query, [glob.escape(str(path)), columns]).fetchall()
    return io.BytesIO("\n".join(line or "" for (line,) in rows).encode())


def text_lines(path: AnyPath, errors: str) -> io.TextIOWrapper:
    """Open a file as lines with their ends, with a handler of bytes that are not UTF-8."""
    return io.TextIOWrapper(open_bytes(path), "utf-8-sig", errors, newline="")


def _in_windows_code(error: UnicodeError) -> tuple[str, int]:
    """Decode bytes that are not UTF-8 by the code page of Windows, as far as it has them."""
    assert isinstance(error, UnicodeDecodeError)
    octets = error.object[error.start : error.end]
    try:
        return octets.decode("cp1252"), error.end
    except UnicodeDecodeError:
        return octets.decode("latin-1"), error.end


codecs.register_error("windows", _in_windows_code)


def connect(folder: Path | None = None, given: Any = None) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB of its own, which spills to a folder if there is one.

    A table in memory goes by the name ``given``; a query's text is no table.
    """
    # Extensions are neither fetched nor loaded, so a query cannot reach the network.
    engine = duckdb.connect(
        config={
            "memory_limit": "400MB",
            "temp_directory": str(folder or ""),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    # DuckDB would show a progress bar after two seconds, in log files too.
    engine.execute("SET enable_progress_bar = false")
    return engine if given is None or isinstance(given, str) else engine.register("given", given)


@contextmanager
def reading(path: AnyPath) -> Iterator[None]:
    """Turn any error in reading `path` into a `MovieEmbedError` of one line."""
    try:
        yield
    except _READ_ERRORS as error:
        reason = str(getattr(error, "strerror", None) or error).partition("\n\n")[0]
        text = " ".join(reason.split()) or type(error).__name__
        where = printable(str(path), longest=1_000)
        raise MovieEmbedError(f"{where} cannot be read: {printable(text)}") from error
