"""How the archives of MovieLens releases reach this machine whole and unaltered."""

from __future__ import annotations

import hashlib
import logging
import os
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.client import HTTPException, HTTPResponse, IncompleteRead
from itertools import zip_longest
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
BLOCK = 1 << 16

_log = logging.getLogger(__name__)


def cache_dir(configured: str | None, name: str = ".") -> Path:
    """Return the folder for archives, or one of this name in it, created where it is missing.

    It is what the user chose, with ``~`` expanded, or else in the system's folder for caches.
    """
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

    Raises
    ------
    MovieEmbedError
        If the archive is missing and may not or cannot be downloaded, or cannot be written.
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
        f"{where}: {why}; make room, mend its rights, or choose another data.cache_dir"
    )


class _SourceError(Exception):
    """The source cannot deliver; the next one may."""


class _CutError(_SourceError):
    """The answer broke off or its end does not fit; the same source may still send the rest."""


def _download(release: DataSet, target: Path) -> None:
    part = target.with_name(f"{target.name}.part")
    failures = []
    for url, following in zip_longest(release.urls, release.urls[1:]):
        try:
            _obtain(release, url, part)
        except _SourceError as error:
            failures.append(f"{urlsplit(url).netloc}: {error}")
            then = f"trying {urlsplit(following).netloc}" if following else "no source left"
            _log.warning("%s: %s; %s", release.name, failures[-1], then)
        else:
            part.replace(target)
            return
    problem = f"no source delivered it ({'; '.join(failures)}); run again later"
    raise _missing(release, target, problem)


def _obtain(release: DataSet, url: str, part: Path) -> None:
    """Bring ``part`` to the verified whole, in a few answers if need be."""
    for left in reversed(range(1 + RETRIES)):
        try:
            held = _receive(release, url, part)
            _verify(release, part, held)
        except _CutError:
            if not left:
                raise
        else:
            return


def _verify(release: DataSet, part: Path, held: int) -> None:
    """Delete ``part`` and raise unless it is the published archive."""
    algorithm, _, published = release.checksum.partition(":")
    with part.open("rb+") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
    fits = release.size in (None, part.stat().st_size)
    if not fits or digest.hexdigest() != published:
        part.unlink()
        wrong = f"its {algorithm if fits else 'size'} is not the published file's"
        raise (_CutError if held else _SourceError)(f"{wrong} (replaced there, or altered)")


def _receive(release: DataSet, url: str, part: Path) -> int:
    """Write one answer to ``part``; return how many bytes it still holds from before."""
    held = part.stat().st_size if part.exists() else 0
    if release.size and held >= release.size:
        return held
    with _network_errors():
        response, held = _request(url, held)
    end = None if response.length is None else held + response.length
    size = release.size or end
    bar = tqdm(desc=release.name, total=size, initial=held, unit="B", unit_scale=True)
    with response, part.open("ab" if held else "wb") as file, bar:
        while block := _read(response):
            bar.update(file.write(block))
            if size and file.tell() > size:
                return held  # another file, however long
        if end and file.tell() < end:
            raise _CutError(f"connection cut with {end - file.tell():,} bytes to come")
    return held


def _request(url: str, held: int) -> tuple[HTTPResponse, int]:
    """Return a response and its offset in the file: after the bytes held, or else 0."""
    headers = {"User-Agent": "movie_embed"} | ({"Range": f"bytes={held}-"} if held else {})
    try:
        response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT_S)
    except HTTPError as error:
        if not held or error.code != 416:
            raise
        error.close()
        return _request(url, 0)
    if response.status != 206 or not held:
        return response, 0
    if response.headers.get("Content-Range", "").startswith(f"bytes {held}-"):
        return response, held
    response.close()
    return _request(url, 0)


def _read(response: HTTPResponse) -> bytes:
    with _network_errors():
        return response.read1(BLOCK)


@contextmanager
def _network_errors() -> Iterator[None]:
    """Raise the network's errors as `_SourceError`; every other `OSError` is then the disk's."""
    try:
        yield
    except HTTPError as error:
        error.close()
        raise _SourceError(f"HTTP {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        cause = error.reason if isinstance(error, URLError) else error
        reason = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
        cut = isinstance(cause, (ConnectionResetError, IncompleteRead, ssl.SSLEOFError))
        raise (_CutError if cut else _SourceError)(reason) from error
