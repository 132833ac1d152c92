"""Benchmarks and scripts: each starts as the docs say, and threads get the same answers."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(__file__).parent / "golden" / "v1"
SCRIPTS = [
    path
    for folder in ("benchmarks", "scripts")
    for path in (ROOT / folder).glob("*.py")
    if path.name != "harness.py"
]
PAGES = [*SCRIPTS, *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *ROOT.glob("conf/*/*.yaml")]
# Each script, and each with the action that a page names.
COMMANDS = {(str(path.relative_to(ROOT)), "") for path in SCRIPTS}.union(
    *(
        re.findall(r"((?:benchmarks|scripts)/\w+\.py) ?([a-z_]*)", page.read_text("utf-8"))
        for page in PAGES
    )
)


@pytest.mark.parametrize(("script", "action"), sorted(COMMANDS))
def test_each_shows_its_help(
    script: str, action: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [script, *action.split(), "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    assert ended.value.code == 0
    assert Path(script).name in capsys.readouterr().out


NOT_INSTALLED = """
import runpy, sys
sys.meta_path = [finder for finder in sys.meta_path if "__editable__" not in repr(finder)]
sys.path[0] = sys.argv[1].rpartition("/")[0]
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("script", ["benchmarks/answering.py", "scripts/match_titles.py"])
def test_a_clone_need_not_be_installed(script: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", NOT_INSTALLED, str(ROOT / script), "--help"]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    assert "usage: " in told.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_cut_loses_nothing() -> None:
    command = [sys.executable, "scripts/power_cuts.py", "1", "7"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "1 cuts, seed 7" in ended.stdout


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_threads_get_the_answers_of_one_in_flat_memory() -> None:
    import answering

    answers, different, memory = answering.asked_by_threads(GOLDEN, 4_000, 8)
    assert different == 0
    assert memory[-1] - memory[2] < 5
    assert len(set(map(str, answers))) > 500
