"""How the archives of MovieLens releases reach this machine whole and unaltered."""

from __future__ import annotations

import hashlib
import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout
from platformdirs import user_cache_path
from tqdm import tqdm

from movie_embed.data.datasets import DataSet
from movie_embed.errors import MovieEmbedError

TIMEOUT_S = 10.0
RETRIES = 3
_log = logging.getLogger(__name__)


def cache_dir(configured: str | None, name: str = ".") -> Path:
    """Return a folder in ``data.cache_dir``, or in the system's folder for caches; create it."""
    try:
        folder = Path(configured).expanduser() if configured else user_cache_path("movie_embed")
        folder /= name
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise _unusable(Path(configured or "the cache folder"), error) from error
    return folder


def wait_for(path: Path) -> AbstractContextManager[object]:
    """Take a lock, and say which one it is where another process holds it."""
    lock = FileLock(path)
    try:
        return lock.acquire(timeout=1)
    except Timeout:
        _log.warning("another process holds %s: waiting for its end", path)
        return lock.acquire()
    except OSError as error:
        raise _unusable(path, error) from error


def fetch(release: DataSet, folder: Path, *, download: bool = True) -> Path:
    """Return the path of a release's archive in ``folder``, downloading it where it is missing.

    A download gets its final name only once its size and checksum are right, so a file found under
    that name is used as it is, one placed there by hand too. An interrupted download is resumed,
    and processes that ask for the same archive at once share one download.
    """
    target = folder / f"{release.name}.zip"
    try:
        if target.exists():
            return target
        if not download:
            why = f"{target} is missing and data.download=false; set it to true"
            raise _missing(release, target, why)
        folder.mkdir(parents=True, exist_ok=True)
        with wait_for(folder / f"{target.name}.lock"):
            if not target.exists():
                _download(release, target)
    except OSError as error:
        raise _unusable(target, error) from error
    return target


def _missing(release: DataSet, target: Path, problem: str) -> MovieEmbedError:
    return MovieEmbedError(
        f"{release.name}: {problem}, or fetch {release.urls[0]} by hand and save it as {target}, "
        f"or pass data.path=/where/it/is/{target.name}"
    )


def _unusable(path: Path, error: OSError | RuntimeError) -> MovieEmbedError:
    where = getattr(error, "filename", None) or path
    why = getattr(error, "strerror", None) or error
    return MovieEmbedError(
        f"{where}: {why}; free some space, fix its permissions, or choose another data.cache_dir"
    )


class _SourceError(Exception):
    """The source cannot deliver; the next one may."""


class _CutError(_SourceError):
    """The answer broke off or does not fit what is there; the same source may do better."""


def _download(release: DataSet, target: Path) -> None:
    part, failures = target.with_name(f"{target.name}.part"), []
    for url in release.urls:
        try:
            _obtain(release, url, part, RETRIES)
        except _SourceError as error:
            failures.append(f"{urlsplit(url).netloc}: {error}")
            _log.warning("%s: %s", release.name, failures[-1])
        else:
            part.replace(target)
            return
    problem = f"no source delivered it ({'; '.join(failures)}); run again later"
    raise _missing(release, target, problem)


def _obtain(release: DataSet, url: str, part: Path, retries: int) -> None:
    """Bring ``part`` to the verified whole, in a few answers if need be."""
    held = part.stat().st_size if part.exists() else 0
    try:
        if not release.size or held < release.size:
            held = _receive(release, url, part, held)
        _verify(release, part, held)
    except _CutError:
        if not retries:
            raise
        _obtain(release, url, part, retries - 1)


def _receive(release: DataSet, url: str, part: Path, held: int) -> int:
    """Write an answer behind the bytes held, or over them; return how many were left."""
    headers = {"User-Agent": "movie_embed"} | ({"Range": f"bytes={held}-"} if held else {})
    with _network_errors(part):
        response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT_S)
    held = held if response.status == 206 else 0
    end = None if response.length is None else held + response.length
    size = release.size or end
    bar = tqdm(desc=release.name, total=size, initial=held, unit="B", unit_scale=True)
    with response, part.open("ab" if held else "wb") as file, bar:
        while block := _read(response, part):
            bar.update(file.write(block))
            if size and file.tell() > size:
                return held  # another file, however long
        if end and file.tell() < end:
            raise _CutError(f"connection cut with {end - file.tell():,} bytes to come")
    return held


def _read(response: HTTPResponse, part: Path) -> bytes:
    with _network_errors(part):
        return response.read1(2**16)


def _verify(release: DataSet, part: Path, held: int) -> None:
    """Delete ``part`` and raise unless it is the published archive.

    If it was received in pieces, they may be of different files: then the source is asked again.
    """
    algorithm, _, published = release.checksum.partition(":")
    with part.open("rb+") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
    fits = release.size in (None, part.stat().st_size)
    if not fits or digest.hexdigest() != published:
        part.unlink()
        wrong = f"its {algorithm if fits else 'size'} is not the published file's"
        raise (_CutError if held else _SourceError)(f"{wrong} (replaced there, or altered)")


@contextmanager
def _network_errors(part: Path) -> Iterator[None]:
    """Raise the network's errors as `_SourceError`; every other `OSError` is then the disk's."""
    try:
        yield
    except HTTPError as error:
        error.close()
        if cut := error.code == 416:  # the bytes held are no part of what is there
            part.unlink(missing_ok=True)
        raise (_CutError if cut else _SourceError)(f"HTTP {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        cause = error.reason if isinstance(error, URLError) else error
        reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        cut = isinstance(cause, (ConnectionResetError, IncompleteRead, ssl.SSLEOFError))
        raise (_CutError if cut else _SourceError)(reason) from error
