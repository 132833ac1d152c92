"""The compiled scores against ordinary autograd of the plain formula in float64."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from running import start
from torch import Tensor

from movie_embed.training import scores
from movie_embed.training.scores import pair_scores, plain_pair_scores

Tables = tuple[Tensor, Tensor]
Scores = Callable[[Tables, Tables, Tensor, Tensor], Tensor]

CASES = {
    "batch of one": (5, 4, 1),
    "empty batch": (5, 4, 0),
    "repeated users, movies absent": (50, 4_000, 3_000),
    "repeated pairs": (10, 5, 2_000),
    "many pairs": (3_000, 500, 20_001),
    "several parts": (30_000, 300, 70_001),
    "more than 2^20 users": (2**20 + 77, 300, 5_000),
    "more than 2^15 movies": (400, 2**15 + 99, 5_000),
}


def draw(case: str, dim: int = 7) -> tuple[Tables, Tables, Tensor, Tensor]:
    users, movies, batch = CASES[case]
    rng = np.random.default_rng(users + movies + batch)
    user_rows = np.sort(rng.integers(0, users, batch))
    movie_rows = rng.integers(0, movies, batch)
    # The highest rows are always there: they are where an index would overflow.
    user_rows[-1:], movie_rows[:1] = users - 1, movies - 1
    vectors, biases = (
        tuple(torch.from_numpy(rng.standard_normal((rows, *shape))) for rows in (users, movies))
        for shape in ((dim,), ())
    )
    return vectors, biases, torch.from_numpy(user_rows), torch.from_numpy(movie_rows)  # type: ignore[return-value]


def formula(vectors: Tables, biases: Tables, users: Tensor, movies: Tensor) -> Tensor:
    dots = (vectors[0][users] * vectors[1][movies]).sum(-1)
    return dots + biases[0][users] + biases[1][movies]


def outcome(
    function: Scores, vectors: Tables, biases: Tables, users: Tensor, movies: Tensor
) -> list[Tensor]:
    """Return the scores and all gradients of a loss that weighs each pair differently."""
    tables = [table.clone().requires_grad_() for table in (*vectors, *biases)]
    found = function((tables[0], tables[1]), (tables[2], tables[3]), users, movies)
    (found.sigmoid() * (torch.arange(len(found)) % 7 - 2)).sum().backward()
    return [found.detach(), *(table.grad for table in tables if table.grad is not None)]


def relative_error(value: Tensor, expected: Tensor) -> float:
    norm = expected.norm().item()
    return (value.double() - expected).norm().item() / norm if norm else value.norm().item()


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("function", [pair_scores, plain_pair_scores])
@pytest.mark.parametrize("index", [torch.int32, torch.int64])
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients_equal_the_plain_formula(
    case: str, index: torch.dtype, function: Scores
) -> None:
    vectors, biases, users, movies = draw(case)
    expected = outcome(formula, vectors, biases, users, movies)
    users, movies = users.to(index), movies.to(index)
    for value, wanted in zip(
        outcome(function, vectors, biases, users, movies), expected, strict=True
    ):
        assert relative_error(value, wanted) < 1e-12
    single = [(pair[0].float(), pair[1].float()) for pair in (vectors, biases)]
    for value, wanted in zip(outcome(function, *single, users, movies), expected, strict=True):
        assert value.dtype == torch.float32
        assert relative_error(value, wanted) < 1e-6


@pytest.mark.parametrize("users", [[0] * 100, [30] * 100, [7] * 60 + [20] * 40, [0, 30] * 50])
def test_one_users_pairs_are_never_divided(
    users: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scores, "_PART", 8)
    vectors, biases, _, _ = draw("several parts")
    tables = ((vectors[0][:31], vectors[1][:3]), (biases[0][:31], biases[1][:3]))
    rows = torch.tensor(users).sort().values, torch.arange(100) % 3
    expected = outcome(formula, *tables, *rows)
    for value, wanted in zip(outcome(pair_scores, *tables, *rows), expected, strict=True):
        assert relative_error(value, wanted) < 1e-12


@pytest.mark.parametrize("index", [torch.int32, torch.int64])
@pytest.mark.parametrize("case", ["many pairs", "several parts", "more than 2^20 users"])
def test_any_order_of_pairs_gives_the_same_gradients(case: str, index: torch.dtype) -> None:
    vectors, biases, users, movies = draw(case)
    users, movies = users.to(index), movies.to(index)
    order = torch.randperm(len(users), generator=torch.Generator().manual_seed(0))

    def in_another_order(*tables_and_rows: Tensor) -> Tensor:
        *tables, users, movies = tables_and_rows
        return pair_scores(*tables, users[order], movies[order])[order.argsort()]  # type: ignore[arg-type]

    expected = outcome(pair_scores, vectors, biases, users, movies)
    found = outcome(in_another_order, vectors, biases, users, movies)  # type: ignore[arg-type]
    for value, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(value, wanted)


def test_every_other_row_of_a_longer_list() -> None:
    vectors, biases, users, movies = draw("repeated pairs")
    rows = users.int()[::2], movies.int()[::2]
    expected = outcome(plain_pair_scores, vectors, biases, *rows)
    for value, wanted in zip(outcome(pair_scores, vectors, biases, *rows), expected, strict=True):
        torch.testing.assert_close(value, wanted)


@pytest.mark.usefixtures("threads")
def test_any_number_of_threads_gives_the_same_bits() -> None:
    vectors, biases, users, movies = draw("several parts", dim=50)
    tables = [table.requires_grad_() for table in (*vectors, *biases)]
    weights = torch.linspace(-1, 2, len(users), dtype=torch.float64)
    found = []
    for count in (1, 2, 3, 1_000):
        torch.set_num_threads(count)
        values = pair_scores((tables[0], tables[1]), (tables[2], tables[3]), users, movies)
        found.append([values, *torch.autograd.grad(values, tables, weights)])
    for same in zip(*found, strict=True):
        assert all(torch.equal(values, same[0]) for values in same)


def test_not_a_number_is_not_lost() -> None:
    vectors, biases, users, movies = draw("repeated pairs")
    vectors[1][2, 3] = torch.nan
    found = pair_scores(vectors, biases, users, movies)
    assert torch.equal(found.isnan(), movies == 2)


TINY = """
import sys
{before}
import torch
from movie_embed.training.scores import is_compiled, pair_scores
torch.set_num_threads(1)
rows = torch.arange(3)
tables = torch.ones(3, 2), torch.ones(3, 2)
scores = pair_scores(tables, (rows.float(), rows.float()), rows, rows)
print(is_compiled(rows.device), scores.tolist(), torch.get_num_threads())
"""


@pytest.mark.parametrize("numba", [False, True])
def test_a_process_goes_on_without_numba_or_what_it_keeps(numba: bool, tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    nowhere = {
        "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
        "NUMBA_CACHE_DIR": f"{tmp_path}/a-file/cache",
    }
    before = "" if numba else "sys.modules['numba'] = None"
    result = start(["-c", TINY.format(before=before)], tmp_path, **nowhere)
    assert result.stderr == ""
    assert result.stdout == f"{numba} [2.0, 4.0, 6.0] 1\n"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same() -> None:
    vectors, biases, users, movies = draw("many pairs")
    expected = outcome(pair_scores, vectors, biases, users, movies)
    moved = [(pair[0].cuda(), pair[1].cuda()) for pair in (vectors, biases)]
    found = outcome(pair_scores, *moved, users.cuda(), movies.cuda())
    for value, wanted in zip(found, expected, strict=True):
        assert relative_error(value.cpu(), wanted) < 1e-10


@pytest.mark.skipif(not scores.is_compiled(torch.device("cpu")), reason="needs numba")
@pytest.mark.usefixtures("threads")
def test_a_loop_that_fails_is_not_run_again_and_gives_threads_back() -> None:
    import numba

    @scores.compiled
    def count(numbers: np.ndarray) -> None:
        for place in scores.prange(len(numbers)):
            numbers[place] += 1
        if numbers[0] > 0:
            raise ValueError("too large")

    torch.set_num_threads(2)
    before = numba.get_num_threads()
    numbers = torch.zeros(5)
    for times in (1, 2):
        with pytest.raises(ValueError, match="too large"):
            scores.run(count, numbers)
        assert numbers.tolist() == [times] * 5
    assert (numba.get_num_threads(), torch.get_num_threads()) == (before, 2)
