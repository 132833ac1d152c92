"""Downloads, against servers on this machine that cut, stall, lie and refuse."""

from __future__ import annotations

import hashlib
import logging
import random
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, NoReturn

import pytest
from filelock import FileLock

from movie_embed.config import DataConfig
from movie_embed.data import movielens
from movie_embed.data.datasets import DATA_SETS, DataSet
from movie_embed.data.loading import load_ratings
from movie_embed.data.movielens import cache_dir, fetch, wait_for
from movie_embed.errors import MovieEmbedError

BODY = random.Random(0).randbytes(1_000_000)
HALF = len(BODY) // 2


@dataclass
class Site:
    """What a server has, how it behaves, and what it was asked for and sent."""

    body: bytes = BODY
    status: int = 200
    ranges: Literal["served", "ignored", "refused"] = "served"
    cuts: list[int] = field(default_factory=list)
    after_cut: Literal["close", "reset", "stall"] = "close"
    declares_length: bool = True
    gate: threading.Event | None = None
    url: str = ""
    asked: list[str | None] = field(default_factory=list)
    sent: int = 0


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.site.asked.append(wanted)
        if self.site.gate and not self.site.cuts:
            self.site.gate.wait()
        if wanted and self.site.ranges == "refused":
            self.send_error(416)
        elif self.site.status == 200:
            self.answer(wanted)
        else:
            self.send_error(self.site.status)

    def answer(self, wanted: str | None) -> None:
        start = 0
        if wanted and self.site.ranges != "ignored":
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            self.send_response(206)
            last = len(self.site.body) - 1
            self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
        else:
            self.send_response(200)
        rest = self.site.body[start:]
        if self.site.declares_length:
            self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        cut = self.site.cuts.pop(0) if self.site.cuts else None
        self.send_body(rest[:cut])
        if cut is not None and self.site.after_cut == "reset":
            self.reset()
        if cut is not None and self.site.after_cut == "stall" and self.site.gate:
            self.site.gate.wait()

    def send_body(self, body: bytes) -> None:
        for at in range(0, len(body), 1 << 16):
            block = body[at : at + (1 << 16)]
            try:
                self.wfile.write(block)
            except OSError:
                return
            self.site.sent += len(block)

    def reset(self) -> None:
        no_goodbye = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_goodbye)
        self.connection.close()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(site: Site) -> Iterator[Site]:
    handler = type("SiteHandler", (Handler,), {"site": site})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        site.url = f"http://127.0.0.1:{server.server_port}/toy.zip"
        try:
            yield site
        finally:
            if site.gate:
                site.gate.set()
            server.shutdown()
            thread.join()


Serve = Callable[..., Site]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers that stop with the test."""
    with ExitStack() as stack:
        yield lambda site: stack.enter_context(serving(site))


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("urllib.request._opener", None)
    caplog.set_level(logging.WARNING, logger=movielens.__name__)


def toy(*urls: str, body: bytes = BODY, size: int | None = len(BODY)) -> DataSet:
    return DataSet("toy", 1, None, urls, size, f"sha256:{hashlib.sha256(body).hexdigest()}")


def forbid(*_: object, **__: object) -> NoReturn:
    raise AssertionError("a socket was opened")


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"toy.zip.lock"}


def altered(body: bytes) -> bytes:
    return body[:HALF] + bytes([body[HALF] ^ 1]) + body[HALF + 1 :]


def test_published_releases_are_complete() -> None:
    releases = [each for each in DATA_SETS.values() if each.checksum]
    assert len(releases) == 7
    for release in releases:
        algorithm, digest = release.checksum.split(":")
        assert len(digest) == {"sha256": 64, "md5": 32}[algorithm]
        first = f"https://files.grouplens.org/datasets/movielens/{release.name}.zip"
        assert release.urls[0] == first
        assert bool(release.size) == (release.name != "ml-10m")


ALL, REST = None, f"bytes={HALF}-"
ANSWERS: dict[str, tuple[Site, bytes, list[str | None]]] = {
    "a whole": (Site(), b"", [ALL]),
    "a cut": (Site(cuts=[HALF]), b"", [ALL, REST]),
    "a cut after a cut": (Site(cuts=[HALF, 0, 0]), b"", [ALL, REST, REST, REST]),
    "a part from before": (Site(), BODY[:HALF], [REST]),
    "ranges ignored": (Site(ranges="ignored", cuts=[HALF]), b"", [ALL, REST]),
    "ranges refused": (Site(ranges="refused", cuts=[HALF]), b"", [ALL, REST, ALL]),
    "a damaged part": (Site(), bytes(HALF), [REST, ALL]),
    "a damaged whole": (Site(), bytes(len(BODY)), [ALL]),
    "too long a part": (Site(), bytes(2 * len(BODY)), [ALL]),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_a_server_answers(
    name: str, serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site, part, asked = deepcopy(ANSWERS[name])
    if part:
        (tmp_path / "toy.zip.part").write_bytes(part)
    path = fetch(toy(serve(site).url), tmp_path)
    assert path == tmp_path / "toy.zip"
    assert path.read_bytes() == BODY
    assert left_in(tmp_path) == {"toy.zip"}
    assert site.asked == asked
    if site.ranges == "served" and name != "a damaged part":
        assert site.sent <= 1.05 * len(BODY)
    shown = capsys.readouterr()
    assert "toy: 100%" in shown.err
    assert not shown.out


@pytest.mark.parametrize("after_cut", ["close", "reset"])
def test_md5_and_an_unknown_size(
    after_cut: Literal["close", "reset"], serve: Serve, tmp_path: Path
) -> None:
    site = serve(Site(cuts=[HALF], after_cut=after_cut))
    release = DataSet("toy", 1, None, (site.url,), None, f"md5:{hashlib.md5(BODY).hexdigest()}")
    assert fetch(release, tmp_path / "new" / "folder").read_bytes() == BODY
    assert len(site.asked) == 2


@pytest.mark.parametrize(("name", "body"), [("toy.zip", b"placed by hand"), ("toy.zip.part", BODY)])
def test_what_is_there_needs_no_network(
    name: str, body: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "socket", forbid)
    (tmp_path / name).write_bytes(body)
    assert fetch(toy("http://127.0.0.1:1/toy.zip"), tmp_path).read_bytes() == body
    assert left_in(tmp_path) == {"toy.zip"}


def test_an_offline_user_is_told_what_to_fetch_and_where_to_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, forbid)
    with pytest.raises(MovieEmbedError) as caught:
        load_ratings(DataConfig("ml-1m", cache_dir=str(tmp_path), download=False))
    assert not list(tmp_path.iterdir())
    archive = tmp_path / "ml-1m.zip"
    assert str(caught.value) == (
        f"ml-1m: {archive} is missing and data.download=false; set it to true, or fetch "
        "https://files.grouplens.org/datasets/movielens/ml-1m.zip by hand and save it as "
        f"{archive}, or pass data.path=/where/it/is/ml-1m.zip"
    )


def test_next_run_and_next_source_resume(
    serve: Serve,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    quarter = len(BODY) // 4
    first, second = serve(Site(cuts=[quarter, 0, 0, 0, quarter, 0, 0, 0])), serve(Site())
    with pytest.raises(MovieEmbedError, match="connection cut with 750,000 bytes to come"):
        fetch(toy(first.url), tmp_path)
    assert left_in(tmp_path) == {"toy.zip.part"}
    assert "100%" not in capsys.readouterr().err
    assert fetch(toy(first.url, second.url), tmp_path).read_bytes() == BODY
    assert len(first.asked) == 2 * (1 + movielens.RETRIES)
    assert first.sent + second.sent <= 1.05 * len(BODY)


def refused(serve: Serve) -> str:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return f"http://127.0.0.1:{unused.getsockname()[1]}/toy.zip"


PROBLEMS: dict[str, tuple[Callable[[Serve], str], str]] = {
    "not found": (lambda serve: serve(Site(status=404)).url, "HTTP 404 Not"),
    "server error": (lambda serve: serve(Site(status=500)).url, "HTTP 500 Internal"),
    "refused connection": (refused, "refused"),
    "stall": (lambda serve: serve(Site(gate=threading.Event())).url, "timed out"),
    "stall midway": (
        lambda serve: serve(Site(cuts=[HALF], after_cut="stall", gate=threading.Event())).url,
        "timed out",
    ),
    "altered archive": (lambda serve: serve(Site(altered(BODY))).url, "not the published"),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_second_source_after(
    problem: str,
    serve: Serve,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(movielens, "TIMEOUT_S", 0.3)
    bad, reason = PROBLEMS[problem]
    good = serve(Site())
    assert fetch(toy(bad(serve), good.url), tmp_path).read_bytes() == BODY
    assert good.asked == [REST if "midway" in problem else ALL]
    (line,) = caplog.messages
    assert reason in line
    assert line.startswith("toy: 127.0.0.1:")


BODIES = [altered(BODY), BODY[:-1], BODY + b"\0", b"<html>moved</html>", bytes(1 << 25)]


@pytest.mark.parametrize("body", BODIES, ids=["altered", "short", "long", "a page", "huge"])
@pytest.mark.parametrize("size", [len(BODY), None])
def test_altered_archive_is_refused(
    serve: Serve, tmp_path: Path, body: bytes, size: int | None
) -> None:
    site = serve(Site(body, declares_length=bool(size)))
    with pytest.raises(MovieEmbedError, match="not the published file's"):
        fetch(toy(site.url, size=size), tmp_path)
    assert left_in(tmp_path) == set()
    assert size is None or site.sent < 1 << 25  # what is too long is not read to its end


def test_all_sources_bad(serve: Serve, tmp_path: Path) -> None:
    first, second = serve(Site(status=404)), serve(Site(altered(BODY)))
    with pytest.raises(MovieEmbedError) as caught:
        fetch(toy(first.url, second.url), tmp_path)
    failures = r"\(127\S+: HTTP 404 .*; 127\S+: .*published.*\); run again later"
    ways = f"fetch {first.url} by hand and save it as {tmp_path}/toy.zip, or pass data.path=/where"
    assert re.match(f"toy: no source delivered it {failures}, or {ways}", str(caught.value))


def test_two_processes_download_once(serve: Serve, tmp_path: Path) -> None:
    site = serve(Site())
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        paths = [pool.submit(fetch, toy(site.url), tmp_path) for _ in range(2)]
    assert {path.result() for path in paths} == {tmp_path / "toy.zip"}
    assert site.asked == [None]
    assert site.sent == len(BODY)
    assert (tmp_path / "toy.zip").read_bytes() == BODY


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_one_line(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "toy.zip.part").symlink_to("/dev/full")
    with pytest.raises(MovieEmbedError, match="No space left on device; free some space"):
        fetch(toy(serve(Site()).url), tmp_path)


def test_a_lock_that_another_holds_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held = FileLock(tmp_path / "held.lock", thread_local=False)
    with ThreadPoolExecutor(1) as other:
        other.submit(held.acquire).result()
    threading.Timer(1.5, held.release).start()
    with wait_for(tmp_path / "held.lock"):
        assert [str(tmp_path / "held.lock") in line for line in caplog.messages] == [True]


def test_cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_dir("~/a/b") == tmp_path / "a" / "b"
    assert cache_dir(None).name == "movie_embed"
    assert cache_dir(None).is_dir()
    (tmp_path / "file").touch()
    for unusable in ("~/file", "~/file/below", "~no-such-user/x"):
        with pytest.raises(MovieEmbedError, match=r"choose another data\.cache_dir"):
            cache_dir(unusable)
    with pytest.raises(MovieEmbedError, match=r"file.*: Not a directory|file: File exists"):
        fetch(toy("http://127.0.0.1:1/toy.zip"), tmp_path / "file")
