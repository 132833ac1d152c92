"""A run's folder and a sweep's: whose they are, and what happens to what they hold."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from running import QUICK, run_script, train_here

from movie_embed import MovieEmbedError
from movie_embed.config import TrainConfig
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.training.folders import claimed, new_folder
from movie_embed.training.run import train


def test_runs_that_start_at_once_take_a_folder_each(tmp_path: Path) -> None:
    wanted = tmp_path / "outputs" / "12-00-00"
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(new_folder, [wanted] * 8))
    assert {path.name for path in taken} == {"12-00-00"} | {f"12-00-00_{n}" for n in range(2, 9)}
    same = tmp_path / "conf" / "experiment" / "same.yaml"  # a clock that stands still
    same.parent.mkdir(parents=True)
    same.write_text("# @package _global_\nhydra:\n  run: {dir: outputs/a}\n")
    for seed in (0, 1):
        train_here(f"--config-dir {same.parents[1]} experiment=same {QUICK} seed={seed}", tmp_path)
    settings = [tmp_path / "outputs" / name / "config.yaml" for name in ("a", "a_2")]
    assert [yaml.safe_load(path.read_text())["seed"] for path in settings] == [0, 1]


def test_a_folder_that_holds_a_run_is_replaced_only_if_told_to(
    demo_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    quick = replace(demo_config, trainer=replace(demo_config.trainer, max_epochs=1))
    train(quick, tmp_path / "run")
    before = SavedEmbeddings.load(tmp_path / "run").vectors
    other = replace(quick, seed=1)
    told = r"run holds a run already: .*resume=\S+run, .*hydra.run.dir=.*overwrite=true"
    with pytest.raises(MovieEmbedError, match=told):
        train(other, tmp_path / "run")
    assert (SavedEmbeddings.load(tmp_path / "run").vectors == before).all()
    events = {path.name for path in (tmp_path / "run").glob("events*")}
    train(replace(other, overwrite=True), tmp_path / "run")
    assert (SavedEmbeddings.load(tmp_path / "run").vectors != before).any()
    assert not events & {path.name for path in (tmp_path / "run").glob("events*")}
    with claimed(tmp_path / "run", replace(quick, overwrite=True)):
        resumed = replace(demo_config, resume="run")
        with pytest.raises(MovieEmbedError, match=r"another training is at work in .*run"):
            train(resumed, tmp_path / "run")


def test_a_second_sweep_in_a_folder_is_refused_or_replaces_the_first(tmp_path: Path) -> None:
    sweep = f"-m {QUICK} hydra.sweep.dir={tmp_path / 'grid'} model.dim"
    assert run_script("train.py", f"{sweep}=0", tmp_path).returncode == 1  # its only run fails
    with pytest.MonkeyPatch.context() as patch:  # this process holds the folder's lock
        patch.setattr("movie_embed.training.sweep.locked", lambda folder: None)
        refused = run_script("train.py", f"{sweep}=3", tmp_path)
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert "grid holds a sweep already" in refused.stderr
        assert "overwrite=true" in refused.stderr
        train_here(f"{sweep}=3 overwrite=true", tmp_path)
    assert [path.parent.name for path in tmp_path.glob("grid/*/metrics.json")] == ["0"]


@pytest.mark.parametrize("asked", ["--help", "--cfg hydra", "resume=nowhere"])
def test_questions_and_mistakes_leave_no_folder(asked: str, tmp_path: Path) -> None:
    run_script("train.py", asked, tmp_path)
    assert not list(tmp_path.iterdir())
