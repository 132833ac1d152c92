"""How small errors get: beside other libraries, on published splits, and beside a known floor.

    python benchmarks/quality.py beside FOLDER_OF_ML_1M [--peers FOLDER] [--seeds 5]
    python benchmarks/quality.py folds FOLDER_OF_ML_100K FOLDER_OF_ML_1M
    python benchmarks/quality.py published FOLDER_OF_ML_100K FOLDER_OF_ML_1M
    python benchmarks/quality.py noise [--seed 0]

`beside`: all movies of ML-1M, a random 90/10 split per seed, the same one for everybody; RMSE is
clipped to the scale and of the best epoch where a library shows its epochs. Seconds are of
training alone, without validation, up to that epoch, for ours counted from the second step on; the
last column is when ours first comes within 0.002 of Keras' best RMSE on the same split. Each run
is a process of its own; settings of the peers are in `benchmarks/peers/`.

`folds`: those of scikit-surprise's README, ``KFold(n_splits=5, random_state=0, shuffle=True)`` over
its loader's order, which is the order of the file. All settings come from one experiment.

`published`: the splits of GLocal-K (Han et al. 2021, arXiv 2108.12184). A run on nine tenths of the
training ratings tells by the others which epoch is best, and one on all is tested after that.

`noise`: 138,476 users choose among 1,005 movies as in the demo, about 12 million ratings; stars are
a mean, two biases and twelve factors, plus normal noise of 0.75 stars, rounded to halves. The noise
floor is the RMSE of the noiseless stars on the validation tenth. Nobody can reach it, for half of
the users have fewer than 50 ratings to show thirteen traits by. The RMSE that can be reached is
that of an oracle that knows every movie's true bias and factors, and each trait's true spread, and
infers only the users, by their posterior mean. Noise and rounding alone, before stars are cut to
the scale, have an RMSE of sqrt(0.75 ** 2 + 0.5 ** 2 / 12) = 0.7638.
"""

from __future__ import annotations

import math
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from harness import (
    command_line,
    curve,
    export,
    run_peer,
    settings_of,
    split_columns,
    spread,
    trained,
    trained_as_changed,
    write_table,
)
from numpy.typing import NDArray

from movie_embed.config import DataConfig
from movie_embed.data import demo
from movie_embed.data.loading import load_ratings
from movie_embed.embeddings.ease import rating_values
from movie_embed.evaluation import errors
from movie_embed.training.implicit import Choices, fit_ease

EXPERIMENTS = ("paper", "fast", "best")
KERAS = "Keras 3, the paper's network"
NEAR, HELD_OUT, FOLDS = 0.002, 0.1, 5
U1_ROWS = 20_000
BLENDED = "experiment=best, the implicit model's score and the ratings nearest in time"
PEERS = {
    KERAS: ("keras", "keras_quality.py"),
    "scikit-surprise SVD": ("surprise", "surprise_svd.py"),
    "LensKit BiasedMF (ALS)": ("lenskit", "lenskit_als.py"),
    "cornac MF": ("cornac", "cornac_mf.py"),
}

USERS, RANK, NOISE = 138_476, 12, 0.75
MEAN, USER_SPREAD, MOVIE_SPREAD, TASTE_SPREAD = 3.5, 0.35, 0.35, 0.35
FASTER = ["data.batch_size=65536", "trainer.max_epochs=4", "model.l2=3e-6"]
SETTINGS = {"default settings": [], "batch 65,536, 4 epochs, l2 3e-6": FASTER}

Curve = list[tuple[float, float]]  # RMSE and seconds of every epoch
Floats = NDArray[np.float32]
Rows = NDArray[np.int32]
Mask = NDArray[np.bool_]


def beside(source: Path, peers: Path = Path(".peers"), seeds: int = 5) -> None:
    """Reach the best error on ML-1M, with other libraries beside."""
    rated = load_ratings(DataConfig("ml-1m", str(source), rating_range=[1, 5], min_ratings=1))
    outcomes: dict[str, list[tuple[float, float]]] = defaultdict(list)
    reached: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        for seed in range(seeds):
            train, val = split_columns(rated, HELD_OUT, seed)
            data = export(rated, train, val, Path(name, "data.npz"))
            curves: dict[str, Curve] = {}
            for chosen in EXPERIMENTS:
                run = Path(name, f"{chosen}-{seed}")
                curves[f"movie_embed, experiment={chosen}"] = of_ours(chosen, source, seed, run)
            stars = val[2]
            for label, (environment, script) in PEERS.items():
                found = run_peer(environment, script, peers, data, str(seed))
                predicted = np.fromfile(data.with_suffix(".predicted"), np.float32)
                predicted = np.clip(predicted.reshape(-1, len(stars)), *rated.rating_range)
                rmses = [errors([(row, stars)]).rmse for row in predicted]
                curves[label] = list(zip(rmses, found["seconds"], strict=True))
            near = min(curves[KERAS])[0] + NEAR
            for label, points in curves.items():
                outcomes[label].append(min(points))
                first = next((seconds for rmse, seconds in points if rmse <= near), math.inf)
                reached[label].append(first)
            print({label: found[-1] for label, found in outcomes.items()}, flush=True)
    rows = []
    for label, pairs in outcomes.items():
        rmse, seconds = zip(*pairs, strict=True)
        first = f"{statistics.mean(reached[label]):.1f}" if label not in PEERS else ""
        rows.append((label, spread(rmse, 4), f"{statistics.mean(seconds):.1f}", first))
    heading = ("", "RMSE", "seconds, mean", "to Keras' + 0.002")
    write_table("time_to_quality", f"{seeds} seeds", heading, rows)


def of_ours(experiment: str, source: Path, seed: int, run: Path) -> Curve:
    """Train an experiment as a user does."""
    where = ["data=ml-1m", f"data.path={source.resolve()}", "data.min_ratings=1"]
    settings = [f"data.val_fraction={HELD_OUT}", f"seed={seed}", f"experiment={experiment}"]
    metrics = trained(run, *where, *settings)
    epoch_seconds = (1 - HELD_OUT) * metrics["ratings"] / metrics["ratings_per_second"]
    return [(rmse, epoch_seconds * epoch) for epoch, rmse in enumerate(curve(run), 1)]


def folds(ml_100k: Path, ml_1m: Path) -> None:
    """Train on scikit-surprise's folds."""
    rows = []
    for name, source in (("ml-100k", ml_100k), ("ml-1m", ml_1m)):
        held_out = folds_of(source)
        where = [f"data={name}", f"data.path={source.resolve()}", "data.min_ratings=1"]
        where += ["data.val_fraction=0.2", "save.epoch=last"]
        for experiment in EXPERIMENTS:
            rmses, settings = [], [f"experiment={experiment}", *where]
            for fold in range(FOLDS):
                split = split_as(held_out != fold, held_out == fold)
                with tempfile.TemporaryDirectory() as run:
                    found = trained_as_changed(Path(run, "run"), settings, data=split)
                rmses.append(found["val_rmse"])
            rows.append((name, f"experiment={experiment}", spread(rmses, 4)))
            print(*rows[-1], flush=True)
    write_table("five_folds", "", ("", "", "RMSE, mean of five folds"), rows)


def published(ml_100k: Path, ml_1m: Path) -> None:
    """Compare with the errors of GLocal-K's paper, on its splits."""
    order = file_order(ml_100k)
    times = np.loadtxt(ml_100k / "u.data", np.int64)[order, 3]
    size = len(file_order(ml_1m))
    drawn = [np.random.default_rng(seed).random(size) < HELD_OUT for seed in range(5)]
    u1 = "u1: the first 20,000 rows of u.data"
    plans = (
        ("ml-100k", ml_100k, [order < U1_ROWS] * 3, u1, "0.8889", times),
        ("ml-1m", ml_1m, drawn, "a random tenth", "0.8227", None),
    )
    rows = []
    for name, source, tests, protocol, theirs, when in plans:
        where = [f"data={name}", f"data.path={source.resolve()}", "data.min_ratings=1"]
        where += [f"data.val_fraction={HELD_OUT}", "experiment=best", "ranking.enabled=false"]
        found = [tested(t, [*where, f"seed={seed}"], seed, when) for seed, t in enumerate(tests)]
        for label, rmses in zip(("experiment=best", BLENDED), zip(*found, strict=True)):  # noqa: B905
            rows.append((name, protocol, len(tests), label, spread(rmses, 4), theirs))
            print(*rows[-1], flush=True)
    heading = ("", "tested on", "seeds", "predicted by", "RMSE", "GLocal-K's paper")
    write_table("published_errors", "", heading, rows)


def tested(test: Mask, settings: list[str], seed: int, times: Rows | None) -> list[float]:
    """Return the test RMSE after as many epochs as are best on a part of the training ratings.

    If there are times, the RMSE of a blend follows, whose weights are fitted to that part.
    """
    part = ~test & (np.random.default_rng([seed, 1]).random(len(test)) < HELD_OUT)
    stars, *tried = predictions(~test & ~part, part, settings)
    _, *final = predictions(~test, test, settings)
    epoch = int(np.argmin([errors([(each[part], stars[part])]).rmse for each in tried]))
    results = [final[epoch][test]]
    if times is not None:
        inputs = blend_inputs(settings, tried[epoch], ~test & ~part, part, times)
        weights = np.linalg.lstsq(inputs, stars[part] - tried[epoch][part])[0]
        asked = blend_inputs(settings, final[epoch], ~test, test, times)
        results.append(final[epoch][test] + asked @ weights)
    return [errors([(np.clip(each, 1, 5), stars[test])]).rmse for each in results]


def predictions(train: Mask, val: Mask, settings: list[str]) -> list[Floats]:
    """Return the stars of all ratings, and those predicted after each epoch of a training."""
    from movie_embed.training.regression import RatingRegression

    found: list[Floats] = []

    class Told(RatingRegression):
        def on_validation_epoch_end(self) -> None:
            data = self.trainer.datamodule.data_set  # type: ignore[attr-defined]
            users, movies, stars = data.ratings.columns()
            found[:1] = [stars]
            found.append(self(*map(torch.from_numpy, (users, movies))).detach().numpy())

    with tempfile.TemporaryDirectory() as folder:
        trained_as_changed(Path(folder, "run"), settings, data=split_as(train, val), module=Told)
    return found


def blend_inputs(
    settings: list[str], predicted: Floats, train: Mask, asked: Mask, times: Rows
) -> Floats:
    """Return of each rating that is asked for 1, its prediction and what the blend adds to it.

    These are the implicit model's score by the user's training ratings, and the mean residual of
    the 5 and the 20 of them nearest in time.
    """
    data = load_ratings(settings_of(settings).data)
    users, movies, stars = data.ratings.columns()
    values = rating_values(stars[train], data.rating_range)
    starts = np.append(0, np.cumsum(np.bincount(users[train], minlength=data.counts.users)))
    counts = np.bincount(movies[train], minlength=data.counts.movies)
    ease = fit_ease(Choices(starts, movies[train], values), counts, len(counts), 400, len(counts))
    size = len(starts) - 1, len(counts)
    scores = ease.scores(users[train], movies[train], values, *size)[users[asked], movies[asked]]
    residuals, near = stars - predicted, np.zeros((len(users), 2), np.float32)
    for user in np.unique(users[asked]):
        known, wanted = (np.flatnonzero((users == user) & mask) for mask in (train, asked))
        if len(known):
            order = np.argsort(np.abs(times[wanted, None] - times[known]), axis=1, kind="stable")
            sorted_residuals = residuals[known][order]
            near[wanted] = np.column_stack(
                [sorted_residuals[:, :count].sum(axis=1) / (count + 5) for count in (5, 20)]
            )
    ones = np.ones(len(scores), np.float32)
    return np.column_stack(
        [ones, predicted[asked], scores, np.sqrt(np.maximum(scores, 0)), near[asked]]
    )


def split_as(train: Mask, val: Mask) -> type:
    """Return a data module of chosen ratings in place of a random split."""
    from movie_embed.data.splits import TRAIN, UNUSED, VAL
    from movie_embed.training.datamodule import RatingsDataModule

    class Split(RatingsDataModule):
        def setup(self, stage: str | None = None) -> None:
            super().setup(stage)
            self.parts = np.full(len(train), UNUSED, np.uint8)
            self.parts[train], self.parts[val] = TRAIN, VAL

    return Split


def file_order(source: Path) -> NDArray[np.int64]:
    """Return each rating's row in the file: they are sorted by user, then movie."""
    separators = {"u.data": "\t", "ratings.csv": ",", "ratings.dat": "::"}
    name = next(name for name in separators if (source / name).exists())
    with (source / name).open() as file:
        lines = [line.split(separators[name])[:2] for line in file if line[0].isdigit()]
    users, movies = np.array(lines, np.int64).T
    return np.lexsort((movies, users))


def folds_of(source: Path) -> NDArray[np.int64]:
    """Return in which fold each rating is held out."""
    rows = file_order(source)
    order = np.arange(len(rows))
    np.random.RandomState(0).shuffle(order)
    sizes = [len(part) for part in np.array_split(order, FOLDS)]
    folds = np.empty_like(order)
    folds[order] = np.repeat(np.arange(FOLDS), sizes)
    return folds[rows]


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


def noise(seed: int = 0) -> None:
    """Come near the floor of simulated ratings."""
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
    command_line(__doc__, beside, folds, published, noise)
