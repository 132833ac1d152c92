"""Write simulated ratings in Parquet shards, in little memory.

    python benchmarks/simulated_shards.py FOLDER RATINGS

480,189 users and 17,770 movies (the Netflix Prize's) per 100 million ratings; more ratings mean
more users. Like a log, a shard holds a stretch of time, hence any users; some users rate a movie
again. Stars follow 8 tastes a user and movie, plus noise. The same arguments give the same bytes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

USERS_PER_100M, MOVIES, TASTES = 480_189, 17_770, 8
ROWS = 2**21


def main() -> None:
    """Write the shards."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("ratings", type=int)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    users = max(USERS_PER_100M * options.ratings // 10**8, 1)
    rng = np.random.default_rng(2020)
    tastes = rng.standard_normal((users, TASTES), dtype=np.float32)
    traits = rng.standard_normal((MOVIES, TASTES), dtype=np.float32)
    for shard, start in enumerate(range(0, options.ratings, ROWS)):
        rows = min(ROWS, options.ratings - start)
        # Squares make a few users and movies far more active and popular than most.
        rater = (users * rng.random(rows, dtype=np.float32) ** 2).astype(np.int32)
        rated = (MOVIES * rng.random(rows, dtype=np.float32) ** 2).astype(np.int32)
        score = np.einsum("ij,ij->i", tastes[rater], traits[rated]) / np.float32(TASTES**0.5)
        score += rng.standard_normal(rows, dtype=np.float32) / 2
        table = pa.table(
            {
                "userId": rater + 1,
                "movieId": rated + 1,
                "rating": np.clip(np.rint(score + 3.5), 1, 5).astype(np.float32),
                "timestamp": 10**9 + np.arange(start, start + rows),
            }
        )
        pq.write_table(table, options.folder / f"part-{shard:05}.parquet")


if __name__ == "__main__":
    main()
