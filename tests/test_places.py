"""Several processes at once, and where they write at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from embedded import hostile
from running import GOLDEN, ROOT, run_script

from movie_embed import Filters, Recommender
from movie_embed.embeddings.ease import Ease
from movie_embed.embeddings.saved import FILE_NAME, SavedEmbeddings

FONTS = Path.home() / ".cache" / "matplotlib"  # its own list of fonts, where it is installed
QUICK = "data.users=200 data.min_ratings=20 model.dim=4 trainer.max_epochs=1 save.figures=false"


def script(name: str, arguments: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a script that reports, to ``written``, every file it opens to write."""
    # Once imported here, torch hands its own folder on.
    known = {k: v for k, v in os.environ.items() if k != "TORCHINDUCTOR_CACHE_DIR"}
    return subprocess.Popen(
        [sys.executable, "-c", WATCHED, str(ROOT / name), *arguments.split()],
        cwd=folder,
        env=known | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | environment,
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


def test_what_training_can_do_without_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "outputs").touch()  # so there is no outputs/latest, whatever rights root has
    places = {"HOME": "/dev/null", "XDG_CACHE_HOME": ""}
    run = run_script("train.py", f"{QUICK} hydra.run.dir=run", tmp_path, **places)
    assert run.returncode == 0, run.stderr
    assert (run.stdout + run.stderr).count("another data.cache_dir; going on without") == 1
    assert "the run is saved, but outputs/latest does not name it (cannot write" in run.stderr
    assert "Saved in run. Try:" in run.stdout
    assert SavedEmbeddings.load(tmp_path / "run")


def test_who_has_loaded_a_run_answers_from_it_although_another_takes_its_place(
    tmp_path: Path,
) -> None:
    made = hostile()
    items = np.arange(3, dtype=np.int32)
    ease = Ease(
        items, np.eye(3, dtype=np.float16), np.ones(3, np.float32), np.zeros(202, np.float32)
    )
    first = replace(made, ease=ease)
    first.save(tmp_path)
    open_before, expected = Recommender.load(tmp_path), Recommender(first)
    ids = made.movies.ids[::-1].copy()
    other = replace(made, vectors=made.vectors[::-1], movies=replace(made.movies, ids=ids))
    other.save(tmp_path)
    assert open_before.similar(10) == expected.similar(10)  # reads the implicit model
    assert open_before.for_user(5) == expected.for_user(5)
    rare = Filters(include_rare=True)
    assert open_before.similar(10, 300, filters=rare) == expected.similar(10, 300, filters=rare)
    assert Recommender.load(tmp_path).similar(10) == Recommender(other).similar(10)


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
    runs = [
        script("train.py", f"{QUICK} hydra.run.dir={name}", work, **places) for name in ("a", "b")
    ]
    runs.append(script("recommend.py", f"movie_id=101 run={GOLDEN}", work, **places))
    for run in runs:
        _, errors = run.communicate(timeout=600)
        assert run.returncode == 0, errors
    first = SavedEmbeddings.load(work / "a")
    assert (work / "a" / FILE_NAME).read_bytes() == (work / "b" / FILE_NAME).read_bytes()
    assert len([*(home / ".cache" / "movie_embed" / "ratings").glob("demo-*/")]) == 1
    latest = (work / "outputs" / "latest").read_text().strip()
    assert Path(latest) in (work / "a", work / "b")
    assert Recommender.load(latest).similar(int(first.movies.ids[0]), k=3)

    allowed = [
        temporary,
        FONTS,
        work / "a",
        work / "b",
        work / "outputs",
        home / ".cache" / "movie_embed",
        ROOT / "movie_embed" / "training" / "__pycache__",  # numba's, beside Python's own
    ]
    written = {Path(line) for line in (tmp_path / "written").read_text().splitlines()}
    may_make = {parent for place in allowed for parent in place.parents}
    strays = {
        path
        for path in written - may_make
        if not any(path.is_relative_to(place.resolve()) for place in allowed)
    }
    assert not strays
    # torch makes a folder for what it compiles, and leaves it empty.
    left = [path for path in temporary.rglob("*") if not path.name.startswith("torchinductor_")]
    assert not left
    assert {path.name for path in home.iterdir()} == {".cache"}
    assert {path.name for path in (home / ".cache").iterdir()} == {"movie_embed"}
    assert {path.name for path in work.iterdir()} == {"a", "b", "outputs"}
