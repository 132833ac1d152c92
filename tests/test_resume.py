"""Stopping and going on: a resumed run ends where an uninterrupted one does."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checkerboard import write_checkerboard
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from movie_embed import MovieEmbedError
from movie_embed.config import (
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    SaveConfig,
    TrainConfig,
    TrainerConfig,
    register_schemas,
)
from movie_embed.embeddings.saved import folder_of
from movie_embed.errors import Interrupted, Terminated
from movie_embed.storage import read_columns
from movie_embed.training.folders import resumed_settings, run_folder
from movie_embed.training.regression import RatingRegression
from movie_embed.training.run import train

ROOT = Path(__file__).resolve().parents[1]
EPOCHS = 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkerboard(tmp_path_factory.mktemp("checkerboard"))


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def first_event_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Number event files from 0: of those of one second TensorBoard reads "10" before "9"."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


def settings(folder: Path, epochs: int = EPOCHS, **trainer: Any) -> TrainConfig:
    return TrainConfig(
        data=DataConfig(
            "files", str(folder), str(folder / "cache"), val_fraction=0.2, batch_size=256
        ),
        model=ModelConfig(dim=8, l2=1e-6),
        optimizer=OptimizerConfig(0.02, "cosine", 0.1),
        save=SaveConfig(figures=False),
        trainer=TrainerConfig(epochs, enable_progress_bar=False, log_every_n_steps=5, **trainer),
    )


def saved_bytes(run: Path) -> dict[str, bytes]:
    columns = read_columns(run / "embeddings.safetensors", "embeddings")[0]
    return {
        k: v.tobytes() if hasattr(v, "tobytes") else str(v).encode() for k, v in columns.items()
    }


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(run)).Reload()
    timed = {"ratings_per_second", "final/ratings_per_second", "final/train_seconds"}
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if tag not in timed
    }


class Crash(Exception):
    """A process that dies."""


def crash_at(step: int, monkeypatch: pytest.MonkeyPatch, act: Any = None) -> None:
    """Let training die, or do something else, as it begins a step."""
    real = RatingRegression.training_step

    def training_step(self: RatingRegression, batch: Any, batch_idx: int) -> Any:
        if self.global_step == step:
            act() if act else _crash()
        return real(self, batch, batch_idx)

    monkeypatch.setattr(RatingRegression, "training_step", training_step)


def age(run: Path) -> Path:
    """Date the events a second and more back: TensorBoard reads files in their names' order."""
    for events in run.glob("events*"):
        events.rename(run / events.name.replace("tfevents.", "tfevents.0"))
    return run


def _crash() -> None:
    raise Crash


@pytest.fixture(scope="module")
def uninterrupted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(run.parent)
        train(settings(folder), run)
    return run


@pytest.fixture(scope="module")
def steps(uninterrupted: Path, folder: Path) -> int:
    """How many steps an epoch has."""
    return (curves(uninterrupted)["val_rmse"][0][0]) + 1


@pytest.mark.parametrize("every_n_steps", [None, 7], ids=["epochs", "steps"])
@pytest.mark.parametrize("where", [0.5, 1.5, 2.0, 3.99])
def test_a_crashed_run_ends_as_if_it_had_not(
    folder: Path,
    uninterrupted: Path,
    steps: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: float,
    every_n_steps: int | None,
) -> None:
    config = replace(settings(folder), save=SaveConfig(figures=False, every_n_steps=every_n_steps))
    with monkeypatch.context() as patch:
        crash_at(int(where * steps), patch)
        with pytest.raises(Crash):
            train(config, tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.json").exists()
    resumed = train(replace(config, resume="run"), age(tmp_path / "run"))
    assert saved_bytes(tmp_path / "run") == saved_bytes(uninterrupted)
    assert curves(tmp_path / "run") == curves(uninterrupted)
    whole = json.loads((uninterrupted / "metrics.json").read_text())
    timed = {"train_seconds", "ratings_per_second"}
    assert {k: v for k, v in resumed.items() if k not in timed} == {
        k: v for k, v in whole.items() if k not in timed
    }


@pytest.mark.parametrize(
    ("number", "kind", "step"), [(signal.SIGINT, Interrupted, 4), (signal.SIGTERM, Terminated, -1)]
)
def test_a_signal_saves_after_the_batch_or_the_epoch_and_says_how_to_go_on(
    folder: Path,
    uninterrupted: Path,
    steps: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    kind: type[Interrupted],
    step: int,
) -> None:
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        crash_at(steps + step % steps, patch, lambda: os.kill(os.getpid(), number))
        with pytest.raises(kind, match=r"epoch 2; go on with.*resume=\S+run$"):
            train(settings(folder), tmp_path / "run")
    assert signal.getsignal(number) == before
    train(replace(settings(folder), resume="run"), age(tmp_path / "run"))
    assert saved_bytes(tmp_path / "run") == saved_bytes(uninterrupted)
    assert curves(tmp_path / "run") == curves(uninterrupted)


def test_a_finished_run_can_be_extended_but_not_repeated(folder: Path, tmp_path: Path) -> None:
    def constant(epochs: int) -> TrainConfig:
        return replace(settings(folder, epochs), optimizer=OptimizerConfig(0.02, "constant"))

    train(constant(4), tmp_path / "whole")
    first = train(constant(2), tmp_path / "run")
    with pytest.raises(MovieEmbedError, match=r"finished its 2 epochs.*trainer.max_epochs=7"):
        train(replace(constant(2), resume="run"), tmp_path / "run")
    more = train(replace(constant(4), resume="run"), age(tmp_path / "run"))
    assert (first["epochs"], more["epochs"]) == (2, 4)
    assert saved_bytes(tmp_path / "run") == saved_bytes(tmp_path / "whole")
    assert curves(tmp_path / "run") == curves(tmp_path / "whole")


# What runs once training has ended, in order; each is cut before it begins.
@pytest.mark.parametrize(
    "cut",
    ["restore_epoch", "_log_outcome", "save_embeddings", "_show", "write_text"],
)
@pytest.mark.parametrize("extended", [False, True], ids=["new", "extended"])
def test_a_run_that_was_cut_while_saving_is_finished(
    folder: Path,
    uninterrupted: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cut: str,
    extended: bool,
) -> None:
    run = tmp_path / "run"
    config = replace(settings(folder), save=SaveConfig())
    monkeypatch.setattr("movie_embed.figures.FIGURES", {})
    if extended:
        train(settings(folder, 2), run)
        config = replace(config, resume="run")
    with monkeypatch.context() as patch:
        patch.setattr(f"movie_embed.training.run.{cut}", lambda *_: _crash())
        with pytest.raises(Crash):
            train(config, run)
    resumed = replace(config, resume="run")
    assert train(resumed, age(run))["epochs"] == EPOCHS
    assert json.loads((run / "metrics.json").read_text())["epochs"] == EPOCHS
    assert (run / "projector_config.pbtxt").exists()
    if not extended:
        assert saved_bytes(run) == saved_bytes(uninterrupted)
        assert curves(run) == curves(uninterrupted)
    with pytest.raises(MovieEmbedError, match="finished its 4 epochs"):
        train(resumed, run)


def test_a_moved_run_remembers_its_best_epoch(folder: Path, tmp_path: Path) -> None:
    def best_of(epochs: int, run: str, **resume: str) -> float | int | None:
        config = replace(settings(folder, epochs), optimizer=OptimizerConfig(0.3, "constant"))
        return train(replace(config, **resume), tmp_path / run)["val_rmse"]

    first = best_of(EPOCHS, "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    with pytest.MonkeyPatch.context() as patch:  # what follows is worse
        patch.setattr(RatingRegression, "on_validation_start", _spoil)
        assert best_of(EPOCHS + 1, "moved", resume="moved") == first


def _spoil(module: RatingRegression) -> None:
    module.model.movie_biases.data.fill_(9)


def test_a_run_that_had_stopped_early_trains_no_more(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(folder, 60, early_stopping=2)
    config.optimizer.schedule = "constant"
    whole = train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("movie_embed.training.run.save_embeddings", lambda *_: _crash())
        with pytest.raises(Crash):
            train(config, tmp_path / "run")
    config.resume = "run"
    assert train(config, tmp_path / "run")["epochs"] == whole["epochs"]
    assert saved_bytes(tmp_path / "run") == saved_bytes(tmp_path / "whole")
    with pytest.raises(MovieEmbedError, match=r"finished its \d+ epochs.*early_stopping=5"):
        train(config, tmp_path / "run")
    config.trainer.early_stopping = 3
    assert train(config, tmp_path / "run")["epochs"] > whole["epochs"]


def test_a_question_to_an_unfinished_run_is_told_how_to_go_on(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    with pytest.raises(
        MovieEmbedError, match=r"not finished; go on with: movie-embed train resume="
    ):
        folder_of(tmp_path)


def test_other_data_are_refused(folder: Path, tmp_path: Path) -> None:
    train(settings(folder, 1), tmp_path / "run")
    other = shutil.copytree(folder, tmp_path / "other")
    ratings = other / "ratings.csv"
    ratings.write_text("".join(ratings.read_text().splitlines(keepends=True)[:-1]))
    config = settings(other, 2)
    with pytest.raises(MovieEmbedError, match="data are not those the run began with"):
        train(replace(config, resume="run"), tmp_path / "run")


def composed(*overrides: str) -> DictConfig:
    register_schemas()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", list(overrides))


@pytest.fixture(scope="module")
def stored(uninterrupted: Path) -> Path:
    return uninterrupted


def test_a_resumed_run_keeps_its_settings_but_for_those_given(stored: Path) -> None:
    given = ["trainer.max_epochs=9", "model.dim=8", "save.users=false", f"resume={stored}"]
    settings = resumed_settings(composed(*given), given, stored)
    assert not settings.save.users
    assert (settings.trainer.max_epochs, settings.model.dim) == (9, 8)
    assert settings.data.name == "files"
    assert settings.optimizer.schedule == "cosine"


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("model.dim=9", r"model.dim=9: the run in .* has 8"),
        ("seed=3", r"seed=3: the run in .* has 0"),
        ("data=ml-1m", r"keeps the run's settings: leave out data="),
        ("experiment=fast", r"keeps the run's settings: leave out experiment="),
    ],
)
def test_what_would_make_it_another_run_is_refused(stored: Path, override: str, told: str) -> None:
    with pytest.raises(MovieEmbedError, match=told):
        resumed_settings(composed(override, f"resume={stored}"), [override], stored)


def test_resume_is_refused_where_no_run_is_or_another_folder_is_given(stored: Path) -> None:
    with pytest.raises(MovieEmbedError, match=r"resume=nowhere: no run .* resume=last"):
        run_folder("nowhere", Path("new"), given=False)
    with pytest.raises(MovieEmbedError, match=r"goes on in .*run: leave out hydra.run.dir=new"):
        run_folder(str(stored), Path("new"), given=True)
    assert run_folder(str(stored), stored, given=True) == stored  # as Lightning's processes say
    assert not Path("new").exists()


def test_last_is_the_run_that_trained_last(tmp_path: Path) -> None:
    for number, name in enumerate(["2026-01-01/b", "2026-01-02/a"]):
        run = tmp_path / "outputs" / name
        run.mkdir(parents=True)
        (run / "config.yaml").write_text("")
        os.utime(run / "config.yaml", (1_000 - number, 1_000 - number))
    new = Path("outputs/new")
    assert run_folder("last", new, given=False) == Path("outputs/2026-01-01/b")
    checkpoint = tmp_path / "outputs/2026-01-02/a/checkpoints/last.ckpt"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    assert run_folder("last", new, given=False) == Path("outputs/2026-01-02/a")
