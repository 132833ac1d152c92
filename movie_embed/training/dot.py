"""Dot products of pairs of table rows, with gradients at the speed of memory.

The plain way gathers two (batch, dim) tensors, and its backward scatters two more into tables
of zeros. Here nothing is copied: a gradient is a weighted sum over the run of pairs that share a
row, which is `embedding_bag`, and the dot products are what that sum has for gradients in its
weights, for which torch has a kernel.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from movie_embed.data.packing import bit_width

# None should torch rename it: what begins with an underscore is not promised.
_KERNEL: Any = getattr(torch.ops.aten, "_embedding_bag_per_sample_weights_backward", None)


def pair_dots(left: Tensor, right: Tensor, left_rows: Tensor, right_rows: Tensor) -> Tensor:
    """Return ``left[left_rows[k]] . right[right_rows[k]]`` for every k.

    Parameters
    ----------
    left, right
        Tables, shapes (n, dim) and (m, dim).
    left_rows, right_rows
        Row indices, all int32 or all int64, shape (batch,); they are not checked. On a CPU it is
        fastest if one of them is ascending.

    Returns
    -------
    Tensor
        Shape (batch,).
    """
    if is_fused(left.device):
        dots: Tensor = _FusedDots.apply(left, right, left_rows, right_rows)  # type: ignore[no-untyped-call]
        return dots
    return plain_pair_dots(left, right, left_rows, right_rows)


def is_fused(device: torch.device) -> bool:
    """Whether `pair_dots` takes the fast path on a device: it does on every CPU."""
    return device.type == "cpu" and _KERNEL is not None


def plain_pair_dots(left: Tensor, right: Tensor, left_rows: Tensor, right_rows: Tensor) -> Tensor:
    """Return what `pair_dots` does, by ordinary autograd on any device."""
    # index_select, not indexing: its backward is faster, and for int64 twice as fast as for int32.
    gathered = left.index_select(0, left_rows.long()), right.index_select(0, right_rows.long())
    return (gathered[0] * gathered[1]).sum(-1)


class _FusedDots(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, left: Tensor, right: Tensor, left_rows: Tensor, right_rows: Tensor
    ) -> Tensor:
        ctx.save_for_backward(left, right, left_rows, right_rows)
        bags, members = left_rows.contiguous(), right_rows.contiguous()
        dots: Tensor = _KERNEL(left, right, members, bags[:0], bags, mode=0)
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
    numbers = targets.numpy()
    if not (numbers[1:] >= numbers[:-1]).all():
        order = _argsort(targets, rows)
        sources, weights = sources.index_select(0, order), weights.index_select(0, order)
    starts = run_starts(targets, rows)
    return embedding_bag(
        sources, table, starts, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


def run_starts(rows: Tensor, size: int) -> Tensor:
    """Return where the run of each row below `size` begins once sorted, and last where all end."""
    return torch.bincount(rows + 1, minlength=size + 1).cumsum(0, dtype=rows.dtype)


def _argsort(numbers: Tensor, size: int) -> Tensor:
    """Return the stable order of integers below a size, by sorting (number, position) pairs."""
    bits = bit_width(len(numbers))
    dtype = torch.int32 if size << bits <= 2**31 else torch.int64
    keys = numbers.to(dtype) << bits
    keys |= torch.arange(len(numbers), dtype=dtype)
    keys.numpy().sort()  # vectorised: several times faster than torch.argsort
    keys &= 2**bits - 1
    return keys
