"""Adam's step of all users' rows beside that of a batch's only, alternating in one process.

    python benchmarks/rows.py 2400000 65536

1,005 movies, 50 dimensions, users drawn evenly, one thread; the least of some steps counts.
"""

from __future__ import annotations

import argparse
import time

import harness  # noqa: F401 - so that a clone need not be installed
import numpy as np
import torch
from torch.nn.functional import mse_loss

from movie_embed.training.regression import RatingRegression


def main() -> None:
    """Print the milliseconds of a step and the ratings a second of both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("users", "batch"):
        parser.add_argument(name, type=int)
    parser.add_argument("--steps", type=int, default=12)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    times: dict[str, list[float]] = {"all": [], "met": []}
    ways = {}
    for rows in times:
        module = RatingRegression(given.users, 1_005, 50, (0.5, 5.0), 1e-3, 1e-6, 0, rows=rows)
        ways[rows] = module.model, module.configure_optimizers()
    for _ in range(given.steps):
        users = torch.from_numpy(np.sort(rng.integers(0, given.users, given.batch, np.int32)))
        movies = torch.from_numpy(rng.integers(0, 1_005, given.batch, np.int32))
        stars = torch.from_numpy(rng.integers(1, 11, given.batch).astype(np.float32) / 2)
        for rows, (model, adam) in ways.items():
            began = time.perf_counter()
            adam.zero_grad()
            mse_loss(model(users, movies), stars).backward()
            adam.step()
            times[rows].append(time.perf_counter() - began)
    for rows, found in times.items():
        least = min(found)
        print(f"rows={rows}: {1e3 * least:.1f} ms a step, {given.batch / least:,.0f} ratings/s")


if __name__ == "__main__":
    main()
