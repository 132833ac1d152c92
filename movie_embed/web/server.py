"""`movie-embed serve`: the server, in one process or several."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import tempfile
from dataclasses import asdict
from pathlib import Path
from threading import Timer
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess

from movie_embed.answers.recommender import Recommender
from movie_embed.config import ServeConfig
from movie_embed.errors import Interrupted, MovieEmbedError, program
from movie_embed.web.app import create_app
from movie_embed.web.metrics import FOLDER
from movie_embed.web.safety import SECONDS

_SETTINGS = "MOVIE_EMBED_SERVE"
_MOST_HEAD = 2**16
_GRACE = 3  # seconds for answers that are being made when a signal comes
_LAST = 4.5  # seconds after a signal when the server has ended, whatever its threads still do


class Connection(HttpToolsProtocol):
    """A connection that is closed if the head of a request is large, or does not arrive in time.

    uvicorn has a timeout for silence between requests only: a client that sends a byte now and then
    could hold all connections there are.
    """

    _deadline: asyncio.TimerHandle | None = None
    _head = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head; Guard waits for the body."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._head += len(data)
            self._wait()
        elif self._deadline:
            self._deadline.cancel()
            self._deadline, self._head = None, 0
        if self._head > _MOST_HEAD:
            self.transport.close()

    def _wait(self) -> None:
        self._deadline = self._deadline or self.loop.call_later(SECONDS, self.transport.close)


class Server(uvicorn.Server):
    """The only server, which ends soon after a signal: Python would wait for its threads."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.should_exit:
            last = Timer(_LAST, os._exit, [128 + sig])
            last.daemon = True
            last.start()
        super().handle_exit(sig, frame)


class Workers(Multiprocess):
    """Several servers, which uvicorn ends by the signal itself, and by which signal."""

    ended_by = 0

    def handle_int(self) -> None:
        self.ended_by = signal.SIGINT
        super().handle_int()

    def handle_term(self) -> None:
        self.ended_by = signal.SIGTERM
        super().handle_term()


def serve(config: ServeConfig) -> None:
    """Answer until a signal ends the server."""
    # Workers are new processes: they find the settings in their environment.
    os.environ[_SETTINGS] = json.dumps(asdict(config))
    _check_free(config)
    app = _from_environment()  # of several workers, this tells mistakes in one line
    settings = uvicorn.Config(
        app if config.workers == 1 else f"{__name__}:_from_environment",
        factory=config.workers > 1,
        http=Connection,
        host=config.host,
        port=config.port,
        workers=config.workers,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=256,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_GRACE,
    )
    shown = f"[{config.host}]" if ":" in config.host else config.host
    shown = "localhost" if config.host in ("0.0.0.0", "::") else shown  # noqa: S104
    address = f"http://{shown}:{config.port}{config.root_path}"
    print(f"{address}  (Ctrl-C ends it; {address}/docs describes the API)", flush=True)
    if config.workers == 1:
        Server(settings).run()
        return
    del app
    with tempfile.TemporaryDirectory() as folder:
        os.environ[FOLDER] = folder
        workers = Workers(settings, sockets=[settings.bind_socket()])
        workers.run()
    if not workers.ended_by:
        raise MovieEmbedError("the workers could not start")
    raise Interrupted("stopped", workers.ended_by)


def _from_environment() -> FastAPI:
    config = ServeConfig(**json.loads(os.environ[_SETTINGS]))
    app = create_app(Recommender.load(config.run), config, Path(config.run))
    gc.freeze()  # the model and the libraries stay: no search for garbage goes over them again
    return app


def _check_free(config: ServeConfig) -> None:
    """Refuse an address that is taken or not ours in one line; uvicorn would print several."""
    try:
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((config.host, config.port))
    except OSError as error:
        raise MovieEmbedError(
            f"cannot listen at {config.host}, port {config.port}: {error.strerror or error}; "
            f"try another: {program('serve')} port={config.port + 1}"
        ) from error
