"""Which ratings are for training, for validation and for testing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from movie_embed.data.ratings import DataSet, Ratings, smallest
from movie_embed.errors import MovieEmbedError, plural

TRAIN, VAL, TEST, UNUSED = range(4)  # of cold movies, for example
NAMES = ("train", "val", "test")

Parts = NDArray[np.uint8]


def split(
    data: DataSet, val_fraction: float, seed: int, test_fraction: float = 0, how: str = "random"
) -> Parts:
    """Return the part of each rating; only those of trained movies are held out.

    ``random`` is a draw for each rating. ``user`` takes the fractions of each user's ratings, drawn
    at random, and ``last`` each user's latest, both rounded down. ``time`` takes the latest of all.
    """
    rng, ratings = np.random.default_rng([seed, 0]), data.ratings
    parts = np.full(len(ratings), UNUSED, np.uint8)
    # A draw below the share of validation is held out for it, one above it for testing.
    ends = np.array([val_fraction, val_fraction + test_fraction], np.float32)
    if how == "random":
        for block in ratings.slices():
            trained = ratings.movies[block] < data.movies.embedded
            draws = rng.random(int(trained.sum()), dtype=np.float32)
            parts[block][trained] = _PARTS[np.searchsorted(ends, draws, side="right")]
        return parts
    rows = np.flatnonzero(data.trained)
    users = ratings.users(slice(0, len(ratings)))[rows]
    late = rng.random(len(rows)) if how == "user" else _times(ratings)[rows]
    groups = np.zeros_like(users) if how == "time" else users
    order = np.lexsort((late, groups))
    sizes = np.bincount(groups)
    to_come = np.empty(len(order), np.int64)  # ratings of the group from this one on
    to_come[order] = np.cumsum(sizes)[groups[order]] - np.arange(len(order))
    test, both = (np.floor(sizes * share + 1e-9)[groups] for share in (test_fraction, ends[1]))
    parts[rows] = np.where(to_come <= test, TEST, np.where(to_come <= both, VAL, TRAIN))
    return parts


_PARTS = np.array([VAL, TEST, TRAIN], np.uint8)


def _times(ratings: Ratings) -> NDArray[np.float64]:
    if ratings.times is None or not (finite := np.isfinite(ratings.times)).all():
        missing = len(ratings) if ratings.times is None else int(np.count_nonzero(~finite))
        raise MovieEmbedError(
            f"data.split=time and last need times, and {plural(missing, 'rating')} of "
            f"{len(ratings):,} have none; data.columns.timestamp=NAME names their column"
        )
    return ratings.times


def with_held_out(
    data: DataSet, parts: Parts, held_out: Mapping[int, tuple[Ratings, NDArray[np.generic]]]
) -> tuple[DataSet, Parts]:
    """Return a data set with ratings of other tables, and with their parts.

    `held_out` has ratings and the ids of their movies by part. Ratings of users or movies that are
    not trained are left out, and one that is in several parts is taken as held out; `notes` say so.
    """
    columns = [(*data.ratings.columns(), parts)]
    notes: list[str] = []
    user_index = pd.Index(data.ratings.user_ids)
    movie_index = pd.Index(data.movies.ids[: data.movies.embedded])
    for part, (ratings, movie_ids) in held_out.items():
        who, what, rated = ratings.columns()
        who = user_index.get_indexer(ratings.user_ids)[who]
        what = movie_index.get_indexer(movie_ids)[what]
        known = (who >= 0) & (what >= 0)
        told = f"{plural(len(known) - int(known.sum()), 'rating')} for {NAMES[part]}"
        if not known.any():
            raise MovieEmbedError(
                f"data.{NAMES[part]}_path: no rating is of a user and a movie that are trained"
            )
        if not known.all():
            notes.append(f"{told} left out: their user or movie has no rating for training")
        held = np.full(int(known.sum()), part, np.uint8)
        columns.append((who[known], what[known], rated[known], held))
    users, movies, stars, belongs = (np.concatenate(each) for each in zip(*columns, strict=True))
    order = np.lexsort((belongs, movies, users))
    last = np.append(np.diff(users[order].astype(np.int64) * len(data.movies) + movies[order]), 1)
    if twice := int(np.count_nonzero(last == 0)):
        notes.append(f"{plural(twice, 'rating')} of two parts: not trained on")
    order = order[last != 0]
    levels, values = np.unique(stars, return_inverse=True)
    merged = replace(
        data.ratings,
        starts=np.append(0, np.cumsum(np.bincount(users[order], minlength=len(user_index)))),
        movies=movies[order].astype(data.ratings.movies.dtype),
        values=values[order].astype(smallest(len(levels))),
        levels=levels,
    )
    data = replace(data, ratings=merged, notes=(*data.notes, *notes))
    return data, belongs[order]
