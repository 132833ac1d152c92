"""How fast questions are answered, in Python, by threads and by the server.

    OMP_NUM_THREADS=1 python benchmarks/answering.py speed
    OMP_NUM_THREADS=1 python benchmarks/answering.py beside
    OMP_NUM_THREADS=1 python benchmarks/answering.py threads outputs/latest [--total 100000]
    python benchmarks/answering.py serve outputs/latest [--total 20000]

`speed`: each kind of question, at 1,005, 20,000 and 100,000 random movies of 50 numbers.

`beside`: the paper's questions (section VI; it reports 11 ms for one movie and 24 ms for three
among 1,005), beside bare NumPy and scikit-learn, all about the same random movies. Bare NumPy is
the product of normalised vectors with the query, `argpartition` and a sort of the ten, which
gives row numbers; ours gives titles, years and genres with them.

`threads`: one fresh Recommender for all; the answers must be those of one thread, in flat memory.

`serve`: one worker and 64 connections on this machine; the answers must be the library's.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from harness import DOCS, ROOT, command_line, write_table
from numpy.typing import NDArray

from movie_embed import Filters, Recommender
from movie_embed.data.movies import MovieTable
from movie_embed.embeddings.ease import Ease
from movie_embed.embeddings.saved import ContentVectors, SavedEmbeddings, UserEmbeddings
from movie_embed.embeddings.spaces import unit

DIM, USERS, RATINGS, REPEATS, K = 50, 10_000, 300, 30, 10
ITEMS, FEW, NEAREST = 8_000, 2_000, 200  # of the implicit model
GENRES = ("Action", "Animation", "Children", "Comedy", "Drama", "Horror", "Sci-Fi", "War")
PAIRS = ["|".join(pair) for pair in combinations(GENRES, 2)]
SIZES = {1_005: 2_000, 27_278: 500, 1_000_000: 30}
DIFFERENT = 1_000  # questions
CONNECTIONS, PORT, MOVIES_ASKED, ROUNDS = 64, 8765, 200, 5

Rows = NDArray[np.intp]
Question = Callable[[Recommender], object]


def questions(recommender: Recommender, rng: random.Random) -> dict[str, Question]:
    """Return a question of each kind, about movies and users drawn at random."""
    movies = recommender.embeddings.movies
    ids = movies.ids[: movies.embedded].tolist()
    (one, two, three), title = rng.sample(ids, 3), movies.titles[rng.randrange(len(ids))]
    user = rng.choice(recommender._spaces.users.ids.tolist())
    rated = {movie: 1.0 + rng.randrange(5) for movie in rng.sample(ids, min(RATINGS, len(ids)))}
    chosen = Filters(["Animation", "Drama"], ["War"], (1950, 2000), min_count=10)
    return {
        "similar to one": lambda r: r.similar(one),
        "similar to three, mean": lambda r: r.similar([one, two, three]),
        "similar to three, max": lambda r: r.similar([one, two, three], combine="max"),
        "not like another": lambda r: r.similar(one, not_like=two),
        "dot product": lambda r: r.similar(one, metric="dot"),
        "explained": lambda r: r.similar([one, two, three], explain=True),
        "filtered": lambda r: r.similar(one, filters=chosen),
        "diverse": lambda r: r.similar(one, diversity=0.3),
        "with rare movies": lambda r: r.similar(one, filters=Filters(include_rare=True)),
        "by title": lambda r: r.movie_id(title),
        "misspelt title": lambda r: r.movie_id(title[:2] + title[3:]),
        "for a user": lambda r: r.for_user(user),
        "for a user, explained": lambda r: r.for_user(user, explain=True),
        "for somebody's 2 ratings": lambda r: r.for_ratings({one: 5.0, two: 1.0}),
        f"for somebody's {RATINGS} ratings": lambda r: r.for_ratings(rated),
        "similar users": lambda r: r.similar_users(user),
    }


def random_recommender(movies: int) -> Recommender:
    """Make random embeddings of so many movies, one in a hundred of them rare."""
    rng = np.random.default_rng(0)
    rare, every = movies // 100, movies + movies // 100

    def vectors(rows: int) -> NDArray[np.float32]:
        return rng.standard_normal((rows, DIM), dtype=np.float32)

    table = MovieTable(
        ids=np.arange(1, every + 1),
        titles=[f"Example {i}, The ({1920 + i % 100})" for i in range(1, every + 1)],
        genres=[PAIRS[i] for i in rng.integers(0, len(PAIRS), every)],
        tags=[""] * every,
        rating_counts=rng.integers(1, 1000, every),
        embedded=movies,
    )
    users = UserEmbeddings(
        ids=np.arange(USERS),
        vectors=vectors(USERS),
        biases=np.zeros(USERS, np.float32),
        starts=np.arange(USERS + 1) * RATINGS,
        rated=rng.integers(0, movies, USERS * RATINGS).astype(np.uint32),
        stars=rng.integers(0, 5, USERS * RATINGS).astype(np.uint8),
        levels=np.arange(1, 6, dtype=np.float32),
    )
    content, items = vectors(rare), min(movies, ITEMS)
    own = np.random.default_rng(1)
    rows = np.sort(own.choice(movies, items, replace=False))
    rest, few = np.setdiff1d(np.arange(every), rows), min(items, FEW)

    def correlations(*shape: int) -> NDArray[np.float16]:
        return (0.01 * own.standard_normal(shape, np.float32)).astype(np.float16)

    ease = Ease(
        rows=rows.astype(np.int32),
        partial=correlations(items, items),
        scales=np.ones(items, np.float32),
        means=own.random(every, np.float32),
        few_rows=rows[:few].astype(np.int32),
        few_weights=correlations(few, few),
        few_offsets=own.random(few, np.float32),
        rest_rows=rest.astype(np.int32),
        rest_items=own.integers(0, items, (len(rest), NEAREST)).astype(np.uint16),
        rest_partial=correlations(len(rest), NEAREST),
        rest_scales=np.ones(len(rest), np.float32),
    )
    saved = SavedEmbeddings(
        vectors=vectors(movies),
        biases=np.zeros(movies, np.float32),
        movies=table,
        rating_range=(1.0, 5.0),
        data_name="random",
        min_ratings=1,
        ridge=10.0,
        average_user=np.zeros(DIM + 1, np.float32),
        users=users,
        content=ContentVectors(content, np.zeros(rare, np.float32), [], content[:1]),
        ease=ease,
    )
    return Recommender(saved)


def milliseconds(ask: Callable[..., object], about: Iterable[Any]) -> NDArray[np.float64]:
    """Return the time of each question."""
    times = []
    for each in about:
        started = time.perf_counter()
        ask(each)
        times.append(1000 * (time.perf_counter() - started))
    return np.array(times)


def speed() -> None:
    """Time each kind of question."""
    rows: dict[str, list[str]] = {}
    for movies in (1_005, 20_000, 100_000):
        recommender = random_recommender(movies)
        for name, question in questions(recommender, random.Random(0)).items():  # noqa: S311
            # The first may parse or read.
            times = milliseconds(question, [recommender] * (REPEATS + 1))[1:]
            rows.setdefault(name, []).append(f"{np.median(times):.2f}")
    heading = ("question, ms", "1,005 movies", "20,000 movies", "100,000 movies")
    write_table("answering", "", heading, [(name, *cells) for name, cells in rows.items()])


def ways(ours: Recommender) -> dict[str, Callable[[Rows], object]]:
    """Return ways to find the ten nearest of the mean of some rows, which are no answers."""
    from sklearn.neighbors import NearestNeighbors

    normalised = unit(ours.embeddings.vectors)
    neighbours = NearestNeighbors(metric="cosine", algorithm="brute").fit(normalised)

    def bare(rows: Rows) -> Rows:
        scores = normalised @ normalised[rows].mean(axis=0)
        scores[rows] = -np.inf
        best = np.argpartition(scores, -K)[-K:]
        found: Rows = best[np.argsort(-scores[best])]
        return found

    def scikit_learn(rows: Rows) -> Rows:
        query = normalised[rows].mean(axis=0, keepdims=True)
        found = neighbours.kneighbors(query, K + len(rows), return_distance=False)[0]
        return found[~np.isin(found, rows)][:K]

    def movie_embed(rows: Rows) -> object:
        return ours.similar((rows + 1).tolist(), K, metric="cosine")

    return {"movie_embed": movie_embed, "bare NumPy": bare, "scikit-learn": scikit_learn}


def beside() -> None:
    """Time the paper's questions beside bare NumPy and scikit-learn."""
    rows = []
    for movies, repeats in SIZES.items():
        asks = ways(random_recommender(movies))
        for named in (1, 3):
            rng = np.random.default_rng(0)
            drawn = [rng.choice(movies, named, replace=False) for _ in range(repeats)]
            # Five to warm up.
            times = {way: milliseconds(a, drawn[:5] + drawn)[5:] for way, a in asks.items()}
            bare = np.median(times["bare NumPy"])
            for name, column in times.items():
                median, slow = np.median(column), np.percentile(column, 99)
                cells = (f"{median:.3f}", f"{slow:.3f}", f"{median / bare:.2f}")
                rows.append((f"{movies:,}", named, name, *cells))
                print(*rows[-1], flush=True)
    heading = ("movies", "asked about", "", "median, ms", "p99, ms", "of bare NumPy")
    write_table("paper_latency", "", heading, rows, path=DOCS / "paper.md")


def answer(recommender: Recommender, question: Question) -> object:
    """Return the answer, or the message of the error that it is."""
    try:
        return question(recommender)
    except Exception as error:
        return str(error)


def asked_by_threads(run: Path, total: int, count: int) -> tuple[list[object], int, list[float]]:
    """Ask questions from many threads of one fresh Recommender.

    Return the answers of one thread, how many of the threads' differ from them, and the memory in
    MB after each tenth.
    """
    alone, rng = Recommender.load(run), random.Random(0)  # noqa: S311
    asked: list[Question] = []
    while len(asked) < min(DIFFERENT, total):
        asked += questions(alone, rng).values()
    expected = [answer(alone, question) for question in asked]
    shared, start = Recommender.load(run), threading.Barrier(count)

    def work(seed: int) -> int:
        rng = random.Random(seed)  # noqa: S311
        start.wait()  # so that all meet what is read and made on first use
        picks = (rng.randrange(len(asked)) for _ in range(total // 10 // count))
        return sum(answer(shared, asked[pick]) != expected[pick] for pick in picks)

    different, memory = 0, []
    with ThreadPoolExecutor(count) as pool:
        for tenth in range(10):
            different += sum(pool.map(work, range(tenth * count, (tenth + 1) * count)))
            memory.append(megabytes("self"))
    return expected, different, memory


def megabytes(process: int | str) -> float:
    """Return the memory of a process."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) / 256


def threads(run: Path, total: int = 100_000, count: int = 8) -> None:
    """Ask from many threads, and fail where an answer differs from one thread's."""
    _, different, memory = asked_by_threads(run, total, count)
    print(
        f"{total:,} questions by {count} threads: {different} answers differ from one thread's; "
        f"memory {memory[0]:.1f} MB after a tenth, {memory[-1]:.1f} MB after all"
    )
    if different:
        raise SystemExit(1)


def processor_seconds(process: int) -> float:
    """Return the time that processors have worked for a process."""
    spent = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, spent)) / os.sysconf("SC_CLK_TCK")


def request(path: str, body: Any = None) -> bytes:
    """Return a request as it is sent."""
    content = b"" if body is None else json.dumps(body).encode()
    kind = "GET" if body is None else "POST"
    head = f"{kind} /api/{path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


async def exchange(requests: Sequence[bytes]) -> tuple[list[bytes], list[float]]:
    """Send requests over all connections; return each one's answer and milliseconds."""
    answers, times, left = [b""] * len(requests), [0.0] * len(requests), enumerate(requests)

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        for number, sent in left:
            started = time.perf_counter()
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            answers[number] = await reader.readexactly(length)
            times[number] = 1000 * (time.perf_counter() - started)
        writer.close()

    await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return answers, times


def serve(run: Path, total: int = 20_000) -> None:
    """Ask a server, and fail where an answer differs from the library's."""
    ours, rng = Recommender.load(run), random.Random(0)  # noqa: S311
    ids = ours.embeddings.movies.ids[: ours.embeddings.movies.embedded].tolist()
    asked = [rng.choice(ids) for _ in range(MOVIES_ASKED)]
    people = [{i: rng.randint(2, 10) / 2 for i in rng.sample(ids, 10)} for _ in asked]
    routes = {
        "empty (health)": [request("health")],
        "similar": [request(f"similar?movie_id={movie}") for movie in asked],
        "recommendations for ten ratings": [
            request("recommendations", {"ratings": stars}) for stars in people
        ],
    }
    expected = [
        each
        for movie, stars in zip(asked, people, strict=True)
        for each in (ours.similar(movie), ours.for_ratings(stars))
    ]
    command = [sys.executable, "-m", "movie_embed", "serve", f"run={run}", f"port={PORT}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout
            if not server.stdout.readline():
                raise SystemExit("the server did not start")
            time.sleep(1)
            _, similar, rated = routes.values()
            mixed = [each for pair in zip(similar, rated, strict=True) for each in pair]
            first, _ = asyncio.run(exchange(mixed))
            before = megabytes(server.pid)
            measured: dict[str, list[tuple[float, float, float]]] = {name: [] for name in routes}
            for _ in range(ROUNDS):
                for name, requests in routes.items():
                    sent = requests * (total // ROUNDS // len(requests))
                    started, used = time.perf_counter(), processor_seconds(server.pid)
                    _, times = asyncio.run(exchange(sent))
                    used = processor_seconds(server.pid) - used
                    rate = len(sent) / (time.perf_counter() - started)
                    own = 1000 * used / len(sent), rate, float(np.percentile(times, 99))
                    measured[name].append(own)
            answers, _ = asyncio.run(exchange(mixed * (total // len(mixed))))
            after = megabytes(server.pid)
        finally:
            server.terminate()
    pairs = zip(first, expected, strict=True)
    same = [json.loads(a) == json.loads(json.dumps([m.to_dict() for m in e])) for a, e in pairs]
    if not all(same) or answers != first * (total // len(mixed)):
        raise SystemExit("the server's answers differ from the library's")
    best = {name: min(rounds) for name, rounds in measured.items()}
    empty = best["empty (health)"][0]
    cells = [
        (name, f"{own:.2f} ms", f"{own - empty:.2f} ms", f"{rate:,.0f}", f"{slow:.0f} ms")
        for name, (own, rate, slow) in best.items()
    ]
    note = (
        f"{total:,} questions a route, the best of {ROUNDS} rounds, and {total:,} of both kinds "
        f"mixed with the library's answers; the server took {before:.0f} MB, then {after:.0f} MB"
    )
    heading = ("route", "processor time", "beyond the empty route", "a second", "p99")
    write_table("serve_load", note, heading, cells, path=DOCS / "web.md")


if __name__ == "__main__":
    command_line(__doc__, speed, beside, threads, serve)
