"""Steps in one pass over the pairs against torch's Adam with ordinary gradients."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from checkerboard import write_checkerboard
from torch.nn.functional import mse_loss

from movie_embed import train
from movie_embed.config import (
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    SaveConfig,
    TrainConfig,
    TrainerConfig,
)
from movie_embed.training.adam import step_users
from movie_embed.training.checkpoints import AtomicCheckpointIO
from movie_embed.training.model import MovieEmbedding
from movie_embed.training.scores import is_compiled

pytestmark = pytest.mark.skipif(not is_compiled(torch.device("cpu")), reason="needs numba")
USERS, MOVIES, BATCH, STEPS = 3_000, 150, 40_000, 50


def steps(one_pass: list[bool], threads: int = 1) -> tuple[MovieEmbedding, torch.optim.Adam]:
    """Take a step for each value, at a falling rate, all the same but for the way."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    model = MovieEmbedding(USERS, MOVIES, 10, (0.5, 5.0), "none", torch.Generator().manual_seed(0))
    groups = [
        {"params": [model.user_vectors, model.movie_vectors], "weight_decay": 1e-3},
        {"params": [model.user_biases, model.movie_biases]},
    ]
    adam = torch.optim.Adam(groups, 1e-3, fused=True)
    rng = np.random.default_rng(0)
    for number, pairs in enumerate(one_pass):
        # A third of the users are in no batch: dense Adam moves them all the same.
        users = torch.from_numpy(np.sort(rng.integers(0, USERS * 2 // 3, BATCH)))
        movies = torch.from_numpy(rng.integers(0, MOVIES, BATCH))
        stars = torch.from_numpy(rng.integers(1, 11, BATCH).astype(np.float32) / 2)
        adam.param_groups[0]["lr"] = adam.param_groups[1]["lr"] = 1e-3 * (1 - number / STEPS)
        if pairs:
            error = step_users(adam, model, users, movies, stars, 1 / BATCH)
        else:
            error = mse_loss(model(users, movies), stars, reduction="sum")
        model.zero_grad()
        (error / BATCH).backward()
        adam.step()
    torch.set_num_threads(before)  # tests run side by side, and threads would wait for each other
    return model, adam


def differences(first: MovieEmbedding, second: MovieEmbedding) -> list[float]:
    both = zip(first.parameters(), second.parameters(), strict=True)
    return [(a - b).abs().max().item() for a, b in both]


def test_both_ways_lead_to_the_same_weights_and_state() -> None:
    plain, passed = steps([False] * STEPS), steps([True] * STEPS)
    mixed = steps([number % 3 == 0 for number in range(STEPS)])
    for model, adam in (passed, mixed):
        assert max(differences(plain[0], model)) < 1e-6
        for mine, theirs in zip(model.parameters(), plain[0].parameters(), strict=True):
            state, expected = adam.state[mine], plain[1].state[theirs]
            assert state.keys() == expected.keys()
            assert state["step"] == STEPS
            for moment in ("exp_avg", "exp_avg_sq"):
                torch.testing.assert_close(state[moment], expected[moment], rtol=1e-3, atol=1e-7)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    one, three = (steps([True] * 5, threads)[0] for threads in (1, 3))
    assert all(map(torch.equal, one.parameters(), three.parameters()))


def test_the_error_is_that_before_the_step() -> None:
    model, adam = steps([True] * 3)
    users = torch.arange(100)
    movies, stars = users % MOVIES, torch.full((100,), 3.0)
    expected = mse_loss(model(users, movies), stars, reduction="sum").detach()
    error = step_users(adam, model, users, movies, stars, 0.01)
    torch.testing.assert_close(error, expected)
    assert mse_loss(model(users, movies), stars, reduction="sum") != expected


@pytest.mark.parametrize("beyond", ["users", "movies"])
def test_a_row_beyond_its_table_is_an_error(beyond: str) -> None:
    model, adam = steps([True])
    rows = {"users": torch.tensor([0, 1]), "movies": torch.tensor([0, 1])}
    rows[beyond] = torch.tensor([0, 10**6])
    with pytest.raises(IndexError, match="out of range"):
        step_users(adam, model, **rows, stars=torch.ones(2), weight=0.5)


def run(folder: Path, name: str, **changes: object) -> dict[str, object]:
    """Train for two epochs, or as the settings say; return the last checkpoint."""
    config = TrainConfig(
        data=DataConfig("files", path=str(folder / "data"), cache_dir=str(folder / "cache")),
        model=ModelConfig(dim=8),
        optimizer=OptimizerConfig(1e-3, "constant", one_pass=bool(changes.pop("one_pass", True))),
        trainer=TrainerConfig(max_epochs=2, enable_progress_bar=False),
        save=SaveConfig(figures=False),
    )
    config.trainer = dataclasses.replace(config.trainer, **changes.pop("trainer", {}))  # type: ignore[arg-type]
    train(dataclasses.replace(config, **changes), folder / name)  # type: ignore[arg-type]
    return AtomicCheckpointIO().load_checkpoint(folder / name / "checkpoints" / "last.ckpt")


def test_a_run_can_go_on_the_other_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_checkerboard(tmp_path / "data")
    run(tmp_path, "run")
    assert "users stepped in one pass" in capsys.readouterr().out
    longer = {"trainer": {"max_epochs": 4}}
    gone_on = run(tmp_path, "run", resume="run", one_pass=False, **longer)
    assert "compiled loops" in capsys.readouterr().out
    plain = run(tmp_path, "plain", one_pass=False, **longer)
    for name, table in plain["state_dict"].items():  # type: ignore[attr-defined]
        torch.testing.assert_close(gone_on["state_dict"][name], table, rtol=1e-4, atol=1e-5)  # type: ignore[index]


@pytest.mark.parametrize("changes", [{"gradient_clip_val": 0.5}, {"precision": "64-true"}])
def test_what_needs_gradients_gets_them(
    changes: dict[str, object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkerboard(tmp_path / "data")
    run(tmp_path, "run", trainer=changes)
    assert "compiled loops" in capsys.readouterr().out
