"""Scripts as a user runs them: in this process, which has loaded torch already, or in another."""

import io
import logging
import os
import runpy
import shlex
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from movie_embed.config import register_schemas

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(__file__).parent / "golden" / "v1"
# A training of a second.
QUICK = (
    "data.users=100 data.cache_dir=cache data.batch_size=8192 trainer.max_epochs=1 model.dim=2 "
    "trainer.enable_progress_bar=false save.figures=false"
)


def run_script(
    script: str, arguments: str, folder: Path, **places: str
) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder of its own, with a cache there, and in this process.

    Hydra leaves the logging of the tests alone; variables of the environment may be set.
    """
    quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none"] * (script == "train.py")
    status, out, errors = 0, io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(errors):
        patch.chdir(folder)
        patch.setattr(logging.root, "handlers", [])  # so that warnings go to stderr
        patch.setattr(sys, "argv", [script, *shlex.split(arguments), *quiet])
        for name, value in ({"XDG_CACHE_HOME": str(folder / "cache")} | places).items():
            patch.setenv(name, value)
        try:
            runpy.run_path(str(ROOT / script), run_name="__main__")
        except SystemExit as end:  # as Python ends
            status = end.code if isinstance(end.code, int) else int(end.code is not None)
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        finally:
            GlobalHydra.instance().clear()
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return subprocess.CompletedProcess(script, status, out.getvalue(), errors.getvalue())


def train_here(arguments: str, folder: Path) -> str:
    """Run train.py in a folder to its end, and return what it showed."""
    ended = run_script("train.py", arguments, folder)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def composed(command: str, overrides: list[str]) -> DictConfig:
    """Return the settings that a command has with these given."""
    register_schemas()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(command, overrides)


def start(
    command: list[str | Path], folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a program of Python's in a folder, in a process of its own."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
