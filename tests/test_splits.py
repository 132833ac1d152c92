"""Which ratings are held out: shares by several rules, and tables of one's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from checkerboard import settings
from synthetic import files_config

from movie_embed import MovieEmbedError, train
from movie_embed.config import DataConfig
from movie_embed.data.splits import TEST, TRAIN, UNUSED, VAL
from movie_embed.training.datamodule import RatingsDataModule


def log_of(rows: int = 3_000) -> pd.DataFrame:
    """Ratings by 60 users of 50 movies in an order that is neither theirs nor the times'."""
    rng = np.random.default_rng(0)
    pairs = rng.permutation(60 * 50)[:rows]
    times = rng.permutation(rows) + 10**9
    stars = rng.integers(1, 6, rows)
    log = {"user": pairs // 50, "movie": pairs % 50, "rating": stars, "timestamp": times}
    return pd.DataFrame(log)


def module_of(frame: pd.DataFrame, seed: int = 3, **data: Any) -> RatingsDataModule:
    tables = {name: data.pop(name) for name in ("val", "test") if name in data}
    config = DataConfig("files", **{"min_ratings": 1, "rating_range": [1, 5]} | data)
    module = RatingsDataModule(config, seed, frame, **tables)
    module.setup()
    return module


def pairs_in(module: RatingsDataModule, part: int) -> set[tuple[int, int]]:
    users, movies, _ = module.data_set.ratings.columns(module.chosen(part))
    ids = module.data_set.ratings.user_ids[users], module.data_set.movies.ids[movies]
    return set(zip(*(column.tolist() for column in ids), strict=True))


def pairs_of(frame: pd.DataFrame) -> set[tuple[int, int]]:
    return set(zip(frame.user.tolist(), frame.movie.tolist(), strict=True))


@pytest.mark.parametrize("how", ["random", "user", "last", "time"])
def test_a_split_holds_out_its_shares(how: str) -> None:
    log = log_of(2_000)
    module = module_of(log, split=how, val_fraction=0.2, test_fraction=0.1)
    train, val, test = (pairs_in(module, part) for part in (TRAIN, VAL, TEST))
    assert len(train) + len(val) + len(test) == len(log)
    assert train | val | test == pairs_of(log)
    sizes = log.groupby("user").size()
    if how == "time":
        latest = log.sort_values("timestamp")
        assert test == pairs_of(latest.tail(200))
        assert train == pairs_of(latest.head(1_400))
    elif how == "random":
        assert len(val) == pytest.approx(400, abs=60)
        assert len(test) == pytest.approx(200, abs=50)
    for user, mine in log.sort_values("timestamp").groupby("user"):
        held = sum(each[0] == user for each in test), sum(each[0] == user for each in val)
        if how in ("user", "last"):
            least = int(sizes[user] * 0.1 + 1e-9), int(sizes[user] * 0.3 + 1e-6)
            assert (held[0], sum(held)) == least
        if how == "last":
            assert pairs_of(mine.tail(held[0])) <= test
            assert pairs_of(mine.head(len(mine) - sum(held))) <= train
    again = module_of(log.sample(frac=1, random_state=1), split=how, val_fraction=0.2)
    assert pairs_in(again, TRAIN) >= train
    other = module_of(log, seed=4, split=how, val_fraction=0.2, test_fraction=0.1)
    assert (pairs_in(other, TEST) == test) == (how in ("last", "time"))


def test_only_a_split_by_times_reads_them_and_each_rating_needs_one(tmp_path: Path) -> None:
    log = log_of(500)
    log.to_csv(tmp_path / "ratings.csv", index=False)

    def split(how: str) -> RatingsDataModule:
        config = files_config(tmp_path, tmp_path / "cache", split=how, rating_range=[1, 5])
        module = RatingsDataModule(config)
        module.setup()
        return module

    assert split("random").data_set.ratings.times is None
    for _ in range(2):  # read, then from the cache
        ratings = split("last").data_set.ratings
        assert ratings.times is not None
        assert sorted(ratings.times.tolist()) == sorted(log.timestamp.tolist())
    log["timestamp"] = log.timestamp.astype(object)
    log.loc[3, "timestamp"] = ""
    log.to_csv(tmp_path / "ratings.csv", index=False)
    with pytest.raises(MovieEmbedError, match=r"need times, and 1 rating of 500 have none"):
        split("time")
    with pytest.raises(MovieEmbedError, match=r"500 ratings of 500 have none; data.columns.time"):
        module_of(log.drop(columns="timestamp"), split="time")


def test_own_tables_are_held_out_and_what_they_have_more_is_told() -> None:
    log = log_of(1_000)
    given, val, test = log[:800], log[800:900], log[900:]
    known = given.user.nunique() == 60 and given.movie.nunique() == 50
    assert known
    strange = pd.DataFrame({"user": [999, 1], "movie": [1, 999], "rating": [3, 3]})
    again = given[:5].assign(rating=1)
    module = module_of(given, val=pd.concat([val, strange, again]), test=test)
    assert pairs_in(module, TEST) == pairs_of(test)
    assert pairs_in(module, VAL) == pairs_of(val) | pairs_of(again)
    assert pairs_in(module, TRAIN) == pairs_of(given[5:])
    notes = "; ".join(module.data_set.notes)
    assert "2 ratings for val left out: their user or movie has no rating for training" in notes
    assert "5 ratings of two parts: not trained on" in notes
    stars = module.data_set.ratings.columns(module.chosen(VAL))[2]
    assert np.count_nonzero(stars == 1) >= 5
    with pytest.raises(MovieEmbedError, match=r"data\.test_path: no rating is of a user and a mov"):
        module_of(given, test=strange[:1])
    only = module_of(given, test=test, val_fraction=0.1)
    assert only.val_size == pytest.approx(80, abs=30)
    assert UNUSED not in only.parts


def test_own_files_are_trained_and_tested(board: Path, tmp_path: Path) -> None:
    rows = pd.read_csv(board / "ratings.csv")
    draws = np.random.default_rng(0).random(len(rows))
    parts = {"train": draws < 0.7, "val": (draws >= 0.7) & (draws < 0.85), "test": draws >= 0.85}
    for name, mask in parts.items():
        folder = tmp_path / name
        folder.mkdir()
        rows[mask].to_csv(folder / f"{name}.csv", index=False)
    own = {f"{name}_path": str(tmp_path / name / f"{name}.csv") for name in ("val", "test")}
    config = settings(tmp_path / "train" / "train.csv", 12, val_fraction=0.05, **own)
    config.data.cache_dir = str(tmp_path / "cache")
    metrics = train(config, tmp_path / "run")
    assert metrics["val_rmse"] < 0.7 * metrics["bias_only_rmse"]  # type: ignore[operator]
    assert metrics["test_rmse"] == pytest.approx(metrics["val_rmse"], rel=0.2)
    assert metrics["test_rmse"] != metrics["val_rmse"]
    # A sorted table trains as a shuffled one does.
    tables = {name: rows[mask] for name, mask in parts.items()}
    results = []
    for order in (0, 1):
        shuffled = tables["train"].sample(frac=1, random_state=1) if order else tables["train"]
        plain = replace(config.data, path=None, val_path=None, test_path=None)
        data = RatingsDataModule(plain, 0, shuffled, tables["val"], tables["test"])
        results.append(train(config, tmp_path / f"run{order}", data=data))
    assert results[0]["test_rmse"] == results[1]["test_rmse"] == metrics["test_rmse"]
