"""`movie-embed serve`: the server, in one process or several."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from movie_embed.answers import search
from movie_embed.answers.recommender import Recommender
from movie_embed.config import ServeConfig
from movie_embed.embeddings.saved import folder_of
from movie_embed.errors import MovieEmbedError, program
from movie_embed.web.app import create_app
from movie_embed.web.safety import SECONDS

_RUN, _HOST = "MOVIE_EMBED_SERVE_RUN", "MOVIE_EMBED_SERVE_HOST"


class Connection(H11Protocol):
    """A connection that is closed if the head of a request does not arrive in time.

    uvicorn has a timeout for silence between requests only: a client that sends a byte now and then
    could hold all connections there are.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Wait for the rest of a head; Guard waits for the body."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait()
        elif self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _wait(self) -> None:
        self._deadline = self._deadline or self.loop.call_later(SECONDS, self.transport.close)


def serve(config: ServeConfig) -> None:
    """Answer until a signal ends the server.

    Raises
    ------
    MovieEmbedError
        There is no trained model, or the address cannot be had.
    """
    run = folder_of(Path(config.run)).resolve()
    # Workers are new processes: they find the run and the host in their environment.
    os.environ |= {_RUN: str(run), _HOST: config.host}
    _check_free(config)
    alone = config.workers == 1
    shown = f"[{config.host}]" if ":" in config.host else config.host
    shown = "localhost" if config.host in ("0.0.0.0", "::") else shown  # noqa: S104
    app: FastAPI | str = _from_environment() if alone else f"{__name__}:_from_environment"
    print(f"http://{shown}:{config.port}  (Ctrl-C ends it; /docs describes the API)", flush=True)
    uvicorn.run(
        app,
        factory=not alone,
        http=Connection,
        host=config.host,
        port=config.port,
        workers=config.workers,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=256,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
    )


def _from_environment() -> FastAPI:
    logging.getLogger(search.__name__).setLevel(logging.ERROR)  # the page shows the movie itself
    run = Path(os.environ[_RUN])
    app = create_app(Recommender.load(run), run, os.environ[_HOST])
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
