"""One Recommender shared by threads: the same answers as one thread gives, in flat memory.

python train.py
OMP_NUM_THREADS=1 python benchmarks/load.py outputs/latest            # 100,000 questions
OMP_NUM_THREADS=1 python benchmarks/load.py outputs/latest 5000 8     # questions, threads
"""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from movie_embed import Filters, Recommender

KINDS = 1_000

Question = Callable[[Recommender], object]


def questions(run: Path, size: int) -> list[Question]:
    """Return different questions of each kind, from a seed."""
    rng = random.Random(0)  # noqa: S311
    recommender = Recommender.load(run)
    table = recommender.embeddings.movies
    movies = table.ids[: table.embedded].tolist()
    users = recommender._spaces.users.ids.tolist()
    return [_question(rng, number, movies, users, table.titles) for number in range(size)]


def _question(
    rng: random.Random, number: int, movies: list[int], users: list[int], titles: list[str]
) -> Question:
    some, user = rng.sample(movies, 3), rng.choice(users)
    title = titles[rng.randrange(len(movies))]
    kinds: list[Question] = [
        lambda r: r.similar(some[0]),
        lambda r: r.similar(some, combine="max", explain=True),
        lambda r: r.similar(some[:2], not_like=some[2], diversity=0.3),
        lambda r: r.similar(some[0], filters=Filters(include_rare=True, years=(1980, 2005))),
        lambda r: r.movie_id(title),
        lambda r: r.for_user(user, explain=True),
        lambda r: r.for_ratings({some[0]: 5.0, some[1]: 1.0}),
        lambda r: r.similar_users(user),
    ]
    return kinds[number % len(kinds)]


def answer(recommender: Recommender, question: Question) -> object:
    """Return the answer, or the message of the error that it is."""
    try:
        return question(recommender)
    except Exception as error:
        return str(error)


def megabytes() -> float:
    """Return what of this process is in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def share(run: Path, total: int, threads: int) -> tuple[int, float, list[float]]:
    """Ask questions from many threads of one fresh Recommender.

    Returns
    -------
    tuple
        How many answers differ from those of one thread, the seconds, and the memory in MB after
        each tenth.
    """
    asked = questions(run, min(KINDS, total))
    alone = Recommender.load(run)
    expected = [answer(alone, question) for question in asked]
    shared, start = Recommender.load(run), threading.Barrier(threads)

    def work(thread: int, part: range) -> int:
        rng = random.Random(thread + part.start)  # noqa: S311
        start.wait()  # so that all meet what is read and made on first use
        picks = (rng.randrange(len(asked)) for _ in part)
        return sum(answer(shared, asked[pick]) != expected[pick] for pick in picks)

    different, memory = 0, []
    began = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for tenth in range(10):
            each = range(tenth * total // 10, (tenth + 1) * total // 10, threads)
            different += sum(pool.map(work, range(threads), [each] * threads))
            memory.append(megabytes())
    return different, time.perf_counter() - began, memory


def main(run: Path, total: int, threads: int) -> None:
    """Print one line, and fail where an answer differs."""
    different, seconds, memory = share(run, total, threads)
    print(
        f"{total:,} questions by {threads} threads in {seconds:.1f} s: {different} answers differ "
        f"from one thread's; memory {memory[0]:.1f} MB after a tenth, {memory[-1]:.1f} MB after all"
    )
    sys.exit(different > 0)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]), *(int(a) for a in (sys.argv[2:] + ["100000", "8"][len(sys.argv) - 2 :]))
    )
