"""Adam that steps the users' rows from a batch's pairs, without a table of their gradients.

The users' table is by far the largest, and dense Adam moves each of its rows at every step. The
usual way writes a table of gradients as large, clears it and reads it again, beside the weights and
both moments. But a batch is sorted by user: the pairs of a row lie together, so one pass can sum
their gradient, keep it in the processor's cache and apply Adam's update at once. The movies' table
is small and keeps torch's own Adam.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from movie_embed.training.model import MovieEmbedding
from movie_embed.training.scores import run, step_users, user_parts


class Pairs(NamedTuple):
    """A batch whose loss has been differentiated as far as the scores.

    Attributes
    ----------
    users, movies
        Row indices, shape (batch,); users ascend.
    scores
        Before the sigmoid, a leaf of the graph: ``scores.grad`` is the loss's gradient.
    """

    users: Tensor
    movies: Tensor
    scores: Tensor


class Adam(torch.optim.Adam):
    """Dense, fused Adam; a step for which `pairs` is set takes users' gradients from there.

    The state is torch's own, by the same names: a checkpoint does not tell which way was taken.

    Parameters
    ----------
    groups
        The vectors, with their ``weight_decay``, and the biases, which have none.
    lr
        The learning rate.
    model
        Whose tables the pairs index.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float, model: MovieEmbedding) -> None:
        super().__init__(groups, lr=lr, fused=True)
        self.model = model
        self.pairs: Pairs | None = None

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step, after the closure that computes the gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self.pairs is not None:
            self._step_users(self.pairs)
            self.pairs = None
        super().step()  # of what has a gradient: the movies, or everything
        return loss

    def _step_users(self, pairs: Pairs) -> None:
        """Step the users' rows, and leave the gradients of the movies' rows."""
        model, weights = self.model, pairs.scores.grad
        assert weights is not None
        firsts, starts = user_parts(pairs.users, len(model.user_biases), len(model.movie_biases))
        vectors, biases = model.movie_vectors, model.movie_biases
        sums = vectors.new_zeros(len(firsts) - 1, *vectors.shape)
        bias_sums = biases.new_zeros(len(firsts) - 1, len(biases))
        states = [self._counted(table) for table in (model.user_vectors, model.user_biases)]
        moments = [state[name] for state in states for name in ("exp_avg", "exp_avg_sq")]
        run(
            step_users,
            pairs.users,
            pairs.movies,
            weights,
            firsts,
            starts,
            model.user_vectors,
            model.user_biases,
            *moments,
            vectors,
            sums,
            bias_sums,
            self._rates(float(states[0]["step"])),
        )
        vectors.grad, biases.grad = sums.sum(0), bias_sums.sum(0)

    def _counted(self, table: Tensor) -> dict[str, Tensor]:
        """Return the state of a table, with one step more."""
        state: dict[str, Tensor] = self.state[table]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(table)
            state["exp_avg_sq"] = torch.zeros_like(table)
        state["step"] += 1
        return state

    def _rates(self, step: float) -> Tensor:
        """Return what `step_users` needs of the vectors' settings, which biases share."""
        group = self.param_groups[0]
        beta1, beta2 = group["betas"]
        rate, root = float(group["lr"]) / (1 - beta1**step), math.sqrt(1 - beta2**step)
        return torch.tensor([group["weight_decay"], beta1, beta2, rate, root, group["eps"]])
