"""The second head's fit to implicit feedback, and the ranking metrics of both heads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from movie_embed.config import RankingConfig
from movie_embed.data.ratings import Mask
from movie_embed.data.splits import TRAIN, VAL
from movie_embed.embeddings.ease import (
    Ease,
    Ratings,
    add_products,
    fit_ease,
    match_scores,
    rating_values,
)
from movie_embed.embeddings.fold_in import predict_stars
from movie_embed.embeddings.saved import SavedEmbeddings, UserEmbeddings
from movie_embed.evaluation import RANKING, K, MovieLists, evaluate_ranking, relevant_stars
from movie_embed.training.datamodule import RatingsDataModule
from movie_embed.training.scores import compiled, is_compiled, prange, run

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.integer[Any]]

_RANKED_USERS = 10_000
_LISTS = ("", "popularity_")  # before the names of ranking metrics
_PARTS = 8  # of the matrix, for as many threads at most


def fit_head(
    data: RatingsDataModule,
    saved: SavedEmbeddings,
    row_of: Rows,
    config: RankingConfig,
    chosen: Mask,
) -> Ease | None:
    """Fit the implicit model to the chosen ratings; None where it is switched off.

    `row_of` gives the saved table's row of each movie of the data set, shape (movies,).
    """
    if not config.enabled:
        return None
    ratings = data.data_set.ratings

    def blocks(users: int) -> Iterator[Ratings]:
        for first in range(0, len(ratings.user_ids), users):
            ends = ratings.starts[[first, min(first + users, len(ratings.user_ids))]]
            who, movies, stars = ratings.part(slice(*ends), chosen)
            yield who, row_of[movies], stars

    return fit_ease(
        blocks,
        len(ratings.user_ids),
        saved.movies.rating_counts,
        saved.movies.embedded,
        saved.rating_range,
        config.l2,
        config.movies,
        add_pair_products if is_compiled(torch.device("cpu")) else add_products,
    )


@compiled
def _add_pairs(
    starts: NDArray[Any],
    items: NDArray[Any],
    values: NDArray[Any],
    edges: NDArray[Any],
    gram: NDArray[Any],
) -> None:
    # Each part has rows of its own, so sums do not depend on the number of threads.
    for part in prange(len(edges) - 1):
        for user in range(len(starts) - 1):
            for first in range(starts[user], starts[user + 1]):
                item = items[first]
                if item >= edges[part + 1]:
                    break
                if item >= edges[part]:
                    for second in range(first, starts[user + 1]):
                        gram[item, items[second]] += values[first] * values[second]


def add_pair_products(gram: Floats, users: Rows, items: Rows, values: Floats) -> None:
    """Do what `add_products` does, pair by pair, on and above the diagonal.

    A user rates a few movies of a hundred, so the pairs take a quarter of a dense product's time
    with 4,000 movies, and less than all of it with 1,000. Users ascend, and so do their items.
    """
    starts = np.append(np.flatnonzero(np.diff(users, prepend=-1)), len(users))
    pairs = np.repeat(starts[1:], np.diff(starts)) - np.arange(len(users))
    done = np.cumsum(np.bincount(items, pairs, len(gram)))
    edges = np.searchsorted(done, done[-1] * np.arange(1, _PARTS) / _PARTS)
    arrays = (starts, items, values, np.array([0, *edges, len(gram)]), gram)
    run(_add_pairs, *map(torch.from_numpy, arrays))


def ranking_metrics(
    data: RatingsDataModule, saved: SavedEmbeddings, row_of: Rows, users: UserEmbeddings
) -> dict[str, float | None]:
    """Return nDCG@10 and recall@10 of held-out ratings that are liked, and those of popularity.

    At most 10,000 users are ranked for, evenly taken from those who have such ratings. Movies are
    ranked as `Recommender.for_user` ranks them, with the vectors that training gave the users.
    """
    ratings = data.data_set.ratings
    users_of, movies, stars = ratings.columns(data.chosen(VAL))
    rows = row_of[movies]
    liked = stars >= relevant_stars(saved.rating_range)
    asked = np.unique(users_of[liked])
    asked = asked[:: max(-(-len(asked) // _RANKED_USERS), 1)]
    if not len(asked):
        return {prefix + metric.name: None for prefix in _LISTS for metric in RANKING}
    mine = liked & np.isin(users_of, asked)
    wanted = MovieLists.of(users_of[mine], rows[mine], len(users.ids))
    is_asked = np.zeros(len(users.ids), np.bool_)
    is_asked[asked] = True
    who, what, stars = ratings.columns(
        data.chosen(TRAIN) & np.repeat(is_asked, np.diff(ratings.starts))
    )
    known = MovieLists.of(who, row_of[what], len(users.ids))  # the order by user stays
    values = rating_values(stars, saved.rating_range)
    counts = saved.movies.rating_counts[: data.data_set.movies.embedded]

    def score(some: Rows) -> NDArray[np.float32]:
        scores = np.full((len(some), len(counts)), -np.inf, np.float32)
        parts = [slice(known.starts[user], known.starts[user + 1]) for user in some]
        people = np.repeat(np.arange(len(some)), [part.stop - part.start for part in parts])
        rated = np.concatenate([known.movies[part] for part in parts])
        worth = np.concatenate([values[part] for part in parts])
        likings = users.vectors[some] @ saved.vectors.T + saved.biases + users.biases[some, None]
        if saved.ease:
            likings = predict_stars(likings, (0, 1))
            chosen = saved.ease.scores(people, rated, worth, len(some), len(saved.vectors))
            likings = match_scores(chosen, likings)
        scores[:, : len(saved.vectors)] = likings
        return scores

    def popularity(some: Rows) -> NDArray[np.float32]:
        return np.tile(counts.astype(np.float32), (len(some), 1))

    found = [evaluate_ranking(how, known, wanted, counts, (K,)) for how in (score, popularity)]
    return {
        prefix + metric.name: each[f"{metric.name}@{K}"]
        for prefix, each in zip(_LISTS, found, strict=True)
        for metric in RANKING
    }
