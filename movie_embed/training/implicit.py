"""The fit of the implicit model, from users' ratings one after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg.lapack import spotrf, spotri
from scipy.sparse import csc_array, csr_array

from movie_embed.embeddings.ease import Ease
from movie_embed.errors import MovieEmbedError
from movie_embed.training.scores import compiled, is_compiled, prange, run

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.integer[Any]]
Single = NDArray[np.float32]

_DROPOUT = 0.2  # as if a fifth of the ratings were hidden at random (Steck 2020, EDLAE)
_FEW, _FEW_MOVIES, _FEW_L2, _FEW_POWER = 5, 2_000, 3.0, 0.15
_FEW_USERS = 2**14  # evenly taken: their products must not take longer than those of the core
_NEAREST = 200
_PARTS, _SAMPLED = 8, 16  # of a matrix, for as many threads at most; even by a sample of ratings
_BLOCK = 256  # movies beyond the core, or rows of a matrix


class Choices:
    """Values of ratings as choices, user by user.

    Parameters
    ----------
    starts
        User u has the ratings ``starts[u]:starts[u + 1]``, shape (users + 1,).
    rows
        The table row of each rating's movie; those that may be answers ascend within a user.
    values
        As `rating_values` returns them.
    """

    def __init__(self, starts: Rows, rows: Rows, values: Single) -> None:
        self.starts, self.rows, self.values = starts.astype(np.int64), rows, values

    @property
    def users(self) -> Rows:
        """The user of each rating."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def every(self, step: int) -> Choices:
        """Return the ratings of the first user and of every so manieth after."""
        if step == 1:
            return self
        counts = np.diff(self.starts)
        kept = np.repeat(np.arange(len(counts)) % step == 0, counts)
        starts = np.append(0, np.cumsum(counts[::step]))
        return Choices(starts, self.rows[kept], self.values[kept])

    def of(self, chosen: Rows, size: int) -> Choices:
        """Return the ratings of some of `size` table rows, which are numbered as they are given."""
        # With 64 bits, arrays of all ratings would be most of the memory that training takes.
        numbers = np.full(size, -1, np.int32)
        numbers[chosen] = np.arange(len(chosen))
        items = numbers.take(self.rows)
        kept = items >= 0
        if kept.all():
            return Choices(self.starts, items, self.values)
        some = np.diff(self.starts) > 0  # reduceat would give an empty user the next one's rating
        counts = np.zeros(len(some), np.int64)
        counts[some] = np.add.reduceat(kept, self.starts[:-1][some], dtype=np.int64)
        return Choices(np.append(0, np.cumsum(counts)), items[kept], self.values[kept])

    def products(self, size: int, weights: Floats) -> NDArray[np.float64]:
        """Return the sums of weighted products of each two values of a user, above the diagonal.

        A user rates a few movies of a hundred, so pairs take a quarter of a dense product's time
        with 4,000 movies, and less than all of it with 1,000.
        """
        if not is_compiled(torch.device("cpu")):
            matrix = csr_array((self.values, self.rows, self.starts), (len(weights), size))
            return np.asarray((matrix.T @ (matrix * weights[:, None])).toarray(), np.float64)
        some = np.arange(0, len(self.rows), _SAMPLED)
        pairs = self.starts[np.searchsorted(self.starts, some, "right")] - some
        done = np.cumsum(np.bincount(self.rows[some], pairs, size))
        edges = np.searchsorted(done, done[-1] * np.arange(1, _PARTS) / _PARTS)
        sums, weights = np.zeros((size, size)), weights.astype(np.float32)
        arrays = (self.starts, self.rows, self.values, weights, np.array([0, *edges, size]), sums)
        run(_add_pairs, *map(torch.from_numpy, arrays))
        return sums


@compiled
def _add_pairs(
    starts: NDArray[Any],
    items: NDArray[Any],
    values: NDArray[Any],
    weights: NDArray[Any],
    edges: NDArray[Any],
    sums: NDArray[Any],
) -> None:
    # Each part has rows of its own, so sums do not depend on the number of threads.
    for part in prange(len(edges) - 1):
        for user in range(len(starts) - 1):
            for first in range(starts[user], starts[user + 1]):
                item = items[first]
                if item >= edges[part + 1]:
                    break
                if item >= edges[part]:
                    value = values[first] * weights[user]
                    for second in range(first, starts[user + 1]):
                        sums[item, items[second]] += value * values[second]


def fit_ease(choices: Choices, counts: Rows, embedded: int, l2: float, most: int) -> Ease:
    """Fit the weights: the inverse of one matrix of movies by movies.

    Parameters
    ----------
    choices
        Of the training ratings.
    counts
        Ratings of each movie of the table, shape (movies,).
    embedded
        How many movies, from the first, may be answers.
    l2
        L2 strength, in ratings.
    most
        How many movies the matrix may have, the most rated.
    """
    users, size = len(choices.starts) - 1, len(counts)
    order = np.argsort(-counts[:embedded], kind="stable")
    core = np.sort(order[:most])
    of_core = choices.of(core, size)
    gram = of_core.products(len(core), np.ones(users)).astype(np.float32)
    # Hiding a share p of the inputs at random leaves (1 - p)^2 of each product of two movies and
    # 1 - p of each square: beside products of 1, squares weigh 1 / (1 - p).
    gram[np.diag_indices_from(gram)] /= 1 - _DROPOUT
    gram[np.diag_indices_from(gram)] += l2
    _mirror(gram)
    rated, chosen = np.zeros(size, np.bool_), np.zeros(size)
    for part in _blocks(len(choices.rows), 2**20):  # bincount makes 64 bits of all that it counts
        rated[choices.rows[part]] = True
        chosen += np.bincount(choices.rows[part], choices.values[part], size)
    rest = np.setdiff1d(np.flatnonzero(rated), core)
    near = []
    if len(rest):
        near = [*_nearest(gram, of_core, choices.of(rest, size), len(rest), l2)]
    partial = _inverted(gram, f"ranking.l2={l2:g}")
    scales = np.sqrt(np.diag(partial))
    for part in _blocks(len(core)):
        partial[part] /= -scales
        partial[part] /= scales[part, None]
    np.fill_diagonal(partial, 0)
    few = np.sort(order[: min(most, _FEW_MOVIES)])
    weights, offsets = _fit_few(choices, few, size)
    model: dict[str, Any] = {"few_rows": few.astype(np.int32)}
    model |= {"few_weights": weights.astype(np.float16), "few_offsets": offsets}
    if near:
        items, of_rest, rest_scales = (np.concatenate(each) for each in zip(*near, strict=True))
        of_rest *= rest_scales[:, None] / scales[items]
        model |= {
            "rest_rows": rest.astype(np.int32),
            "rest_items": items.astype(np.min_scalar_type(len(core))),
        }
        model |= {"rest_partial": of_rest.astype(np.float16), "rest_scales": rest_scales}
    means = (chosen / users).astype(np.float32)
    return Ease(core.astype(np.int32), partial.astype(np.float16), scales, means, **model)


def _fit_few(choices: Choices, rows: Rows, size: int) -> tuple[Single, Single]:
    """Return weights and offsets that predict choices from a few ratings drawn at random.

    Of n ratings drawn from a user's N, one is among them with probability n / N and two are with
    n (n - 1) / (N (N - 1)). Products so weighted are what the regression on all draws would have.
    """
    choices = choices.every(-(-(len(choices.starts) - 1) // _FEW_USERS))
    own = np.diff(choices.starts)
    drawn = np.clip(own - 1, 0, _FEW)
    one = drawn / np.maximum(own, 1)
    two = one * np.maximum(drawn - 1, 0) / np.maximum(own - 1, 1)
    of = choices.of(rows, size)
    users, total = of.users, max(int(np.count_nonzero(own)), 1)
    inputs = of.products(len(rows), two)
    squares = np.bincount(of.rows, one[users] * of.values**2, len(rows))
    inputs[np.diag_indices_from(inputs)] = squares
    targets = of.products(len(rows), one)
    given = np.bincount(of.rows, one[users] * of.values, len(rows)) / total
    chosen = np.bincount(of.rows, of.values, len(rows)) / total
    for matrix in (inputs, targets):
        _mirror(matrix)
    inputs -= total * np.outer(given, given)
    targets -= total * np.outer(given, chosen)
    np.fill_diagonal(targets, 0)
    inputs[np.diag_indices_from(inputs)] += _FEW_L2
    inverse = _inverted(inputs.astype(np.float32), "the model for few ratings")
    diagonal = np.diag(inverse).copy()
    weights = inverse @ targets.astype(np.float32)
    weights -= inverse * (np.diag(weights) / diagonal)  # no movie predicts itself
    np.fill_diagonal(weights, 0)
    # Less rated movies gain, as in the core, by a power of what the regression leaves of them.
    gain = (diagonal / np.median(diagonal)) ** _FEW_POWER
    offsets = (chosen - given @ weights) * gain
    return weights * gain, offsets.astype(np.float32)


def _nearest(
    gram: Single, of_core: Choices, of_rest: Choices, size: int, l2: float
) -> Iterator[tuple[Rows, Single, Single]]:
    """Yield, a block of movies beyond the core at a time, their regressions on the nearest items.

    These are the items, the weights, both of shape (movies, nearest), and the scales.
    """
    users, items = len(of_core.starts) - 1, len(gram)
    core = csr_array((of_core.values, of_core.rows, of_core.starts), (users, items))
    rest = csr_array((of_rest.values, of_rest.rows, of_rest.starts), (users, size))
    by_movie, squares = csc_array(rest), np.diag(gram)
    nearest = min(_NEAREST, items)
    for part in _blocks(size):
        ratings = by_movie[:, part]
        products = (ratings.T @ core).toarray()
        near = np.argpartition(-(products**2) / squares, nearest - 1, axis=1)[:, :nearest]
        targets = np.take_along_axis(products, near, axis=1)
        weights = np.linalg.solve(gram[near[:, :, None], near[:, None]], targets[..., None])[..., 0]
        own = np.asarray(ratings.power(2).sum(axis=0)) / (1 - _DROPOUT) + l2
        left = own - np.einsum("ij,ij->i", weights, targets)
        yield near, weights, (1 / np.sqrt(left)).astype(np.float32)


def _inverted(matrix: Single, name: str) -> Single:
    """Return the inverse of a positive definite matrix, in its memory and half of the time."""
    # LAPACK works on columns: below their diagonal is above that of the rows.
    factor, failed = spotrf(matrix.T, lower=1, overwrite_a=1)
    inverse, _ = spotri(factor, lower=1, overwrite_c=1)
    if failed or not np.isfinite(np.diag(inverse)).all():
        raise MovieEmbedError(f"{name} is too weak for the implicit model: raise ranking.l2")
    _mirror(inverse.T)
    return np.asarray(inverse.T)


def _mirror(matrix: Floats) -> None:
    """Copy what is above the diagonal below it, in blocks that stay in the cache."""
    for part in _blocks(len(matrix)):
        corner = np.triu(matrix[part, part])
        matrix[part, part] = corner + np.triu(corner, 1).T
        matrix[part.stop :, part] = matrix[part, part.stop :].T


def _blocks(size: int, length: int = _BLOCK) -> Iterator[slice]:
    for start in range(0, size, length):
        yield slice(start, min(start + length, size))
