"""One epoch of more ratings than may be in memory, beside the same epoch in memory.

    python benchmarks/streaming.py measure [--ratings 100000000] [--folder FOLDER] [--steps N]
    python benchmarks/streaming.py simulate FOLDER RATINGS

Simulated shards are prepared and trained on by the real `train.py`, after `load_triples` has
filled the cache. `ulimit -d` holds the streamed run to 2 GB and what the model takes: its tables,
their gradients and Adam's two moments; DuckDB reserves more than it uses, so that preparation is
held by its own memory limit only. FOLDER needs some 30 bytes a rating
for a while; what is written there is deleted at the end. N steps in memory are enough for a rate
where a whole epoch takes long.

The shards have 480,189 users and 17,770 movies (the Netflix Prize's) per 100 million ratings; more
ratings mean more users. Like a log, a shard holds a stretch of time, hence any users; some users
rate a movie again. Stars follow 8 tastes a user and movie, plus noise.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness import DOCS, command_line, run_child, write_table

USERS_PER_100M, MOVIES, TASTES, ROWS = 480_189, 17_770, 8, 2**21
DIM, STATES = 50, 4  # a table, its gradient and two moments
ALLOWED = 2 * 10**9
PREPARE = """
import sys
from movie_embed.config import DataConfig
from movie_embed.data.loading import load_triples
load_triples(DataConfig("files", path=sys.argv[1], cache_dir=sys.argv[2]))
"""


def simulate(folder: Path, ratings: int) -> None:
    """Write simulated ratings in Parquet shards; the same arguments give the same bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    users = max(USERS_PER_100M * ratings // 10**8, 1)
    rng = np.random.default_rng(2020)
    tastes = rng.standard_normal((users, TASTES), dtype=np.float32)
    traits = rng.standard_normal((MOVIES, TASTES), dtype=np.float32)
    for shard, start in enumerate(range(0, ratings, ROWS)):
        rows = min(ROWS, ratings - start)
        # Squares make a few users and movies far more active and popular than most.
        rater = (users * rng.random(rows, dtype=np.float32) ** 2).astype(np.int32)
        rated = (MOVIES * rng.random(rows, dtype=np.float32) ** 2).astype(np.int32)
        score = np.einsum("ij,ij->i", tastes[rater], traits[rated]) / np.float32(TASTES**0.5)
        score += rng.standard_normal(rows, dtype=np.float32) / 2
        columns = {
            "userId": rater + 1,
            "movieId": rated + 1,
            "rating": np.clip(np.rint(score + 3.5), 1, 5).astype(np.float32),
            "timestamp": 10**9 + np.arange(start, start + rows),
        }
        pq.write_table(pa.table(columns), folder / f"part-{shard:05}.parquet")


def timed(limit: int | None, *command: str | Path) -> tuple[str, str]:
    """Run Python with at most so many bytes of data; return seconds and MB."""
    held = ["bash", "-c", f'ulimit -d {limit // 1024} && exec "$@"', "bash"] if limit else []
    started = time.perf_counter()
    _, memory = run_child([*held, sys.executable, *command])
    cells = f"{time.perf_counter() - started:,.0f}", f"{memory:,.0f}"
    print(*cells, command[-1], flush=True)
    return cells


def measure(ratings: int = 100_000_000, folder: Path | None = None, steps: int = 0) -> None:
    """Prepare, train in both ways and write the table."""
    model = (USERS_PER_100M * ratings // 10**8 + MOVIES) * (DIM + 1) * 4 * STATES
    with tempfile.TemporaryDirectory(dir=folder) as name:
        shards, cache, run = (Path(name, part) for part in ("shards", "cache", "run"))
        timed(None, __file__, "simulate", shards, str(ratings))
        on_disk = sum(path.stat().st_size for path in shards.iterdir())
        prepared = timed(None, "-c", PREPARE, shards, cache)
        train = f"train.py data=files data.path={shards} data.cache_dir={cache} model.dim={DIM} "
        train += f"trainer.max_epochs=1 overwrite=true hydra.run.dir={run}"
        whole = [f"data.window={ratings}", "save.users=false"]
        whole += [f"trainer.limit_train_batches={steps}"] if steps else []
        label = f"in memory, {steps} steps" if steps else "in memory"
        found = {}
        for way, limit, more in (("streamed", ALLOWED + model, []), (label, None, whole)):
            cells = timed(limit, *train.split(), *more)
            found[way] = cells, json.loads((run / "metrics.json").read_text())
    counts, fastest = found["streamed"][1], found[label][1]["ratings_per_second"]
    rows = [("preparation, once", *prepared, "", "", "")]
    for way, (cells, metrics) in found.items():
        rate = metrics["ratings_per_second"]
        speed = f"{rate / 1e6:.2f} M", f"{fastest / rate:.2f}", f"{metrics['val_rmse']:.4f}"
        rows.append((way, *cells, *speed))
    heading = ("", "seconds, all", "peak RSS, MB", "ratings/s", "times slower", "validation RMSE")
    text = (
        f"{ratings:,} ratings in {on_disk / 1e6:,.0f} MB of shards, "
        f"{counts['ratings']:,} without those given again later; {counts['users']:,} users, "
        f"{counts['movies']:,} movies. Streaming may take {ALLOWED / 1e6:,.0f} MB, and "
        f"{model / 1e6:,.0f} MB for the model"
    )
    write_table(f"streaming_{ratings // 10**6}", text, heading, rows, path=DOCS / "scaling.md")


if __name__ == "__main__":
    command_line(__doc__, measure, simulate)
