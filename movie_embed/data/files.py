"""Where the raw files of a data set lie, in a folder or inside a zip, and how they open."""

from __future__ import annotations

import csv
import io
import lzma
import re
import stat
import weakref
import zipfile
import zlib
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa

from movie_embed.config import ColumnNames
from movie_embed.errors import MovieEmbedError

AnyPath = Path | zipfile.Path

_RATINGS_FILES = ("ratings.csv", "rating.csv", "ratings.dat", "u.data", "ratings.parquet")
_MOVIES_FILES = ("movies.csv", "movie.csv", "movies.dat", "u.item")
_TAGS_FILES = ("tags.csv", "tag.csv", "tags.dat")
_OWN_FILES = (".csv", ".parquet")
_BOMB_RATIO, _BOMB_SIZE = 200, 2**26
_LONGEST_LINE = 2**12
_ESCAPED = re.compile("[\udc80-\udcff]")
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
    pa.ArrowException,
)


@dataclass(frozen=True)
class RatingsFiles:
    """Where a data set lies: its ratings, its movies and tags if it has them, its columns.

    Ratings in several Parquet files are `shards`; `ratings` is then their folder.
    """

    ratings: AnyPath
    movies: AnyPath | None
    tags: AnyPath | None
    columns: ColumnNames
    shards: tuple[Path, ...] = ()

    @property
    def on_disk(self) -> list[Path]:
        """The ordinary files whose bytes decide what is read."""
        ratings = self.shards or (self.ratings,)
        paths = [path for path in (*ratings, self.movies, self.tags) if path]
        return sorted(
            {Path(p.root.filename or "") if isinstance(p, zipfile.Path) else p for p in paths}
        )


def find_files(path: Path, columns: ColumnNames) -> RatingsFiles:
    """Recognise the layout under a path.

    Parameters
    ----------
    path
        A folder or zip with any MovieLens layout (one folder deep is fine), a folder of Parquet
        files, or a CSV or Parquet file of ratings; its movies and tags are looked for beside it.
    columns
        Column names for CSV and Parquet.

    Raises
    ------
    MovieEmbedError
        Nothing there, or nothing recognisable.
    """
    with reading(path):
        if not path.exists():
            raise MovieEmbedError(f"data.path={path}: no such file or folder")
        if path.is_dir() or path.suffix.lower() == ".zip":
            return _find_in_folder(path, columns)
        if path.suffix.lower() in _OWN_FILES or path.name in _RATINGS_FILES:
            return _with_tables(path, path.parent, columns)
    raise MovieEmbedError(
        f"data.path={path}: expected a folder, a .zip, or ratings as .csv or .parquet"
    )


def _find_in_folder(path: Path, columns: ColumnNames) -> RatingsFiles:
    root: AnyPath = path if path.is_dir() else _open_zip(path)
    folders = sorted((child for child in root.iterdir() if child.is_dir()), key=str)
    for folder in (root, *folders):
        ratings = _first_present(folder, _RATINGS_FILES)
        if ratings:
            return _with_tables(ratings, folder, columns)
    for folder in (root, *folders):
        if _shards(folder):
            described = folder if _first_present(folder, _MOVIES_FILES) else root
            return _with_tables(folder, described, columns)
    raise MovieEmbedError(
        f"data.path={path}: found none of {', '.join(_RATINGS_FILES)}, nor a folder of *.parquet"
    )


def _open_zip(path: Path) -> zipfile.Path:
    """Open a zip whose members all lie inside it; a name like ``//x`` would hang `zipfile.Path`."""
    archive = zipfile.ZipFile(path)
    if archive.fp:  # freed in one cycle with an error's traceback, it may go first, and warn
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


def _with_tables(ratings: AnyPath, folder: AnyPath, columns: ColumnNames) -> RatingsFiles:
    movies, tags = (_first_present(folder, names) for names in (_MOVIES_FILES, _TAGS_FILES))
    return RatingsFiles(ratings, movies, tags, columns, _shards(ratings))


def _shards(folder: AnyPath) -> tuple[Path, ...]:
    """Return the Parquet files in a folder, in the order of their names."""
    if isinstance(folder, zipfile.Path):
        return ()
    return tuple(sorted(path for path in folder.glob("*.parquet") if path.is_file()))


def _first_present(folder: AnyPath, names: tuple[str, ...]) -> AnyPath | None:
    return next((folder / name for name in names if (folder / name).exists()), None)


@contextmanager
def reading(path: AnyPath) -> Iterator[None]:
    """Turn whatever reading `path` raises into a `MovieEmbedError` of one line."""
    try:
        yield
    except _READ_ERRORS as error:
        raise unreadable(path, getattr(error, "strerror", None) or error) from error


def unreadable(path: AnyPath, reason: object) -> MovieEmbedError:
    """Return an error that says why `path` cannot be read, in one line."""
    text = " ".join(str(reason).split()) or type(reason).__name__
    return MovieEmbedError(f"{path} cannot be read: {printable(text)}")


def printable(text: str, longest: int = 200) -> str:
    """Return text that is safe to show on one line: cut short, odd characters escaped."""
    shown = text[: longest + 1]
    shown = shown if shown.isprintable() else ascii(shown)
    return shown if len(shown) <= longest else f"{shown[:longest]}..."


def listed(names: Sequence[str]) -> str:
    """Return the names of columns for a message."""
    return printable(", ".join(names)) or "nothing"


def open_bytes(path: AnyPath) -> IO[bytes]:
    """Open a file, unless it is the member of a zip that would unpack to far more than it is."""
    if isinstance(path, zipfile.Path):
        info = path.root.getinfo(path.at)
        if info.file_size > max(_BOMB_RATIO * info.compress_size, _BOMB_SIZE):
            raise MovieEmbedError(
                f"{path} unpacks {info.compress_size:,} bytes to {info.file_size:,}: "
                "refused as a zip bomb"
            )
    return path.open("rb")


def open_text(path: AnyPath) -> io.TextIOWrapper:
    """Open a file of numbers as text, line ends as they are; odd bytes show as replaced."""
    return io.TextIOWrapper(open_bytes(path), "utf-8-sig", errors="replace", newline="")


def open_without(path: AnyPath, left_out: Set[int]) -> IO[bytes]:
    """Open a file of numbers, leaving out the lines of these numbers, from 1."""
    if not left_out:
        return open_bytes(path)
    kept = io.BytesIO()
    with open_text(path) as file:
        lines = enumerate(file, start=1)
        kept.writelines(line.encode() for number, line in lines if number not in left_out)
    kept.seek(0)
    return kept


def text_lines(path: AnyPath) -> Iterator[str]:
    """Yield the lines of a file of titles or tags: each is UTF-8 if it can be, else Latin-1."""
    with io.TextIOWrapper(
        open_bytes(path), "utf-8-sig", errors="surrogateescape", newline=""
    ) as file:
        for line in file:
            odd = not line.isascii() and _ESCAPED.search(line)
            yield line.encode("utf-8", "surrogateescape").decode("latin-1") if odd else line


class WatchedFile:
    """A file that notes, while PyArrow reads it, what PyArrow could misunderstand.

    That is a quoted field which swallows the lines after it, and an id in hexadecimal. Lines are
    counted in files that begin with quotes or carriage returns; in few others do any follow.
    """

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._plain = True
        self._uncounted = False
        self._feeds = self._returns = 0
        self._hex = False
        self._end = b""

    def read(self, size: int = -1) -> bytes:
        """Read a block."""
        block = self._file.read(size)
        self._hex |= b"x" in block or b"X" in block
        self._plain &= b'"' not in block and b"\r" not in block
        if self._plain:
            self._uncounted = True
        else:
            self._count(block)
        return block

    def _count(self, block: bytes) -> None:
        octets = np.frombuffer(block, dtype=np.uint8)
        self._feeds += int(np.count_nonzero(octets == ord("\n")))
        self._returns += int(np.count_nonzero(octets == ord("\r")))
        self._end = (self._end + block[-_LONGEST_LINE:])[-_LONGEST_LINE:]

    def close(self) -> None:
        """Do nothing but say so: who opened the file closes it."""
        self.closed = True

    def doubtful(self, rows: int) -> bool:
        """Whether the bytes allow another reading than one of so many rows."""
        if self._plain:
            return self._hex
        lines = self._feeds + (not self._end.endswith(b"\n"))
        one_line_end = self._returns in (0, self._feeds)
        last_line = self._end.rstrip(b"\r\n").rpartition(b"\n")[2]
        open_quote = last_line.count(b'"') % 2 == 1
        miscounted = self._uncounted or lines != rows or not one_line_end
        return self._hex or open_quote or miscounted
