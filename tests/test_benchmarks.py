"""Benchmarks and scripts: each starts as the docs say, and threads get the same answers."""

from __future__ import annotations

import math
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ranking import last_ratings, unseen_users
from sequels import genre_precision, sequel_pairs, sequel_recall

from movie_embed.data.movies import series_of

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(__file__).parent / "golden" / "v1"
SCRIPTS = [
    path
    for folder in ("benchmarks", "scripts")
    for path in (ROOT / folder).glob("*.py")
    if path.name not in ("harness.py", "sequels.py")
]
PAGES = [*SCRIPTS, *ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("conf/*/*.yaml")]
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


@pytest.mark.parametrize(
    ("title", "series"),
    [
        ("Toy Story 2 (1999)", "toy story"),
        ("Harry Potter and the Goblet of Fire (2005)", "harry potter"),
        ("Star Wars: Episode IV - A New Hope (1977)", "star wars"),
        ("Godfather: Part II, The (1974)", "godfather"),
        ("Rocky IV (1985)", "rocky"),
        ("Seven (a.k.a. Se7en) (1995)", "seven"),
    ],
)
def test_the_series_of_a_title(title: str, series: str) -> None:
    assert series_of(title) == series


def test_neighbours_by_hand() -> None:
    assert sequel_pairs(["", "", "Heat (1995)"]) == []  # no series of movies without titles
    pairs = sequel_pairs(["Toy Story (1995)", "Heat (1995)", "Toy Story 2 (1999)", "Toy Story 3"])
    assert sorted(pairs) == [(0, 2), (0, 3), (2, 0), (2, 3), (3, 0), (3, 2)]
    top = dict(enumerate(np.array([[2, 1], [0, 2], [1, 3], [1, 2]])))
    assert sequel_recall(top, pairs) == 3 / 6
    assert math.isnan(sequel_recall(top, []))
    genres = ["Animation|Comedy", "Crime", "Animation", "(no genres listed)"]
    assert genre_precision(top, genres) == 1 / 8


def test_the_last_ratings_of_each_user_are_held_out_by_time() -> None:
    users, times = np.array([0, 1, 0, 0, 1, 0, 2]), np.array([9, 1, 3, 9, 2, 1, 5.0])
    held_out = last_ratings(users, times, 0.5)
    assert held_out.tolist() == [True, False, False, True, True, False, False]
    assert not last_ratings(users, times, 0.2).any()


def test_users_are_held_out_whole_and_some_of_their_ratings_given() -> None:
    users = np.repeat(np.arange(200), 30)
    theirs, given = unseen_users(users, 0.25, seed=1)
    each = theirs.reshape(200, 30)
    assert (each.all(axis=1) == each.any(axis=1)).all()
    assert 30 < each.any(axis=1).sum() < 70
    assert given[theirs].mean() == pytest.approx(0.8, abs=0.05)
    assert not given[~theirs].any()
    assert (unseen_users(users, 0.25, seed=2)[0] != theirs).any()
