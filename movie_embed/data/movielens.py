"""The MovieLens releases, and how their archives reach this machine whole and unaltered."""

from __future__ import annotations

import hashlib
import logging
import os
import ssl
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, IncompleteRead
from itertools import zip_longest
from pathlib import Path
from typing import BinaryIO, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from filelock import FileLock, Timeout
from platformdirs import user_cache_path
from tqdm import tqdm

from movie_embed.config import DATA_SETS
from movie_embed.errors import MovieEmbedError

TIMEOUT_S = 10.0
RETRIES = 3
BLOCK = 1 << 16

_GROUPLENS = "https://files.grouplens.org/datasets/movielens"
_MIRROR = "https://huggingface.co/datasets/Recommenders/MovieLens/resolve/main"
_MIRRORED = {"ml-100k", "ml-1m", "ml-10m", "ml-20m"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Release:
    """One published MovieLens archive.

    Attributes
    ----------
    name
        The archive's name, without ``.zip``.
    urls
        Where to fetch it, in order of preference.
    size
        Its length in bytes, or ``None`` where that is not known.
    checksum
        ``"sha256:<hex>"`` or ``"md5:<hex>"``.
    """

    name: str
    urls: tuple[str, ...]
    size: int | None
    checksum: str


def _release(name: str, size: int | None, checksum: str) -> Release:
    bases = (_GROUPLENS, _MIRROR) if name in _MIRRORED else (_GROUPLENS,)
    return Release(name, tuple(f"{base}/{name}.zip" for base in bases), size, checksum)


RELEASES: dict[str, Release] = {
    name: _release(name, data.size, data.checksum)
    for name, data in DATA_SETS.items()
    if data.checksum
}


def cache_dir(configured: str | None) -> Path:
    """Return the folder that archives are kept in, created where it is missing.

    Parameters
    ----------
    configured
        The folder the user chose (``~`` is expanded), or ``None`` for the system's cache folder.
    """
    try:
        folder = Path(configured).expanduser() if configured else user_cache_path("movie_embed")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:
        raise _unusable(Path(configured or "the cache folder"), error) from error
    return folder


def wait_for(lock: FileLock) -> AbstractContextManager[object]:
    """Take a lock, and say which one it is where another process holds it."""
    try:
        return lock.acquire(timeout=1)
    except Timeout:
        _log.warning("another process holds %s: waiting for its end", lock.lock_file)
        return lock.acquire()


def fetch(release: Release, folder: Path, *, download: bool = True) -> Path:
    """Return the path of a release's archive in ``folder``, downloading it where it is missing.

    A download gets its final name only once its size and checksum are right, so a file found
    under that name is used as it is, one placed there by hand too. An interrupted download is
    resumed, and processes that ask for the same archive at once share one download.

    Parameters
    ----------
    release
        What to fetch.
    folder
        Where it is kept; created where it is missing.
    download
        Whether the network may be used.

    Returns
    -------
    Path
        ``folder/NAME.zip``.

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
        with wait_for(FileLock(f"{target}.lock")):
            if not target.exists():
                _download(release, target)
    except OSError as error:
        raise _unusable(target, error) from error
    return target


def _missing(release: Release, target: Path, problem: str) -> MovieEmbedError:
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


class _RangeError(_SourceError):
    """The source did not send the part asked for; it may still send the whole."""


class _CutError(_SourceError):
    """The connection broke off; the same source may still send the rest."""


def _download(release: Release, target: Path) -> None:
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


def _obtain(release: Release, url: str, part: Path) -> None:
    """Bring ``part`` to the verified whole; pieces that do not fit get one fresh start."""
    resumed = _transfer(release, url, part)
    try:
        _verify(release, part)
    except _SourceError:
        if not resumed:
            raise
        _transfer(release, url, part)
        _verify(release, part)


def _verify(release: Release, part: Path) -> None:
    """Delete ``part`` and raise unless it is the published archive."""
    algorithm, _, published = release.checksum.partition(":")
    with part.open("rb+") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False))
    fits = release.size in (None, part.stat().st_size)
    if fits and digest.hexdigest() == published:
        return
    part.unlink()
    wrong = algorithm if fits else "size"
    raise _SourceError(f"its {wrong} is not the published file's (replaced there, or altered)")


def _transfer(release: Release, url: str, part: Path) -> bool:
    for _ in range(RETRIES):
        with suppress(_CutError):
            return _receive(release, url, part)
    return _receive(release, url, part)


def _receive(release: Release, url: str, part: Path) -> bool:
    """Write one answer to ``part``; tell whether ``part`` holds bytes from before it."""
    offset = part.stat().st_size if part.exists() else 0
    if release.size is not None and offset >= release.size:
        return True
    response, start = _open(url, offset)
    most = sys.maxsize if release.size is None else release.size + 1
    total = release.size or (response.length and start + response.length)
    with (
        response,
        part.open("ab" if start else "wb") as file,
        tqdm(desc=release.name, total=total, initial=start, unit="B", unit_scale=True) as bar,
    ):
        _copy(response, file, most - start, bar)
    return start > 0


def _copy(response: HTTPResponse, file: BinaryIO, room: int, bar: tqdm[NoReturn]) -> None:
    declared = response.length
    left = room if declared is None else min(room, declared)
    while left and (block := _read(response, min(BLOCK, left))):
        file.write(block)
        bar.update(len(block))
        left -= len(block)
    if left and declared is not None:
        raise _CutError(f"connection cut with {left:,} bytes to come")


def _read(response: HTTPResponse, size: int) -> bytes:
    with _network_errors():
        return response.read1(size)


def _open(url: str, offset: int) -> tuple[HTTPResponse, int]:
    """Return the answer and where in the file its body starts: at ``offset``, or else at 0."""
    if offset:
        with suppress(_RangeError):
            return _request(url, offset)
    return _request(url, 0)


def _request(url: str, offset: int) -> tuple[HTTPResponse, int]:
    headers = {"User-Agent": "movie_embed"} | ({"Range": f"bytes={offset}-"} if offset else {})
    with _network_errors():
        response: HTTPResponse = urlopen(Request(url, headers=headers), timeout=TIMEOUT_S)
    if response.status == 200:
        return response, 0
    span = response.headers.get("Content-Range", "")
    if response.status == 206 and span.startswith(f"bytes {offset}-"):
        return response, offset
    response.close()
    raise _RangeError("answered with neither the whole file nor the part asked for")


@contextmanager
def _network_errors() -> Iterator[None]:
    """Name what the network can raise, so that every other `OSError` is the disk's."""
    try:
        yield
    except HTTPError as error:
        error.close()
        kind = _RangeError if error.code == 416 else _SourceError
        raise kind(f"HTTP {error.code} {error.reason}") from error
    except (OSError, HTTPException) as error:
        cause = error.reason if isinstance(error, URLError) else error
        cut = isinstance(cause, (ConnectionResetError, IncompleteRead, ssl.SSLEOFError))
        raise (_CutError if cut else _SourceError)(_reason(cause)) from error


def _reason(cause: object) -> str:
    if isinstance(cause, TimeoutError):
        return f"no data for {TIMEOUT_S:g} s"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {cause.verify_message}"
    return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
