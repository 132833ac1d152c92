"""Training as a whole: what it learns, what it leaves behind, and that it repeats exactly."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xxhash
from checkerboard import (
    GROUPS,
    MOVIES,
    curves,
    group_of,
    scalars,
    settings,
    untimed,
    write_checkerboard,
)
from pytorch_lightning.loggers import CSVLogger
from synthetic import rated
from tqdm import tqdm

from movie_embed import Filters, MovieEmbedError, Recommender
from movie_embed.config import LoggerConfig, ModelConfig, OptimizerConfig, SaveConfig
from movie_embed.data.splits import TRAIN, VAL
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.embeddings.spaces import Spaces
from movie_embed.evaluation import METRICS, RANKING, Metric
from movie_embed.storage import read_columns
from movie_embed.training import datamodule
from movie_embed.training.datamodule import Batches, Packed, RatingsDataModule
from movie_embed.training.model import MovieEmbedding
from movie_embed.training.regression import RatingRegression
from movie_embed.training.run import train


def saved_columns(run: Path) -> dict[str, np.ndarray]:
    return read_columns(run / "embeddings.safetensors", "embeddings")[0]


@pytest.fixture(scope="module")
def run(board: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of twelve epochs."""
    run = tmp_path_factory.mktemp("runs") / "run"
    assert train(settings(board), run) == json.loads((run / "metrics.json").read_text())
    return run


def test_a_run_learns_the_groups_and_leaves_everything(run: Path) -> None:
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["train_rmse"] <= metrics["val_rmse"] < 0.7 * metrics["bias_only_rmse"]
    assert (metrics["users"], metrics["movies"]) == (240, 40)
    assert metrics["parameters"] == (240 + 40) * (8 + 1)
    assert metrics["ratings_per_second"] > 0

    recommender = Recommender.load(run)
    for movie in (101, 102, 139):
        answers = recommender.similar(movie, k=MOVIES // GROUPS - 1)
        assert {group_of(answer.movie_id) for answer in answers} == {group_of(movie)}
    assert "max_epochs: 12" in (run / "config.yaml").read_text()

    # Checkpoints load without running code.
    best = run / "checkpoints" / "best.ckpt"
    state = torch.load(best, weights_only=True)
    module = RatingRegression.load_from_checkpoint(best, weights_only=True)
    vectors = module.model.movie_vectors.detach().numpy()
    assert vectors.tobytes() == saved_columns(run)["movie_vectors"].tobytes()
    assert state["hyper_parameters"]["dim"] == 8
    assert (run / "checkpoints" / "last.ckpt").exists()


def test_tensorboard_has_every_curve_once_per_epoch(run: Path) -> None:
    found = curves(run)
    for tag in ("train_loss_epoch", "val_rmse", "val_mae", "learning_rate"):
        assert len(found[tag]) == 12, tag
    assert len(found["train_loss"]) > 12
    losses = scalars(run, "train_loss_epoch")
    assert losses[-1] < losses[0]
    assert scalars(run, "learning_rate") == pytest.approx([0.02] * 12)


def test_the_best_or_the_last_epoch_is_saved(board: Path, tmp_path: Path) -> None:
    fast = {"optimizer": OptimizerConfig(0.3), "model": ModelConfig(dim=32)}
    metrics = train(settings(board, **fast), tmp_path / "auto")
    val_rmse = scalars(tmp_path / "auto", "val_rmse")
    assert metrics["best_epoch"] == int(np.argmin(val_rmse)) + 1 < 12
    assert metrics["val_rmse"] == pytest.approx(min(val_rmse), rel=1e-5)

    last = settings(board, save=SaveConfig("last", figures=False), **fast)
    metrics = train(last, tmp_path / "last")
    assert metrics["best_epoch"] == 12
    assert metrics["val_rmse"] == pytest.approx(val_rmse[-1], rel=1e-5)

    metrics = train(settings(board, 2, val_fraction=0.0), tmp_path / "without")
    assert (metrics["val_rmse"], metrics["best_epoch"]) == (None, 2)
    assert metrics["bias_only_rmse"] is not None
    assert not (tmp_path / "without" / "checkpoints" / "best.ckpt").exists()


def test_the_same_seed_repeats_every_byte_and_another_does_not(
    run: Path, board: Path, tmp_path: Path
) -> None:
    again = train(settings(board), tmp_path / "again")
    train(settings(board, seed=1), tmp_path / "other")
    a, b, c = (saved_columns(each) for each in (run, tmp_path / "again", tmp_path / "other"))
    for name in ("movie_vectors", "user_vectors"):
        assert a[name].tobytes() == b[name].tobytes() != c[name].tobytes()
    assert untimed(json.loads((run / "metrics.json").read_text())) == untimed(again)


@pytest.mark.parametrize("implicit", ["users", "both"])
def test_implicit_runs_save_the_vectors_that_predict(
    implicit: str, board: Path, tmp_path: Path
) -> None:
    learned = {"model": ModelConfig(8, implicit=implicit), "optimizer": OptimizerConfig(0.02)}
    config = settings(board, **learned)
    metrics = train(config, tmp_path / "run")
    columns = saved_columns(tmp_path / "run")
    movies = columns["movie_vectors"]
    module = RatingsDataModule(config.data, seed=0)
    module.setup()
    users, rated, stars = module.data_set.ratings.columns(module.chosen(VAL))
    scores = np.einsum("ij,ij->i", columns["user_vectors"][users], movies[rated])
    scores += columns["user_biases"][users] + columns["movie_biases"][rated]
    recommender = Recommender.load(tmp_path / "run")
    assert recommender.similar(101, k=5)
    low, high = module.data_set.rating_range
    errors = low + (high - low) / (1 + np.exp(-scores)) - stars
    assert np.sqrt(np.mean(errors**2)) == pytest.approx(metrics["val_rmse"], rel=1e-5)
    assert metrics["val_rmse"] < 0.7 * metrics["bias_only_rmse"]  # type: ignore[operator]
    assert scalars(tmp_path / "run", "learning_rate")[-1] == pytest.approx(0, abs=2e-4)


def test_users_ratings_are_saved_or_left_out_and_cold_movies_estimated_alike(
    board: Path, tmp_path: Path
) -> None:
    for name, kept in (("with", True), ("without", False)):
        save = SaveConfig(users=kept, figures=False)
        train(settings(board, 1, min_ratings=165, save=save), tmp_path / name)
    loaded, other = (SavedEmbeddings.load(tmp_path / name) for name in ("with", "without"))
    one, same = Spaces(loaded).content, Spaces(other).content
    assert len(one.vectors) > 1
    np.testing.assert_array_equal(one.vectors, same.vectors)
    assert "user_vectors" not in saved_columns(tmp_path / "without")
    with pytest.raises(MovieEmbedError, match=r"save\.users=false"):
        print(Spaces(other).users)
    movies, users = loaded.movies, Spaces(loaded).users
    assert movies.embedded < 40
    saved = {
        (int(user), int(movie), float(star))
        for row, user in enumerate(users.ids)
        for movie, star in zip(
            movies.ids[users.ratings_of(row)[0]], users.ratings_of(row)[1], strict=True
        )
    }
    rows = (board / "ratings.csv").read_text().splitlines()[1:]
    raw = {(int(u), int(m), float(s)) for u, m, s, _ in (row.split(",") for row in rows)}
    assert saved == raw


def test_movies_with_few_ratings_or_only_held_out_ones_answer_from_content(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_checkerboard(tmp_path / "data")
    with (folder / "ratings.csv").open("a") as file:
        file.writelines(f"1,{movie},5,0\n" for movie in range(2000, 2100))
    train(settings(folder, val_fraction=0), tmp_path / "few")
    told = "40 movies have a vector of their own, 100 have fewer than 20 ratings (save.min_ratings"
    assert told in capsys.readouterr().out
    recommender = Recommender.load(tmp_path / "few")
    assert "from content; 1 rating, below save.min_ratings=20" in recommender.title(2000)
    assert all(answer.movie_id < 2000 for answer in recommender.similar(101, 200))
    wide = recommender.similar(101, 200, filters=Filters(include_rare=True))
    assert len(wide) == 140  # with the one that nobody rated

    save = SaveConfig(figures=False, min_ratings=1)
    train(settings(folder, val_fraction=0.5, save=save), tmp_path / "held out")
    recommender = Recommender.load(tmp_path / "held out")
    movies = recommender.embeddings.movies
    assert 20 < np.sum(movies.ids[: movies.embedded] >= 2000) < 80
    title = recommender.title(int(movies.ids[movies.embedded]))
    assert "from content; 1 rating, all held out for validation" in title


def test_a_collapsed_model_says_so(
    board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(settings(board, model=ModelConfig(dim=8, ridge=1e5)), tmp_path / "run")
    told = "nothing but biases was learned: all vectors were pulled to 0; lower model.ridge=100000"
    assert told in capsys.readouterr().out
    recommender = Recommender.load(tmp_path / "run")
    assert not recommender.embeddings.vectors.any()
    for ask in (recommender.similar, recommender.similar_users):
        with pytest.raises(MovieEmbedError, match=r"cannot be compared.*lower model.ridge"):
            ask(101 if ask == recommender.similar else 1)


def test_divergence_stops_with_advice_and_keeps_the_last_good_checkpoint(
    board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(board, optimizer=OptimizerConfig(1e30, "constant"))
    told = r"diverged in epoch 1, batch 2 \(step 2\).*rate of 1e\+30; lower optimizer.learning_rate"
    with pytest.raises(MovieEmbedError, match=told):
        train(config, tmp_path / "at once")
    # A loss that alone is no number.
    config = settings(board, optimizer=OptimizerConfig(0.02, "constant"))
    stars = MovieEmbedding.stars
    calls = iter(range(10**6))

    def exploding(self: MovieEmbedding, scores: torch.Tensor) -> torch.Tensor:
        return stars(self, scores) * (float("nan") if next(calls) == 50 else 1)

    monkeypatch.setattr(MovieEmbedding, "stars", exploding)
    with pytest.raises(MovieEmbedError, match=r"diverged in epoch 3.*earlier epochs are kept"):
        train(config, tmp_path)
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert state["epoch"] == 1
    assert all(table.isfinite().all() for table in state["state_dict"].values())


def module_of(board: Path, **data: object) -> RatingsDataModule:
    module = RatingsDataModule(settings(board, **data).data, seed=3)
    module.setup()
    return module


def epoch(module: RatingsDataModule, seed: int, number: int, size: int = 100) -> list[np.ndarray]:
    batches = Batches(module.packed(TRAIN), size, (seed, number))
    return [np.stack([b.users, b.movies, b.ratings], axis=1) for b in batches]


@pytest.mark.parametrize("size", [1, 7, 64, 1_000, 1_025, 10**6])
def test_batches_of_any_size_hold_every_rating_once_sorted_by_user(board: Path, size: int) -> None:
    module = module_of(board)
    batches = epoch(module, 0, 0, size)
    assert [len(batch) for batch in batches[:-1]] == [size] * ((module.train_size - 1) // size)
    assert all((np.diff(batch[:, 0]) >= 0).all() for batch in batches)
    seen = np.concatenate(batches)
    everything = np.stack(module.data_set.ratings.columns(module.chosen(TRAIN)), axis=1)
    np.testing.assert_array_equal(seen[np.lexsort((seen[:, 1], seen[:, 0]))], everything)


def test_every_epoch_mixes_users_and_batches(board: Path) -> None:
    module = module_of(board)
    first, other = (epoch(module, 0, number, 256) for number in (1, 2))
    assert len(np.unique(first[0][:, 0])) > 130  # of 240; of all ratings drawn alike, 157
    mine = {(user, movie) for user, movie, _ in first[0]}
    shared = [sum((user, movie) in mine for user, movie, _ in batch) for batch in other]
    assert max(shared) < 80  # of 256


def test_the_order_is_a_function_of_seed_and_epoch_alone(board: Path) -> None:
    module = module_of(board)
    first = epoch(module, 0, 1)
    epoch(module, 0, 0)
    again = epoch(module, 0, 1)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], epoch(module, 0, 2)[0])
    assert not np.array_equal(first[0], epoch(module, 1, 1)[0])


def test_the_order_stays_from_version_to_version(board: Path) -> None:
    digest = xxhash.xxh3_64()
    for batch in Batches(module_of(board).packed(TRAIN), 100, (3, 1)):
        for tensor in batch[:3]:
            digest.update(tensor.numpy().tobytes())
    assert digest.hexdigest() == "2b6c7a56aa003bf6"


def test_ratings_of_trained_movies_are_shuffled_in_blocks(
    board: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datamodule, "_SHUFFLED", 500)
    module = module_of(board, min_ratings=165)
    assert 0.2 < np.mean(module.data_set.trained) < 0.9
    train, ratings = module.packed(TRAIN), module.data_set.ratings
    assert (len(train), train.array.dtype) == (module.train_size, np.uint32)
    ascending = Packed(module.data_set, module.data_set.trained, module.data_set.trained)
    held_out = (module.parts == VAL)[module.data_set.trained]
    for at in range(0, len(ascending), 500):
        block = ascending.array[at : at + 500][~held_out[at : at + 500]]
        found, train.array = train.array[: len(block)], train.array[len(block) :]
        np.testing.assert_array_equal(np.sort(found), block)
        assert abs(np.corrcoef(found.astype(float), np.arange(len(found)))[0, 1]) < 0.3
    assert not len(train)
    for found, column in zip(
        ascending.unpack(ascending.array), ratings.columns(module.data_set.trained), strict=True
    ):
        np.testing.assert_array_equal(found, column)


@pytest.mark.parametrize(("users", "dtype"), [(2**16, np.uint32), (2**16 + 1, np.uint64)])
def test_32_bits_are_used_to_the_last(users: int, dtype: type) -> None:
    ids = np.arange(users)
    data = rated(ids, ids % 2**12, (ids % 16).astype(np.float32), scale=(0, 15))
    packed = Packed(data, data.trained, data.trained)
    assert packed.array.dtype == dtype
    np.testing.assert_array_equal(packed.unpack(packed.array)[0], ids)


def test_what_cannot_be_shuffled_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datamodule, "_MAX_BITS", 2)
    data = rated(np.array([1, 2, 3]), np.array([1, 2, 2]), np.array([4.0, 3.5, 3.5]))
    with pytest.raises(MovieEmbedError, match="3 users, 2 movies and 2 distinct ratings take 4 b"):
        Packed(data, data.trained, data.trained)


def test_the_default_batch_size_fits_the_data(board: Path) -> None:
    module = module_of(board, batch_size=None)
    assert module.batch_size == 16  # about 5,400 ratings
    assert module.train_size // module.batch_size >= 200
    module.parts = np.full(12_000_000, TRAIN, np.uint8)
    assert module.batch_size == 32_768
    module.parts = np.full(100_000_000, TRAIN, np.uint8)
    assert module.batch_size == 65_536


@pytest.mark.parametrize(
    "change",
    [
        {"gradient_clip_val": 0.001},
        {"precision": "64-true"},
        {"limit_train_batches": 3},
        {"check_val_every_n_epoch": 5},
        {"val_check_interval": 0.25},
    ],
    ids=str,
)
def test_trainer_settings_do_what_they_say(
    run: Path, board: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    train(settings(board, trainer=change), tmp_path)
    plain, changed = (
        torch.load(each / "checkpoints" / "last.ckpt", weights_only=True)
        for each in (run, tmp_path)
    )
    told = {
        "gradient_clip_val": lambda state: moments(state) <= 1.1 * 0.001,  # decay is added
        "precision": lambda state: state["state_dict"]["model.movie_vectors"].dtype.itemsize == 8,
        "limit_train_batches": lambda state: state["global_step"] == 3 * 12,
        "check_val_every_n_epoch": lambda _: len(scalars(tmp_path, "val_rmse")) == 2,
        "val_check_interval": lambda _: len(scalars(tmp_path, "val_rmse")) == 4 * 12,
    }
    (does,) = (told[name] for name in change)
    assert does(changed)
    assert "val" in str(change) or not does(plain)


def moments(state: dict[str, Any]) -> float:
    """Return the norm of Adam's first moments: no gradient was longer than the longest of these."""
    (adam,) = (optimizer["state"].values() for optimizer in state["optimizer_states"])
    return float(torch.cat([one["exp_avg"].flatten() for one in adam]).norm())


@pytest.mark.parametrize("shown", [True, False])
def test_no_bar_is_shown_that_is_not_wanted(
    shown: bool,
    board: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    real = tqdm.__init__
    at_once = {"delay": 0, "mininterval": 0}
    monkeypatch.setattr(tqdm, "__init__", lambda *args, **how: real(*args, **how | at_once))
    bars = {"enable_progress_bar": shown}
    train(settings(board, 1, min_ratings=165, trainer=bars), tmp_path)
    told = capsys.readouterr()
    assert ("rare movies" in told.err) == ("epoch 1/1" in told.out) == shown


EPOCHS = np.arange(1, 13)


@pytest.mark.parametrize(
    ("schedule", "warmup", "rising", "falling"),
    [
        ("linear", None, 0, 1 - EPOCHS / 12),
        ("cosine", 0.25, 3, (1 + np.cos(np.pi * (EPOCHS[3:] - 3) / 9)) / 2),
        ("constant", 0.5, 6, np.ones(6)),
        ("one_cycle", None, 3, None),
    ],
)
def test_schedules_go_where_they_say(
    board: Path, tmp_path: Path, schedule: str, warmup: float, rising: int, falling: Any
) -> None:
    optimizer = OptimizerConfig(0.02, schedule, warmup)
    train(settings(board, batch_size=1024, optimizer=optimizer), tmp_path)
    rates = np.array(scalars(tmp_path, "learning_rate")) / 0.02
    assert (np.diff(rates[:rising]) > 0).all()
    if falling is not None:
        np.testing.assert_allclose(rates[rising:], falling, atol=1e-6)
    else:
        assert np.argmax(rates) in (3, 4)
        assert rates[-1] < 0.01 < rates[0] < 1


def test_early_stopping_ends_a_run_and_a_profile_is_shown(
    board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = {"early_stopping": 2, "profiler": "simple"}
    metrics = train(settings(board, 60, model=ModelConfig(dim=32, l2=0), trainer=trainer), tmp_path)
    assert metrics["epochs"] == metrics["best_epoch"] + 2 < 60  # type: ignore[operator]
    assert "Profiler Report" in capsys.readouterr().out


def test_a_new_ranking_metric_is_one_entry(
    board: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    entry = Metric("hits", "hit rate@10", True, lambda hits, _: hits.any(axis=1).astype(float))
    monkeypatch.setitem(METRICS, "hits", entry)
    RANKING.append(entry)
    try:
        metrics = train(settings(board, 1), tmp_path)
    finally:
        RANKING.remove(entry)
    assert 0 < metrics["popularity_hits"] < metrics["hits"] <= 1  # type: ignore[operator]
    assert "hit rate@10\n  recommended " in capsys.readouterr().out
    assert (
        f"| hit rate@10 | {metrics['hits']:.4f}".rstrip("0.")
        in (tmp_path / "README.md").read_text()
    )
    assert scalars(tmp_path, "final/hits") == pytest.approx([metrics["hits"]])


def test_a_logger_is_named_or_passed(board: Path, tmp_path: Path) -> None:
    config = settings(board, 2)
    for name in ("none", "csv"):
        train(replace(config, logger=LoggerConfig(name)), tmp_path / name)
        assert not list((tmp_path / name).glob("events*"))
    logged = pd.read_csv(tmp_path / "csv" / "csv" / "metrics.csv")
    assert {"train_loss", "val_rmse", "final/ndcg"} <= {*logged.columns}
    assert "learning_rate: 0.02" in (tmp_path / "csv" / "csv" / "hparams.yaml").read_text()
    own = CSVLogger(tmp_path, "mine", "")
    metrics = train(config, tmp_path / "own", logger=own)
    assert pd.read_csv(tmp_path / "mine" / "metrics.csv")["final/val_rmse"].max() == pytest.approx(
        metrics["val_rmse"]
    )
    curves = [pd.read_csv(tmp_path / name / "epochs.csv") for name in ("none", "own")]
    timed = ["ratings_per_second"]
    pd.testing.assert_frame_equal(*(curve.drop(columns=timed) for curve in curves))
    assert curves[0].epoch.tolist() == [1, 2]
    assert curves[1].val_rmse.min() == pytest.approx(metrics["val_rmse"])
    with pytest.raises(MovieEmbedError, match=r"logger\.options=.*nonsense"):
        train(replace(config, logger=LoggerConfig("csv", {"nonsense": 1})), tmp_path / "wrong")


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_logger_without_its_package_says_what_to_install(
    name: str, board: Path, tmp_path: Path
) -> None:
    if find_spec(name):
        pytest.skip(f"{name} is installed")
    with pytest.raises(MovieEmbedError, match=f"logger={name} needs its package: pip install"):
        train(replace(settings(board, 1), logger=LoggerConfig(name)), tmp_path / "run")


class Best(RatingRegression):
    """A user's own module, which monitors a metric of its own."""

    monitor = "val_own"

    def on_validation_epoch_end(self) -> None:
        self.log("val_own", float(self.current_epoch == 1))


def test_the_best_epoch_is_by_what_a_module_monitors(
    board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(board, 6, trainer={"early_stopping": 2})
    for more_is_better, best in ((True, 2), (False, 1)):
        entry = Metric("val_own", "is epoch 2", more_is_better)
        data = RatingsDataModule(config.data, config.seed)
        module = Best.for_data(data, config.model, config.optimizer)
        folder = tmp_path / str(best)
        with monkeypatch.context() as patch:
            patch.setattr("movie_embed.training.run.METRICS", {**METRICS, "val_own": entry})
            train(config, folder, data=data, module=module)
        found = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
        assert found["epoch"] + 1 == best
