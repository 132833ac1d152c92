"""Scores of (user, movie) pairs, with gradients at the speed of memory.

The plain way gathers two (batch, dim) tensors, and its backward scatters two more into tables of
zeros. Here nothing is copied: one compiled loop over the pairs gives their scores, and another the
gradients of movies and biases. The users' table is by far the largest; its gradient stays a list
of pairs (`RowGradient`) until somebody reads it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import embedding_bag
from torch.utils._pytree import tree_map_only

from movie_embed.threads import is_forked

try:
    from numba import config, get_num_threads, njit, set_num_threads, typeof
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
    served = vectors[0].dtype in (torch.float32, torch.float64)  # NumPy has no others of torch's
    if served and is_compiled(users.device) and ascend(users.numpy()):
        scores: Tensor = _Scores.apply(*vectors, *biases, users, movies)  # type: ignore[no-untyped-call]
        return scores
    return plain_pair_scores(vectors, biases, users, movies)


def is_compiled(device: torch.device) -> bool:
    """Whether `pair_scores` takes the fast path on a device: on every CPU that numba serves.

    In a forked process numba's threads may be lost, and it ends a process that asks for them. What
    torch compiles, traces or exports must consist of torch's own operations.
    """
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    return njit is not None and device.type == "cpu" and not traced and not is_forked()


def plain_pair_scores(
    vectors: tuple[Tensor, Tensor], biases: tuple[Tensor, Tensor], users: Tensor, movies: Tensor
) -> Tensor:
    """Return the scores of `pair_scores` by ordinary autograd, on any device and in any order."""
    # index_select, not indexing: its backward is faster, and for int64 twice as fast as for int32.
    users, movies = users.long(), movies.long()
    dots = (vectors[0].index_select(0, users) * vectors[1].index_select(0, movies)).sum(-1)
    return dots + biases[0].index_select(0, users) + biases[1].index_select(0, movies)


@dataclass
class Pairs:
    """What the gradient of the users' vectors is the sum of, and that sum once somebody wants it.

    All are copies: the gradient is that of the backward pass, whatever changes after it.
    """

    user_count: int
    users: Tensor  # ascending
    movies: Tensor
    slopes: Tensor  # of the loss by each pair's score
    movie_vectors: Tensor
    table: Tensor | None = None

    def dense(self) -> Tensor:
        """Return the table of gradients, always the same one: changes in place are kept."""
        if self.table is None:
            edges = torch.arange(self.user_count + 1, dtype=self.users.dtype)
            starts = torch.searchsorted(self.users, edges).to(self.movies.dtype)
            with torch.no_grad():
                self.table = embedding_bag(
                    self.movies,
                    self.movie_vectors,
                    starts,
                    mode="sum",
                    per_sample_weights=self.slopes,
                    include_last_offset=True,
                )
        return self.table


class RowGradient(Tensor):
    """The gradient of the users' vectors, as pairs until somebody reads it.

    Autograd keeps it as the table's ``grad`` and drops it with that. Whatever torch does with it is
    done with the dense gradient, which the first to ask computes: adding another gradient, scaling,
    clipping, any optimizer's step. Only `movie_embed.training.adam.Adam` takes the pairs.
    """

    pairs: Pairs

    @staticmethod
    def __new__(cls, pairs: Pairs) -> RowGradient:
        """Make a tensor of the table's shape without memory of its own."""
        vectors = pairs.movie_vectors
        shape = pairs.user_count, vectors.shape[1]
        gradient = Tensor._make_wrapper_subclass(cls, shape, dtype=vectors.dtype)
        gradient.pairs = pairs
        return gradient

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do with the dense gradient what Python asks torch to do with this one."""
        dense = tree_map_only(RowGradient, lambda row: row.pairs.dense(), (args, kwargs or {}))
        return func(*dense[0], **dense[1])

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do so where torch asks by itself; but what becomes a ``grad``, it only detaches."""
        if func is torch.ops.aten.detach.default and args[0].pairs.table is None:
            return RowGradient(args[0].pairs)
        return cls.__torch_function__(func, types, args, kwargs)


class _Scores(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *tensors: Tensor) -> Tensor:
        user_vectors, movie_vectors, user_biases, _, users, movies = tensors
        ctx.save_for_backward(*tensors)
        check_rows(users, len(user_vectors))
        check_rows(movies, len(movie_vectors))
        scores = user_biases.new_empty(len(users))
        run(_fill_scores, *tensors, scores)
        return scores

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *tables, users, movies = ctx.saved_tensors
        slopes = gradients[0]
        if torch.is_grad_enabled():  # somebody will differentiate these gradients (create_graph)
            return *_differentiable(tables, users.long(), movies.long(), slopes), None, None
        user_vectors, movie_vectors, user_biases, _ = tables
        firsts, starts = user_parts(users, len(user_vectors), len(movie_vectors))
        # A user's rows are one part's alone; a movie's are not, so each part has sums of its own.
        parts = len(firsts) - 1
        sums = movie_vectors.new_zeros(parts, *movie_vectors.shape)
        bias_sums = movie_vectors.new_zeros(parts, len(movie_vectors))
        of_users = torch.zeros_like(user_biases)
        run(_fill_sums, user_vectors, users, movies, slopes, starts, of_users, sums, bias_sums)
        copies = [tensor.contiguous().clone() for tensor in (users, movies, slopes, movie_vectors)]
        rows = RowGradient(Pairs(len(user_vectors), *copies))
        return rows, sums.sum(0), of_users, bias_sums.sum(0), None, None


def _differentiable(
    tables: Sequence[Tensor], users: Tensor, movies: Tensor, slopes: Tensor
) -> list[Tensor]:
    user_vectors, movie_vectors, *_ = tables
    of_users = slopes.unsqueeze(1) * movie_vectors.index_select(0, movies)
    of_movies = slopes.unsqueeze(1) * user_vectors.index_select(0, users)
    sums = zip(tables, (users, movies) * 2, (of_users, of_movies, slopes, slopes), strict=True)
    return [torch.zeros_like(table).index_add(0, rows, parts) for table, rows, parts in sums]


def run(loop: Callable[..., None], *tensors: Tensor) -> None:
    """Run a compiled loop on the memory of contiguous tensors, with torch's number of threads."""
    threads, before = torch.get_num_threads(), get_num_threads()
    if torch.get_num_threads() != threads:  # numba has just started, and set OpenMP to all cores
        torch.set_num_threads(threads)
    set_num_threads(min(threads, config.NUMBA_NUM_THREADS))
    try:
        loop(*(tensor.detach().contiguous().numpy() for tensor in tensors))
    finally:
        set_num_threads(before)


def compiled(loop: _Loop) -> _Loop:
    """Compile a loop when it first runs, and keep the machine code on disk where possible."""
    if njit is None:
        return loop
    # Sums may be taken in any order, which lets them be vectorised; NaN stays NaN. Products and
    # sums are not contracted (to fused multiply-adds): numba optimises a parallel loop a second
    # time as it links what it keeps on disk, and other contractions gave the run that compiled a
    # loop other last bits than all later runs. The loops wait for memory, so it costs them nothing.
    options = {"parallel": True, "nogil": True, "fastmath": {"reassoc"}}
    try:
        ready = njit(cache=True, **options)(loop)
    except RuntimeError:  # no folder to keep it in
        ready = njit(**options)(loop)
    known: set[str] = set()

    def checked(*arrays: NDArray[Any]) -> None:
        nonlocal ready
        # Compile, or read from disk, before the loop runs: what failed here has changed nothing.
        if (types := "".join(array.dtype.char for array in arrays)) not in known:
            try:
                ready.compile(tuple(map(typeof, arrays)))
            except Exception as error:  # numba could not read or write what it keeps
                _tell_uncached(getattr(error, "strerror", None) or str(error))
                ready = njit(**options)(loop)
            known.add(types)
        ready(*arrays)

    return checked


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
def _fill_sums(
    user_vectors: NDArray[Any],
    users: NDArray[Any],
    movies: NDArray[Any],
    slopes: NDArray[Any],
    starts: NDArray[Any],
    user_bias_sums: NDArray[Any],
    movie_sums: NDArray[Any],
    movie_bias_sums: NDArray[Any],
) -> None:
    for part in prange(len(starts) - 1):
        for pair in range(starts[part], starts[part + 1]):
            user, movie, slope = users[pair], movies[pair], slopes[pair]
            for d in range(user_vectors.shape[1]):
                movie_sums[part, movie, d] += slope * user_vectors[user, d]
            user_bias_sums[user] += slope
            movie_bias_sums[part, movie] += slope


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
