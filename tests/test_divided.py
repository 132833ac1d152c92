"""Users divided over processes: two on this machine, which talk by gloo."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from checkerboard import USERS, scalars, settings, untimed
from running import ROOT, start

from movie_embed import MovieEmbedError, Recommender, train
from movie_embed.data.splits import TRAIN, VAL
from movie_embed.training.checkpoints import AtomicCheckpointIO
from movie_embed.training.datamodule import RatingsDataModule
from movie_embed.training.divided import USER_ROWS, ByUsers, share


def part_of(board: Path, rank: int, processes: int) -> RatingsDataModule:
    """Return the data as a process sees them."""
    data = RatingsDataModule(settings(board, batch_size=100).data, 3)
    data.setup()
    strategy = object.__new__(ByUsers)
    data.trainer = SimpleNamespace(  # type: ignore[assignment]
        global_rank=rank, world_size=processes, strategy=strategy
    )
    return data


@pytest.mark.parametrize("users", [1, 2, 5, 240, 241])
@pytest.mark.parametrize("processes", [1, 2, 3, 4, 7])
def test_parts_are_those_of_torch_and_hold_every_user_once(users: int, processes: int) -> None:
    chunks = [chunk.tolist() for chunk in torch.arange(users).chunk(processes)]
    mine = [[*range(*share(users, rank, processes))] for rank in range(processes)]
    assert [part for part in mine if part] == chunks


@pytest.mark.parametrize("processes", [2, 3, 7])
@pytest.mark.parametrize("part", [TRAIN, VAL])
def test_processes_have_all_ratings_once_in_as_many_steps(
    board: Path, processes: int, part: int
) -> None:
    whole = part_of(board, 0, 1)
    expected = np.stack(whole.data_set.ratings.columns(whole.chosen(part)), axis=1)
    found, totals = [], []
    for rank in range(processes):
        data = part_of(board, rank, processes)
        loader = data.train_dataloader() if part == TRAIN else data.val_dataloader()
        batches = list(loader)
        first, _ = data.users()
        found += [np.stack([b.users + first, b.movies, b.ratings], axis=1) for b in batches]
        totals.append([(batch.total, len(batch.users)) for batch in batches])
        assert all((np.diff(batch.users) >= 0).all() for batch in batches)
    for step in zip(*totals, strict=True):
        assert {total for total, _ in step} == {sum(size for _, size in step)}
    assert len(totals[0]) == len(whole.train_dataloader() if part == TRAIN else [1])
    together = np.concatenate(found)
    np.testing.assert_array_equal(together[np.lexsort(together.T[::-1])], expected)


def run(board: Path, name: Path, processes: int, *more: str) -> subprocess.CompletedProcess[str]:
    overrides = (
        f"data=files data.path={board} data.cache_dir={board / 'cache'} data.val_fraction=0.2 "
        "data.batch_size=100 model.dim=8 model.l2=1e-6 optimizer.learning_rate=0.02 "
        "optimizer.schedule=constant trainer.max_epochs=3 trainer.enable_progress_bar=false "
        f"trainer.log_every_n_steps=5 save.figures=false trainer.devices={processes} "
        f"trainer.strategy={'by_users' if processes > 1 else 'auto'} hydra.run.dir={name}"
    )
    return start([ROOT / "train.py", *overrides.split(), *more], name.parent)


@pytest.fixture(scope="module")
def two(board: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two processes."""
    folder = tmp_path_factory.mktemp("divided") / "two"
    done = run(board, folder, 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("RMSE in stars") == 1
    assert not done.stderr
    return folder


def test_two_processes_train_the_model_of_one(board: Path, two: Path, tmp_path: Path) -> None:
    one = train(settings(board, 3, batch_size=100), tmp_path / "one")
    found = json.loads((two / "metrics.json").read_text())
    # The order of ratings is another, so the models differ as those of two orders do.
    assert found["val_rmse"] == pytest.approx(one["val_rmse"], abs=0.02)
    same = ("bias_only_rmse", "users", "movies", "ratings", "parameters", "epochs", "batch_size")
    assert {name: found[name] for name in same} == {name: one[name] for name in same}
    for tag in ("train_loss_epoch", "val_rmse"):
        alone, divided = scalars(tmp_path / "one", tag), scalars(two, tag)
        assert divided == pytest.approx(alone, rel=0.2), tag
    assert scalars(two, "learning_rate") == scalars(tmp_path / "one", "learning_rate")
    assert [path.name for path in two.glob("*.log")] == ["train.log"]
    mine, theirs = (Recommender.load(path).similar(101, k=9) for path in (two, tmp_path / "one"))
    assert len({answer.movie_id for answer in mine} & {answer.movie_id for answer in theirs}) >= 8


def test_a_step_of_two_processes_is_that_of_one(board: Path, two: Path, tmp_path: Path) -> None:
    whole = ["data.batch_size=100000", "trainer.max_epochs=2", "save.epoch=last"]
    for name, processes in (("one", 1), ("two", 2)):
        done = run(board, tmp_path / name, processes, *whole)
        assert done.returncode == 0, done.stderr
    one, divided = (
        AtomicCheckpointIO().load_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt")
        for name in ("one", "two")
    )
    assert one["global_step"] == divided["global_step"] == 2
    for table, values in one["state_dict"].items():
        torch.testing.assert_close(divided["state_dict"][table], values, rtol=0, atol=1e-6)
    first, second = (
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two")
    )
    numbers = {name: value for name, value in untimed(first).items() if value is not None}
    assert {name: second[name] for name in numbers} == pytest.approx(numbers, rel=1e-4)
    assert scalars(tmp_path / "two", "train_loss_epoch") == pytest.approx(
        scalars(tmp_path / "one", "train_loss_epoch"), rel=1e-5
    )


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_a_run_goes_on_in_any_number_of_processes(
    board: Path, two: Path, tmp_path: Path, processes: int
) -> None:
    shutil.copytree(two, folder := tmp_path / "run")
    before = AtomicCheckpointIO().load_checkpoint(folder / "checkpoints" / "last.ckpt")
    assert len(before["state_dict"][USER_ROWS[0]]) == USERS
    assert len(list((folder / "checkpoints").glob("last.users-*/*"))) == 2
    strategy: Any = SimpleNamespace(world_size=processes)
    rows = []
    for strategy.global_rank in range(processes):
        part = AtomicCheckpointIO().load_checkpoint(
            folder / "checkpoints" / "last.ckpt", strategy=strategy
        )
        adam = part["optimizer_states"][0]["state"]
        rows.append((part["state_dict"][USER_ROWS[0]], adam[0]["exp_avg"], adam[2]["exp_avg_sq"]))
    adam = before["optimizer_states"][0]["state"]
    for parts, table in zip(
        zip(*rows, strict=True),
        (before["state_dict"][USER_ROWS[0]], adam[0]["exp_avg"], adam[2]["exp_avg_sq"]),
        strict=True,
    ):
        assert torch.equal(torch.cat(parts), table)
    told = start(
        [
            ROOT / "train.py",
            f"resume={folder}",
            "trainer.max_epochs=5",
            f"trainer.devices={processes}",
        ],
        tmp_path,
    )
    assert told.returncode == 0, told.stderr
    losses = scalars(folder, "train_loss_epoch")
    assert len(losses) == 5
    assert losses[4] < losses[3] < losses[2]


def test_rows_that_are_missing_are_told(two: Path, tmp_path: Path) -> None:
    shutil.copytree(two / "checkpoints", tmp_path / "checkpoints")
    (gone,) = (tmp_path / "checkpoints").glob("last.users-*/1-of-2.safetensors")
    gone.unlink()
    with pytest.raises(MovieEmbedError, match="does not hold the users' rows of every process"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "checkpoints" / "last.ckpt")


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("model.implicit=users", "model.implicit needs sums over all users"),
        ("trainer.gradient_clip_val=1", "trainer.gradient_clip_val needs all gradients"),
    ],
)
def test_what_needs_all_users_is_one_line(
    board: Path, tmp_path: Path, setting: str, told: str
) -> None:
    done = run(board, tmp_path / "run", 2, setting)
    assert done.returncode == 1
    assert f"error: {told}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="finds the other process in /proc")
def test_all_end_soon_after_one_is_killed(board: Path, tmp_path: Path) -> None:
    arguments = [
        str(ROOT / "train.py"),
        "data=files",
        f"data.path={board}",
        f"data.cache_dir={board / 'cache'}",
        "trainer.max_epochs=100000",
        "trainer.devices=2",
        "trainer.strategy=by_users",
        f"hydra.run.dir={tmp_path / 'run'}",
    ]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        first = subprocess.Popen(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, stdout=out, stderr=err
        )
        deadline = time.monotonic() + 120
        while "epoch 3/" not in (tmp_path / "out").read_text():
            assert time.monotonic() < deadline, (tmp_path / "err").read_text()
            assert first.poll() is None, (tmp_path / "err").read_text()
            time.sleep(0.2)
        (other,) = map(
            int, Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        )
        os.kill(other, signal.SIGKILL)
        assert first.wait(60) != 0  # not after trainer.timeout
    lines = (tmp_path / "err").read_text().splitlines()
    assert [
        line for line in lines if line.startswith("error: another process of this run has ended")
    ]
    assert "Traceback" not in "\n".join(lines)
