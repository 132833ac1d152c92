"""The training classes in Lightning's own Trainer, and `train` with a user's own."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import pytorch_lightning as pl
import torch
from checkerboard import settings
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint, Timer
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.tuner import Tuner
from torch.utils.data import DataLoader, TensorDataset

import movie_embed
from movie_embed import MovieEmbedError
from movie_embed.config import DataConfig, ModelConfig, OptimizerConfig, SaveConfig
from movie_embed.data.splits import TRAIN, VAL, split
from movie_embed.training.datamodule import RatingsDataModule
from movie_embed.training.regression import RatingRegression

EPOCHS = 4
QUIET: dict[str, Any] = {
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "logger": False,
    "enable_checkpointing": False,
}


def data_of(board: Path, **data: Any) -> RatingsDataModule:
    return RatingsDataModule(settings(board, **data).data, 3)


def module_of(data: RatingsDataModule, schedule: str = "linear", **model: Any) -> RatingRegression:
    optimizer = OptimizerConfig(0.02, schedule)
    return RatingRegression.for_data(data, ModelConfig(8, l2=1e-6, **model), optimizer)


def trainer_of(**own: Any) -> pl.Trainer:
    return pl.Trainer(**{**QUIET, "max_epochs": EPOCHS, **own})


class FirstUsers(pl.Callback):
    """Note the users of each epoch's first batch."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    def on_train_batch_start(self, *arguments: Any) -> None:
        batch, batch_idx = arguments[2:4]
        if batch_idx == 0:
            self.seen.append(batch.users.numpy().tobytes())


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine", "one_cycle"])
def test_any_trainer_trains_as_train_does(board: Path, tmp_path: Path, schedule: str) -> None:
    data, first = data_of(board), FirstUsers()
    module = module_of(data, schedule)
    trainer_of(callbacks=[first]).fit(module, datamodule=data)
    assert len(set(first.seen)) == EPOCHS
    save = SaveConfig("last", figures=False)
    config = settings(board, EPOCHS, optimizer=OptimizerConfig(0.02, schedule), save=save, seed=3)
    movie_embed.train(config, tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    trained = RatingRegression.load_from_checkpoint(path, weights_only=True)
    for name, table in trained.state_dict().items():
        assert torch.equal(table, module.state_dict()[name]), name


def test_a_module_validates_tests_and_predicts_from_its_checkpoint(
    board: Path, tmp_path: Path
) -> None:
    data = data_of(board)
    keep = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1)
    trainer = trainer_of(callbacks=[keep], enable_checkpointing=True)
    trainer.fit(module_of(data), datamodule=data)
    fitted = float(trainer.callback_metrics["val_rmse"])
    path = tmp_path / f"epoch={EPOCHS - 1}.ckpt"
    module = RatingRegression.load_from_checkpoint(path, weights_only=True)
    data = data_of(board)
    (validated,) = trainer_of().validate(module, datamodule=data, verbose=False)
    (tested,) = trainer_of().test(module, datamodule=data, verbose=False)
    assert validated["val_rmse"] == tested["test_rmse"] == pytest.approx(fitted)
    predicted = trainer_of().predict(module, datamodule=data)
    assert predicted is not None
    stars = torch.cat(predicted).numpy()  # type: ignore[arg-type]
    users, movies, expected = data.data_set.ratings.columns(data.chosen(VAL))
    assert np.sqrt(np.mean((stars - expected) ** 2)) == pytest.approx(fitted, rel=1e-6)
    assert np.mean(np.abs(stars - expected)) == pytest.approx(tested["test_mae"], rel=1e-6)
    pairs = TensorDataset(
        torch.from_numpy(users[::-1].copy()), torch.from_numpy(movies[::-1].copy())
    )
    again = trainer_of().predict(module, DataLoader(pairs, batch_size=100))
    assert again is not None
    np.testing.assert_allclose(torch.cat(again).numpy()[::-1], stars, rtol=1e-6)  # type: ignore[arg-type]


def test_a_fit_goes_on_within_an_epoch_from_a_checkpoint(board: Path, tmp_path: Path) -> None:
    def fit(**resume: Any) -> torch.Tensor:
        keep = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=29)
        data, trainer = data_of(board), trainer_of(callbacks=[keep], enable_checkpointing=True)
        trainer.fit(module := module_of(data, "one_cycle"), datamodule=data, **resume)
        return module.model.movie_vectors

    whole = fit()
    assert torch.equal(whole, fit(ckpt_path=tmp_path / "step=29.ckpt", weights_only=True))


def test_a_users_callbacks_logger_and_profiler_are_served(board: Path, tmp_path: Path) -> None:
    data, logger, timer = data_of(board), CSVLogger(tmp_path, "", ""), Timer()
    own: list[Any] = [timer, LearningRateMonitor()]
    trainer = trainer_of(callbacks=own, logger=logger, profiler="simple", log_every_n_steps=5)
    trainer.fit(module_of(data), datamodule=data)
    heading = (tmp_path / "metrics.csv").read_text().partition("\n")[0].split(",")
    assert {"train_loss", "train_loss_epoch", "val_rmse", "val_mae", "lr-Adam/pg1"} <= {*heading}
    assert "learning_rate: 0.02" in (tmp_path / "hparams.yaml").read_text()
    assert timer.time_elapsed("train") > 0


@pytest.mark.parametrize(
    "own",
    [{"accumulate_grad_batches": 2}, {"precision": "bf16-mixed"}, {"precision": "bf16-true"}],
    ids=str,
)
def test_trainer_settings_that_train_has_not_work_too(board: Path, own: dict[str, Any]) -> None:
    data = data_of(board)
    module = module_of(data)
    trainer = trainer_of(max_epochs=12, **own)
    trainer.fit(module, datamodule=data)
    rate = trainer.optimizers[0].param_groups[0]["lr"]
    assert rate == pytest.approx(0, abs=1e-9)  # the schedule counts the optimiser's steps
    assert trainer.callback_metrics["val_rmse"] < 0.7


def test_a_plain_data_loader_trains_and_validates(board: Path) -> None:
    data = data_of(board)
    module = module_of(data, "constant")
    train, val = (
        TensorDataset(*map(torch.from_numpy, data.data_set.ratings.columns(data.chosen(part))))
        for part in (TRAIN, VAL)
    )
    trainer = trainer_of()
    trainer.fit(module, DataLoader(train, 256, shuffle=True), DataLoader(val, 1_000))
    assert trainer.callback_metrics["val_rmse"] < 1.2
    users, movies = val[:2][:2]
    assert module(users, movies).shape == (2,)


def test_batches_may_be_dicts(board: Path) -> None:
    data = data_of(board)
    data.setup()
    columns = data.data_set.ratings.columns(data.chosen(TRAIN))
    users, movies, stars = map(torch.from_numpy, columns)
    rows: Any = [
        {"users": u, "movies": m, "ratings": s}
        for u, m, s in zip(users, movies, stars, strict=True)
    ]
    module, trainer = module_of(data, "constant"), trainer_of(max_epochs=1)
    trainer.fit(module, DataLoader(rows, 256), DataLoader(rows, 1_000))
    assert trainer.callback_metrics["val_rmse"] < 2
    assert len(trainer.predict(module, DataLoader(rows, 1_000)) or []) == 6
    other = DataLoader([{"user": u, "item": m} for u, m in zip(users, movies, strict=True)], 256)  # type: ignore[var-annotated,arg-type]
    told = "a batch must be a tuple or a dict of users, movies, ratings"
    pairs = DataLoader(TensorDataset(users, movies), 256)
    for loader, given in ((other, "one of user, item"), (pairs, "list")):
        with pytest.raises(MovieEmbedError, match=f"{told}, not {given}"):
            trainer_of(max_epochs=1).fit(module, loader, loader)


def test_lightnings_tuner_finds_a_batch_size_and_a_rate(board: Path) -> None:
    data = data_of(board, batch_size=16)
    tuner = Tuner(trainer_of(max_epochs=1))
    found = tuner.scale_batch_size(
        module_of(data, "constant"), datamodule=data, init_val=16, max_trials=3, steps_per_trial=2
    )
    assert found == data.batch_size == 64
    rates = tuner.lr_find(module_of(data, "constant"), datamodule=data, num_training=20)
    assert rates is not None
    assert rates.suggestion() > 0


PAIRS = torch.tensor([0, 1, 2, 3]), torch.tensor([3, 0, 0, 1])


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # read by torch's compiler
def test_a_compiled_module_trains_alike(board: Path) -> None:
    losses = []
    for compile in (torch.compile, lambda module: module):
        data, trainer = data_of(board), trainer_of(max_epochs=1, limit_train_batches=4)
        trainer.fit(compile(module_of(data, "constant")), datamodule=data)
        losses.append(float(trainer.callback_metrics["val_rmse"]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_the_model_is_exported_with_batches_of_any_size(board: Path) -> None:
    model = module_of(data_of(board)).model
    size = torch.export.Dim("pairs")
    program = torch.export.export(model, PAIRS, dynamic_shapes=({0: size}, {0: size}))
    more = [rows.repeat(3) for rows in PAIRS]
    torch.testing.assert_close(program.module()(*more), model(*more))


def test_the_model_is_exported_to_onnx(board: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="ONNX export needs onnx and onnxscript")
    from onnx.reference import ReferenceEvaluator

    model = module_of(data_of(board)).model.eval()
    torch.onnx.export(model, PAIRS, path := str(tmp_path / "model.onnx"), verbose=False)
    session = ReferenceEvaluator(path)
    given = dict(zip(session.input_names, (rows.numpy() for rows in PAIRS), strict=True))
    (stars,) = session.run(None, given)  # type: ignore[misc]
    torch.testing.assert_close(torch.from_numpy(stars), model(*PAIRS).detach())


@pytest.mark.parametrize("fails", [False, True])
def test_train_gives_threads_back(board: Path, tmp_path: Path, fails: bool) -> None:
    seen: list[int] = []

    class Threads(pl.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            seen.append(torch.get_num_threads())
            if fails:
                raise MovieEmbedError("no more")

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for threads in (None, 2):
            config = settings(board, 1, trainer={"threads": threads})
            with pytest.raises(MovieEmbedError, match="no more") if fails else nullcontext():
                movie_embed.train(config, tmp_path / str(threads), callbacks=[Threads()])
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1, 2}  # a small step runs on one thread


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_a_table_in_memory_trains_as_its_file_does(board: Path, library: str) -> None:
    table: Any = pd.read_csv(board / "ratings.csv")
    if library == "pyarrow":
        table = pa.Table.from_pandas(table)
    elif library == "polars":
        table = pytest.importorskip("polars").from_pandas(table)
    data = data_of(board)
    given = RatingsDataModule(data.config, 3, frame=table)
    results = []
    for ratings in (data, given):
        trainer = trainer_of(max_epochs=1)
        trainer.fit(module_of(ratings), datamodule=ratings)
        results.append(float(trainer.callback_metrics["val_rmse"]))
    assert results[0] == results[1]


@pytest.mark.parametrize("implicit", ["users", "both"])
def test_an_implicit_module_asks_its_data_who_rated_what(
    board: Path, tmp_path: Path, implicit: str
) -> None:
    data = data_of(board)
    trainer = trainer_of()
    trainer.fit(module_of(data, implicit=implicit), datamodule=data)
    trainer.save_checkpoint(path := tmp_path / "model.ckpt")
    module = RatingRegression.load_from_checkpoint(path, weights_only=True)
    with pytest.raises(MovieEmbedError, match="call set_ratings"):
        module(torch.tensor([0]), torch.tensor([0]))
    (errors,) = trainer_of().validate(module, datamodule=data_of(board), verbose=False)
    assert errors["val_rmse"] == pytest.approx(float(trainer.callback_metrics["val_rmse"]))


def test_a_schedule_needs_an_end_and_validation_a_split(board: Path) -> None:
    data = data_of(board, val_fraction=0)
    with pytest.raises(MovieEmbedError, match=r"schedule=linear.*max_epochs or max_steps"):
        trainer_of(max_epochs=-1).fit(module_of(data), datamodule=data)
    trainer = trainer_of(max_epochs=1)
    with pytest.warns(match="length of `Batches` across ranks is zero"):
        trainer.fit(module_of(data), datamodule=data)
    assert "val_rmse" not in trainer.callback_metrics


class NoBiases(RatingRegression):
    """A user's own module."""

    def on_train_batch_end(self, *_: Any) -> None:
        self.model.movie_biases.data.zero_()


class Halved(RatingsDataModule):
    """A user's own split."""

    def setup(self, stage: str | None = None) -> None:
        super().setup(stage)
        self.parts = split(self.data_set, 0.5, seed=9)


def test_train_takes_a_users_own_data_module_and_callbacks(board: Path, tmp_path: Path) -> None:
    config, first = settings(board, 1, save=SaveConfig("last", figures=False)), FirstUsers()
    data = Halved(config.data, 3)
    module = NoBiases.for_data(data, config.model)
    config = replace(config, data=DataConfig())  # the module's own are taken
    movie_embed.train(config, tmp_path / "run", data=data, module=module, callbacks=[first])
    assert len(first.seen) == 1
    assert 0.4 < data.val_size / data.data_set.counts.ratings < 0.6
    assert not movie_embed.Recommender.load(tmp_path / "run").embeddings.biases.any()
    assert "name: files" in (tmp_path / "run" / "config.yaml").read_text()
