"""Learn the demo's model of ratings from real ones and write ``movie_embed/data/demo.safetensors``.

    python scripts/fit_demo.py FOLDER

FOLDER is a MovieLens folder or zip in half stars. The file in the repository was learned from
a pooled MovieLens sample (Harper and Konstan 2015, doi 10.1145/2827872): 7,442 users of the
releases from 10M to 33M and their 549,482 ratings of the 1,005 movies kept here. It holds
facts about movies and parameters of a model, and no rating.

Choices made:

- Movies: the 1,005 most rated, the paper's number; of equally rated ones the lower ids.
- Factors: those of the package's own `MovieEmbedding`, trained well past its lowest held-out
  error (0.790 stars after 13 epochs, bias only 0.850), because sequels come together late:
  of 214 ordered pairs of sequels 69% have one in the other's ten nearest after 13 epochs and
  86% after 100.
- Tastes: standard normal, equally wide along every factor. Learned user vectors would be no
  guide: they are shrunk, most of all along weak factors and for users of few ratings, and
  users drawn with their covariance have tastes too faint to learn anything from. The factors
  are scaled so that tastes move a score by `TASTE_SPREAD` on average.
- Biases: a movie's gives it the mean stars it has in the data, by MacKay's approximation of
  the mean of a sigmoid of a normal; a user's is normal with a spread of `BIAS_SPREAD`. It is
  one more factor, the same for all movies.
- Noise: together with the rest it gives about the spread of stars in the data (1.04, there
  1.01). Tastes explain more of it than in life, so that few users suffice to learn from.
- Whole stars: a share of the users gives no halves, as many as it takes for the data's share
  of halves if the others give them half of the time.
- Choices of movies: a user of activity t rates a movie of popularity p with probability
  1 - exp(-p t). Popularities and activities are such that each movie and each user has as many
  ratings expected as in the data; activities become a log-normal distribution, moved up by
  `BUSIER` to the 87 ratings a user has of the 1,005 most rated movies of MovieLens 20M (paper,
  section II.B: 12 million ratings of 138,476 users).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone need not be installed

from movie_embed.config import DataConfig
from movie_embed.data.demo import MODEL_FILE, RATING_RANGE
from movie_embed.data.loading import load_ratings
from movie_embed.data.ratings import DataSet
from movie_embed.data.splits import split
from movie_embed.storage import write_columns
from movie_embed.training.datamodule import RatingsDataModule
from movie_embed.training.model import MovieEmbedding
from movie_embed.training.regression import RatingRegression

MOVIES = 1_005
DIM = 32
L2 = 1e-5
EPOCHS = 100
TASTE_SPREAD = 0.9
BIAS_SPREAD = 0.5
NOISE = 0.4
BUSIER = 0.2
SWEEPS = 30

Floats = NDArray[np.float64]


def main() -> None:
    """Read, fit and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("path", type=Path, help="a MovieLens folder or zip in half stars")
    every = ratings_of(str(parser.parse_args().path), min_ratings=1)
    counts = np.sort(every.movies.rating_counts)[::-1]
    data = ratings_of(str(parser.parse_args().path), min_ratings=int(counts[MOVIES - 1]))
    stars = data.ratings.columns(data.trained)[2]
    biases, factors = fit_stars(data, train(data))
    popularity, activity = fit_exposure(data)
    table = data.movies
    write_columns(
        MODEL_FILE,
        "demo model",
        {
            "movie_ids": table.ids[: table.embedded].astype(np.int32),
            "titles": table.titles[: table.embedded],
            "genres": table.genres[: table.embedded],
            "popularity": popularity.astype(np.float32),
            "biases": biases.astype(np.float32),
            "factors": factors.astype(np.float16),
        },
        {
            "noise": NOISE,
            "whole_stars": float(1 - 2 * np.mean(stars % 1 > 0)),
            "activity_mean": float(np.log(activity).mean() + BUSIER),
            "activity_std": float(np.log(activity).std()),
        },
    )
    print(f"{MODEL_FILE}: {MODEL_FILE.stat().st_size:,} bytes")


def ratings_of(path: str, min_ratings: int) -> DataSet:
    """Return the ratings of movies with so many, and the movies' titles."""
    scale = list(RATING_RANGE)
    return load_ratings(
        DataConfig(name="files", path=path, rating_range=scale, min_ratings=min_ratings)
    )


def train(data: DataSet) -> MovieEmbedding:
    """Train the paper's model on all ratings."""
    module = RatingsDataModule(DataConfig(name="files", path=".", val_fraction=0), seed=0)
    module.data_set, module.parts = data, split(data, 0, seed=0)
    counts = data.counts
    model = RatingRegression(counts.users, counts.movies, DIM, RATING_RANGE, 1e-3, L2, seed=0)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=EPOCHS,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=module)
    return model.model


def fit_stars(data: DataSet, model: MovieEmbedding) -> tuple[Floats, Floats]:
    """Return movie biases, and movie factors for users who are standard normal."""
    factors = model.movie_vectors.detach().double().numpy()
    factors *= TASTE_SPREAD / np.sqrt(np.mean(np.sum(factors**2, axis=1)))
    factors = np.column_stack([factors, np.full(len(factors), BIAS_SPREAD)])
    _, movies, stars = data.ratings.columns(data.trained)
    low, high = RATING_RANGE
    share = (np.bincount(movies, stars) / np.bincount(movies) - low) / (high - low)
    biases = np.log(share / (1 - share)) * np.sqrt(1 + np.pi / 8 * np.sum(factors**2, axis=1))
    return biases, factors


def fit_exposure(data: DataSet) -> tuple[Floats, Floats]:
    """Return popularities, which sum to 1, and activities that reproduce all rating counts."""
    users, movies, _ = data.ratings.columns(data.trained)
    user_counts, movie_counts = np.bincount(users), np.bincount(movies)
    popularity, activity = movie_counts / data.counts.ratings, user_counts.astype(np.float64)
    for _ in range(SWEEPS):
        expected = -np.expm1(-np.outer(activity, popularity))
        popularity *= movie_counts / expected.sum(axis=0)
        activity *= popularity.sum()
        popularity /= popularity.sum()
        expected = -np.expm1(-np.outer(activity, popularity))
        activity *= user_counts / expected.sum(axis=1)
    return popularity, activity


if __name__ == "__main__":
    main()
