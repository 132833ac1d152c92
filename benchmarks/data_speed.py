"""How fast ratings are read, and how much memory many of them take.

    python benchmarks/data_speed.py read [--rounds 3]
    python benchmarks/data_speed.py large [--ratings 100000000] [--folder FOLDER]

`read`: a file in the layout and size of MovieLens 20M's, of random ratings: 20,000,263 rows of
138,493 users; 1,012 of its movies have 5,000 ratings or more, as 1,005 do there. PyArrow parses
three typed columns and NumPy drops movies under 5,000 ratings. Our first start also checks every
row, indexes users and movies densely, puts ratings in order, and writes the cache; our second
start reads it. Each is a process of its own; the fastest of all rounds counts. Imports are not
timed.

`large`: `load_ratings` reads simulated shards into the cache, and `train.py` trains on them for an
epoch. FOLDER needs some 30 bytes a rating for a while.

The shards have 480,189 users and 17,770 movies (the Netflix Prize's) per 100 million ratings; more
ratings mean more users. Like a log, a shard holds a stretch of time, hence any users; some users
rate a movie again. Stars follow 8 tastes a user and movie, plus noise.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from harness import DOCS, command_line, run_child, write_table

ROWS, USERS, MOVIES, MIN_RATINGS = 20_000_263, 138_493, 26_744, 5_000
USERS_PER_100M, LARGE_MOVIES, TASTES, SHARD = 480_189, 17_770, 8, 2**21
DIM, STATES = 50, 4  # a table, its gradient and two moments
PARSE = """
import json, sys, time
import numpy as np
import pandas  # PyArrow loads it to hand columns over
import pyarrow as pa
from pyarrow import csv
started = time.perf_counter()
types = {"userId": pa.int32(), "movieId": pa.int32(), "rating": pa.float32()}
options = csv.ConvertOptions(column_types=types, include_columns=list(types))
table = csv.read_csv(sys.argv[1] + "/ratings.csv", convert_options=options)
users, movies, stars = (table[name].to_numpy() for name in types)
kept = (np.bincount(movies) >= int(sys.argv[3]))[movies]
ratings = users[kept], movies[kept], stars[kept]
print(json.dumps([time.perf_counter() - started, len(ratings[0])]))
"""
LOAD = """
import json, sys, time
import pandas
from movie_embed.config import DataConfig
from movie_embed.data.loading import load_ratings
started = time.perf_counter()
path, cache, least = sys.argv[1:]
data = load_ratings(DataConfig("files", path, cache_dir=cache, min_ratings=int(least)))
print(json.dumps([time.perf_counter() - started, data.counts.ratings]))
"""
CONTENDERS = {"PyArrow and NumPy": PARSE, "first start": LOAD, "second start": LOAD}


def simulate_release(folder: Path) -> None:
    """Write the files of a simulated release; no user rates a movie twice."""
    rng = np.random.default_rng(2020)
    drawn = ROWS * 5 // 4
    users = (USERS * rng.random(drawn) ** 2).astype(np.int64)
    movies = rng.lognormal(6.4, 1.55, drawn).astype(np.int64) % MOVIES
    pairs = np.unique(users * MOVIES + movies)
    pairs = np.sort(rng.choice(pairs, ROWS, replace=False, shuffle=False))
    columns = {
        "userId": (pairs // MOVIES + 1).astype(np.int32),
        "movieId": (pairs % MOVIES + 1).astype(np.int32),
        "rating": rng.integers(1, 11, ROWS) / 2,
        "timestamp": rng.integers(8 * 10**8, 14 * 10**8, ROWS),
    }
    with (folder / "ratings.csv").open("wb") as file:  # PyArrow would quote the names
        file.write(",".join(columns).encode() + b"\n")
        pa_csv.write_csv(pa.table(columns), file, pa_csv.WriteOptions(include_header=False))
    numbers = range(1, MOVIES + 1)
    titles = [f"Movie {n}{', The' * (n % 4 == 0)} ({1920 + n % 100})" for n in numbers]
    named = pd.DataFrame({"movieId": numbers, "title": titles, "genres": "Action|Drama"})
    named.to_csv(folder / "movies.csv", index=False)


def read(rounds: int = 3) -> None:
    """Read a release beside PyArrow and NumPy."""
    runs, left = defaultdict(list), set()
    with tempfile.TemporaryDirectory() as folder:
        simulate_release(Path(folder))
        for number in range(rounds):
            cache = Path(folder, f"cache-{number}")
            for label, code in CONTENDERS.items():
                given = (folder, cache, str(MIN_RATINGS))
                text, memory = run_child([sys.executable, "-c", code, *given])
                seconds, rows = json.loads(text)
                print(f"{label}: {seconds:.2f} s, {memory:,.0f} MB", flush=True)
                runs[label].append((seconds, memory))
                left.add(rows)
    if len(left) > 1:
        raise SystemExit(f"they disagree on how many ratings are left: {sorted(left)}")
    unit, rows = min(runs["PyArrow and NumPy"])[0], []
    for label, each in runs.items():
        seconds, memory = min(each)[0], max(mb for _, mb in each)
        rows.append((label, f"{seconds:.2f}", f"{seconds / unit:.2f}", f"{memory:,.0f}"))
    heading = ("", "seconds", "of PyArrow's", "peak RSS, MB")
    note = f"the fastest of {rounds} runs; {left.pop():,} ratings left"
    write_table("read_speed", note, heading, rows)


def simulate_shards(folder: Path, ratings: int) -> None:
    """Write simulated ratings in Parquet shards; the same arguments give the same bytes."""
    folder.mkdir()
    users = max(USERS_PER_100M * ratings // 10**8, 1)
    rng = np.random.default_rng(2020)
    tastes = rng.standard_normal((users, TASTES), dtype=np.float32)
    traits = rng.standard_normal((LARGE_MOVIES, TASTES), dtype=np.float32)
    for shard, start in enumerate(range(0, ratings, SHARD)):
        rows = min(SHARD, ratings - start)
        # Squares make a few users and movies far more active and popular than most.
        rater = (users * rng.random(rows, dtype=np.float32) ** 2).astype(np.int32)
        rated = (LARGE_MOVIES * rng.random(rows, dtype=np.float32) ** 2).astype(np.int32)
        score = np.einsum("ij,ij->i", tastes[rater], traits[rated]) / np.float32(TASTES**0.5)
        score += rng.standard_normal(rows, dtype=np.float32) / 2
        columns = {
            "userId": rater + 1,
            "movieId": rated + 1,
            "rating": np.clip(np.rint(score + 3.5), 1, 5).astype(np.float32),
            "timestamp": 10**9 + np.arange(start, start + rows),
        }
        pq.write_table(pa.table(columns), folder / f"part-{shard:05}.parquet")


def large(ratings: int = 100_000_000, folder: Path | None = None) -> None:
    """Read and train on many ratings, and tell the memory."""
    model = (USERS_PER_100M * ratings // 10**8 + LARGE_MOVIES) * (DIM + 1) * 4 * STATES
    rows = []
    with tempfile.TemporaryDirectory(dir=folder) as name:
        shards, cache, run = (Path(name, part) for part in ("shards", "cache", "run"))
        simulate_shards(shards, ratings)
        train = f"train.py data=files data.path={shards} data.cache_dir={cache} model.dim={DIM} "
        train += f"trainer.max_epochs=1 overwrite=true hydra.run.dir={run}"
        commands = {"read, once": ("-c", LOAD, shards, cache, "1"), "train": train.split()}
        for label, command in commands.items():
            started = time.perf_counter()
            _, memory = run_child([sys.executable, *command])
            rows.append([label, f"{time.perf_counter() - started:,.0f}", f"{memory:,.0f}", "", ""])
            print(*rows[-1], flush=True)
        metrics = json.loads((run / "metrics.json").read_text())
        on_disk = sum(path.stat().st_size for path in shards.iterdir())
    rows[-1][3:] = f"{metrics['ratings_per_second'] / 1e6:.2f} M", f"{metrics['val_rmse']:.4f}"
    heading = ("", "seconds, all", "peak RSS, MB", "ratings/s", "validation RMSE")
    text = (
        f"{ratings:,} ratings in {on_disk / 1e6:,.0f} MB of shards, "
        f"{metrics['ratings']:,} without those given again later; {metrics['users']:,} users, "
        f"{metrics['movies']:,} movies; {model / 1e6:,.0f} MB are the model's tables, gradients "
        "and Adam's moments"
    )
    write_table(f"large_{ratings // 10**6}", text, heading, rows, path=DOCS / "scaling.md")


if __name__ == "__main__":
    command_line(__doc__, read, large)
