"""The implicit model's fit to a run's ratings, and the ranking metrics of a run."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from movie_embed.config import RankingConfig
from movie_embed.data.ratings import Mask
from movie_embed.data.splits import TEST, TRAIN, VAL
from movie_embed.embeddings.ease import Ease, match_scores, rating_values
from movie_embed.embeddings.fold_in import predict_stars
from movie_embed.embeddings.saved import SavedEmbeddings, UserEmbeddings
from movie_embed.evaluation import RANKING, K, MovieLists, evaluate_ranking, relevant_stars
from movie_embed.training.datamodule import RatingsDataModule
from movie_embed.training.implicit import Choices, fit_ease

Rows = NDArray[np.integer[Any]]

_RANKED_USERS = 10_000
_LISTS = ("", "popularity_")  # before the names of ranking metrics


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
    ratings, movies = data.data_set.ratings, saved.movies
    choices = Choices(
        np.append(0, np.cumsum(chosen))[ratings.starts],
        row_of[ratings.movies[chosen]],
        rating_values(ratings.levels, saved.rating_range)[ratings.values[chosen]],
    )
    return fit_ease(choices, movies.rating_counts, movies.embedded, config.l2, config.movies)


def ranking_metrics(
    data: RatingsDataModule, saved: SavedEmbeddings, row_of: Rows, users: UserEmbeddings
) -> dict[str, float | None]:
    """Return nDCG@10 and recall@10 of held-out ratings that are liked, and those of popularity.

    At most 10,000 users are ranked for, evenly taken from those who have such ratings. Movies are
    ranked as `Recommender.for_user` ranks them, with the vectors that training gave the users.
    """
    ratings = data.data_set.ratings
    users_of, movies, stars = ratings.columns(data.chosen(TEST if data.test_size else VAL))
    rows = row_of[movies]
    liked = stars >= relevant_stars(saved.rating_range)
    asked = np.unique(users_of[liked])
    asked = asked[:: max(-(-len(asked) // _RANKED_USERS), 1)]
    if not len(asked):
        return {prefix + metric.name: None for prefix in _LISTS for metric in RANKING}
    mine = liked & np.isin(users_of, asked)
    wanted = MovieLists.of(users_of[mine], rows[mine], len(users.ids))
    earlier = data.chosen(TRAIN) | data.chosen(VAL) if data.test_size else data.chosen(TRAIN)
    is_asked = np.zeros(len(users.ids), np.bool_)
    is_asked[asked] = True
    who, what, stars = ratings.columns(earlier & np.repeat(is_asked, np.diff(ratings.starts)))
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
