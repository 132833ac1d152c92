"""Folding in against training, and against the movie mean, on simulated ratings."""

from pathlib import Path

import numpy as np
import pytest

from movie_embed import Recommender
from movie_embed.config import TrainConfig
from movie_embed.data.demo import draw_ratings
from movie_embed.data.loading import load_ratings
from movie_embed.data.splits import TRAIN, VAL, split
from movie_embed.embeddings.fold_in import predict_stars
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.embeddings.spaces import Spaces


def rmse(errors: list[np.ndarray]) -> float:
    return float(np.sqrt(np.mean(np.concatenate(errors) ** 2)))


def predicted(saved: SavedEmbeddings, taste: np.ndarray, rows: np.ndarray) -> np.ndarray:
    scores = saved.vectors[rows] @ taste[:-1] + taste[-1] + saved.biases[rows]
    return predict_stars(scores, saved.rating_range)


def test_users_of_the_training_are_predicted_as_well_when_folded_in(
    demo_folder: Path, demo_config: TrainConfig
) -> None:
    recommender = Recommender.load(demo_folder / "run")
    saved, users = recommender.embeddings, Spaces(recommender.embeddings).users
    data = load_ratings(demo_config.data)
    parts = split(data, 0.05, demo_config.seed)
    train, held_out = (data.ratings.columns(parts == part) for part in (TRAIN, VAL))
    ids = data.movies.ids.tolist()
    assert ids == saved.movies.ids.tolist()
    trained, folded, mean, between = [], [], [], []
    means = np.bincount(train[1], train[2]) / np.bincount(train[1])
    for user in range(0, len(users.ids), 2):
        mine, theirs = (part[0] == user for part in (train, held_out))
        rows, stars = held_out[1][theirs], held_out[2][theirs]
        ratings = dict(zip(train[1][mine].tolist(), train[2][mine].tolist(), strict=True))
        fitted = recommender.fold_in({ids[row]: star for row, star in ratings.items()})
        own = np.append(users.vectors[user], users.biases[user])
        trained.append(predicted(saved, own, rows) - stars)
        folded.append(predicted(saved, fitted, rows) - stars)
        between.append(folded[-1] - trained[-1])
        mean.append(means[rows] - stars)
    assert rmse(folded) < rmse(trained) + 0.02
    assert rmse(between) < 0.3 * rmse(trained)
    assert rmse(folded) < 0.95 * rmse(mean)


@pytest.mark.parametrize("given", [5, 10, 20])
def test_somebody_new_is_predicted_better_than_by_the_movie_mean(
    demo_folder: Path, given: int
) -> None:
    recommender = Recommender.load(demo_folder / "run")
    saved, users = recommender.embeddings, Spaces(recommender.embeddings).users
    known = users.rated < saved.movies.embedded
    rated, stars = users.rated[known], users.levels[users.stars[known]]
    means = np.bincount(rated, stars) / np.bincount(rated)
    row_of = {int(movie): row for row, movie in enumerate(saved.movies.ids)}
    others = draw_ratings(1000, seed=1)  # not those of the training
    folded, mean = [], []
    for user in range(1, 300):
        rows = np.array([row_of[movie] for movie in others.movie[others.user == user].tolist()])
        theirs = others.rating[others.user == user].to_numpy()
        order = np.random.default_rng(user).permutation(np.flatnonzero(rows < len(means)))
        asked, rest = order[:given], order[given:]
        fitted = recommender.fold_in(
            {int(saved.movies.ids[rows[i]]): float(theirs[i]) for i in asked}
        )
        folded.append(predicted(saved, fitted, rows[rest]) - theirs[rest])
        mean.append(means[rows[rest]] - theirs[rest])
    assert rmse(folded) < rmse(mean)
