"""Every metric of predictions and rankings, in NumPy alone, and the registry that names them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from movie_embed.checks import require
from movie_embed.errors import MovieEmbedError

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.integer[Any]]
Ratings = tuple[Rows, Rows, Floats]  # users, movies and stars, each of shape (ratings,)

K = 10  # movies in the lists that a run is measured by
_RELEVANT = 0.75  # of the scale, 4 of 5 stars: from there a held-out movie counts as liked
_DAMPING = (15.0, 10.0)  # of users' and of movies' biases
_SWEEPS = 50  # at most
_SETTLED = 5e-3  # stars
_PARTS = 100
_BLOCK = 2**21  # scores in memory at a time; larger blocks are no faster


class Errors(NamedTuple):
    """RMSE and MAE, in stars."""

    rmse: float
    mae: float


def errors(blocks: Iterable[tuple[Floats, Floats]]) -> Errors:
    """Return ``sqrt(mean((p - s)^2))`` and ``mean(|p - s|)`` of predictions p of stars s.

    Parameters
    ----------
    blocks
        Predictions and stars, a block of ratings at a time, each of shape (ratings,).
    """
    squared, absolute, count = 0.0, 0.0, 0
    for predicted, stars in blocks:
        difference = (predicted - stars).astype(np.float64)
        squared += float(np.sum(difference**2))
        absolute += float(np.sum(np.abs(difference)))
        count += len(difference)
    return Errors(math.sqrt(squared / count), absolute / count)


class Biases(NamedTuple):
    """The bias-only baseline: a mean, and biases of shapes (users,) and (movies,), in stars."""

    mean: float
    users: Floats
    movies: Floats

    def predict(self, users: Rows, movies: Rows, rating_range: tuple[float, float]) -> Floats:
        """Return ``mean + user's bias + movie's bias``, cut to the scale; shape (ratings,)."""
        stars: Floats = np.clip(self.mean + self.users[users] + self.movies[movies], *rating_range)
        return stars


def fit_biases(blocks: Callable[[], Iterable[Ratings]], users: int, movies: int) -> Biases:
    """Return the biases of users and movies: the baseline without vectors.

    They are damped means of residuals, ``sum(r) / (damping + n)``, found by alternating least
    squares (Koren 2010, "Factor in the neighbors", section 2.1, with that paper's damping) until
    the users' change by less than 0.005 stars (root mean square).

    Parameters
    ----------
    blocks
        Goes through the ratings anew at each call, a block at a time.
    users, movies
        How many there are.
    """
    sizes = users, movies

    def damped_means(side: int, expected: Floats) -> NDArray[np.float64]:
        sums, counts = np.zeros(sizes[side]), np.full(sizes[side], _DAMPING[side])
        for *rows, stars in blocks():
            sums += np.bincount(rows[side], stars - expected[rows[1 - side]], sizes[side])
            counts += np.bincount(rows[side], minlength=sizes[side])
        means: NDArray[np.float64] = sums / counts
        return means

    totals = [(stars.sum(dtype=np.float64), len(stars)) for _, _, stars in blocks()]
    mean = float(sum(total for total, _ in totals) / sum(count for _, count in totals))
    user_biases = np.zeros(users)
    for _ in range(_SWEEPS):
        movie_biases = damped_means(1, mean + user_biases)
        previous, user_biases = user_biases, damped_means(0, mean + movie_biases)
        if np.mean((user_biases - previous) ** 2) < _SETTLED**2:
            break
    return Biases(mean, user_biases, movie_biases)


class MovieLists(NamedTuple):
    """Movies of each user: those of user u are ``movies[starts[u]:starts[u + 1]]``."""

    starts: Rows
    movies: Rows

    @classmethod
    def of(cls, users: Rows, movies: Rows, user_count: int) -> MovieLists:
        """Group pairs, in any order, by user."""
        starts = np.append(0, np.cumsum(np.bincount(users, minlength=user_count)))
        return cls(starts, movies[np.argsort(users, kind="stable")])

    def mask(self, users: Rows, movie_count: int) -> NDArray[np.bool_]:
        """Return which movies are in the users' lists, shape (users, movies)."""
        mask = np.zeros((len(users), movie_count), dtype=np.bool_)
        for row, user in enumerate(users):
            mask[row, self.movies[self.starts[user] : self.starts[user + 1]]] = True
        return mask


def top_rows(scores: Floats, k: int) -> Rows:
    """Return the k movies of the highest scores, best first; of equal scores the first movie.

    Parameters
    ----------
    scores
        Shape (queries, movies); ``-inf`` for what is no candidate.
    k
        How many; all where there are fewer movies.

    Returns
    -------
    array
        Shape (queries, k); -1 where a query has fewer candidates.
    """
    k, heads = min(k, scores.shape[1]), scores
    parts = _PARTS * k
    if scores.shape[1] > 2 * parts:
        # The k-th highest maximum of the movies' parts is a bound that few scores reach, and is
        # found faster than by a partition of all scores.
        size = scores.shape[1] // parts * parts
        heads = scores[:, :size].reshape(len(scores), -1, parts).max(axis=1)
    least = np.partition(heads, -k, axis=1)[:, -k, None]
    queries, movies = np.divmod(np.flatnonzero(scores >= least), scores.shape[1])
    order = np.lexsort((-scores[queries, movies], queries))
    firsts = np.searchsorted(queries, np.arange(len(scores)))
    top = movies[order][firsts[:, None] + np.arange(k)]
    return np.where(np.take_along_axis(scores, top, axis=1) > -np.inf, top, -1)


def ndcg(hits: NDArray[np.bool_], relevant: Rows) -> Floats:
    """Return each list's normalised discounted cumulative gain, with binary relevance.

    ``sum over hits of 1 / log2(rank + 1)``, divided by the same of a list that begins with
    ``min(k, relevant)`` hits (Järvelin and Kekäläinen 2002, doi 10.1145/582415.582418).

    Parameters
    ----------
    hits
        Which of a list's movies are relevant, best first, shape (users, k).
    relevant
        How many movies are relevant to each user, at least 1, shape (users,).
    """
    gains = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    ideal = np.cumsum(gains)[np.minimum(relevant, hits.shape[1]) - 1]
    return np.asarray(hits @ gains / ideal)


def recall(hits: NDArray[np.bool_], relevant: Rows) -> Floats:
    """Return each list's ``hits / relevant``, the share of the relevant movies that it has."""
    return np.asarray(hits.sum(axis=1) / relevant)


def coverage(top: Rows, movie_count: int) -> float:
    """Return the share of movies that are in some list; `top` as `top_rows` returns it."""
    return len(np.unique(top[top >= 0])) / movie_count


def mean_popularity(top: Rows, rating_counts: Rows) -> float:
    """Return the mean number of ratings, shape (movies,), of the movies in the lists, if any."""
    shown = rating_counts[top[top >= 0]]
    return float(np.mean(shown)) if len(shown) else math.nan


def relevant_stars(rating_range: tuple[float, float]) -> float:
    """Return the stars from which a held-out rating says that a movie was liked."""
    low, high = rating_range
    return low + _RELEVANT * (high - low)


def evaluate_ranking(
    score: Callable[[Rows], Floats],
    known: MovieLists,
    wanted: MovieLists,
    rating_counts: Rows,
    ks: Sequence[int] = (10, 50),
) -> dict[str, float]:
    """Rank for each user all movies that the user has not rated in training.

    Parameters
    ----------
    score
        Returns the scores of all movies for some users, shape (users, movies).
    known
        What each user has rated in training: no candidates.
    wanted
        What each user should get: held-out ratings of `relevant_stars` or more.
    rating_counts
        Each movie's training ratings, shape (movies,).
    ks
        Lengths of the lists.

    Returns
    -------
    dict
        ``ndcg@k``, ``recall@k``, ``coverage@k`` and ``popularity@k`` for each k: means over the
        users who have wanted movies; empty where nobody has.
    """
    relevant = np.diff(wanted.starts)
    asked, movies = np.flatnonzero(relevant), len(rating_counts)
    rows = max(_BLOCK // movies, 1)
    tops, hits = [], []
    for start in range(0, len(asked), rows):
        users = asked[start : start + rows]
        scores = np.where(known.mask(users, movies), -np.inf, score(users))
        tops.append(top := top_rows(scores, max(ks)))
        found = np.take_along_axis(wanted.mask(users, movies), top, axis=1)
        hits.append(found & (top >= 0))
    if not tops:
        return {}
    top, hit, relevant = np.concatenate(tops), np.concatenate(hits), relevant[asked]
    results: dict[str, float] = {}
    for k in ks:
        results |= {
            f"{metric.name}@{k}": float(np.mean(metric.of_lists(hit[:, :k], relevant)))
            for metric in RANKING
            if metric.of_lists
        }
        results |= {
            f"coverage@{k}": coverage(top[:, :k], movies),
            f"popularity@{k}": mean_popularity(top[:, :k], rating_counts),
        }
    return results


class Metric(NamedTuple):
    """A figure of a run, under its key in ``metrics.json``.

    Reports, model cards, TensorBoard, sweeps and ``objective=`` show what `METRICS` has. An entry
    with `of_lists`, a function of hits and of numbers held out as `ndcg` is, is a ranking metric.
    """

    name: str
    label: str
    more_is_better: bool = False
    of_lists: Callable[[NDArray[np.bool_], Rows], Floats] | None = None

    @property
    def needs_held_out(self) -> bool:
        """Whether it tells of held-out ratings."""
        return self.name.startswith(("val_", "test_")) or self.of_lists is not None


METRICS = {
    metric.name: metric
    for metric in (
        Metric("train_rmse", "RMSE in stars, train"),
        Metric("val_rmse", "RMSE in stars, validation"),
        Metric("test_rmse", "RMSE in stars, test"),
        Metric("bias_only_rmse", "RMSE in stars, bias only"),
        Metric("val_mae", "MAE in stars, validation"),
        Metric("test_mae", "MAE in stars, test"),
        Metric("ndcg", f"nDCG@{K}", True, ndcg),
        Metric("recall", f"recall@{K} (hits / held out)", True, recall),
        Metric("train_seconds", "seconds of training"),
        Metric("ratings_per_second", "ratings per second", True),
    )
}
RANKING = [metric for metric in METRICS.values() if metric.of_lists]


def evaluate(
    lists: pd.DataFrame,
    held_out: pd.DataFrame,
    k: int = K,
    *,
    least: float | None = None,
    train: pd.DataFrame | None = None,
) -> dict[str, float]:
    """Measure any model's lists by what was held out.

    Parameters
    ----------
    lists
        A row an answer: user, movie, and rank, from 1, or score. Ids are of any type. Rows of users
        for whom nothing relevant was held out are left out.
    held_out
        A row a rating: user, movie and, if `least` is given, rating.
    k
        How many answers of each list count; one that has fewer misses the rest.
    least
        The rating from which a held-out movie is relevant; by default every one is.
    train
        The training ratings, user and movie, for ``coverage`` and ``novelty``.

    Returns
    -------
    dict
        Means over the users who have relevant movies, also those without a list: ``ndcg``;
        ``recall``, hits / relevant; ``precision``, hits / k; ``map``, the mean over the relevant
        movies of the precision where each stands; ``mrr``, 1 / rank of the first hit; ``hit_rate``.
        With `train`, over all answers to these users: ``coverage``, the share of the training
        movies that are in some list, and ``novelty``, the mean of -log2 of the share of the
        training users who rated the movie, one at least.

    Raises
    ------
    MovieEmbedError
        A column is missing, a movie is twice in a list, or nothing relevant was held out.
    """
    import pandas as pd

    _require_columns("lists", lists, "user", "movie")
    _require_columns("held_out", held_out, "user", "movie", *([] if least is None else ["rating"]))
    require(k >= 1, "k", k, "at least 1")
    by = "rank" if "rank" in lists else "score"
    _require_columns("lists", lists, by)
    if lists.duplicated(["user", "movie"]).any():
        twice = lists[lists.duplicated(["user", "movie"])].iloc[0]
        raise MovieEmbedError(f"movie {twice['movie']} is twice in the list of {twice['user']}")
    wanted = held_out if least is None else held_out[held_out["rating"] >= least]
    wanted = wanted[["user", "movie"]].drop_duplicates()
    users = pd.Index(wanted["user"].unique())
    if not len(users):
        raise MovieEmbedError("nothing relevant was held out")
    ordered = lists[lists["user"].isin(users)].sort_values(
        by, ascending=by == "rank", kind="stable"
    )
    places = ordered.groupby("user").cumcount().to_numpy()
    shown, places = ordered[places < k], places[places < k]
    pairs = shown[["user", "movie"]].merge(wanted, how="left", indicator=True)
    hits = np.zeros((len(users), k), np.bool_)
    hits[users.get_indexer(shown["user"]), places] = pairs["_merge"] == "both"
    relevant = np.bincount(users.get_indexer(wanted["user"]))
    found = {name: float(np.mean(of(hits, relevant))) for name, of in _OF_LISTS.items()}
    if train is not None:
        _require_columns("train", train, "user", "movie")
        rated = train[["user", "movie"]].drop_duplicates()["movie"].value_counts()
        counts = shown["movie"].map(rated).fillna(0).clip(lower=1)
        known = shown["movie"][shown["movie"].isin(rated.index)]
        found["coverage"] = known.nunique() / len(rated)
        found["novelty"] = float(-np.log2(counts / train["user"].nunique()).mean())
    return found


def _require_columns(name: str, frame: pd.DataFrame, *columns: str) -> None:
    for column in columns:
        if column not in frame:
            there = ", ".join(map(str, frame.columns))
            raise MovieEmbedError(f"{name} has no column {column}, but {there}")


def _average_precision(hits: NDArray[np.bool_], relevant: Rows) -> Floats:
    precisions = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    return np.asarray((precisions * hits).sum(axis=1) / relevant)


_OF_LISTS: dict[str, Callable[[NDArray[np.bool_], Rows], Floats]] = {
    "ndcg": ndcg,
    "recall": recall,
    "precision": lambda hits, _: hits.mean(axis=1),
    "map": _average_precision,
    "mrr": lambda hits, _: np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1), 0),
    "hit_rate": lambda hits, _: hits.max(axis=1).astype(np.float64),
}
