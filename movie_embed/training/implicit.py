"""What is known of a user or movie from who rated what, whatever the stars.

SVD++ (Koren 2008, "Factorization meets the neighborhood", section 4): a user's vector gains the
sum of one more vector per movie rated, over the square root of their number; here a movie's
vector may gain the same of its raters. Each step needs the sums of all rows: one `embedding_bag`
over the list of ratings sorted one way, and its gradient one over the same list sorted the other.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag


class RatingSums(nn.Module):
    """Sum one table's rows over the pairs of each row of another, over the root of their number.

    Both lists of indices are int32, of shape (ratings,): rows of `targets` are summed for, and rows
    of `sources` summed. `sizes` are how many rows there are of each.
    """

    members: Tensor
    starts: Tensor
    back_members: Tensor
    back_starts: Tensor
    scale: Tensor

    def __init__(self, targets: Tensor, sources: Tensor, sizes: tuple[int, int]) -> None:
        super().__init__()
        by_target = torch.argsort(targets, stable=True)
        by_source = torch.argsort(sources, stable=True)
        counts = torch.bincount(targets, minlength=sizes[0])
        # Derived from the data, so no part of a checkpoint.
        for name, value in (
            ("members", sources[by_target]),
            ("starts", _run_starts(targets, sizes[0])),
            ("back_members", targets[by_source]),
            ("back_starts", _run_starts(sources, sizes[1])),
            ("scale", counts.clamp(min=1).rsqrt().unsqueeze(1)),
        ):
            self.register_buffer(name, value, persistent=False)

    def forward(self, table: Tensor) -> Tensor:
        """Return the scaled sums of a table of shape (sizes[1], dim), shape (sizes[0], dim)."""
        lists = (self.members, self.starts, self.back_members, self.back_starts)
        sums: Tensor = _Sums.apply(table, *lists)  # type: ignore[no-untyped-call]
        return sums * self.scale


class _Sums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, *lists: Tensor) -> Tensor:
        members, starts, *back = lists
        ctx.save_for_backward(*back)
        return embedding_bag(members, table, starts, mode="sum", include_last_offset=True)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        members, starts = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        sums = embedding_bag(members, gradient, starts, mode="sum", include_last_offset=True)
        return sums, None, None, None, None


def _run_starts(rows: Tensor, size: int) -> Tensor:
    """Return where the run of each row below `size` begins once sorted, and last where all end."""
    return torch.bincount(rows + 1, minlength=size + 1).cumsum(0, dtype=rows.dtype)
