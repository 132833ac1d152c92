"""Training as a call within another program: what becomes of that program's process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from running import start

PROGRAM = """
import logging, multiprocessing, resource, warnings
from pathlib import Path
import numpy as np, torch
from numba import get_num_threads
from movie_embed.config import DataConfig, ModelConfig, SaveConfig, TrainConfig, TrainerConfig
from movie_embed.training import run as training

def train(name, threads):
    training.train(
        TrainConfig(
            data=DataConfig(users=60, cache_dir="cache", min_ratings=1, batch_size=512),
            model=ModelConfig(dim=4),
            save=SaveConfig(figures=False),
            trainer=TrainerConfig(max_epochs=1, enable_progress_bar=False, threads=threads),
        ),
        Path(name),
    )

def memory():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
"""
PUT_BACK = """
def settings():
    quiet = [logging.getLogger(name).level for name in ("pytorch_lightning", "lightning_fabric")]
    return torch.get_num_threads(), get_num_threads(), quiet, list(warnings.filters)

torch.set_num_threads(2)
before = settings()
train("run", 1)
assert settings() == before
start = memory()
arrays = [np.ones(2**17) for _ in range(256)]
full = memory()
del arrays
assert memory() - start < (full - start) / 4
"""
FORKED = """
processes = [
    multiprocessing.get_context("fork").Process(target=train, args=(f"child{number}", 2))
    for number in range(2)
]
for process in processes:
    process.start()
for process in processes:
    process.join(60)
    process.kill()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory, GNU's OpenMP")
def test_a_program_that_trains_stays_as_it_was(tmp_path: Path) -> None:
    done = start(["-c", PROGRAM + PUT_BACK + FORKED], tmp_path)
    assert done.returncode == 0, done.stderr
    for run in ("run", "child0", "child1"):
        assert (tmp_path / run / "embeddings.safetensors").is_file(), done.stderr
    # A child's line says why it is slower.
    assert done.stdout.count("plain loops, 1 CPU thread in a forked process") == 2
