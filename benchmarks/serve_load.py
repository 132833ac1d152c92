"""How many questions a second the server answers, as a share of its empty route's.

    python benchmarks/serve_load.py outputs/latest [--seconds 5] [--total 20000]

One worker and 64 connections on this machine, each route in turn, twice; then `total` questions
of both kinds mixed, which must be the library's answers, and the memory of the server.
"""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import ROOT, command_line

from movie_embed import Recommender

CONNECTIONS, PORT, DIFFERENT = 64, 8765, 200
Ask = Callable[[int], bytes]


def request(path: str, body: Any = None) -> bytes:
    """Return a request as it is sent."""
    content = b"" if body is None else json.dumps(body).encode()
    kind = "GET" if body is None else "POST"
    head = f"{kind} /api/{path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


async def load(
    ask: Ask, go_on: Callable[[int], bool], check: Callable[[int, bytes], None] | None = None
) -> list[float]:
    """Ask over all connections while `go_on`, and return how long each answer took."""
    took: list[float] = []
    asked = iter(range(sys.maxsize))

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        while go_on(number := next(asked)):
            start = time.perf_counter()
            writer.write(ask(number))
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            answer = await reader.readexactly(length)
            took.append(time.perf_counter() - start)
            if check:
                check(number, answer)
        writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return took


def rate(name: str, ask: Ask, seconds: int) -> float:
    """Measure one route and print it."""
    end = time.perf_counter() + seconds
    took = sorted(asyncio.run(load(ask, lambda _: time.perf_counter() < end)))
    each = len(took) / seconds
    print(f"{name:16} {each:8,.0f}/s   p99 {1000 * took[int(0.99 * len(took))]:6.1f} ms")
    return each


def serve_load(run: Path, seconds: int = 5, total: int = 20_000) -> None:
    """Measure the routes, then compare answers with the library's."""
    recommender, rng = Recommender.load(run), random.Random(0)  # noqa: S311
    ids = recommender.embeddings.movies.ids[: recommender.embeddings.movies.embedded].tolist()
    movies = [rng.choice(ids) for _ in range(DIFFERENT)]
    people = [{i: rng.randint(2, 10) / 2 for i in rng.sample(ids, 10)} for _ in range(DIFFERENT)]
    similar = [request(f"similar?movie_id={movie}") for movie in movies]
    rated = [request("recommendations", {"ratings": person}) for person in people]
    expected = [
        json.dumps([answer.to_dict() for answer in answers])
        for movie, person in zip(movies, people, strict=True)
        for answers in (recommender.similar(movie), recommender.for_ratings(person))
    ]

    def mixed(number: int) -> bytes:
        return (similar, rated)[number % 2][number // 2 % DIFFERENT]

    different = 0

    def check(number: int, answer: bytes) -> None:
        nonlocal different
        different += json.loads(answer) != json.loads(expected[number % (2 * DIFFERENT)])

    command = [sys.executable, "-m", "movie_embed", "serve", f"run={run}", f"port={PORT}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout
            server.stdout.readline()
            time.sleep(1)
            for _ in range(2):
                empty = rate("empty (health)", lambda _: request("health"), seconds)
                for name, asked in (("similar", similar), ("recommendations", rated)):
                    each = rate(name, lambda n, asked=asked: asked[n % DIFFERENT], seconds)
                    print(f"{'':16} {each / empty:8.2f} of empty")
            memory = [_megabytes(server.pid)]
            for _ in range(4):
                asyncio.run(load(mixed, lambda number: number < total // 4, check))
                memory.append(_megabytes(server.pid))
            print(f"{total:,} mixed questions, {different} answers unlike the library's")
            print("memory, MB:", *(f"{each:.0f}" for each in memory))
        finally:
            server.terminate()


def _megabytes(process: int) -> float:
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * 4096 / 1e6


if __name__ == "__main__":
    command_line(__doc__, serve_load)
