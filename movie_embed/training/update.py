"""Training that starts from a run's rows, for ratings that have come since."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from movie_embed.data.splits import TRAIN
from movie_embed.embeddings.content import ContentMap
from movie_embed.embeddings.fold_in import fold_in
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.embeddings.spaces import Spaces
from movie_embed.errors import MovieEmbedError
from movie_embed.training.datamodule import RatingsDataModule
from movie_embed.training.regression import RatingRegression

Floats = NDArray[np.floating[Any]]


def start_from(run: str, module: RatingRegression, data: RatingsDataModule) -> Callable[[], str]:
    """Give a module the rows of a run by id, and return what tells later how much has changed.

    A movie that is new gets its vector from content, a user who is new one that is fitted to the
    ratings for training.
    """
    saved, model = SavedEmbeddings.load(Path(run)), module.model
    spaces, data_set = Spaces(saved), data.data_set
    for name, was, now in (
        ("model.dim", saved.vectors.shape[1], model.movie_vectors.shape[1]),
        ("data.rating_range", [*saved.rating_range], [*data_set.rating_range]),
        ("model.implicit", "none", module.hparams["implicit"]),
    ):
        if was != now:
            raise MovieEmbedError(f"init={run} has {name}={was}, not {now}")
    trained = data_set.movies.ids[: data_set.movies.embedded]
    rows = pd.Index(saved.movies.ids).get_indexer(trained)
    table = np.column_stack([spaces.whole.vectors, spaces.whole.biases])
    movies = table[rows]
    new_movies = np.flatnonzero(rows < 0)
    if len(new_movies):
        columns = {name: column for column, name in enumerate(spaces.content.features)}
        content = ContentMap(columns, spaces.content.weights.astype(np.float64))
        movies[new_movies] = content(data_set.movies, new_movies.tolist())
    ratings, users = data_set.ratings, spaces.users
    rows = pd.Index(users.ids).get_indexer(ratings.user_ids)
    people = np.column_stack([users.vectors, users.biases])[rows]
    new_users = np.flatnonzero(rows < 0)
    train, average = data.chosen(TRAIN), saved.average_user.astype(np.float64)
    for user in new_users.tolist():
        _, what, stars = ratings.part(slice(*ratings.starts[user : user + 2].tolist()), train)
        given = movies[what, :-1], movies[what, -1], stars
        people[user] = fold_in(*given, saved.rating_range, saved.fold_in_ridge, average)
    tables = {"movies": (movies, new_movies), "users": (people, new_users)}
    with torch.no_grad():
        for (vectors, biases), (values, _) in zip(_tables(module), tables.values(), strict=True):
            vectors.copy_(torch.from_numpy(values[:, :-1].copy()))
            biases.copy_(torch.from_numpy(values[:, -1].copy()))

    def told() -> str:
        parts = []
        for (vectors, _), (name, (values, new)) in zip(
            _tables(module), tables.items(), strict=True
        ):
            known = np.delete(np.arange(len(values)), new)
            alike = _cosines(values[known, :-1], vectors.detach().numpy()[known])
            parts.append(
                f"{len(known):,} {name} began where {run} had ended (cosine with it now "
                f"{alike.mean():.3f}, least {alike.min():.3f}), {len(new):,} are new"
            )
        return "; ".join(parts)

    return told


def _tables(module: RatingRegression) -> list[tuple[torch.Tensor, torch.Tensor]]:
    model = module.model
    return [
        (model.movie_vectors, model.movie_biases),
        (model.user_vectors, model.user_biases),
    ]


def _cosines(one: Floats, other: Floats) -> Floats:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosines: Floats = np.einsum("ij,ij->i", one, other) / np.maximum(lengths, 1e-12)
    return cosines
