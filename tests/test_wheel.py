"""The wheel and the source archive: what they hold, and the wheel where there is no clone."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from running import QUICK, ROOT

from movie_embed import __version__
from movie_embed.__main__ import main

BUILD = "from setuptools.build_meta import *; build_sdist({0!r}); build_wheel({0!r})"
ARCHIVED = {"CHANGELOG.md", "LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.cfg"}
DESCRIBED = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"}
NO_PART = (
    "outputs/run/metrics.json",
    "tests/test_x.py",
    "build/x.py",
    "conf/__pycache__/x.pyc",
)


def run(*command: str, folder: Path | None = None, **places: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | places,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sources, with what work leaves beside them; elsewhere, since building writes there."""
    clone = tmp_path_factory.mktemp("clone")
    for name in ("movie_embed", "conf"):
        shutil.copytree(ROOT / name, clone / name)
    for name in ARCHIVED:
        shutil.copy(ROOT / name, clone)
    for name in NO_PART:
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).touch()
    return clone


@pytest.fixture(scope="module")
def built(clone: Path) -> Path:
    """The folder of both archives."""
    run("-c", BUILD.format(str(clone / "dist")), folder=clone)
    return clone / "dist"


def test_the_archives_hold_the_package_and_nothing_else(clone: Path, built: Path) -> None:
    sources = {path for path in (clone / "movie_embed").rglob("*") if path.is_file()}
    sources |= {path for path in (clone / "conf").rglob("*") if path.is_file()}
    names = {str(p.relative_to(clone)) for p in sources if "__pycache__" not in p.parts}
    with zipfile.ZipFile(built / f"movie_embed-{__version__}-py3-none-any.whl") as wheel:
        held = set(wheel.namelist())
        metadata = wheel.read(f"movie_embed-{__version__}.dist-info/METADATA").decode()
        program = wheel.read(f"movie_embed-{__version__}.dist-info/entry_points.txt").decode()
    described = {f"movie_embed-{__version__}.dist-info/{name}" for name in DESCRIBED}
    assert held == {re.sub("^conf/", "movie_embed/conf/", name) for name in names} | described
    assert "movie-embed = movie_embed.__main__:main" in program
    assert (ROOT / "README.md").read_text() in metadata
    with tarfile.open(built / f"movie_embed-{__version__}.tar.gz") as archive:
        files = {entry.name.partition("/")[2] for entry in archive if entry.isfile()}
    assert {name for name in files if ".egg-info/" not in name} == names | ARCHIVED | {"PKG-INFO"}


def test_the_changelog_begins_with_this_version() -> None:
    versions = re.findall("^## ([0-9.]+) - [0-9-]{10}$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert versions[0] == __version__


def test_the_program_does_without_the_clone(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "packages"
    with zipfile.ZipFile(*built.glob("*.whl")) as packed:
        packed.extractall(folder)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my" / "experiment").mkdir(parents=True)
    mine = tmp_path / "my" / "experiment" / "mine.yaml"
    mine.write_text("# @package _global_\nmodel: {l2: 0.5}\n")
    train = f"-m movie_embed train --config-dir my experiment=mine {QUICK} hydra.run.dir=run"
    told = run(*train.split(), PYTHONPATH=str(folder), NUMBA_DISABLE_JIT="1")
    assert "l2: 0.5" in (tmp_path / "run" / "config.yaml").read_text()
    line = told.strip().splitlines()[-1].strip()
    assert line.startswith("movie-embed recommend movie_id=")
    asked = shlex.split(line.replace("movie-embed", "-m movie_embed"))
    assert "Recommendations for" in run(*asked, PYTHONPATH=str(folder))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "usage: movie-embed train|recommend|export|plot|serve KEY=VALUE"),
        ("trian", "error: trian: must be one of train, recommend, export, plot, serve"),
        ("recommend movie_id=1 run=x", "no trained model in x: make one with: movie-embed train"),
    ],
)
def test_a_wrong_command_is_told(
    arguments: str, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["movie-embed", *arguments.split()])
    with pytest.raises(SystemExit) as end:
        main()
    assert told in f"{end.value.code}{capsys.readouterr().out}"
