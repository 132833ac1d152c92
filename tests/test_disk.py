"""Disks that are full, processes that are killed, and where files are written at all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from embedded import random_vectors, saved
from synthetic import ROWS, files_config

from movie_embed import MovieEmbedError, Recommender
from movie_embed.config import EXPORT_FORMATS, DataConfig, TrainConfig, TrainerConfig
from movie_embed.data.triples import load_triples
from movie_embed.embeddings.export import export
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.storage import write_text
from movie_embed.training.callbacks import AtomicCheckpointIO

resource = pytest.importorskip("resource", reason="no limits on file sizes here")
ROOT = Path(__file__).resolve().parents[1]
FONTS = Path.home() / ".cache" / "matplotlib"  # its own list of fonts, where it is installed
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
    assert line.endswith("; make room, mend its rights or choose another folder")
    assert "\n" not in line
    assert ".tmp" not in line
    assert {path: path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_without_room_for_the_cache_training_goes_on(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with room_for(100):
        assert len(load_triples(files_config(folder, tmp_path / "cache"))) == len(ROWS)
    (line,) = caplog.messages
    assert "File too large" in line
    assert line.endswith("going on without")
    assert not list((tmp_path / "cache" / "triples").glob("*.[st]*"))


def test_a_full_disk_during_training_keeps_the_previous_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from movie_embed.training.run import train

    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    shutil.copytree(GOLDEN, run / "checkpoints")
    shutil.move(run / "checkpoints" / "embeddings.safetensors", run)
    before = {path: path.read_bytes() for path in run.rglob("*.*") if path.is_file()}
    config = TrainConfig(
        data=DataConfig(users=50, cache_dir=str(tmp_path / "cache"), batch_size=4096),
        trainer=TrainerConfig(max_epochs=1, enable_progress_bar=False),
    )
    with pytest.raises(MovieEmbedError, match=r"cannot write .*\.ckpt"), room_for(20_000):
        train(config, run)
    assert {path: path.read_bytes() for path in before} == before
    assert not list(tmp_path.rglob("*.tmp"))


def test_what_a_killed_process_began_is_removed(folder: Path, tmp_path: Path) -> None:
    config = files_config(folder, tmp_path / "cache")
    load_triples(config)
    (cached,) = (tmp_path / "cache" / "triples").glob("*.safetensors")
    cached.unlink()
    begun = cached.with_name(f".{cached.name}.12345.tmp")
    other = cached.with_name(".another.safetensors.12345.tmp")
    for path in (begun, other):
        path.write_bytes(b"half")
    load_triples(config)
    assert cached.exists()
    assert not begun.exists()
    assert other.exists()  # perhaps being written now: another cache has another lock


def script(name: str, arguments: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a script that reports, to ``written``, every file it opens to write."""
    return subprocess.Popen(
        [sys.executable, "-c", WATCHED, str(ROOT / name), *arguments.split()],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


WATCHED = """
import os, runpy, sys
written = os.open(os.environ["WRITTEN"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        writes = arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if writes and not arguments[0].startswith("/dev/"):
            os.write(written, (os.path.realpath(arguments[0]) + "\\n").encode())
    elif event in ("os.mkdir", "os.rename", "os.link", "os.symlink"):
        path = arguments[0 if event == "os.mkdir" else 1]
        os.write(written, (os.path.realpath(path) + "\\n").encode())
sys.addaudithook(watch)
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the temporary one, where there is one."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK) or memory.stat().st_dev == tmp_path.stat().st_dev:
        yield tmp_path / "elsewhere"
        return
    folder = memory / f"movie_embed_{os.getpid()}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_two_trainings_and_a_question_at_once_write_only_where_they_may(
    tmp_path: Path, elsewhere: Path
) -> None:
    home, work, temporary = elsewhere / "home", tmp_path / "work", tmp_path / "temporary"
    for folder in (home, work, temporary):
        folder.mkdir(parents=True)
    places = {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "TMPDIR": str(temporary),
        "WRITTEN": str(tmp_path / "written"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLCONFIGDIR": str(FONTS),
    }
    quick = "data.users=200 data.min_ratings=20 model.dim=4 trainer.max_epochs=1"
    runs = [
        script("train.py", f"{quick} hydra.run.dir={name}", work, **places) for name in ("a", "b")
    ]
    runs.append(script("recommend.py", f"movie_id=101 run={GOLDEN}", work, **places))
    for run in runs:
        _, errors = run.communicate(timeout=600)
        assert run.returncode == 0, errors
    first, second = (SavedEmbeddings.load(work / name) for name in ("a", "b"))
    assert first.vectors.tobytes() == second.vectors.tobytes()
    assert len(list((home / ".cache" / "movie_embed" / "triples").glob("*.safetensors"))) == 1
    latest = (work / "outputs" / "latest").read_text().strip()
    assert Path(latest) in (work / "a", work / "b")
    assert Recommender.load(latest).similar(int(first.movies.ids[0]), k=3)

    allowed = [FONTS, work / "a", work / "b", work / "outputs", home / ".cache" / "movie_embed"]
    written = {Path(line) for line in (tmp_path / "written").read_text().splitlines()}
    may_make = {parent for place in allowed for parent in place.parents}
    strays = {
        path
        for path in written - may_make
        if not any(path.is_relative_to(place.resolve()) for place in allowed)
    }
    assert not strays
    assert not any(temporary.iterdir())
    assert {path.name for path in home.iterdir()} == {".cache"}
    assert {path.name for path in (home / ".cache").iterdir()} == {"movie_embed"}
    assert {path.name for path in work.iterdir()} == {"a", "b", "outputs"}
