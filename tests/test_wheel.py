"""The wheel, used where there is no clone: the commands, their settings, a user's own."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from running import QUICK, ROOT

from movie_embed.__main__ import main


def run(*command: str, **places: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | places,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_program_does_without_the_clone(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone, folder = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("packages")
    for name in ("movie_embed", "conf"):  # elsewhere, since building writes beside the sources
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    build = f"pip wheel -q --no-cache-dir --no-deps --no-build-isolation -w{folder} {clone}"
    run(*build.split())
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        held = {name for name in packed.namelist() if name.startswith("movie_embed/")}
        packed.extractall(folder)
    sources = [path for path in (clone / "movie_embed").rglob("*") if path.is_file()]
    sources += (clone / "conf").rglob("*.yaml")
    names = {str(path.relative_to(clone)) for path in sources}
    assert held == {name.replace("conf/", "movie_embed/conf/", 1) for name in names}
    (program,) = folder.glob("*.dist-info/entry_points.txt")
    assert "movie-embed = movie_embed.__main__:main" in program.read_text()

    monkeypatch.chdir(tmp_path)
    (tmp_path / "my" / "experiment").mkdir(parents=True)
    mine = tmp_path / "my" / "experiment" / "mine.yaml"
    mine.write_text("# @package _global_\nmodel: {l2: 0.5}\n")
    train = f"movie_embed train --config-dir my experiment=mine {QUICK} hydra.run.dir=run"
    told = run(*train.split(), PYTHONPATH=str(folder), NUMBA_DISABLE_JIT="1")
    assert "l2: 0.5" in (tmp_path / "run" / "config.yaml").read_text()
    line = told.strip().splitlines()[-1].strip()
    assert line.startswith("movie-embed recommend movie_id=")
    asked = shlex.split(line.replace("movie-embed", "movie_embed"))
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
