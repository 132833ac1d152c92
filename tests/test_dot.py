"""The fast dot products against ordinary autograd of the plain formula in float64."""

import numpy as np
import pytest
import torch
from torch import Tensor

from movie_embed.training import dot
from movie_embed.training.dot import pair_dots, plain_pair_dots

CASES = {
    "batch of one": (5, 4, 1),
    "empty batch": (5, 4, 0),
    "repeated users, movies absent": (50, 4_000, 3_000),
    "repeated pairs": (10, 5, 2_000),
    "many pairs": (3_000, 500, 20_001),
    "more than 2^20 users": (2**20 + 77, 300, 5_000),
    "more than 2^15 movies": (400, 2**15 + 99, 5_000),
}


def draw(users: int, movies: int, batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = np.random.default_rng(users + movies + batch)
    tables = [rng.standard_normal((rows, 4)) for rows in (users, movies)]
    # The highest rows are always there: they are where an index would overflow.
    user_rows = np.sort(np.append(rng.integers(0, users, batch), users - 1)[: batch or 0])
    movie_rows = np.append(movies - 1, rng.integers(0, movies, batch))[: batch or 0]
    if batch:
        user_rows[-1] = users - 1
    left, right = (torch.from_numpy(table) for table in tables)
    return left, right, torch.from_numpy(user_rows), torch.from_numpy(movie_rows)


def outcome(
    function: object, left: Tensor, right: Tensor, rows: tuple[Tensor, Tensor]
) -> list[Tensor]:
    """Return the dot products and both gradients of a loss that weighs each pair differently."""
    left, right = left.clone().requires_grad_(), right.clone().requires_grad_()
    dots = function(left, right, *rows)  # type: ignore[operator]
    (dots.sigmoid() * torch.linspace(-1, 2, len(dots), dtype=dots.dtype)).sum().backward()
    assert left.grad is not None
    assert right.grad is not None
    return [dots.detach(), left.grad, right.grad]


def relative_error(value: Tensor, expected: Tensor) -> float:
    norm = expected.norm().item()
    return (value.double() - expected).norm().item() / norm if norm else value.norm().item()


@pytest.mark.parametrize("function", [pair_dots, plain_pair_dots])
@pytest.mark.parametrize("index", [torch.int32, torch.int64])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_equal_the_plain_formula(
    case: str, index: torch.dtype, function: object
) -> None:
    left, right, *rows = draw(*CASES[case])
    expected = outcome(lambda a, b, i, j: (a[i] * b[j]).sum(-1), left, right, (rows[0], rows[1]))
    typed = rows[0].to(index), rows[1].to(index)
    for value, wanted in zip(outcome(function, left, right, typed), expected, strict=True):
        assert relative_error(value, wanted) < 1e-12
    single = outcome(function, left.float(), right.float(), typed)
    for value, wanted in zip(single, expected, strict=True):
        assert relative_error(value, wanted) < 1e-6


@pytest.mark.parametrize("index", [torch.int32, torch.int64])
@pytest.mark.parametrize("case", ["many pairs", "more than 2^20 users"])
def test_any_order_of_pairs_gives_the_same_gradients(case: str, index: torch.dtype) -> None:
    left, right, *rows = draw(*CASES[case])
    users, movies = (row.to(index) for row in rows)

    def gradients(order: Tensor) -> list[Tensor]:
        a, b = left.clone().requires_grad_(), right.clone().requires_grad_()
        pair_dots(a, b, users[order], movies[order]).square().sum().backward()
        assert a.grad is not None
        assert b.grad is not None
        return [a.grad, b.grad]

    in_order = torch.arange(len(users))
    shuffled = torch.randperm(len(users), generator=torch.Generator().manual_seed(0))
    for value, wanted in zip(gradients(shuffled), gradients(in_order), strict=True):
        torch.testing.assert_close(value, wanted)


def test_every_other_row_of_a_longer_list() -> None:
    left, right, *rows = draw(*CASES["repeated pairs"])
    users, movies = (row.int()[::2] for row in rows)
    expected = outcome(plain_pair_dots, left, right, (users, movies))
    for value, wanted in zip(
        outcome(pair_dots, left, right, (users, movies)), expected, strict=True
    ):
        torch.testing.assert_close(value, wanted)


def test_a_torch_without_the_kernel_takes_the_plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dot.is_fused(torch.device("cpu"))
    left, right, *rows = draw(*CASES["repeated pairs"])
    expected = pair_dots(left, right, rows[0], rows[1])
    monkeypatch.setattr(dot, "_KERNEL", None)
    assert not dot.is_fused(torch.device("cpu"))
    torch.testing.assert_close(pair_dots(left, right, rows[0], rows[1]), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same() -> None:
    left, right, *rows = draw(300, 200, 5_000)
    expected = outcome(pair_dots, left, right, (rows[0], rows[1]))
    moved = [tensor.cuda() for tensor in (left, right, *rows)]
    found = outcome(pair_dots, moved[0], moved[1], (moved[2], moved[3]))
    for value, wanted in zip(found, expected, strict=True):
        assert relative_error(value.cpu(), wanted) < 1e-10
