"""Benchmarks and scripts: each starts, and threads that share a Recommender get the same."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(__file__).parent / "golden" / "v1"
SCRIPTS = sorted(
    path.relative_to(ROOT)
    for folder in ("benchmarks", "scripts")
    for path in (ROOT / folder).glob("*.py")
    if path.name != "harness.py"
)


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_each_shows_its_help(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [script.name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / script), run_name="__main__")
    assert ended.value.code == 0
    assert script.name in capsys.readouterr().out


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_threads_get_the_answers_of_one_in_flat_memory() -> None:
    import answering

    answers, different, memory = answering.asked_by_threads(GOLDEN, 4_000, 8)
    assert different == 0
    assert memory[-1] - memory[2] < 5
    assert len(set(map(str, answers))) > 500
