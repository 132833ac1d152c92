"""Raw ratings to triples, beside PyArrow's parse of the same file and NumPy's filter.

    python benchmarks/read_speed.py measure [--rounds 3]
    python benchmarks/read_speed.py simulate FOLDER

A file in MovieLens 20M's layout and size, of random ratings: 20,000,263 rows of 138,493 users; of
its movies 1,012 have 5,000 ratings or more, as 1,005 do there. PyArrow parses three typed columns
and NumPy drops movies under 5,000 ratings; our first start also checks every row, indexes users and
movies densely, sorts, packs, and writes the cache; our second start reads it. Each is a process of
its own, one after another, and all again in the next round; the fastest counts. Imports are left
aside.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as pa_csv
from harness import command_line, run_child, write_table

ROWS, USERS, MOVIES, MIN_RATINGS = 20_000_263, 138_493, 26_744, 5_000
PARSE = f"""
import json, sys, time
import numpy as np
import pandas  # PyArrow loads it to hand columns over
import pyarrow as pa
from pyarrow import csv
started = time.perf_counter()
types = {{"userId": pa.int32(), "movieId": pa.int32(), "rating": pa.float32()}}
options = csv.ConvertOptions(column_types=types, include_columns=list(types))
table = csv.read_csv(sys.argv[1] + "/ratings.csv", convert_options=options)
users, movies, stars = (table[name].to_numpy() for name in types)
kept = (np.bincount(movies) >= {MIN_RATINGS})[movies]
triples = users[kept], movies[kept], stars[kept]
print(json.dumps([time.perf_counter() - started, len(triples[0])]))
"""
LOAD = f"""
import json, sys, time
import pandas
from movie_embed.config import DataConfig
from movie_embed.data.loading import load_triples
started = time.perf_counter()
triples = load_triples(
    DataConfig("files", path=sys.argv[1], cache_dir=sys.argv[2], min_ratings={MIN_RATINGS})
)
print(json.dumps([time.perf_counter() - started, len(triples)]))
"""
CONTENDERS = {"PyArrow and NumPy": PARSE, "first start": LOAD, "second start": LOAD}


def simulate(folder: Path) -> None:
    """Write the simulated files; no user rates a movie twice."""
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


def measure(rounds: int = 3) -> None:
    """Time all contenders and write the table."""
    runs, left = defaultdict(list), set()
    with tempfile.TemporaryDirectory() as folder:
        # In a process of its own: children start with their parent's peak of memory.
        run_child([sys.executable, __file__, "simulate", folder])
        for number in range(rounds):
            for label, code in CONTENDERS.items():
                cache = Path(folder, f"cache-{number}")
                text, memory = run_child([sys.executable, "-c", code, folder, cache])
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


if __name__ == "__main__":
    command_line(__doc__, measure, simulate)
