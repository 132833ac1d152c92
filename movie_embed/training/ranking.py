"""The second head's fit to implicit feedback, and the ranking metrics of both heads."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from movie_embed.config import RankingConfig
from movie_embed.data.packing import Packed, bit_width
from movie_embed.embeddings.ease import (
    Ease,
    add_products,
    fit_ease,
    match_scores,
    rating_values,
)
from movie_embed.embeddings.fold_in import predict_stars
from movie_embed.embeddings.saved import SavedEmbeddings, UserEmbeddings
from movie_embed.evaluation import RANKING, K, MovieLists, evaluate_ranking, relevant_stars
from movie_embed.storage import drop_pages
from movie_embed.training.datamodule import RatingsDataModule
from movie_embed.training.scores import compiled, is_compiled, prange, run

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.integer[Any]]
Ratings = tuple[Rows, Rows, NDArray[np.float32]]

_RANKED_USERS = 10_000
_LISTS = ("", "popularity_")  # before the names of ranking metrics
_PARTS = 8  # of the matrix, for as many threads at most


def fit_head(
    data: RatingsDataModule,
    saved: SavedEmbeddings,
    row_of: Rows,
    config: RankingConfig,
    held_out: Packed,
) -> Ease | None:
    """Fit the second head to the ratings without those held out; None where it is switched off.

    `row_of` gives the saved table's row of each movie of the triples, shape (movies,). `held_out`
    is sorted.
    """
    if not config.enabled:
        return None
    return fit_ease(
        partial(_by_users, data, row_of, held_out),
        data.triples.counts.users,
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
    users_of, movies, stars = data.triples.unpack(data.val)
    rows = row_of[movies]
    liked = stars >= relevant_stars(saved.rating_range)
    asked = np.unique(users_of[liked])
    asked = asked[:: max(-(-len(asked) // _RANKED_USERS), 1)]
    if not len(asked):
        return {prefix + metric.name: None for prefix in _LISTS for metric in RANKING}
    mine = liked & np.isin(users_of, asked)
    wanted = MovieLists.of(users_of[mine], rows[mine], len(users.ids))
    known, values = _known(data, saved, row_of, asked)
    counts = saved.movies.rating_counts[: data.triples.counts.movies]

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


def _by_users(
    data: RatingsDataModule, row_of: Rows, held_out: Packed, step: int
) -> Iterator[Ratings]:
    """Yield the ratings of `step` users at a time, movies as rows of the saved table.

    Training ratings lie in random order. All ratings are sorted by user, and so are those held out:
    taking these away gives the training ratings by user without a sort.
    """
    triples, packed = data.triples, data.triples.packed
    shift = bit_width(triples.counts.movies) + bit_width(len(triples.levels))
    for first in range(0, triples.counts.users, step):
        last = min(first + step, triples.counts.users) - 1
        ends = np.array([first << shift, ((last + 1) << shift) - 1], packed.dtype)
        part = packed[np.searchsorted(packed, ends[0]) : np.searchsorted(packed, ends[1], "right")]
        out = held_out[
            np.searchsorted(held_out, ends[0]) : np.searchsorted(held_out, ends[1], "right")
        ]
        users, movies, stars = triples.unpack(np.delete(part, np.searchsorted(part, out)))
        yield users, row_of[movies], stars
        drop_pages(packed)


def _known(
    data: RatingsDataModule, saved: SavedEmbeddings, row_of: Rows, asked: Rows
) -> tuple[MovieLists, NDArray[np.float32]]:
    """Return the training ratings of some users, and their values as choices."""
    is_asked = np.zeros(data.triples.counts.users, np.bool_)
    is_asked[asked] = True
    parts: list[Ratings] = []
    for users, rows, stars in _by_users(data, row_of, data.val, 2**14):
        mine = is_asked[users]
        parts.append((users[mine], rows[mine], stars[mine]))
    users, rows, stars = (np.concatenate(column) for column in zip(*parts, strict=True))
    lists = MovieLists.of(users, rows, len(is_asked))  # sorted by user already: the order stays
    return lists, rating_values(stars, saved.rating_range)
