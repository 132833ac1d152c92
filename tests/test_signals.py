"""Ctrl-C and SIGTERM at any point of any script: one line, and what was begun can be finished."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from running import train_here

from movie_embed.embeddings.saved import FILE_NAME, SavedEmbeddings

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(__file__).parent / "golden" / "v1"
QUICK = (
    "data.users=100 data.cache_dir=cache data.batch_size=4096 trainer.max_epochs=2 model.dim=2 "
    "trainer.enable_progress_bar=false save.figures=false"
)
# Sends a signal to itself, once, as a function begins.
SIGNALLED = """
import importlib, os, runpy, sys
number, place, script = int(sys.argv[1]), sys.argv[2], sys.argv[3]
module, _, path = place.partition(":")
owner = importlib.import_module(module)
*classes, name = path.split(".")
for each in classes:
    owner = getattr(owner, each)
real = getattr(owner, name)
def signalled(*arguments, **named):
    setattr(owner, name, real)
    os.kill(os.getpid(), number)
    return real(*arguments, **named)
setattr(owner, name, signalled)
sys.argv = sys.argv[3:]
sys.path.insert(0, os.path.dirname(script))
runpy.run_path(script, run_name="__main__")
"""


def run(
    script: str, arguments: str, folder: Path, place: str = "", number: int = signal.SIGTERM
) -> subprocess.CompletedProcess[str]:
    """Run a script, with a signal as it comes to a place."""
    signalled = ["-c", SIGNALLED, str(int(number)), place] if place else []
    return subprocess.run(
        [sys.executable, *signalled, str(ROOT / script), *shlex.split(arguments)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


TRAINING = "movie_embed.training.regression:RatingRegression"


@pytest.mark.parametrize(
    ("place", "number", "told"),
    [
        ("movie_embed.data.demo:draw_ratings", signal.SIGINT, "stopped\n"),
        (f"{TRAINING}.training_step", signal.SIGTERM, "stopped in epoch 1; "),
        ("movie_embed.training.run:save_embeddings", signal.SIGINT, "stopped; "),
    ],
    ids=["reading", "training", "saving"],
)
def test_training_that_is_stopped_says_how_to_go_on(
    tmp_path: Path, place: str, number: int, told: str
) -> None:
    stopped = run("train.py", f"hydra.run.dir=a {QUICK}", tmp_path, place, number)
    assert (stopped.returncode, stopped.stderr.count("\n")) == (128 + number, 1), stopped.stderr
    assert stopped.stderr.startswith(told)
    _, found, arguments = stopped.stderr.partition("go on with: python train.py ")
    assert bool(found) == (told != "stopped\n")
    train_here(arguments if found else f"hydra.run.dir=a {QUICK}", tmp_path)
    assert SavedEmbeddings.load(tmp_path / "a").vectors.shape[1] == 2


@pytest.mark.parametrize(
    ("script", "arguments", "place"),
    [
        ("recommend.py", "movie_id=1 run=.", "movie_embed.embeddings.saved:read_columns"),
        ("export.py", "run=.", "movie_embed.embeddings.saved:read_columns"),
        ("plot.py", "run=.", "movie_embed.cli:read_settings"),
    ],
)
def test_other_scripts_end_in_one_line(
    tmp_path: Path, script: str, arguments: str, place: str
) -> None:
    shutil.copy(GOLDEN / FILE_NAME, tmp_path)
    stopped = run(script, arguments, tmp_path, place, signal.SIGINT)
    assert (stopped.returncode, stopped.stderr) == (130, "stopped\n")


def test_a_sweep_that_is_stopped_shows_its_table_and_ends(tmp_path: Path) -> None:
    place = f"{TRAINING}.training_step"
    stopped = run("train.py", f"-m hydra.sweep.dir=grid {QUICK} seed=1,2", tmp_path, place)
    assert stopped.returncode == 143
    assert "1 run in grid, 1 failed" in stopped.stdout
    way = "go on with: python train.py 'resume=\"grid/0_seed=1\"'"
    assert f"failed: did not finish; {way}" in stopped.stdout
    assert stopped.stderr.splitlines()[-1].startswith("stopped in epoch 1; go on with: ")
    assert (tmp_path / "grid" / "sweep.json").exists()


def test_a_process_that_ignores_ctrl_c_goes_on(tmp_path: Path) -> None:
    place = f"{TRAINING}.training_step"
    ignored = signal.signal(signal.SIGINT, signal.SIG_IGN)  # children inherit it
    try:
        result = run("train.py", f"hydra.run.dir=a {QUICK}", tmp_path, place, signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, ignored)
    assert (result.returncode, result.stderr) == (0, "")
