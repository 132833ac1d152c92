"""Sweeps as a user starts them: names, failures, the table, searches and parallel runs."""

import csv
import json
import os
import shlex
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from running import QUICK, ROOT, run_script, train_here
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from movie_embed.config import TrainConfig
from movie_embed.data import demo
from movie_embed.training.sweep import outcome_noted, run_name

SWEEP = f"-m {QUICK} hydra.sweep.dir=grid"

HYDRA = OmegaConf.create(
    {
        "job": {"num": 3, "config": {"override_dirname": {"exclude_keys": []}}},
        "overrides": {"task": ["model.dim=50"]},
    }
)


def read_table(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / "grid/sweep.json").read_text())
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which a sweep of four runs has finished; two had a wrong setting."""
    folder = tmp_path_factory.mktemp("sweep")
    result = run_script("train.py", f"{SWEEP} model.dim=0,4 data.min_ratings=5,20", folder)
    assert result.returncode == 0, result.stderr
    (folder / "stdout").write_text(result.stdout)
    (folder / "stderr").write_text(result.stderr)
    return folder


def test_the_table_has_every_run_best_first_and_says_why_others_failed(folder: Path) -> None:
    good, other, *failed = rows = read_table(folder)
    assert {row["folder"] for row in rows} == {
        f"{n}_dim={dim},min_ratings={least}"
        for n, (dim, least) in enumerate([(0, 5), (0, 20), (4, 5), (4, 20)])
    }
    assert [row["failure"] for row in failed] == ["model.dim=0: must be at least 1"] * 2
    assert good["val_rmse"] < other["val_rmse"]
    for row in (good, other):
        metrics = json.loads((folder / "grid" / row["folder"] / "metrics.json").read_text())
        assert row | metrics | {"model.dim": 4} == row | metrics
        assert row["failure"] is None
    assert list(good) == [
        "model.dim",
        "data.min_ratings",
        "val_rmse",
        "bias_only_rmse",
        "train_seconds",
        "ratings_per_second",
        "failure",
        "folder",
    ]
    with (folder / "grid/sweep.csv").open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [{k: v or None for k, v in row.items()} for row in written] == [
        {k: v if v is None else str(v) for k, v in row.items()} for row in rows
    ]
    shown = (folder / "stdout").read_text().partition("4 runs in grid, 2 failed")[2]
    assert 0 < shown.index(good["folder"]) < shown.index(other["folder"])
    assert shown.count("failed: model.dim=0: must be at least 1") == 2
    assert "Traceback" not in (folder / "stderr").read_text()


def test_tensorboard_has_swept_keys_and_final_metrics_and_no_value_twice(folder: Path) -> None:
    for row in read_table(folder)[:2]:
        events = EventAccumulator(str(folder / "grid" / row["folder"])).Reload()
        tags = events.Tags()["scalars"]
        assert {"val_rmse", "train_loss_epoch", "final/val_rmse"} <= set(tags)
        for tag in tags:
            assert max(Counter(event.step for event in events.Scalars(tag)).values()) == 1, tag
        assert events.Scalars("final/val_rmse")[0].value == pytest.approx(row["val_rmse"])

        logged = {
            tag: HParamsPluginData.FromString(content)
            for tag, content in events.PluginTagToContent("hparams").items()
        }
        settings = logged["_hparams_/session_start_info"].session_start_info.hparams
        assert settings["model.dim"].number_value == 4
        assert settings["data.min_ratings"].number_value == row["data.min_ratings"]
        assert len(settings) < 10
        columns = logged["_hparams_/experiment"].experiment
        assert [info.name for info in columns.hparam_infos][:2] == ["model.dim", "data.min_ratings"]
        metrics = {info.name.tag for info in columns.metric_infos}
        assert {"final/val_rmse", "final/bias_only_rmse"} <= metrics <= set(tags)


@pytest.mark.parametrize(
    ("arguments", "runs", "told"),
    [
        ("model.dim=0,-1", 2, "model.dim=-1: must be at least 1"),
        ("data.val_fraction=0 seed=1", 1, "objective=val_rmse: must be train_rmse"),
        ("+extra=1,2", 2, "unknown setting extra"),
    ],
)
def test_a_sweep_without_a_success_fails(
    tmp_path: Path, arguments: str, runs: int, told: str
) -> None:
    result = run_script("train.py", f"{SWEEP} {arguments}", tmp_path)
    assert result.returncode == 1
    assert told in result.stdout
    assert result.stderr.splitlines()[-1] == "error: no run succeeded"
    assert len(result.stderr.splitlines()) == runs + 1
    assert len(read_table(tmp_path)) == runs


def test_a_sweep_that_cannot_start_is_told_in_one_line(tmp_path: Path) -> None:
    result = run_script("train.py", f"{SWEEP} model.dim=4,fifty", tmp_path)
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)
    assert result.stderr.startswith("error: model.dim: Value 'fifty'")


def test_one_process_parses_each_threshold_once_and_keeps_no_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    draw = demo.draw_ratings
    monkeypatch.setattr(demo, "draw_ratings", lambda users: drawn.append(users) or draw(users))
    threads = threading.active_count()
    train_here(f"{SWEEP} model.dim=4,4 data.min_ratings=5,20", tmp_path)
    rows = read_table(tmp_path)
    assert len(rows) == 4
    assert len({row["folder"] for row in rows}) == 4
    assert all(row["failure"] is None for row in rows)
    assert drawn == [100, 100]
    assert threading.active_count() == threads


def test_a_search_in_two_processes_shares_the_cores_and_survives_failures(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    joblib = pytest.importorskip("joblib")
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    sweep = SWEEP.replace("model.dim=2", "'model.dim=choice(0,4)'") + " sweep=optuna "
    sweep += "hydra.sweeper.n_trials=4 hydra.sweeper.n_jobs=2 "
    sweep += "hydra/launcher=joblib hydra.launcher.n_jobs=2"
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    command = [sys.executable, ROOT / "train.py", *shlex.split(sweep)]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    rows = read_table(tmp_path)
    dims = [row["model.dim"] for row in rows]
    assert sorted(set(dims)) == [0, 4]
    assert len(rows) == 4
    assert [row["failure"] is None for row in rows] == [dim == 4 for dim in dims]
    assert {"model.ridge", "optimizer.learning_rate"} < set(rows[0])
    best = OmegaConf.load(tmp_path / "grid/optimization_results.yaml")
    assert best.best_value == rows[0]["val_rmse"]
    threads = max(joblib.cpu_count() // 2, 1)
    word = "thread" if threads == 1 else "threads"
    assert result.stdout.count(f", {threads} CPU {word}; ") == dims.count(4)


def test_names_are_safe_for_file_systems() -> None:
    overrides = [
        "data.path='/a folder/ä.zip'",
        "optimizer.learning_rate=0.0034269762466825095",
        "data.rating_range=[1,5]",
        "seed=1",
        f"data.cache_dir={'x' * 300}",
    ]
    fixed = {"config": {"override_dirname": {"exclude_keys": ["seed"]}}}
    hydra = {"job": {"num": 7, **fixed}, "overrides": {"task": overrides}}
    name = run_name(OmegaConf.create({"hydra": hydra}))
    assert name.startswith("7_path=-a-folder-.zip,learning_rate=0.003427,rating_range=-1,-5-,")
    assert len(name) == 120


def test_a_bug_in_one_run_leaves_its_trace_and_ends_no_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with outcome_noted(tmp_path, HYDRA, TrainConfig):
        raise RuntimeError("a bug\nand more")
    kept = json.loads((tmp_path / "swept.json").read_text())
    assert kept["failure"] == "RuntimeError: a bug"
    assert kept["trace"].startswith("Traceback")
    assert "Traceback" in capsys.readouterr().err
    with pytest.raises(KeyboardInterrupt), outcome_noted(tmp_path / "b", HYDRA, TrainConfig):
        raise KeyboardInterrupt
    assert "failure" not in json.loads((tmp_path / "b" / "swept.json").read_text())
