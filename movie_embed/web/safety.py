"""Checks of every request before the API sees it: host name, size and time."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import socket
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 2**20
MOST_FILE_BYTES = 2**25
SECONDS = 30  # for the head of a request to arrive, and for its body
_HEADERS = [
    # The documentation's page, of Swagger UI, draws its icons from data: addresses.
    (b"content-security-policy", b"default-src 'self'; img-src 'self' data:; base-uri 'none'; "
     b"form-action 'none'; frame-ancestors 'none'; object-src 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
]  # fmt: skip


class Refused(Exception):
    """A request that is refused, with its status."""

    def __init__(self, status: int, told: str) -> None:
        super().__init__(told)
        self.status = status


class Guard:
    """Refuse other host names and bodies that are too large or slow; add security headers.

    DNS rebinding: a foreign page can make its own host name resolve to 127.0.0.1, and its scripts
    may then read this server's answers. Such requests carry the foreign name, so names are checked.

    Parameters
    ----------
    app
        The application.
    host
        The address that the server listens at.
    """

    def __init__(self, app: ASGIApp, host: str) -> None:
        self.app, self.host = app, host.strip("[]").lower()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        try:
            self._check(scope)
            body = await _body(scope, receive)
        except Refused as refused:
            await _send_error(refused.status, str(refused), send_with_headers)
            return
        await self.app(scope, _once(body, receive), send_with_headers)

    def _check(self, scope: Scope) -> None:
        names = _header(scope, b"host")
        if len(names) != 1 or not self.is_ours(names[0]):
            raise Refused(400, "this server is not called that: use http://localhost and its port")

    def is_ours(self, named: str) -> bool:
        """Return whether a Host header names this server."""
        found = re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(:[0-9]{1,5})?", named.lower())
        if not found:
            return False
        name = found[1].strip("[]")
        anywhere = self.host in ("0.0.0.0", "::")  # noqa: S104
        own = {"localhost", self.host} | ({socket.gethostname().lower()} if anywhere else set())
        if name in own:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        # A numeric address is no name that somebody else could make resolve to this machine.
        return address.is_loopback or anywhere


async def _body(scope: Scope, receive: Receive) -> bytes:
    """Return the whole body of a request."""
    most = MOST_FILE_BYTES if scope["path"] == "/api/read" else MOST_BYTES
    told = Refused(413, f"the request is larger than {most >> 20} MB")
    lengths = _header(scope, b"content-length")
    if any(not length.isdecimal() or int(length[:20]) > most for length in lengths):
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
                if size > most:
                    raise told
    except TimeoutError:
        raise Refused(408, f"the request took longer than {SECONDS} s to arrive") from None
    return b"".join(parts)


def _once(body: bytes, receive: Receive) -> Receive:
    """Return a channel that yields the body, then later messages such as a disconnect."""
    messages: Iterable[Message] = iter([{"type": "http.request", "body": body}])

    async def received() -> Message:
        for message in messages:
            return message
        return await receive()

    return received


def _header(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


async def _send_error(status: int, told: str, send: Send) -> None:
    body = json.dumps({"error": told}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
