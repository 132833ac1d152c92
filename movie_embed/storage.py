"""Named arrays and text columns in one safetensors file: checked on reading, atomic on writing.

The triples cache and the saved embeddings are both such files. Safetensors holds plain
numbers and cannot run code when it is read.
"""

from __future__ import annotations

import json
import mmap
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from movie_embed.errors import MovieEmbedError, cannot_write

FORMAT_VERSION = 1
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
    except (OSError, SafetensorError) as error:
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
    characters. `read_columns` refuses a file of another `kind`, e.g. ``"embeddings"``.
    """
    texts = [name for name, c in columns.items() if isinstance(c, list) or c.dtype == object]
    arrays = {
        name: _as_octets(column) if name in texts else np.asarray(column, order="C")
        for name, column in columns.items()
    }
    digests = {name: digest_of(array) for name, array in arrays.items()}
    told = {"texts": texts, "digests": digests, "metadata": dict(metadata)}
    header = json.dumps({"kind": kind, "version": FORMAT_VERSION, **told})
    signed = {"movie_embed": header, "xxh3": _text_digest(header)}
    with atomic_path(path, durable) as temporary:
        temporary.touch()
        mode = temporary.stat().st_mode
        save_file(arrays, temporary, metadata=signed)
        temporary.chmod(mode)  # save_file lets nobody but the owner read what it writes


def read_columns(
    path: Path, kind: str, names: Iterable[str] | None = None, mapped: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read columns that `write_columns` wrote and check each against its digest.

    The file must be of this `kind`. Only the columns with these `names` are read, by default all.
    Returned are the columns by name, arrays or lists of strings, and the metadata. Processes that
    read `mapped` arrays share their memory, and none can write to it.

    Raises
    ------
    MovieEmbedError
        The file is absent, damaged, of another kind or of a newer format, or holds NaN.
    """
    try:
        with safe_open(path, framework="np") as file:
            header = _checked_header(path, kind, file.metadata() or {})
            wanted = list(header["digests"]) if names is None else list(names)
            read = _mapped(path) if mapped else file.get_tensor
            arrays = {name: read(name) for name in wanted}
    except (OSError, SafetensorError) as error:
        raise MovieEmbedError(f"{path} cannot be read as {kind}: {error}") from error
    for name, array in arrays.items():
        if digest_of(array) != header["digests"][name]:
            raise MovieEmbedError(f"{path} is damaged: {name} does not match its checksum")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise MovieEmbedError(f"{path} holds {name} that are not finite: make it again")
    texts = set(header["texts"])
    columns = {name: _as_texts(a) if name in texts else a for name, a in arrays.items()}
    return columns, header["metadata"]


def _mapped(path: Path) -> Callable[[str], NDArray[Any]]:
    """Return a function that gives an array of a safetensors file as it lies there, read-only."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        places = json.loads(file.read(length))
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def array(name: str) -> NDArray[Any]:
        if name not in places:
            raise SafetensorError(f"it has no {name}")
        place = places[name]
        dtype = np.dtype(
            re.sub(r"(\d+)$", lambda bits: str(int(bits[1]) // 8), place["dtype"].lower())
        )
        return np.ndarray(place["shape"], dtype, pages, 8 + length + place["data_offsets"][0])

    return array


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


def _as_texts(array: NDArray[Any]) -> list[str]:
    return array.tobytes().decode().split("\0")[:-1]


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
