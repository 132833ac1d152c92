"""Adam that steps the users' rows in one pass over a batch's pairs.

Dense Adam moves each row at every step, and the users' table is by far the largest. The usual way
writes a table of gradients as large, clears it and reads it again, beside the weights and both
moments. But a batch is sorted by user: the pairs of a row lie together. So one pass takes row after
row, sums its gradient and applies Adam's update while the row is in the processor's cache.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from movie_embed.training.scores import Pairs, RowGradient, compiled, prange, run

# Without the wrapper that the class gets with its first instance: hooks on a step would run twice.
_torch_step = inspect.unwrap(torch.optim.Adam.step)
_PART = 2**12  # rows that are worth another thread


class Adam(torch.optim.Adam):
    """torch's Adam, with the same options and state, and a faster step for a `RowGradient`.

    Checkpoints do not tell which of the two has stepped. What else needs a gradient, or an option
    that the pass does not have, makes the gradient dense, and torch steps it.

    A group may have the option ``rows="met"``: of its `RowGradient` only rows with a pair in the
    batch are stepped, which is another optimizer. A row that was last stepped ``gap`` steps ago
    gets ``gap`` times the decay, and its moments first fade by ``beta ** (gap - 1)``.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        stepped = []
        for group in self.param_groups:
            if any(group.get(name) for name in ("amsgrad", "maximize", "decoupled_weight_decay")):
                continue
            for table in group["params"]:
                rows = table.grad
                # Once somebody has read the dense gradient, it may have been changed.
                unread = isinstance(rows, RowGradient) and rows.pairs.table is None
                if unread and table.is_contiguous():
                    self._step_rows(table, rows.pairs, group)
                    stepped.append((table, rows))
                    table.grad = None  # torch's Adam passes over it
        _torch_step(self)
        for table, rows in stepped:
            table.grad = rows
        return loss

    def _step_rows(self, table: Tensor, pairs: Pairs, group: dict[str, Any]) -> None:
        state = self.state[table]
        if not state:  # what torch's Adam begins with
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"] = torch.zeros_like(table)
            state["exp_avg_sq"] = torch.zeros_like(table)
        state["step"] += 1
        step, (beta1, beta2) = float(state["step"]), map(float, group["betas"])
        # Adam divides both moments by how much of their average the steps so far make up. Here one
        # becomes part of the rate, the other a factor: a division per number took a tenth of the
        # pass.
        rate, unroot = float(group["lr"]) / (1 - beta1**step), 1 / math.sqrt(1 - beta2**step)
        numbers = [group["weight_decay"], beta1, beta2, rate, unroot, group["eps"]]
        if met := group.get("rows") == "met":
            rows = torch.unique_consecutive(pairs.users).long()
            last = state.setdefault("met", torch.zeros(len(table), dtype=torch.int32))
            gaps = (int(step) - last.index_select(0, rows)).to(table.dtype)
            last.index_fill_(0, rows, int(step))
            fades = torch.stack([gaps, beta1 ** (gaps - 1), beta2 ** (gaps - 1)], dim=1)
        else:
            rows, fades = torch.empty(0, dtype=torch.long), table.new_empty(0, 3)
        # Equal numbers of rows, which take the time, not of pairs.
        size = len(rows) if met else len(table)
        firsts = np.linspace(0, size, max(size // _PART, 1) + 1).astype(np.int64)
        edges = [*rows.numpy()[firsts[:-1]], len(table)] if met and size else firsts
        starts = np.searchsorted(pairs.users.numpy(), edges)
        run(
            _step_rows,
            pairs.users,
            pairs.movies,
            pairs.slopes,
            pairs.movie_vectors,
            torch.from_numpy(firsts),
            torch.from_numpy(starts),
            rows,
            fades,
            table,
            state["exp_avg"],
            state["exp_avg_sq"],
            torch.tensor(numbers, dtype=table.dtype),
        )


@compiled
def _step_rows(
    users: NDArray[Any],
    movies: NDArray[Any],
    slopes: NDArray[Any],
    movie_vectors: NDArray[Any],
    firsts: NDArray[Any],
    starts: NDArray[Any],
    rows: NDArray[Any],
    fades: NDArray[Any],
    vectors: NDArray[Any],
    means: NDArray[Any],
    squares: NDArray[Any],
    numbers: NDArray[Any],
) -> None:
    one = np.float32(1)  # Python's 1.0 would make float64 of all that it meets
    for part in prange(len(starts) - 1):
        decay, beta1, beta2 = numbers[0], numbers[1], numbers[2]
        rate, unroot, eps = numbers[3], numbers[4], numbers[5]
        gradient = np.empty(vectors.shape[1], vectors.dtype)
        pair, last = starts[part], starts[part + 1]
        # Users without a pair too: the decay and the moments move every row, unless some are given.
        for index in range(firsts[part], firsts[part + 1]):
            user, shrink, fade1, fade2 = index, decay, one, one
            if len(rows) > 0:
                user, shrink = rows[index], decay * fades[index, 0]
                fade1, fade2 = fades[index, 1], fades[index, 2]
            row, mean, square = vectors[user], means[user], squares[user]
            for d in range(len(gradient)):
                gradient[d] = shrink * row[d]
            while pair < last and users[pair] == user:
                slope, movie_row = slopes[pair], movie_vectors[movies[pair]]
                for d in range(len(gradient)):
                    gradient[d] += slope * movie_row[d]
                pair += 1
            for d in range(len(gradient)):
                mean[d] = beta1 * fade1 * mean[d] + (one - beta1) * gradient[d]
                square[d] = beta2 * fade2 * square[d] + (one - beta2) * gradient[d] * gradient[d]
                row[d] -= rate * mean[d] / (np.sqrt(square[d]) * unroot + eps)
