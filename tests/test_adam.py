"""The step of users' rows in one pass against ordinary autograd and torch's dense Adam."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from checkerboard import settings
from running import run_script, start
from torch import Tensor
from torch.nn.functional import mse_loss

from movie_embed import MovieEmbedError, train
from movie_embed.config import ModelConfig, OptimizerConfig, SaveConfig
from movie_embed.training import scores
from movie_embed.training.adam import Adam
from movie_embed.training.datamodule import RatingsDataModule
from movie_embed.training.model import MovieEmbedding
from movie_embed.training.regression import RatingRegression
from movie_embed.training.scores import RowGradient, is_compiled

pytestmark = pytest.mark.skipif(not is_compiled(torch.device("cpu")), reason="needs numba")
USERS, MOVIES, BATCH, STEPS = 3_000, 150, 40_000, 50


@contextmanager
def ordinary_autograd() -> Iterator[None]:
    """Let torch's own operations give scores and gradients."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "is_compiled", lambda device: False)
        yield


def model_of(users: int = USERS) -> MovieEmbedding:
    return MovieEmbedding(users, MOVIES, 10, (0.5, 5.0), "none", torch.Generator().manual_seed(0))


def groups_of(model: MovieEmbedding) -> list[dict[str, Any]]:
    return [
        {"params": [model.user_vectors, model.movie_vectors], "weight_decay": 1e-3},
        {"params": [model.user_biases, model.movie_biases]},
    ]


def batch_of(number: int, size: int = BATCH) -> tuple[Tensor, Tensor, Tensor]:
    # A third of the users are in no batch: dense Adam moves them all the same.
    rng = np.random.default_rng(number)
    users = torch.from_numpy(np.sort(rng.integers(0, USERS * 2 // 3, size)))
    movies = torch.from_numpy(rng.integers(0, MOVIES, size))
    return users, movies, torch.from_numpy(rng.integers(1, 11, size).astype(np.float32) / 2)


def steps(
    count: int = STEPS,
    optimizer: Callable[..., torch.optim.Optimizer] = Adam,
    look: Callable[[int], bool] = lambda number: False,
    size: int = BATCH,
    **options: Any,
) -> tuple[MovieEmbedding, torch.optim.Optimizer]:
    """Take steps at a falling rate; at those that `look` says, read the gradient before."""
    model = model_of()
    groups = groups_of(model)
    groups[1] |= options.pop("biases", {})
    adam = optimizer(groups, **{"lr": 1e-3} | options)
    for number in range(count):
        users, movies, stars = batch_of(number, size)
        if not isinstance(options.get("lr"), Tensor):
            for group in adam.param_groups:
                group["lr"] *= 1 - 1 / STEPS
        adam.zero_grad()
        mse_loss(model(users, movies), stars).backward()
        assert model.user_vectors.grad is not None
        if look(number):
            assert model.user_vectors.grad.abs().sum() > 0
        adam.step()
    return model, adam


def assert_close(mine: MovieEmbedding, expected: MovieEmbedding, atol: float = 1e-6) -> None:
    for (name, table), wanted in zip(mine.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(
            table, wanted, rtol=0, atol=atol, msg=lambda text, name=name: f"{name}: {text}"
        )


def test_pairs_and_tables_lead_to_the_same_weights_and_state() -> None:
    with ordinary_autograd():
        plain, plain_adam = steps(optimizer=torch.optim.Adam, fused=True)
    for look in (lambda number: False, lambda number: number % 3 == 0):
        model, adam = steps(look=look, fused=True)
        assert_close(model, plain)
        for mine, theirs in zip(model.parameters(), plain.parameters(), strict=True):
            state, expected = adam.state[mine], plain_adam.state[theirs]
            assert state.keys() == expected.keys()
            assert state["step"] == STEPS
            for moment in ("exp_avg", "exp_avg_sq"):
                torch.testing.assert_close(state[moment], expected[moment], rtol=1e-3, atol=1e-7)
        torch.optim.Adam(groups_of(plain)).load_state_dict(adam.state_dict())


OPTIONS: dict[str, dict[str, Any]] = {
    "not fused": {},
    "one by one": {"foreach": False},
    "amsgrad": {"amsgrad": True},
    "betas and eps": {"betas": (0.5, 0.9), "eps": 1e-4},
    "maximize": {"maximize": True},
    "decoupled": {"decoupled_weight_decay": True, "weight_decay": 0.1},
    "a rate in a tensor": {"lr": torch.tensor(1e-2)},
    "other options of a group": {"biases": {"lr": 0.1, "betas": (0.1, 0.2), "amsgrad": True}},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_every_option_is_torchs(options: dict[str, Any]) -> None:
    with ordinary_autograd():
        plain, _ = steps(5, torch.optim.Adam, size=500, **options)
    assert_close(steps(5, size=500, **options)[0], plain, atol=1e-5)


@pytest.mark.parametrize(
    "optimizer", [torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, torch.optim.Adagrad]
)
def test_any_optimizer_finds_its_gradient(optimizer: Any) -> None:
    with ordinary_autograd():
        plain, _ = steps(5, optimizer, size=500, lr=0.1)
    assert_close(steps(5, optimizer, size=500, lr=0.1)[0], plain, atol=1e-5)


def test_any_number_of_threads_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("movie_embed.training.adam._PART", 100)
    found = []
    before = torch.get_num_threads()
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(steps(5)[0])
    torch.set_num_threads(before)  # tests run side by side, and threads would wait for each other
    assert all(map(torch.equal, found[0].parameters(), found[1].parameters()))


def losses(model: MovieEmbedding) -> dict[str, Callable[[], Tensor]]:
    """Return ways to a loss, of which the first is the usual."""

    def usual(number: int = 0) -> Tensor:
        users, movies, stars = batch_of(number, 500)
        return mse_loss(model(users, movies), stars)

    return {
        "usual": usual,
        "a tenth": lambda: usual() * 0.1,
        "an added zero": lambda: usual() + 0 * model.user_vectors.sum(),
        "an added term": lambda: usual() + 0.1 * model.user_vectors.square().sum(),
        "two batches": lambda: usual() + usual(1),
        "through tables made of the weights": lambda: mse_loss(
            scores.pair_scores(
                (2 * model.user_vectors, model.movie_vectors + 1),
                (model.user_biases, model.movie_biases),
                *batch_of(0, 500)[:2],
            ),
            batch_of(0, 500)[2],
        ),
        "an empty batch": lambda: model(*batch_of(0, 0)[:2]).sum(),
    }


def gradients(way: str, ask: Callable[[MovieEmbedding, Tensor], Any]) -> Any:
    model = model_of()
    return ask(model, losses(model)[way]())


def backward(model: MovieEmbedding, loss: Tensor) -> list[Tensor]:
    weights = [table.detach().clone() for table in model.parameters()]
    loss.backward()
    assert all(map(torch.equal, weights, model.parameters()))  # only a step changes them
    return [table.grad.clone() for table in model.parameters() if table.grad is not None]


def twice(model: MovieEmbedding, loss: Tensor) -> list[Tensor]:
    loss.backward()
    losses(model)["two batches"]().backward()
    return [table.grad.clone() for table in model.parameters() if table.grad is not None]


def clipped(model: MovieEmbedding, loss: Tensor) -> list[Tensor]:
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
    torch.nn.utils.clip_grad_value_(model.parameters(), 1e-4)
    return [norm, *(table.grad.clone() for table in model.parameters() if table.grad is not None)]


def by_itself(model: MovieEmbedding, loss: Tensor) -> list[Tensor]:
    found = torch.autograd.grad(loss, list(model.parameters()))
    assert model.user_vectors.grad is None
    return [table * 1 for table in found]


def hooked(model: MovieEmbedding, loss: Tensor) -> list[Tensor]:
    seen: list[Tensor] = []
    model.user_vectors.register_hook(lambda gradient: gradient * 0.5)
    model.user_vectors.register_post_accumulate_grad_hook(lambda table: seen.append(table.grad))  # type: ignore[arg-type]
    return [*backward(model, loss), *seen]


def second(model: MovieEmbedding, loss: Tensor) -> list[Tensor]:
    first = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
    penalty = sum(table.square().sum() for table in first)
    assert isinstance(penalty, Tensor)
    return list(torch.autograd.grad(penalty, list(model.parameters())))


def scaled(model: MovieEmbedding, loss: Tensor) -> list[Tensor]:
    scaler, optimizer = torch.amp.GradScaler("cpu"), Adam(groups_of(model), 1e-3)
    scaler.scale(loss).backward()
    scaler.step(optimizer)
    scaler.update()
    return [table.detach() for table in model.parameters()]


ASKS = [backward, twice, clipped, by_itself, hooked, second, scaled]


@pytest.mark.parametrize(
    ("way", "ask"),
    # The gradient of an empty batch is 0: its square root and Adam's have only rounding.
    [
        (way, ask)
        for way in losses(model_of(1))
        for ask in ASKS
        if way != "an empty batch" or ask not in (second, scaled)
    ],
)
def test_gradients_are_those_of_ordinary_autograd(
    way: str, ask: Callable[[MovieEmbedding, Tensor], Any]
) -> None:
    with ordinary_autograd():
        expected = gradients(way, ask)
    found = gradients(way, ask)
    assert len(found) == len(expected)
    for value, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(value, wanted, rtol=1e-4, atol=1e-7)


def test_a_gradient_that_is_dropped_is_gone() -> None:
    model = model_of()
    optimizer = Adam(model.parameters())
    loss = losses(model)["usual"]

    def drop(table: torch.nn.Parameter) -> None:
        table.grad = None

    drops: list[Callable[[], Any]] = [
        optimizer.zero_grad,
        model.zero_grad,
        lambda: [drop(table) for table in model.parameters()],
    ]
    for dropped in drops:
        loss().backward()
        assert isinstance(model.user_vectors.grad, RowGradient)
        dropped()
        before = [table.detach().clone() for table in model.parameters()]
        optimizer.step()
        assert all(map(torch.equal, before, model.parameters()))
    loss().backward()
    optimizer.zero_grad(set_to_none=False)
    assert not model.user_vectors.grad.any()  # type: ignore[union-attr]


def test_a_gradient_is_that_of_its_backward_pass() -> None:
    def stepped(change: bool, look: bool = False) -> Tensor:
        model = model_of()
        optimizer = Adam(groups_of(model), 0.01)
        users, movies, stars = batch_of(0, 500)
        mse_loss(model(users, movies), stars).backward()
        if change:  # as who writes to weights would, and a loader that fills its arrays again
            for tensor in (users, movies, model.movie_vectors.data):
                tensor.zero_()
        if look:
            model.user_vectors.grad.sum()  # type: ignore[union-attr]
        optimizer.step()
        return model.user_vectors.detach()

    expected = stepped(change=False)
    assert torch.equal(stepped(change=True), expected)
    torch.testing.assert_close(stepped(change=True, look=True), expected, rtol=0, atol=1e-6)


def test_a_closure_and_hooks_are_called_once_a_step() -> None:
    model = model_of()
    torch.optim.Adam(model.parameters())  # the first of a class wraps its step for hooks
    optimizer = Adam(model.parameters())
    calls: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))

    def closure() -> Tensor:
        calls.append("closure")
        optimizer.zero_grad()
        (loss := losses(model)["usual"]()).backward()
        return loss

    assert optimizer.step(closure).item() > 0
    assert calls == ["before", "closure", "after"]
    assert optimizer.state[model.user_vectors]["step"] == 1
    assert isinstance(model.user_vectors.grad, RowGradient)  # torch leaves gradients, too
    lbfgs = torch.optim.LBFGS(model.parameters(), max_iter=5)
    before = closure().item()
    lbfgs.step(lambda: closure())
    assert closure().item() < before


def test_rows_that_are_met_fade_and_decay_by_their_gap() -> None:
    model = model_of()
    optimizer = Adam([{**groups_of(model)[0], "rows": "met"}, groups_of(model)[1]], 0.01)
    rows = model.user_vectors.detach().double().numpy().copy()
    means, squares, last = np.zeros_like(rows), np.zeros_like(rows), np.zeros(USERS)
    for step in range(1, 7):
        users, movies, stars = batch_of(step, 500)
        optimizer.zero_grad()
        mse_loss(model(users, movies), stars).backward()
        gradient = model.user_vectors.grad
        assert isinstance(gradient, RowGradient)
        sums = gradient.pairs.dense().double().numpy().copy()
        gradient.pairs.table = None  # nobody has read it
        optimizer.step()
        for user in np.unique(users):
            gap = step - last[user]
            slope = sums[user] + 1e-3 * gap * rows[user]
            means[user] = 0.9**gap * means[user] + 0.1 * slope
            squares[user] = 0.999**gap * squares[user] + 0.001 * slope**2
            root = np.sqrt(squares[user] / (1 - 0.999**step)) + 1e-8
            rows[user] -= 0.01 * means[user] / (1 - 0.9**step) / root
            last[user] = step
        np.testing.assert_allclose(model.user_vectors.detach(), rows, rtol=0, atol=2e-6)
        rows = model.user_vectors.detach().double().numpy().copy()
    assert np.array_equal(optimizer.state[model.user_vectors]["met"], last)


def test_where_every_batch_meets_all_both_ways_are_one(board: Path) -> None:
    found = []
    for rows in ("all", "met"):
        data = RatingsDataModule(settings(board, batch_size=10**6).data, 3)
        optimizer = OptimizerConfig(0.02, "constant", rows=rows)
        module = RatingRegression.for_data(data, ModelConfig(8, l2=1e-3), optimizer)
        trainer_of(5).fit(module, datamodule=data)
        found.append(module.model)
    assert_close(*found)


def test_without_numba_torch_steps() -> None:
    with ordinary_autograd():
        plain, _ = steps(5, torch.optim.Adam, size=500)
        assert_close(steps(5, size=500)[0], plain, atol=0)


def trainer_of(epochs: int, **options: Any) -> pl.Trainer:
    return pl.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **options,
    )


class Frozen(RatingRegression):
    def on_fit_start(self) -> None:
        self.model.user_vectors.requires_grad_(False)


class Tenth(RatingRegression):
    def training_step(self, *batch: Any) -> Tensor:
        return super().training_step(*batch) * 0.1


class AddedZero(RatingRegression):
    def training_step(self, *batch: Any) -> Tensor:
        return super().training_step(*batch) + 0 * self.model.user_vectors.sum()


class EverySecond(RatingRegression):
    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:  # type: ignore[override]
        loss = super().training_step(batch, batch_idx)
        return None if batch_idx % 2 else loss


class OwnAdam(RatingRegression):
    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), 0.01, amsgrad=True)


class OwnOfOurs(RatingRegression):
    def configure_optimizers(self) -> Any:
        return Adam(self.parameters(), 0.01, betas=(0.5, 0.9), amsgrad=True)


class OwnSgd(RatingRegression):
    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), 0.1)


class ByHand(RatingRegression):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.automatic_optimization = False

    def training_step(self, *batch: Any) -> None:  # type: ignore[override]
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(super().training_step(*batch))
        optimizer.step()


class Scaled(RatingRegression):
    def on_before_optimizer_step(self, optimizer: Any) -> None:
        for table in self.parameters():
            assert table.grad is not None
            table.grad *= 0.5


WAYS: dict[str, tuple[type[RatingRegression], dict[str, Any]]] = {
    "usual": (RatingRegression, {}),
    "accumulated": (RatingRegression, {"accumulate_grad_batches": 3}),
    "clipped by norm": (RatingRegression, {"gradient_clip_val": 0.01}),
    "clipped by value": (
        RatingRegression,
        {"gradient_clip_val": 1e-5, "gradient_clip_algorithm": "value"},
    ),
    "double": (RatingRegression, {"precision": "64-true"}),
    **{
        own.__name__: (own, {})
        for own in (Frozen, Tenth, AddedZero, EverySecond, OwnAdam, OwnOfOurs, OwnSgd, ByHand)
    },
    "Scaled": (Scaled, {}),
}


@pytest.mark.filterwarnings("ignore:.training_step. returned .None.")
@pytest.mark.parametrize("way", WAYS)
def test_any_way_to_train_is_that_of_ordinary_autograd(way: str, board: Path) -> None:
    kind, options = WAYS[way]

    def fit() -> RatingRegression:
        data = RatingsDataModule(settings(board).data, 3)
        module = kind.for_data(data, ModelConfig(8, l2=1e-6), OptimizerConfig(0.02, "constant"))
        trainer = trainer_of(2, **options)
        trainer.fit(module, datamodule=data)
        return module

    with ordinary_autograd():
        expected = fit()
    # Adam divides by the root of tiny moments: in some rows rounding shows in the fifth digit.
    assert_close((found := fit()).model, expected.model, atol=2e-5)
    untrained = kind.for_data(RatingsDataModule(settings(board).data, 3), ModelConfig(8))
    frozen = torch.equal(found.model.user_vectors.float(), untrained.model.user_vectors)
    assert frozen == (kind is Frozen)


def test_a_loss_that_is_no_number_changes_no_weight(board: Path) -> None:
    data = RatingsDataModule(settings(board).data, 3)
    module = RatingRegression.for_data(data)
    batch = next(iter(data.train_dataloader()))
    seen: list[Tensor] = []

    class Poison(pl.Callback):
        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            if trainer.global_step == 3:
                module.model.movie_biases.data[batch.movies[0]] = torch.nan
                seen.extend(table.detach().clone() for table in module.parameters())

    trainer = trainer_of(1, callbacks=[Poison()])
    with pytest.raises(MovieEmbedError, match=r"diverged in epoch 1, batch 4 \(step 4\)"):
        trainer.fit(module, datamodule=data)
    for before, after in zip(seen, module.parameters(), strict=True):
        torch.testing.assert_close(after, before, rtol=0, atol=0, equal_nan=True)


def test_an_earlier_versions_run_goes_on(board: Path, tmp_path: Path) -> None:
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    train(settings(board, 1, save=SaveConfig("last", figures=False)), tmp_path / "run")
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["hyper_parameters"]["one_pass"] = True
    torch.save(checkpoint, path)
    config = tmp_path / "run" / "config.yaml"
    config.write_text(config.read_text().replace("optimizer:\n", "optimizer:\n  one_pass: true\n"))
    assert "one_pass" in config.read_text()
    RatingRegression.load_from_checkpoint(path, weights_only=True)
    told = run_script("train.py", "resume=run trainer.max_epochs=2", tmp_path)
    assert told.returncode == 0, told.stderr


FIRST = """
import hashlib, torch
from test_adam import *
torch.set_num_threads(1)
model, _ = steps(3, size=2_000)
for table in model.parameters():
    print(hashlib.sha256(table.detach().numpy().tobytes()).hexdigest())
"""


def test_the_run_that_compiles_gets_the_bits_of_later_ones(tmp_path: Path) -> None:
    places = {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parent)}
    first, later = (start(["-c", FIRST], tmp_path, **places) for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert list(tmp_path.glob("*/*.nbc"))
    assert first.stdout == later.stdout
