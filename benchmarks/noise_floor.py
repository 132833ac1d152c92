"""How near training gets to a known noise floor at the paper's size, and in how many seconds.

    python benchmarks/noise_floor.py [--seed 0]

138,476 users choose among 1,005 movies as in the demo, about 12 million ratings; stars are a
mean, two biases and twelve factors, plus normal noise of 0.75 stars, rounded to halves. The noise
floor is the RMSE of the noiseless stars on the validation tenth. Nobody can reach it, for half of
the users have fewer than 50 ratings to show thirteen traits by; what can be reached is the RMSE of
an oracle that knows every movie's true bias and factors, and each trait's true spread, and infers
only the users, by their posterior mean. Noise and rounding alone, before stars are cut to the
scale, have an RMSE of sqrt(0.75 ** 2 + 0.5 ** 2 / 12) = 0.7638.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness import command_line, trained, write_table
from numpy.typing import NDArray

from movie_embed.data import demo
from movie_embed.evaluation import errors

Floats = NDArray[np.float32]
Rows = NDArray[np.int32]
Mask = NDArray[np.bool_]

USERS, RANK, NOISE = 138_476, 12, 0.75
MEAN, USER_SPREAD, MOVIE_SPREAD, TASTE_SPREAD = 3.5, 0.35, 0.35, 0.35
FASTER = ["data.batch_size=65536", "trainer.max_epochs=4", "model.l2=3e-6"]
SETTINGS = {"default settings": [], "batch 65,536, 4 epochs, l2 3e-6": FASTER}


def simulate(path: Path, seed: int) -> tuple[float, float]:
    """Write the ratings as Parquet; return the noise floor and the oracle's RMSE, in stars."""
    rng = np.random.default_rng(seed)
    drawn = demo.draw_ratings(USERS)
    users = drawn.user.to_numpy() - 1
    movies = np.searchsorted(np.unique(drawn.movie), drawn.movie)
    tastes = rng.standard_normal((USERS, RANK), dtype=np.float32)
    factors = rng.standard_normal((movies.max() + 1, RANK), dtype=np.float32)
    expected = MEAN + rng.normal(0, USER_SPREAD, USERS).astype(np.float32)[users]
    movie_stars = MEAN + rng.normal(0, MOVIE_SPREAD, len(factors)).astype(np.float32)
    expected += movie_stars[movies] - MEAN
    factors *= np.float32(TASTE_SPREAD / RANK**0.5)
    for tasted, factor in zip(tastes.T, factors.T, strict=True):
        expected += tasted[users] * factor[movies]
    noisy = expected + np.float32(NOISE) * rng.standard_normal(len(expected), dtype=np.float32)
    stars = np.clip(np.rint(noisy * 2) / 2, 0.5, 5)
    names = {"userId": drawn.user, "movieId": drawn.movie, "rating": stars}
    pq.write_table(pa.table(names), path)
    floor = errors([(np.clip(expected, 0.5, 5), stars)]).rmse
    held_out = rng.random(len(stars)) < 0.1
    oracle = of_oracle(users, movies, stars - movie_stars[movies], factors, held_out)
    return floor, errors(oracle).rmse


def of_oracle(
    users: Rows, movies: Rows, left: Floats, factors: Floats, held_out: Mask
) -> Iterator[tuple[Floats, Floats]]:
    """Yield predictions and truth of ratings held out: users inferred, all else known.

    Ratings ascend by user, and `left` are the stars less the movie's mean, of shape (ratings,);
    `factors` are the movies' true ones, of shape (movies, RANK).
    """
    features = np.concatenate([factors, np.ones((len(factors), 1), np.float32)], axis=1)
    prior = np.diag([1.0] * RANK + [USER_SPREAD**-2]) * (NOISE**2 + 0.5**2 / 12)
    for first in range(0, USERS, 2_048):
        block = slice(*np.searchsorted(users, [first, first + 2_048]))
        rows, x = users[block] - first, features[movies[block]]
        known = ~held_out[block]
        products = np.zeros((rows[-1] + 1, RANK + 1, RANK + 1))
        sums = np.zeros((rows[-1] + 1, RANK + 1))
        starts = np.flatnonzero(np.diff(rows, prepend=-1))
        weighed = x * known[:, None]
        products[rows[starts]] = np.add.reduceat(weighed[:, :, None] * x[:, None], starts)
        sums[rows[starts]] = np.add.reduceat(weighed * left[block, None], starts)
        traits = np.linalg.solve(products + prior, sums[..., None])[..., 0]
        yield np.einsum("ij,ij->i", traits[rows], x)[~known], left[block][~known]


def measure(seed: int = 0) -> None:
    """Simulate, train with each setting and write the table."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "simulated.parquet"
        floor, oracle = simulate(data, seed)
        print(f"floor {floor:.4f}, oracle {oracle:.4f}", flush=True)
        where = ["data=files", f"data.path={data}", "data.min_ratings=1", "overwrite=true"]
        where += ["data.val_fraction=0.1", f"data.cache_dir={folder}"]
        for label, settings in SETTINGS.items():
            found = trained(folder / "run", *where, *settings)
            rmse, rate = found["val_rmse"], f"{found['ratings_per_second'] / 1e6:.2f} M"
            cells = (f"{rmse:.4f}", f"{rmse - oracle:.4f}", f"{found['train_seconds']:.1f}", rate)
            rows.append((label, *cells))
    heading = ("", "val. RMSE", "above the oracle", "seconds", "ratings/s")
    note = f"noise floor {floor:.4f}, oracle {oracle:.4f} stars"
    write_table("noise_floor", note, heading, rows)


if __name__ == "__main__":
    command_line(__doc__, measure)
