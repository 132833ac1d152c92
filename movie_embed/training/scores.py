"""Scores of (user, movie) pairs, with gradients at the speed of memory.

The plain way gathers two (batch, dim) tensors, and its backward scatters two more into tables of
zeros. Here nothing is copied: one compiled loop over the pairs gives their scores and another all
gradients. Pairs come sorted by user, so each row of the users' table is written once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from movie_embed.threads import is_forked

try:
    from numba import config, get_num_threads, njit, set_num_threads
    from numba import prange as prange  # for other loops too
except ImportError:  # there is none for this machine, or for its NumPy
    njit, prange = None, range

_Loop = Callable[..., None]
_log = logging.getLogger(__name__)
_PART = 2**14  # pairs that are worth another thread
_MOST_PARTS = 8


def pair_scores(
    vectors: tuple[Tensor, Tensor], biases: tuple[Tensor, Tensor], users: Tensor, movies: Tensor
) -> Tensor:
    """Return for every pair the dot product of its vectors plus both biases, shape (batch,).

    Parameters
    ----------
    vectors, biases
        Of users and of movies, shapes (users, dim) and (movies, dim), (users,) and (movies,).
    users, movies
        Row indices, int32 or int64, shape (batch,). On a CPU it is fastest if users ascend. One
        beyond its table is an IndexError.
    """
    if is_compiled(users.device) and ascend(users.numpy()):
        scores: Tensor = _Scores.apply(*vectors, *biases, users, movies)  # type: ignore[no-untyped-call]
        return scores
    return plain_pair_scores(vectors, biases, users, movies)


def is_compiled(device: torch.device) -> bool:
    """Whether `pair_scores` takes the fast path on a device: on every CPU that numba serves.

    In a forked process numba's threads may be lost, and it ends a process that asks for them.
    """
    return njit is not None and device.type == "cpu" and not is_forked()


def plain_pair_scores(
    vectors: tuple[Tensor, Tensor], biases: tuple[Tensor, Tensor], users: Tensor, movies: Tensor
) -> Tensor:
    """Return the scores of `pair_scores` by ordinary autograd, on any device and in any order."""
    # index_select, not indexing: its backward is faster, and for int64 twice as fast as for int32.
    users, movies = users.long(), movies.long()
    dots = (vectors[0].index_select(0, users) * vectors[1].index_select(0, movies)).sum(-1)
    return dots + biases[0].index_select(0, users) + biases[1].index_select(0, movies)


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        user_vectors, movie_vectors, user_biases, _, users, movies = tensors
        ctx.save_for_backward(user_vectors, movie_vectors, users, movies)
        check_rows(users, len(user_vectors))
        check_rows(movies, len(movie_vectors))
        scores = user_biases.new_empty(len(users))
        run(_fill_scores, *tensors, scores)
        return scores

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        of_user, of_movie, users, _ = ctx.saved_tensors
        firsts, starts = user_parts(users, len(of_user), len(of_movie))
        # A user's rows are one part's alone; a movie's are not, so each part has sums of its own.
        shape = len(firsts) - 1, *of_movie.shape
        of_users = [of_user.new_empty(size) for size in (of_user.shape, len(of_user))]
        of_movies = [of_movie.new_zeros(size) for size in (shape, shape[:2])]
        run(_fill_gradients, *ctx.saved_tensors, *gradients, firsts, starts, *of_users, *of_movies)
        return of_users[0], of_movies[0].sum(0), of_users[1], of_movies[1].sum(0), None, None


def run(loop: Callable[..., None], *tensors: Tensor) -> None:
    """Run a compiled loop on the memory of contiguous tensors, with torch's number of threads."""
    threads, before = torch.get_num_threads(), get_num_threads()
    if torch.get_num_threads() != threads:  # numba has just started, and set OpenMP to all cores
        torch.set_num_threads(threads)
    set_num_threads(min(threads, config.NUMBA_NUM_THREADS))
    loop(*(tensor.detach().contiguous().numpy() for tensor in tensors))
    set_num_threads(before)


def compiled(loop: _Loop) -> _Loop:
    """Compile a loop when it first runs, and keep the machine code on disk where possible."""
    if njit is None:
        return loop
    # Sums may be taken in any order, which lets them be vectorised; NaN stays NaN.
    options = {"parallel": True, "nogil": True, "fastmath": {"reassoc", "contract"}}
    try:
        ready = njit(cache=True, **options)(loop)
    except RuntimeError:  # no folder to keep it in
        ready = njit(**options)(loop)

    def tried(*arrays: NDArray[Any]) -> None:
        nonlocal ready
        try:
            ready(*arrays)
        except Exception as error:  # numba could not read or write its cache; nothing ran yet
            _tell_uncached(getattr(error, "strerror", None) or str(error))
            ready = njit(**options)(loop)
            ready(*arrays)

    return tried


@cache
def _tell_uncached(reason: str) -> None:
    _log.warning("compiled loops cannot be kept (%s): every run compiles them", reason)


@compiled
def _fill_scores(
    user_vectors: NDArray[Any],
    movie_vectors: NDArray[Any],
    user_biases: NDArray[Any],
    movie_biases: NDArray[Any],
    users: NDArray[Any],
    movies: NDArray[Any],
    scores: NDArray[Any],
) -> None:
    # Users ascend, so their rows stream from memory; the movies' table mostly fits the cache.
    for pair in prange(len(scores)):
        user, movie = users[pair], movies[pair]
        score = user_biases[user] + movie_biases[movie]
        for d in range(user_vectors.shape[1]):
            score += user_vectors[user, d] * movie_vectors[movie, d]
        scores[pair] = score


@compiled
def _fill_gradients(
    user_vectors: NDArray[Any],
    movie_vectors: NDArray[Any],
    users: NDArray[Any],
    movies: NDArray[Any],
    weights: NDArray[Any],
    firsts: NDArray[Any],
    starts: NDArray[Any],
    user_sums: NDArray[Any],
    user_bias_sums: NDArray[Any],
    movie_sums: NDArray[Any],
    movie_bias_sums: NDArray[Any],
) -> None:
    # The users' table of sums arrives uncleared. A row is set to 0 just before its first pair, when
    # it is in the cache anyway, rather than in a pass of its own over the whole table.
    for part in prange(len(starts) - 1):
        cleared = firsts[part]
        for pair in range(starts[part], starts[part + 1]):
            user, movie, weight = users[pair], movies[pair], weights[pair]
            while cleared <= user:
                user_sums[cleared] = 0
                user_bias_sums[cleared] = 0
                cleared += 1
            for d in range(user_vectors.shape[1]):
                user_sums[user, d] += weight * movie_vectors[movie, d]
                movie_sums[part, movie, d] += weight * user_vectors[user, d]
            user_bias_sums[user] += weight
            movie_bias_sums[part, movie] += weight
        for user in range(cleared, firsts[part + 1]):
            user_sums[user] = 0
            user_bias_sums[user] = 0


def user_parts(users: Tensor, user_count: int, movie_count: int) -> list[Tensor]:
    """Divide pairs by users: return where each part's users and pairs begin, and the last end.

    The partition does not depend on the number of threads, so neither do the sums. The parts'
    buffers for movies have no more rows in all than there are users or pairs, so that clearing and
    adding them costs little beside the loop.
    """
    affordable = max(user_count, len(users)) // max(movie_count, 1)
    count = max(min(len(users) // _PART, affordable, _MOST_PARTS), 1)
    rows = users.numpy()
    between = [rows[len(rows) * part // count] for part in range(1, count)]
    firsts = np.array([0, *between, user_count], dtype=rows.dtype)
    return [torch.from_numpy(edges) for edges in (firsts, np.searchsorted(rows, firsts))]


def ascend(rows: NDArray[Any]) -> bool:
    """Whether each row is at least the one before, as the compiled loops need it."""
    return bool((rows[1:] >= rows[:-1]).all())


def check_rows(rows: Tensor, size: int) -> None:
    """Refuse a row index that is beyond a table: compiled loops would write there."""
    numbers = rows.numpy()
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < size:
        raise IndexError(f"index out of range: the table has {size:,} rows")
