"""Named arrays and text columns in one safetensors file: checked on reading, atomic on writing.

The triples cache and the saved embeddings are both such files. Safetensors holds plain
numbers and cannot run code when it is read.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import xxhash
from numpy.typing import NDArray

from movie_embed.errors import MovieEmbedError, cannot_write

FORMAT_VERSION = 1
_DTYPES = {"BOOL": np.dtype("?")} | {
    f"{kind.upper()}{8 * size}": np.dtype(f"<{kind}{size}")
    for kind, sizes in (("i", (1, 2, 4, 8)), ("u", (1, 2, 4, 8)), ("f", (2, 4, 8)))
    for size in sizes
}
_BLOCK = 2**26  # bytes; a checksum of a memory map holds no more of the map in memory

Column = NDArray[Any] | list[str]


@contextmanager
def atomic_path(path: Path, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` after the block.

    A reader sees the old file or the whole new one, even after a power cut if `durable`. A full
    disk or a folder that cannot be written is told in one line.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        if durable:
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise MovieEmbedError(cannot_write(path, error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def remove_leftovers(folder: Path, name: str = "*", older: float = 0.0) -> None:
    """Remove the temporary files of killed processes from a folder, of one `name` or all.

    Files that are not `older`, in seconds, stay, because another process may be writing them.
    """
    for leftover in folder.glob(f".{name}.*.tmp"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime >= older:
                leftover.unlink()


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; rename it to `path` after the block.

    Only one process at a time may do so, because the temporary folder of a killed one is removed.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        yield temporary
        for written in temporary.iterdir():
            with written.open("rb+") as file:
                os.fsync(file.fileno())
        shutil.rmtree(path, ignore_errors=True)
        temporary.replace(path)
    except OSError as error:
        raise MovieEmbedError(cannot_write(path, error)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a small UTF-8 text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_columns(
    path: Path,
    kind: str,
    columns: Mapping[str, Column],
    metadata: Mapping[str, Any],
    durable: bool = True,
) -> None:
    """Write named columns and JSON metadata to one file, as `atomic_path` does.

    Columns are NumPy arrays of any shape, or lists or object arrays of strings without NUL
    characters. The same columns and metadata give the same bytes; the safetensors library writes
    metadata in an order that changes from process to process.
    """
    texts = [name for name, c in columns.items() if isinstance(c, list) or c.dtype == object]
    arrays = {
        name: _as_octets(column) if name in texts else np.asarray(column, order="C")
        for name, column in columns.items()
    }
    digests = {name: digest_of(array) for name, array in arrays.items()}
    told = {"texts": texts, "digests": digests, "metadata": dict(metadata)}
    header = json.dumps({"kind": kind, "version": FORMAT_VERSION, **told})
    places: dict[str, Any] = {"__metadata__": {"movie_embed": header, "xxh3": _text_digest(header)}}
    end = 0
    # Large items first, as safetensors does: so each array lies at a multiple of its items' size.
    order = sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))
    for name in order:
        array, start, end = arrays[name], end, end + arrays[name].nbytes
        dtype = next(known for known, dtype in _DTYPES.items() if dtype == array.dtype)
        places[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [start, end]}
    head = json.dumps(places).encode()
    head += b" " * (-len(head) % 8)
    with atomic_path(path, durable) as temporary, temporary.open("wb") as file:
        file.write(len(head).to_bytes(8, "little") + head)
        for name in order:
            file.write(arrays[name].reshape(-1).view(np.uint8).data)


class ColumnFile:
    """A file that `write_columns` wrote, held open: another in its place changes nothing here.

    It must be of one `kind`, e.g. ``"embeddings"``. Columns are mapped where the file system can:
    processes that read a file share its memory. The safetensors library opens a file by its path
    for each reading, and always maps it.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                self._octets = _octets_in(file)
                self._identity = _identity(os.fstat(file.fileno()))
            start = 8 + int.from_bytes(self._octets[:8].tobytes(), "little")
            if not 8 < start <= len(self._octets):
                raise ValueError("it is cut short, or no safetensors file")
            places = json.loads(self._octets[8:start].tobytes())
            signed = {name: str(text) for name, text in places.pop("__metadata__", {}).items()}
            self._arrays = {
                name: self._octets[start:][slice(*place["data_offsets"])]
                .view(_DTYPES[place["dtype"]])
                .reshape(place["shape"])
                for name, place in places.items()
            }
            if start + sum(array.nbytes for array in self._arrays.values()) != len(self._octets):
                raise ValueError("its size is not that of its columns")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise MovieEmbedError(f"{path} cannot be read as {kind}: {error}") from error
        header = _checked_header(path, kind, signed)
        self._texts, self._digests = set(header["texts"]), header["digests"]
        self.metadata: dict[str, Any] = header["metadata"]

    def is_at(self, path: Path) -> bool:
        """Return whether this very file lies at a path."""
        try:
            return _identity(path.stat()) == self._identity
        except OSError as error:
            raise MovieEmbedError(f"{path} cannot be read: {error.strerror}") from error

    def __contains__(self, name: str) -> bool:
        return name in self._digests

    def read(self, names: Iterable[str] | None = None) -> dict[str, Any]:
        """Return columns, by default all, once checked: read-only arrays, or lists of strings."""
        wanted = list(self._digests) if names is None else list(names)
        if absent := [name for name in wanted if name not in self._arrays]:
            raise MovieEmbedError(f"{self.path} is damaged: it has no {', '.join(absent)}")
        arrays: dict[str, Any] = {name: self._arrays[name] for name in wanted}
        for name, array in arrays.items():
            if digest_of(array) != self._digests[name]:
                raise MovieEmbedError(f"{self.path} is damaged: {name} does not match its checksum")
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise MovieEmbedError(
                    f"{self.path} holds {name} that are not finite: make it again"
                )
        for name in self._texts & arrays.keys():
            arrays[name] = arrays[name].tobytes().decode().split("\0")[:-1]
        return arrays


def read_columns(path: Path, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return all columns of a file, its arrays free to be changed, and the metadata."""
    file = ColumnFile(path, kind)
    columns = {name: c if isinstance(c, list) else c.copy() for name, c in file.read().items()}
    return columns, file.metadata


def _identity(about: os.stat_result) -> tuple[int, ...]:
    return about.st_dev, about.st_ino, about.st_mtime_ns


def _octets_in(file: BinaryIO) -> NDArray[np.uint8]:
    """Return the bytes of a file: mapped, or read where the file system cannot map it."""
    try:
        return np.asarray(np.memmap(file, np.uint8, "r"))  # slices of its own class are slow
    except OSError:
        file.seek(0)
        return np.frombuffer(file.read(), np.uint8)


def _checked_header(path: Path, kind: str, signed: Mapping[str, str]) -> dict[str, Any]:
    text = signed.get("movie_embed", "")
    if not text:
        raise MovieEmbedError(f"{path} was not written by movie_embed")
    if _text_digest(text) != signed.get("xxh3"):
        raise MovieEmbedError(f"{path} is damaged: its header does not match its checksum")
    header: dict[str, Any] = json.loads(text)
    if header["kind"] != kind:
        raise MovieEmbedError(f"{path} holds {header['kind']}, not {kind}")
    check_format(path, header["version"])
    return header


def check_format(path: str | Path, version: int) -> None:
    """Refuse a file that a later movie_embed wrote."""
    if version > FORMAT_VERSION:
        raise MovieEmbedError(
            f"{path} has format {version}, newer than the {FORMAT_VERSION} "
            "this movie_embed reads: update movie_embed"
        )


def _as_octets(column: Iterable[str]) -> NDArray[np.uint8]:
    values = list(column)
    text = "".join(f"{value}\0" for value in values)
    if text.count("\0") != len(values):
        raise ValueError("a text column cannot hold NUL characters")
    return np.frombuffer(text.encode(), dtype=np.uint8)


def _text_digest(text: str) -> str:
    return xxhash.xxh3_128_hexdigest(text.encode())


def digest_of(array: NDArray[Any]) -> str:
    """Return a checksum of an array's bytes, type and shape."""
    array = _as_octets(array) if array.dtype == object else array
    digest = xxhash.xxh3_128(f"{array.dtype.str}{array.shape}".encode())
    octets = array.reshape(-1).view(np.uint8)
    for start in range(0, len(octets), _BLOCK):
        digest.update(octets[start : start + _BLOCK].data)
        if len(octets) > _BLOCK:
            drop_pages(array)
    return digest.hexdigest()


def drop_pages(array: NDArray[Any]) -> None:
    """Take the pages of a memory map out of our memory; the system may still cache them."""
    base: Any = array
    while isinstance(base, np.ndarray):  # a part of a memory map has the whole as its base
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
