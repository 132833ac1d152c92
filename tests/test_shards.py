"""Ratings in shards: read as one table, by one process, in the order of users and movies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import files_config, movies_csv, rows_of, write_folder
from test_form import assert_same

from movie_embed.config import DataConfig
from movie_embed.data import reader
from movie_embed.data.loading import load_ratings
from movie_embed.errors import MovieEmbedError

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
        load_ratings(files_config(path, tmp_path / "cache", min_ratings=min_ratings))
        for path in (whole, shards)
    )
    assert one.duplicates > 1_000
    assert one.trained.all() == (min_ratings == 1)
    assert_same(many, one)


def test_a_shard_without_a_column_or_of_something_else_is_named(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "data", log_of())
    config = files_config(shards, tmp_path / "cache")
    pq.write_table(log_of(10).drop_columns(["rating"]), shards / "part-3.parquet")
    with pytest.raises(MovieEmbedError, match=r"part-3\.parquet cannot be read: .*\"rating\""):
        load_ratings(config)
    (shards / "part-3.parquet").write_bytes(b"PAR1")
    with pytest.raises(MovieEmbedError, match=r"cannot be read: .*part-3\.parquet"):
        load_ratings(config)
    when = pa.array(["yesterday"] * 10)
    odd = log_of(10).set_column(3, "timestamp", when)
    pq.write_table(odd, shards / "part-3.parquet")
    with pytest.raises(MovieEmbedError, match=r"part-3\.parquet, row \d: timestamp 'yesterday'"):
        load_ratings(config)


@pytest.mark.parametrize("given_again", [False, True])
def test_a_table_that_is_in_order_up_to_its_last_row_is_sorted(
    given_again: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_FETCHED", 1)  # chunks of 2,048 rows
    rows = np.arange(5_000)
    frame = pd.DataFrame({"user": rows // 40, "movie": rows % 40, "rating": rows % 10})
    last = [60, 5, 3] if given_again else [60, 50, 3]
    frame.loc[len(frame)] = last
    data = load_ratings(DataConfig("files", rating_range=[0, 9], min_ratings=1), frame)
    expected = frame.drop_duplicates(["user", "movie"], keep="last")
    expected = expected.sort_values(["user", "movie"]).itertuples(index=False, name=None)
    assert rows_of(data) == [*expected]
    assert data.duplicates == given_again


LOADER = """
import os, signal, sys, time
from synthetic import files_config
from pathlib import Path
from movie_embed.data import loading
rank = loading.read_ratings
def slow(*arguments):
    print("read", flush=True)
    ranked = rank(*arguments)
    time.sleep(0.3)
    if sys.argv[3] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    return ranked
loading.read_ratings = slow
loaded = loading.load_ratings(files_config(Path(sys.argv[1]), Path(sys.argv[2])))
print(loaded.ratings.movies.sum(), loaded.before)
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
    assert not list((cache / "ratings").glob("files-*/ratings.safetensors"))

    runs = [start(shards, cache, "live") for _ in range(4)]
    outputs = [run.communicate(timeout=120)[0].splitlines() for run in runs]
    assert sum(output.count("read") for output in outputs) == 1
    assert len({output[-1] for output in outputs}) == 1
    (built,) = (path for path in (cache / "ratings").glob("files-*") if path.is_dir())
    assert {path.name for path in built.iterdir()} == {"ratings.safetensors"}
