"""Stopping and going on: a resumed run ends where an whole one does."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import checkerboard
import pytest
from checkerboard import curves, untimed
from running import composed
from synthetic import write_folder
from tensorboard.summary.writer import event_file_writer

from movie_embed import MovieEmbedError
from movie_embed.config import OptimizerConfig, SaveConfig, TrainConfig
from movie_embed.embeddings.saved import folder_of
from movie_embed.errors import Interrupted
from movie_embed.storage import read_columns
from movie_embed.training.folders import resumed_settings, run_folder
from movie_embed.training.regression import RatingRegression
from movie_embed.training.run import train

EPOCHS = 4


@pytest.fixture(autouse=True)
def first_event_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Number event files from 0: of those of one second TensorBoard reads "10" before "9"."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


def settings(board: Path, epochs: int = EPOCHS, **trainer: Any) -> TrainConfig:
    optimizer = OptimizerConfig(0.02, "cosine", 0.1)
    return checkerboard.settings(board, epochs, optimizer=optimizer, trainer=trainer)


def saved_bytes(run: Path) -> dict[str, bytes]:
    columns = read_columns(run / "embeddings.safetensors", "embeddings")[0]
    return {
        k: v.tobytes() if hasattr(v, "tobytes") else str(v).encode() for k, v in columns.items()
    }


def assert_same(run: Path, whole: Path) -> None:
    """Compare what two runs saved, and their curves."""
    assert saved_bytes(run) == saved_bytes(whole)
    assert curves(run) == curves(whole)


class Crash(Exception):
    """A process that dies."""


def _crash(*_: Any) -> None:
    raise Crash


def crash_at(step: int, monkeypatch: pytest.MonkeyPatch, act: Any = _crash) -> None:
    """Let training die, or do something else, as it begins a step."""
    real = RatingRegression.training_step

    def training_step(self: RatingRegression, batch: Any, batch_idx: int) -> Any:
        if self.global_step == step:
            act()
        return real(self, batch, batch_idx)

    monkeypatch.setattr(RatingRegression, "training_step", training_step)


def age(run: Path) -> Path:
    """Date the events a second and more back: TensorBoard reads files in their names' order."""
    for events in run.glob("events*"):
        events.rename(run / events.name.replace("tfevents.", "tfevents.0"))
    return run


@pytest.fixture(scope="module")
def whole(board: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("whole") / "run"
    train(settings(board), run)
    return run


@pytest.fixture(scope="module")
def steps(whole: Path) -> int:
    """How many steps an epoch has."""
    return (curves(whole)["val_rmse"][0][0]) + 1


@pytest.mark.parametrize(
    ("where", "every_n_steps"), [(0.5, None), (2.0, None), (3.99, None), (0.5, 7), (2.5, 7)]
)
def test_a_crashed_run_ends_as_if_it_had_not(
    board: Path,
    whole: Path,
    steps: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: float,
    every_n_steps: int | None,
) -> None:
    config = replace(settings(board), save=SaveConfig(figures=False, every_n_steps=every_n_steps))
    with monkeypatch.context() as patch:
        crash_at(int(where * steps), patch)
        with pytest.raises(Crash):
            train(config, tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.json").exists()
    resumed = train(replace(config, resume="run"), age(tmp_path / "run"))
    assert_same(tmp_path / "run", whole)
    assert untimed(resumed) == untimed(json.loads((whole / "metrics.json").read_text()))


@pytest.mark.parametrize(("number", "step"), [(signal.SIGINT, 4), (signal.SIGTERM, -1)])
def test_a_signal_saves_after_the_batch_or_the_epoch_and_says_how_to_go_on(
    board: Path,
    whole: Path,
    steps: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    step: int,
) -> None:
    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        crash_at(steps + step % steps, patch, lambda: os.kill(os.getpid(), number))
        with pytest.raises(Interrupted, match=r"epoch 2; go on with.*resume=\S+run$"):
            train(settings(board), tmp_path / "run")
    assert signal.getsignal(number) == before
    train(replace(settings(board), resume="run"), age(tmp_path / "run"))
    assert_same(tmp_path / "run", whole)


def test_a_finished_run_can_be_extended_but_not_repeated(board: Path, tmp_path: Path) -> None:
    def constant(epochs: int) -> TrainConfig:
        return replace(settings(board, epochs), optimizer=OptimizerConfig(0.02, "constant"))

    train(constant(4), tmp_path / "whole")
    first = train(constant(2), tmp_path / "run")
    with pytest.raises(MovieEmbedError, match=r"finished its 2 epochs.*trainer.max_epochs=7"):
        train(replace(constant(2), resume="run"), tmp_path / "run")
    more = train(replace(constant(4), resume="run"), age(tmp_path / "run"))
    assert (first["epochs"], more["epochs"]) == (2, 4)
    assert_same(tmp_path / "run", tmp_path / "whole")


# What runs once training has ended, in order; each is cut before it begins.
@pytest.mark.parametrize(
    ("cut", "extended"),
    [
        *((cut, False) for cut in ("restore_epoch", "log_outcome", "save_embeddings", "_show")),
        *(("write_text", extended) for extended in (False, True)),
    ],
)
def test_a_run_that_was_cut_while_saving_is_finished(
    board: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cut: str,
    extended: bool,
) -> None:
    run = tmp_path / "run"
    config = replace(settings(board), save=SaveConfig())
    monkeypatch.setattr("movie_embed.figures.FIGURES", {})
    if extended:
        train(settings(board, 2), run)
        config = replace(config, resume="run")
    with monkeypatch.context() as patch:
        patch.setattr(f"movie_embed.training.run.{cut}", _crash)
        with pytest.raises(Crash):
            train(config, run)
    write_folder(run, {"projector/.metadata.tsv.1-1.tmp": b"half"})  # as a killed process leaves it
    resumed = replace(config, resume="run")
    assert train(resumed, age(run))["epochs"] == EPOCHS
    assert json.loads((run / "metrics.json").read_text())["epochs"] == EPOCHS
    assert (run / "projector_config.pbtxt").exists()
    assert not list(run.rglob(".*.tmp"))
    if not extended:
        assert_same(run, whole)
    with pytest.raises(MovieEmbedError, match="finished its 4 epochs"):
        train(resumed, run)


def test_a_moved_run_remembers_its_best_epoch(board: Path, tmp_path: Path) -> None:
    def best_of(epochs: int, run: str, **resume: str) -> float | int | None:
        config = replace(settings(board, epochs), optimizer=OptimizerConfig(0.3, "constant"))
        return train(replace(config, **resume), tmp_path / run)["val_rmse"]

    first = best_of(EPOCHS, "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    with pytest.MonkeyPatch.context() as patch:  # what follows is worse
        patch.setattr(RatingRegression, "on_validation_start", _spoil)
        assert best_of(EPOCHS + 1, "moved", resume="moved") == first


def _spoil(module: RatingRegression) -> None:
    module.model.movie_biases.data.fill_(9)


def test_a_run_that_had_stopped_early_trains_no_more(
    board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(board, 60, early_stopping=2)
    config.optimizer.schedule = "constant"
    whole = train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("movie_embed.training.run.save_embeddings", _crash)
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


def test_other_data_are_refused(board: Path, tmp_path: Path) -> None:
    train(settings(board, 1), tmp_path / "run")
    other = shutil.copytree(board, tmp_path / "other")
    ratings = other / "ratings.csv"
    ratings.write_text("".join(ratings.read_text().splitlines(keepends=True)[:-1]))
    config = settings(other, 2)
    with pytest.raises(MovieEmbedError, match="data are not those the run began with"):
        train(replace(config, resume="run"), tmp_path / "run")


def test_a_resumed_run_keeps_its_settings_but_for_those_given(whole: Path) -> None:
    given = ["trainer.max_epochs=9", "model.dim=8", "save.users=false", f"resume={whole}"]
    settings = resumed_settings(composed("train", given), given, whole)
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
def test_what_would_make_it_another_run_is_refused(whole: Path, override: str, told: str) -> None:
    with pytest.raises(MovieEmbedError, match=told):
        resumed_settings(composed("train", [override, f"resume={whole}"]), [override], whole)


def test_resume_is_refused_where_no_run_is_or_another_folder_is_given(whole: Path) -> None:
    with pytest.raises(MovieEmbedError, match=r"resume=nowhere: no run .* resume=last"):
        run_folder("nowhere", Path("new"), given=False)
    with pytest.raises(MovieEmbedError, match=r"goes on in .*run: leave out hydra.run.dir=new"):
        run_folder(str(whole), Path("new"), given=True)
    assert run_folder(str(whole), whole, given=True) == whole  # as Lightning's processes say
    assert not Path("new").exists()


def test_last_is_the_run_that_trained_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
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
