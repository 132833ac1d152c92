"""Fixtures that more than one test file uses."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

# Tests run side by side, a process a core; set before any of them loads NumPy or torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What scripts leave open shows among their errors, which tests read.
os.environ["PYTHONWARNINGS"] = "error::ResourceWarning"

import pytest
import synthetic

from movie_embed.config import (
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    SaveConfig,
    TrainConfig,
    TrainerConfig,
)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say which tests did not run, and why: a skip that nobody sees is a test that nobody has."""
    skipped = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", ()))
    for reason, tests in skipped.items():
        terminalreporter.write_line(f"not run: {tests} x {reason.removeprefix('Skipped: ')}")


# `nohup make test &` hands on that Ctrl-C is ignored, and some tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)
SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small data set: five ratings by three users of three of four movies."""
    return synthetic.data_set(tmp_path / "data")


@pytest.fixture
def shared() -> Path:
    """The folder of real ratings beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"no real ratings at {SHARED}")
    return SHARED


@pytest.fixture(scope="session")
def board(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of ratings whose neighbours are known."""
    from checkerboard import write_checkerboard

    return write_checkerboard(tmp_path_factory.mktemp("checkerboard"))


@pytest.fixture(scope="session")
def demo_config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """Settings of a small model on simulated ratings."""
    cache = str(tmp_path_factory.mktemp("cache"))
    return TrainConfig(
        data=DataConfig(users=600, cache_dir=cache, min_ratings=20, batch_size=512),
        model=ModelConfig(dim=8),
        optimizer=OptimizerConfig(0.02),
        trainer=TrainerConfig(max_epochs=8, enable_progress_bar=False),
        save=SaveConfig(figures=False),
    )


@pytest.fixture(scope="session")
def demo_folder(demo_config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which that model has been trained, as its newest run."""
    from movie_embed.embeddings.saved import name_latest
    from movie_embed.training.run import train

    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        train(demo_config, folder / "run")
        name_latest(folder / "outputs" / "latest", folder / "run")
    return folder
