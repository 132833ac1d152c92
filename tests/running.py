"""The training script in this process, which has loaded torch already."""

import runpy
import shlex
import sys
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra

SCRIPT = Path(__file__).resolve().parents[1] / "train.py"


def train_here(arguments: str, folder: Path) -> None:
    """Run train.py in a folder; Hydra leaves the logging of the tests alone."""
    quiet = ["hydra/job_logging=none", "hydra/hydra_logging=none"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["train.py", *shlex.split(arguments), *quiet])
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        finally:
            GlobalHydra.instance().clear()
