"""Checks of every request before the API sees it: host name, origin, size and time."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
import time
from collections.abc import Callable, Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from movie_embed.config import ServeConfig

MOST_BYTES = 2**20
MOST_FILE_BYTES = 2**24
MOST_HELD_BYTES = 2**26  # in all requests that are answered at a time
SECONDS = 30  # for the head of a request to arrive, and for its body
Note = Callable[[Scope, int, float], None]  # of a request, with its status and seconds


class Refused(Exception):
    """A request that is refused, with its status."""

    def __init__(self, status: int, told: str) -> None:
        super().__init__(told)
        self.status = status


class Guard:
    """Refuse other host names and sites, and bodies too large or slow; add security headers.

    DNS rebinding: a foreign page can make its own host name resolve to 127.0.0.1, and its scripts
    may then read this server's answers. Such requests carry the foreign name, so names are checked.
    Starlette's TrustedHostMiddleware cannot let in every numeric address, and answers no JSON.

    A foreign page may also send questions without reading their answers; browsers name its site.
    """

    def __init__(self, app: ASGIApp, config: ServeConfig, note: Note) -> None:
        self.app, self._note = app, note
        self._host = config.host.strip("[]").lower()
        named = (name.strip("[]").lower() for name in config.hosts)
        self._names = {"localhost", self._host, *named}
        self._anywhere = self._host in ("0.0.0.0", "::")  # noqa: S104
        if self._anywhere:
            self._names.add(socket.gethostname().lower())
        self._origins = {origin.encode() for origin in config.origins}
        self._is_ours = lru_cache(64)(self.is_ours)
        self._root, self._held = config.root_path, 0
        pictures = "".join(f" {part.scheme}://{part.netloc}" for part in [urlsplit(config.poster)])
        policy = (
            # The documentation's page, of Swagger UI, draws its icons from data: addresses.
            f"default-src 'self'; img-src 'self' data:{pictures if config.poster else ''}; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
        )
        self._headers = [
            (b"content-security-policy", policy.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-resource-policy", b"same-origin"),
            (b"cross-origin-opener-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, status, body = time.perf_counter(), 500, b""
        head = scope["method"] == "HEAD"
        if self._root:
            scope["root_path"] = self._root
            if not f"{scope['path']}/".startswith(f"{self._root}/"):  # a proxy took it off
                scope["path"] = self._root + scope["path"]
        if head:  # FastAPI's routes answer to GET alone
            scope = {**scope, "method": "GET"}

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *self._headers]
            elif head:
                message = {**message, "body": b""}
            await send(message)

        try:
            headers = dict(scope["headers"])
            self._check(scope, headers)
            if scope["method"] != "GET":
                body = await self._body(scope, headers, receive)
                receive = _once(body, receive)
            await self.app(scope, receive, send_with_headers)
        except (Refused, asyncio.CancelledError) as stop:  # the server cancels what it cannot await
            refused = stop if isinstance(stop, Refused) else Refused(503, "the server ends")
            told = JSONResponse({"error": str(refused)}, refused.status, {"connection": "close"})
            await told(scope, receive, send_with_headers)
        finally:
            self._held -= len(body)
            asked = {**scope, "method": "HEAD"} if head else scope
            self._note(asked, status, time.perf_counter() - started)

    def _check(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        names = [value for key, value in scope["headers"] if key == b"host"]
        if len(names) != 1 or not self._is_ours(names[0].decode("latin-1")):
            raise Refused(
                400,
                "this server is not called that: use http://localhost and its port, or start it "
                "with 'hosts=[NAME]'",
            )
        origin, site = headers.get(b"origin"), headers.get(b"sec-fetch-site")
        if origin in self._origins:
            return
        if site is None:  # no browser, or an old one
            foreign = origin is not None and urlsplit(origin).netloc != names[0]
        else:
            follows = headers.get(b"sec-fetch-dest") == b"document" and scope["method"] == "GET"
            page = follows and "/api/" not in scope["path"]  # a link to the page may be anywhere
            foreign = site not in (b"same-origin", b"none") and not page
        if foreign:
            raise Refused(403, "a page of another site asked: start with 'origins=[ITS ADDRESS]'")

    def is_ours(self, named: str) -> bool:
        """Return whether a Host header names this server."""
        found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{1,5})?", named.lower())
        if not found:
            return False
        name = found[1].strip("[]")
        if name in self._names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        # A numeric address is no name that somebody else could make resolve to this machine.
        return address.is_loopback or self._anywhere

    async def _body(self, scope: Scope, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """Return the whole body of a request, counted among the bytes held."""
        most = MOST_FILE_BYTES if scope["path"].endswith("/api/read") else MOST_BYTES
        told = Refused(413, f"the request is larger than {most >> 20} MB")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > most:
            raise told
        parts: list[bytes] = []
        size, more = 0, True
        try:
            async with asyncio.timeout(SECONDS):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(400, "the request broke off")
                    parts.append(message.get("body", b""))
                    size, more = size + len(parts[-1]), message.get("more_body", False)
                    self._held += len(parts[-1])
                    if size > most:
                        raise told
                    if self._held > MOST_HELD_BYTES:
                        raise Refused(503, "too many large requests at a time: try again")
        except BaseException as error:
            self._held -= size
            if isinstance(error, TimeoutError):
                late = f"the request took longer than {SECONDS} s to arrive"
                raise Refused(408, late) from None
            raise
        return b"".join(parts)


def _once(body: bytes, receive: Receive) -> Receive:
    """Return a channel that yields the body, then later messages such as a disconnect."""
    messages: Iterable[Message] = iter([{"type": "http.request", "body": body}])

    async def received() -> Message:
        for message in messages:
            return message
        return await receive()

    return received
