"""A training step of the users' rows in one pass over a batch's pairs.

The users' table is by far the largest, and dense Adam moves each of its rows at every step. The
usual way writes a table of gradients as large, clears it and reads it again, beside the weights and
both moments. But a batch is sorted by user: the pairs of a row lie together. So one pass takes row
after row, computes its predictions and their gradient, and applies Adam's update while the row is
in the processor's cache. At the paper's size a step takes two thirds of the time.

The movies' table is small, and its rows are met all over a batch. It has ordinary gradients, and
torch's Adam steps it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from movie_embed.training.model import MovieEmbedding
from movie_embed.training.scores import check_rows, compiled, prange, run, user_parts


def step_users(
    adam: torch.optim.Adam,
    model: MovieEmbedding,
    users: Tensor,
    movies: Tensor,
    stars: Tensor,
    weight: float,
) -> Tensor:
    """Take Adam's step of the users' rows, and return the squared error that led to it.

    The users' state is torch's own, by the same names: a checkpoint does not tell which way was
    taken. Calling ``backward()`` on the loss leaves the gradients of the movies' rows.

    Parameters
    ----------
    adam
        Dense Adam with defaults but for the learning rate and the vectors' ``weight_decay``; its
        first group begins with the users' vectors, its second with their biases.
    model
        A model on a CPU without implicit vectors.
    users, movies
        Row indices, shape (batch,); users ascend. One beyond its table is an IndexError.
    stars
        Shape (batch,), float32.
    weight
        The loss is this factor times the squared error: one over the batch's size.

    Returns
    -------
    Tensor
        The sum of squared errors over the batch before the step, in stars squared.
    """
    check_rows(users, len(model.user_biases))
    check_rows(movies, len(model.movie_biases))
    states = [_counted(adam, table) for table in (model.user_vectors, model.user_biases)]
    moments = [state[name] for state in states for name in ("exp_avg", "exp_avg_sq")]
    tables = model.user_vectors, model.user_biases, *moments
    numbers = _numbers(adam, float(states[0]["step"]), model.rating_range, weight)
    batch = users, movies, stars
    error: Tensor = _Pass.apply(  # type: ignore[no-untyped-call]
        model.movie_vectors, model.movie_biases, batch, tables, numbers
    )
    return error


def _counted(adam: torch.optim.Adam, table: Tensor) -> dict[str, Tensor]:
    """Return Adam's state of a table, with one step more."""
    state: dict[str, Tensor] = adam.state[table]
    if not state:
        state["step"] = torch.zeros((), dtype=torch.float32)
        state["exp_avg"] = torch.zeros_like(table)
        state["exp_avg_sq"] = torch.zeros_like(table)
    state["step"] += 1
    return state


def _numbers(adam: torch.optim.Adam, step: float, stars: Tensor, weight: float) -> Tensor:
    """Return the settings of `_step_users`, as it unpacks them."""
    group = adam.param_groups[0]
    beta1, beta2 = group["betas"]
    # Adam divides both moments by how much of their average the steps so far make up. Here one
    # becomes part of the rate, the other a factor: a division per number took a tenth of the pass.
    rate, unroot = float(group["lr"]) / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
    low, high = stars.tolist()
    adams = group["weight_decay"], beta1, beta2, rate, unroot, group["eps"]
    return torch.tensor([*adams, low, high - low, weight])


class _Pass(torch.autograd.Function):
    """The pass as a node of the graph: going forward it steps the users' rows.

    So a caller needs neither hooks nor an optimizer of its own: the loss is returned,
    differentiated and stepped as ever, and only movies are found to have a gradient.
    """

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        vectors, biases, batch, tables, numbers = inputs
        firsts, starts = user_parts(batch[0], len(tables[0]), len(biases))
        # A user's rows are one part's alone; a movie's are not, so each part has sums of its own.
        parts = len(firsts) - 1
        sums = vectors.new_zeros(parts, *vectors.shape)
        bias_sums = biases.new_zeros(parts, len(biases))
        errors = torch.zeros(parts, dtype=torch.float64)
        run(
            _step_users,
            *batch,
            firsts,
            starts,
            *tables,
            vectors,
            biases,
            numbers,
            sums,
            bias_sums,
            errors,
        )
        ctx.save_for_backward(sums.sum(0), bias_sums.sum(0))
        return errors.sum().float()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        sums, bias_sums = ctx.saved_tensors
        return sums * gradients[0], bias_sums * gradients[0], None, None, None


@compiled
def _step_users(
    users: NDArray[Any],
    movies: NDArray[Any],
    stars: NDArray[Any],
    firsts: NDArray[Any],
    starts: NDArray[Any],
    vectors: NDArray[Any],
    biases: NDArray[Any],
    means: NDArray[Any],
    squares: NDArray[Any],
    bias_means: NDArray[Any],
    bias_squares: NDArray[Any],
    movie_vectors: NDArray[Any],
    movie_biases: NDArray[Any],
    numbers: NDArray[Any],
    movie_sums: NDArray[Any],
    movie_bias_sums: NDArray[Any],
    errors: NDArray[Any],
) -> None:
    """Step every user's row; sum the squared errors and their gradients by movies' rows."""
    # Python's 1.0 and 2 would make float64 of all that they meet.
    one, two = np.float32(1), np.float32(2)
    for part in prange(len(starts) - 1):
        decay, beta1, beta2 = numbers[0], numbers[1], numbers[2]
        rate, unroot, eps = numbers[3], numbers[4], numbers[5]
        low, span, weight = numbers[6], numbers[7], numbers[8]
        gradient = np.empty(vectors.shape[1], vectors.dtype)
        pair, last = starts[part], starts[part + 1]
        total = 0.0
        # Users without a pair too: the decay and the moments move every row.
        for user in range(firsts[part], firsts[part + 1]):
            row, mean, square = vectors[user], means[user], squares[user]
            for d in range(len(gradient)):
                gradient[d] = decay * row[d]
            bias_gradient = np.float32(0)
            while pair < last and users[pair] == user:
                movie = movies[pair]
                movie_row, movie_sum = movie_vectors[movie], movie_sums[part, movie]
                score = biases[user] + movie_biases[movie]
                for d in range(len(gradient)):
                    score += row[d] * movie_row[d]
                share = one / (one + np.exp(-score))
                error = low + span * share - stars[pair]
                total += error * error
                slope = two * error * span * share * (one - share)  # of the error squared, by score
                weighed = weight * slope
                for d in range(len(gradient)):
                    gradient[d] += weighed * movie_row[d]
                    movie_sum[d] += slope * row[d]  # of the row before its step
                bias_gradient += weighed
                movie_bias_sums[part, movie] += slope
                pair += 1
            for d in range(len(gradient)):
                mean[d] = beta1 * mean[d] + (one - beta1) * gradient[d]
                square[d] = beta2 * square[d] + (one - beta2) * gradient[d] * gradient[d]
                row[d] -= rate * mean[d] / (np.sqrt(square[d]) * unroot + eps)
            # Biases have no decay; the rest is the same.
            bias_mean = beta1 * bias_means[user] + (one - beta1) * bias_gradient
            bias_square = beta2 * bias_squares[user] + (one - beta2) * bias_gradient**2
            bias_means[user], bias_squares[user] = bias_mean, bias_square
            biases[user] -= rate * bias_mean / (np.sqrt(bias_square) * unroot + eps)
        errors[part] = total
