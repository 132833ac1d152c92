"""More ratings than memory: shards on disk, and epochs of several windows."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import xxhash
from checkerboard import write_checkerboard
from synthetic import files_config, movies_csv, write_folder
from test_triples import assert_same

from movie_embed.config import (
    ModelConfig,
    OptimizerConfig,
    SaveConfig,
    TrainConfig,
    TrainerConfig,
)
from movie_embed.data.loading import load_triples
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.embeddings.spaces import Spaces
from movie_embed.errors import MovieEmbedError
from movie_embed.training.datamodule import Batches, RatingsDataModule
from movie_embed.training.run import train

USERS, MOVIES = 300, 60


def log_of(rows: int = 6_000) -> pa.Table:
    """Return a log in which a third of the ratings are given again, some at the same time."""
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "userId": (USERS * rng.random(rows) ** 2).astype(np.int64) * 7 - 50,
            "movieId": (MOVIES * rng.random(rows) ** 2).astype(np.int32) + 10,
            "rating": rng.integers(1, 11, rows).astype(np.float32) / 2,
            "timestamp": rng.integers(0, rows // 4, rows),
        }
    )


def write_shards(folder: Path, table: pa.Table, shards: int = 4) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(shards):
        rows = range(number * len(table) // shards, (number + 1) * len(table) // shards)
        pq.write_table(table.slice(rows.start, len(rows)), folder / f"part-{number}.parquet")
    return folder


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("min_ratings", [1, 60])
def test_shards_give_what_one_file_gives(timed: bool, min_ratings: int, tmp_path: Path) -> None:
    table = log_of() if timed else log_of().drop_columns(["timestamp"])
    whole = tmp_path / "whole"
    write_folder(whole, {"movies.csv": movies_csv()})
    pq.write_table(table, whole / "ratings.parquet")
    shards = write_shards(write_folder(tmp_path / "shards", {"movies.csv": movies_csv()}), table)
    pq.write_table(table.slice(0, 0), shards / "empty.parquet")

    one, many = (
        load_triples(files_config(path, tmp_path / "cache", min_ratings=min_ratings))
        for path in (whole, shards)
    )
    assert one.duplicates > 1_000
    assert (len(one.rare) > 0) == (min_ratings > 1)
    assert_same(many, one)
    mapped = files_config(shards, tmp_path / "other", min_ratings=min_ratings, window=100)
    for _ in range(2):
        large = load_triples(mapped)
        assert isinstance(large.packed, np.memmap)
        assert_same(large, one)


def test_a_shard_without_a_column_or_of_something_else_is_named(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "data", log_of())
    config = files_config(shards, tmp_path / "cache")
    pq.write_table(log_of(10).drop_columns(["rating"]), shards / "part-3.parquet")
    with pytest.raises(MovieEmbedError, match=r"part-3\.parquet cannot be read: .*\"rating\""):
        load_triples(config)
    (shards / "part-3.parquet").write_bytes(b"PAR1")
    with pytest.raises(MovieEmbedError, match=r"cannot be read: .*part-3\.parquet"):
        load_triples(config)
    when = pa.array(["yesterday"] * 10)
    odd = log_of(10).set_column(3, "timestamp", when)
    pq.write_table(odd, shards / "part-3.parquet")
    with pytest.raises(MovieEmbedError, match=r"part-3\.parquet, row \d: timestamp 'yesterday'"):
        load_triples(config)


LOADER = """
import os, signal, sys, time
from synthetic import files_config
from pathlib import Path
from movie_embed.data import loading
rank = loading.sorted_ratings
def slow(*arguments):
    print("read", flush=True)
    ranked = rank(*arguments)
    time.sleep(0.3)
    if sys.argv[3] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return ranked
loading.sorted_ratings = slow
loaded = loading.load_triples(files_config(Path(sys.argv[1]), Path(sys.argv[2])))
print(loaded.packed.sum(), loaded.before)
"""


def start(shards: Path, cache: Path, fate: str) -> subprocess.Popen[str]:
    places = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])
    return subprocess.Popen(
        [sys.executable, "-c", LOADER, str(shards), str(cache), fate],
        env={**os.environ, "PYTHONPATH": places},
        stdout=subprocess.PIPE,
        text=True,
    )


def test_killed_and_concurrent_preparation(tmp_path: Path) -> None:
    shards, cache = write_shards(tmp_path / "data", log_of()), tmp_path / "cache"
    killed = start(shards, cache, "die")
    assert killed.communicate(timeout=120)[0] == "read\n"
    assert killed.returncode == -signal.SIGKILL
    assert not list((cache / "triples").glob("files-*/columns.safetensors"))

    runs = [start(shards, cache, "live") for _ in range(4)]
    outputs = [run.communicate(timeout=120)[0].splitlines() for run in runs]
    assert sum(output.count("read") for output in outputs) == 1
    assert len({output[-1] for output in outputs}) == 1
    (built,) = (path for path in (cache / "triples").glob("files-*") if path.is_dir())
    assert {path.name for path in built.iterdir()} == {"columns.safetensors", "packed", "rare"}


@pytest.fixture(scope="module")
def checkerboard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkerboard in three shards: 6,700 ratings of which groups can be learned."""
    folder = write_checkerboard(tmp_path_factory.mktemp("checkerboard"))
    table = pa_csv.read_csv(folder / "ratings.csv")
    write_shards(folder / "ratings", table, 3)
    (folder / "ratings.csv").rename(folder / "other.csv")
    return folder


def module_of(folder: Path, window: int, **data: object) -> RatingsDataModule:
    config = files_config(folder, folder / "cache", val_fraction=0.2, window=window, **data)
    module = RatingsDataModule(config, seed=3)
    module.setup()
    return module


def epoch(module: RatingsDataModule, key: tuple[int, int], size: int = 64) -> list[np.ndarray]:
    batches = Batches(module.triples, module.train, size, key, module.config.window)
    assert len(batches) == -(-len(module.train) // size)
    return [np.stack([b.users, b.movies, b.ratings], axis=1) for b in batches]


@pytest.mark.parametrize(("window", "size"), [(1_000, 64), (3_000, 7), (50, 64)])
def test_an_epoch_of_windows_holds_every_rating_once(
    checkerboard: Path, window: int, size: int
) -> None:
    module = module_of(checkerboard, window)
    assert isinstance(module.train, np.memmap)
    batches = epoch(module, (0, 1), size)
    assert len(batches) == -(-len(module.train) // size)
    assert sorted({len(batch) for batch in batches})[-1] == size
    assert sum(len(batch) < size for batch in batches) <= 1
    assert all((np.diff(batch[:, 0]) >= 0).all() for batch in batches)
    seen = np.concatenate(batches)
    everything = np.stack(module.triples.unpack(np.sort(module.train[:])), axis=1)
    np.testing.assert_array_equal(seen[np.lexsort((seen[:, 1], seen[:, 0]))], everything)


def test_windows_are_of_all_users_in_an_order_by_seed_and_epoch(checkerboard: Path) -> None:
    module = module_of(checkerboard, 1_000)
    first, again = epoch(module, (0, 1)), epoch(module_of(checkerboard, 1_000), (0, 1))
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(again))
    for other in ((0, 2), (1, 1)):
        differ = np.concatenate(first) != np.concatenate(epoch(module, other))
        assert differ.any(axis=1).mean() > 0.9
    users, movies, _ = np.concatenate(first[:15]).T
    assert len(np.unique(users)) > 200
    assert len(np.unique(movies)) == 40
    memory = module_of(checkerboard, 10**6)
    assert isinstance(memory.train, np.ndarray)
    np.testing.assert_array_equal(module.train[:], memory.train)
    np.testing.assert_array_equal(module.val[:], memory.val)


def test_what_fits_a_window_keeps_its_order_from_version_to_version(checkerboard: Path) -> None:
    module = module_of(checkerboard, 5_400 + 1_400)
    digest = xxhash.xxh3_64()
    for batch in Batches(module.triples, module.train, 100, (3, 1), len(module.train)):
        for tensor in batch[:3]:
            digest.update(tensor.numpy().tobytes())
    assert digest.hexdigest() == "2b6c7a56aa003bf6"


def run_config(folder: Path, window: int, **changes: object) -> TrainConfig:
    data = files_config(
        folder, folder / "cache", val_fraction=0.2, batch_size=256, window=window, min_ratings=160
    )
    trainer = TrainerConfig(max_epochs=12, enable_progress_bar=False)
    model, save = ModelConfig(dim=8, l2=1e-6), SaveConfig(figures=False)
    config = TrainConfig(data, model, OptimizerConfig(0.02), trainer, save)
    return dataclasses.replace(config, **changes)  # type: ignore[arg-type]


def test_small_windows_learn_as_well_as_one(
    checkerboard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    one = train(run_config(checkerboard, 10**6), tmp_path / "one")
    many = train(run_config(checkerboard, 1_000), tmp_path / "many")
    assert many["bias_only_rmse"] == pytest.approx(one["bias_only_rmse"])
    assert many["val_rmse"] == pytest.approx(one["val_rmse"], rel=0.1)
    assert many["val_rmse"] < 0.7 * many["bias_only_rmse"]  # type: ignore[operator]
    assert Spaces(SavedEmbeddings.load(tmp_path / "one")).users
    with pytest.raises(MovieEmbedError, match=r"more ratings than data\.window"):
        print(Spaces(SavedEmbeddings.load(tmp_path / "many")).users)


def test_rare_movies_are_estimated_alike_without_users(
    checkerboard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trainer = TrainerConfig(max_epochs=1, enable_progress_bar=False)
    for name, users in (("with", True), ("without", False)):
        save = SaveConfig(users=users, figures=False)
        train(run_config(checkerboard, 10**6, trainer=trainer, save=save), tmp_path / name)
    one, other = (
        Spaces(SavedEmbeddings.load(tmp_path / name)).content for name in ("with", "without")
    )
    assert len(one.vectors) > 1
    np.testing.assert_array_equal(one.vectors, other.vectors)


def test_implicit_models_say_that_they_need_memory(checkerboard: Path, tmp_path: Path) -> None:
    config = run_config(checkerboard, 1_000, model=ModelConfig(implicit="users"))
    with pytest.raises(MovieEmbedError, match=r"implicit=users needs all.*data\.window=\d{4}"):
        train(config, tmp_path)
