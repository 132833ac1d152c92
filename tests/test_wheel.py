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

ROOT = Path(__file__).resolve().parents[1]
QUICK = (
    "data.users=60 data.min_ratings=1 data.cache_dir=cache data.batch_size=512 "
    "trainer.max_epochs=1 trainer.enable_progress_bar=false save.figures=false model.dim=2"
)


def run(*command: str, **places: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | places,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but the package, as pip installs the wheel."""
    clone, folder = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("packages")
    for name in ("movie_embed", "conf"):  # elsewhere, since building writes beside the sources
        shutil.copytree(ROOT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    pip = [sys.executable, "-m", "pip", "--no-cache-dir", "--disable-pip-version-check"]
    built = run(*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", f"-w{folder}", str(clone))
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        held = {name for name in packed.namelist() if name.startswith("movie_embed/")}
    sources = [path for path in (clone / "movie_embed").rglob("*") if path.is_file()]
    sources += (clone / "conf").rglob("*.yaml")
    names = {str(path.relative_to(clone)) for path in sources}
    assert held == {name.replace("conf/", "movie_embed/conf/", 1) for name in names}
    done = run(*pip, "install", "-q", "--no-deps", "--no-index", f"-t{folder}", str(wheel))
    assert done.returncode == 0, done.stderr
    return folder


def test_the_program_does_without_the_clone(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def program(arguments: str) -> str:
        script = str(installed / "bin" / "movie-embed")
        done = run(
            sys.executable,
            script,
            *shlex.split(arguments),
            PYTHONPATH=str(installed),
            NUMBA_DISABLE_JIT="1",
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    (tmp_path / "my" / "experiment").mkdir(parents=True)
    mine = tmp_path / "my" / "experiment" / "mine.yaml"
    mine.write_text("# @package _global_\nmodel: {l2: 0.5}\n")
    told = program(f"train -m --config-dir my experiment=mine hydra.sweep.dir=grid {QUICK} seed=1")
    assert "1 run in grid, 0 failed" in told
    assert "l2: 0.5" in (tmp_path / "grid" / "0" / "config.yaml").read_text()
    told = program("train resume=grid/0 trainer.max_epochs=2")
    line = told.strip().splitlines()[-1].strip()
    assert line.startswith("movie-embed recommend movie_id=")
    assert "Recommendations for" in program(line.removeprefix("movie-embed "))
    assert program("export").split() == ["export/vectors.tsv", "export/metadata.tsv"]
    assert "movie-embed plot run=" in program("plot --help")


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        ("", 0, "usage: movie-embed train|recommend|export|plot KEY=VALUE"),
        ("trian", 1, "error: trian: must be one of train, recommend, export, plot"),
        (
            "recommend movie_id=1 run=x",
            1,
            "no trained model in x: make one with: movie-embed train",
        ),
    ],
)
def test_a_wrong_command_is_told(arguments: str, status: int, told: str) -> None:
    done = run(sys.executable, "-m", "movie_embed", *arguments.split(), PYTHONPATH=str(ROOT))
    assert done.returncode == status
    assert told in done.stdout + done.stderr
