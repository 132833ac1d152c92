"""Dot products of pairs of table rows, with gradients at the speed of memory.

The plain way gathers two (batch, dim) tensors, and its backward scatters two more into tables
of zeros. Here the forward goes through the pairs in blocks whose gathered rows stay in the
cache, and a gradient is a sum over the run of pairs that share a row: `embedding_bag`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

_BLOCK = 8192


def pair_dots(left: Tensor, right: Tensor, left_rows: Tensor, right_rows: Tensor) -> Tensor:
    """Return ``left[left_rows[k]] . right[right_rows[k]]`` for every k.

    Parameters
    ----------
    left, right
        Tables, shapes (n, dim) and (m, dim).
    left_rows, right_rows
        Row indices, int32 or int64, shape (batch,). On a CPU it is fastest if one of them is
        ascending.

    Returns
    -------
    Tensor
        Shape (batch,).
    """
    if in_blocks(left.device):
        dots: Tensor = _BlockedDots.apply(left, right, left_rows, right_rows)  # type: ignore[no-untyped-call]
        return dots
    return plain_pair_dots(left, right, left_rows, right_rows)


def in_blocks(device: torch.device) -> bool:
    """Whether `pair_dots` takes the fast path on a device: it does on every CPU."""
    return device.type == "cpu"


def plain_pair_dots(left: Tensor, right: Tensor, left_rows: Tensor, right_rows: Tensor) -> Tensor:
    """Return what `pair_dots` does, by ordinary autograd on any device."""
    # index_select, not indexing: its backward is faster, and for int64 twice as fast as for int32.
    gathered = left.index_select(0, left_rows.long()), right.index_select(0, right_rows.long())
    return (gathered[0] * gathered[1]).sum(-1)


class _BlockedDots(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, left: Tensor, right: Tensor, left_rows: Tensor, right_rows: Tensor
    ) -> Tensor:
        ctx.save_for_backward(left, right, left_rows, right_rows)
        dots = left.new_empty(len(left_rows))
        for start in range(0, len(left_rows), _BLOCK):
            block = slice(start, start + _BLOCK)
            products = left.index_select(0, left_rows[block])
            products.mul_(right.index_select(0, right_rows[block]))
            torch.sum(products, -1, out=dots[block])
        return dots

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        left, right, left_rows, right_rows = ctx.saved_tensors
        weights = gradients[0].contiguous()
        return (
            _weighted_sums(len(left), left_rows, right, right_rows, weights),
            _weighted_sums(len(right), right_rows, left, left_rows, weights),
            None,
            None,
        )


def _weighted_sums(
    rows: int, targets: Tensor, table: Tensor, sources: Tensor, weights: Tensor
) -> Tensor:
    """Return for each row the sum of ``weights[k] * table[sources[k]]`` over its targets."""
    if not (targets[1:] >= targets[:-1]).all():
        order = _argsort(targets)
        sources, weights = sources[order], weights[order]
    # Where the run of each row begins among the sorted targets, and at last where all end.
    starts = torch.bincount(targets + 1, minlength=rows + 1).cumsum(0, dtype=sources.dtype)
    return embedding_bag(
        sources, table, starts, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


def _argsort(numbers: Tensor) -> Tensor:
    """Return the stable order of integers from 0 to 2**31, by sorting (number, position) pairs."""
    keys = (numbers.long() << 32) | torch.arange(len(numbers))
    keys.numpy().sort()  # vectorised: several times faster than torch.argsort
    return keys & 0xFFFFFFFF
