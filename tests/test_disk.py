"""Disks that are full, and what killed processes leave."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
import pytest
from embedded import random_vectors, saved
from numpy.typing import NDArray
from synthetic import ROWS, files_config, write_folder

from movie_embed import MovieEmbedError
from movie_embed.config import EXPORT_FORMATS, DataConfig, SaveConfig, TrainConfig, TrainerConfig
from movie_embed.data.loading import load_ratings
from movie_embed.embeddings.export import export
from movie_embed.storage import write_text
from movie_embed.training import scores
from movie_embed.training.checkpoints import AtomicCheckpointIO

resource = pytest.importorskip("resource", reason="no limits on file sizes here")
GOLDEN = Path(__file__).parent / "golden" / "v1"


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes: to a writer that is a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


def write_checkpoint(folder: Path) -> None:
    io = AtomicCheckpointIO()
    io.save_checkpoint(io.load_checkpoint(GOLDEN / "last.ckpt"), folder / "last.ckpt")


WRITERS: dict[str, Callable[[Path], object]] = {
    "checkpoint": write_checkpoint,
    "embeddings": lambda folder: saved(random_vectors()).save(folder),
    "text": lambda folder: write_text(folder / "metrics.json", "1" * 5_000),
    **{
        kind: lambda folder, kind=kind: export(saved(random_vectors()), [kind], folder)  # type: ignore[misc]
        for kind in EXPORT_FORMATS
    },
}


@pytest.mark.parametrize("size", [0, 1_000, 4_096])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_one_line_and_harms_nothing(writer: str, size: int, tmp_path: Path) -> None:
    write = WRITERS[writer]
    write(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*")}
    with pytest.raises(MovieEmbedError) as caught, room_for(size):
        write(tmp_path)
    line = str(caught.value)
    assert line.startswith(f"cannot write {tmp_path}/")
    assert "File too large" in line or "failed" in line.lower()
    assert line.endswith("; free some space, fix its permissions or choose another folder")
    assert "\n" not in line
    assert ".tmp" not in line
    assert {path: path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_without_room_for_the_cache_training_goes_on(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with room_for(100):
        assert load_ratings(files_config(folder, tmp_path / "cache")).counts.ratings == len(ROWS)
    (line,) = caplog.messages
    assert "File too large" in line
    assert line.endswith("going on without")
    assert not list((tmp_path / "cache" / "ratings").glob("*.[st]*"))


def test_without_room_for_compiled_loops_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def double(numbers: NDArray[np.float64]) -> None:
        for place in numba.prange(len(numbers)):
            numbers[place] *= 2

    monkeypatch.setattr("numba.config.CACHE_DIR", str(tmp_path))
    loop, numbers = scores.compiled(double), np.ones(3)
    for _ in range(2):
        with room_for(1_000):
            loop(numbers)
    assert numbers.tolist() == [4, 4, 4]
    assert ["File too large" in line for line in caplog.messages] == [True]


def test_a_full_disk_during_training_keeps_the_previous_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from movie_embed.training.run import train

    monkeypatch.chdir(tmp_path)
    config = TrainConfig(
        data=DataConfig(users=50, cache_dir=str(tmp_path), min_ratings=1, batch_size=4096),
        save=SaveConfig(figures=False),
        trainer=TrainerConfig(max_epochs=1, enable_progress_bar=False),
    )
    run = tmp_path / "run"
    train(config, run)
    kept = ("metrics.json", "*.safetensors", "*.ckpt")
    before = {path: path.read_bytes() for name in kept for path in run.rglob(name)}
    longer = replace(config, resume="run", trainer=replace(config.trainer, max_epochs=2))
    with pytest.raises(MovieEmbedError, match=r"cannot write .*\.ckpt"), room_for(20_000):
        train(longer, run)
    assert {path: path.read_bytes() for path in before} == before
    assert not list(tmp_path.rglob("*.tmp"))


def test_what_a_killed_process_began_is_removed(folder: Path, tmp_path: Path) -> None:
    config = files_config(folder, tmp_path / "cache")
    load_ratings(config)
    (cached,) = (tmp_path / "cache" / "ratings").glob("files-*/")
    shutil.rmtree(cached)
    begun, other = cached.with_name(f".{cached.name}.tmp"), cached.with_name(".another.tmp")
    for path in (begun, other):
        write_folder(path, {"ratings.safetensors": b"half"})
    load_ratings(config)
    assert cached.exists()
    assert not begun.exists()
    assert other.exists()  # perhaps being written now: another cache has another lock
