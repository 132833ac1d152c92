"""Ctrl-C and SIGTERM at any point of any script: one line, and what was begun can be finished."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import running
from running import GOLDEN, run_script, train_here

from movie_embed.embeddings.saved import FILE_NAME, SavedEmbeddings

QUICK = f"{running.QUICK} data.batch_size=32"
TRAINING = "movie_embed.training.regression:RatingRegression.training_step"


def signalled(
    script: str, arguments: str, folder: Path, place: str, number: int
) -> subprocess.CompletedProcess[str]:
    """Run a script that gets a signal as it first comes to a place."""
    module, _, path = place.partition(":")
    *classes, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for each in classes:
        owner = getattr(owner, each)
    real = getattr(owner, name)

    def signals(*arguments: Any, **named: Any) -> Any:
        setattr(owner, name, real)
        os.kill(os.getpid(), number)
        return real(*arguments, **named)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, signals)
        return run_script(script, arguments, folder)


@pytest.mark.parametrize(
    ("place", "number", "told"),
    [
        ("movie_embed.data.demo:draw_ratings", signal.SIGINT, "stopped\n"),
        (TRAINING, signal.SIGTERM, "stopped in epoch 1; "),
        ("movie_embed.training.run:save_embeddings", signal.SIGINT, "stopped; "),
    ],
    ids=["reading", "training", "saving"],
)
def test_training_that_is_stopped_says_how_to_go_on(
    tmp_path: Path, place: str, number: int, told: str
) -> None:
    stopped = signalled("train.py", f"hydra.run.dir=a {QUICK}", tmp_path, place, number)
    assert (stopped.returncode, stopped.stderr.count("\n")) == (128 + number, 1), stopped.stderr
    assert stopped.stderr.startswith(told)
    _, found, arguments = stopped.stderr.partition("go on with: python train.py ")
    assert bool(found) == (told != "stopped\n")
    train_here(arguments if found else f"hydra.run.dir=a {QUICK}", tmp_path)
    assert SavedEmbeddings.load(tmp_path / "a").vectors.shape[1] == 2


@pytest.mark.parametrize(
    ("script", "arguments", "place"),
    [
        ("recommend.py", "movie_id=1 run=.", "movie_embed.embeddings.saved:ColumnFile"),
        ("export.py", "run=.", "movie_embed.embeddings.saved:ColumnFile"),
        ("plot.py", "run=.", "movie_embed.commands:read_settings"),
    ],
)
def test_other_scripts_end_in_one_line(
    tmp_path: Path, script: str, arguments: str, place: str
) -> None:
    shutil.copy(GOLDEN / FILE_NAME, tmp_path)
    stopped = signalled(script, arguments, tmp_path, place, signal.SIGINT)
    assert (stopped.returncode, stopped.stderr) == (130, "stopped\n")


def test_a_sweep_that_is_stopped_shows_its_table_and_ends(tmp_path: Path) -> None:
    sweep = f"-m hydra.sweep.dir=grid {QUICK} seed=1,2"
    stopped = signalled("train.py", sweep, tmp_path, TRAINING, signal.SIGTERM)
    assert stopped.returncode == 143
    assert "1 run in grid, 1 failed" in stopped.stdout
    way = "go on with: python train.py 'resume=\"grid/0_seed=1\"'"
    assert f"failed: did not finish; {way}" in stopped.stdout
    assert stopped.stderr.splitlines()[-1].startswith("stopped in epoch 1; go on with: ")
    assert (tmp_path / "grid" / "sweep.json").exists()


def test_a_process_that_ignores_ctrl_c_goes_on(tmp_path: Path) -> None:
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run = f"hydra.run.dir=a {QUICK}"
        result = signalled("train.py", run, tmp_path, TRAINING, signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, ignored)
    assert (result.returncode, result.stderr) == (0, "")
