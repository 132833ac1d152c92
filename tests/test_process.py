"""Training as a call within another program: what becomes of that program's process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from running import start

PROGRAM = """
import logging, multiprocessing, os, random, resource, signal, sys, threading, warnings
from pathlib import Path
import numpy as np, torch
from numba import get_num_threads
from movie_embed.config import DataConfig, ModelConfig, SaveConfig, TrainConfig, TrainerConfig
from movie_embed import MovieEmbedError
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
def own(number, frame):
    raise SystemExit("the program's own")

def logger(name):
    it = logging.getLogger(name)
    return it.level, it.disabled, it.propagate, list(it.handlers), list(it.filters)

LIBRARIES = ("pytorch_lightning", "lightning_fabric", "tensorboard", "matplotlib", "numba", "mine")

def settings():
    return {
        "threads": (torch.get_num_threads(), get_num_threads()),
        "loggers": [logger(name) for name in (None, *LIBRARIES)],
        "warnings": list(warnings.filters),
        "signals": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
        "hooks": (sys.excepthook, threading.excepthook, sys.unraisablehook),
        "draws": (torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())),
        "torch": (torch.get_default_dtype(), torch.is_grad_enabled()),
        "environment": dict(os.environ),
        "working folder": os.getcwd(),
    }

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1):
    signal.signal(number, own)
logging.getLogger("mine").addHandler(logging.NullHandler())
logging.basicConfig(level="WARNING")
torch.set_num_threads(2)
before = settings()
train("run", 1)
one = threading.Thread(target=train, args=("thread", 2))
one.start()
one.join()
try:
    train("run", 1)
except MovieEmbedError as error:
    assert "holds a run already" in str(error)
for name, value in settings().items():
    assert value == before[name], name
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
    for run in ("run", "thread", "child0", "child1"):
        assert (tmp_path / run / "embeddings.safetensors").is_file(), done.stderr
    # A child's line says why it is slower.
    assert done.stdout.count("plain loops, 1 CPU thread in a forked process") == 2
