"""The implicit model: which movies a person would choose, from who rated what.

EASE (Steck 2019, arXiv 1905.03375) predicts every column of the matrix of ratings from all others
by one ridge regression in closed form. `training/implicit.py` fits it; `docs/ranking.md` has the
measurements behind each number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.integer[Any]]

# The value of a rating by its place on the scale: even a movie rated in the middle was chosen, and
# the lowest ratings push similar movies away. Of these and the next two lines, half or double
# of a number changes nDCG@10 of ML-100K by 0.001 at most, on a tenth of the ratings held out (seed
# 10); other values of ratings cost up to 0.01 there.
_PLACES, _VALUES = (0.0, 0.25, 1.0), (-0.3, 0.5, 1.2)
_PRIOR, _PRIOR_RATINGS = 0.08, 20
_COLDER, _COLDER_AT_FIRST, _FIRST_RATINGS = 0.25, 1.25, 10
_SPREADS = 4  # standard deviations of partial correlations at which one counts as strong
# How much of the model for few ratings is added, by number of ratings, and how alike (the mean of
# their similarities) ratings are that name a series and are left to the other model. By nDCG@10 of
# new people after 1, 5, 20 and 80% of their ratings, and by sequels found, on ML-1M, ML-100K and
# pooled (seed 10).
_FEW, _FEW_RATINGS, _FEW_AT_MOST, _ALIKE = 0.5, 10, 100, 0.3


class _Single:
    """Rows in half precision, in single precision once used: NumPy's half is ten times slower."""

    def __init__(self, half: NDArray[np.float16]) -> None:
        self.half, self.single = half, np.empty(half.shape, np.float32)
        self.ready = np.zeros(len(half), np.bool_)

    def __call__(self, rows: Rows | slice) -> NDArray[np.float32]:
        """Return the whole table, in which these rows can be read."""
        new = np.arange(len(self.half))[rows][~self.ready[rows]]
        if len(new):
            self.single[new] = self.half[new]
            self.ready[new] = True  # after the numbers, as another thread may read them at once
        return self.single


@dataclass(frozen=True)
class Ease:
    """Weights between the most rated movies, and from these to all others.

    EASE's weight of a rated movie i for a movie j is ``partial[i, j] * scales[i] / scales[j]``:
    stored as partial correlations, the weights are symmetric and serve as similarities too.

    Attributes
    ----------
    rows
        The table rows of the core, the most rated movies, ascending, int32, shape (items,).
    partial
        Partial correlations between them, 0 on the diagonal, float16, shape (items, items).
    scales
        float32, shape (items,).
    means
        The mean value of a rating over all users, who mostly have none: the popularity of every
        movie of the table, float32, shape (movies,).
    few_rows, few_weights, few_offsets
        The model for people with few ratings: its table rows, ascending, int32, weights of rated
        movies (rows) for others (columns), float16, and what is added to each score, float32.
    rest_rows, rest_items, rest_partial, rest_scales
        The rated movies beyond the core, ascending, int32, shape (rest,); the items that each is
        predicted from, and the partial correlations, float16, both of shape (rest, nearest).
    """

    rows: NDArray[np.int32]
    partial: NDArray[np.float16]
    scales: NDArray[np.float32]
    means: NDArray[np.float32]
    few_rows: NDArray[np.int32] | None = None
    few_weights: NDArray[np.float16] | None = None
    few_offsets: NDArray[np.float32] | None = None
    rest_rows: NDArray[np.int32] | None = None
    rest_items: NDArray[np.unsignedinteger[Any]] | None = None
    rest_partial: NDArray[np.float16] | None = None
    rest_scales: NDArray[np.float32] | None = None

    def scores(
        self, people: Rows, rated: Rows, values: Floats, count: int, size: int
    ) -> NDArray[np.float32]:
        """Return how likely people choose the first movies of the table, shape (count, size).

        Each rating has a person, from 0, the table row of its movie, and its value, as
        `rating_values` returns it. A score is the sum of the `parts` of a person's ratings, and of
        the movie's popularity, which counts less the more ratings there are.
        """
        ratings = np.bincount(people, minlength=count)
        means = self.means[:size]
        scores = np.zeros((count, size), np.float32)  # movies may have joined the table since
        prior = _PRIOR * _PRIOR_RATINGS / (_PRIOR_RATINGS + ratings)
        scores[:, : len(means)] = means * prior[:, None]
        items = _places(self.rows, rated)
        known = items >= 0
        who, items, values_known = people[known], items[known], values[known]
        weighed = values_known * self.scales[items]
        sums = _sums(self._wide, who, items, weighed, count) * self._gain(self.scales, ratings)
        within = self.rows < size
        scores[:, self.rows[within]] += sums[:, within]
        self._add_rest(scores, who, items, weighed, ratings)
        shares = self._few_shares(who, items, ratings)
        if self.few_rows is not None and self.few_offsets is not None and shares.any():
            some = _places(self.few_rows, rated)
            mine = (some >= 0) & (shares[people] > 0)
            few = _sums(self._few, people[mine], some[mine], values[mine], count)
            few += self.few_offsets
            few *= shares[:, None]
            within = self.few_rows < size
            scores[:, self.few_rows[within]] += few[:, within]
        return scores

    def parts(self, rated: Rows, values: Floats, movies: Rows) -> NDArray[np.float32]:
        """Return the part of each rating in the scores of some movies, shape (movies, ratings)."""
        parts = np.zeros((len(movies), len(rated)), np.float32)
        ratings, of = np.array([len(rated)]), _places(self.rows, rated)
        known = np.flatnonzero(of >= 0)
        of = of[known]
        place_of = np.full(len(self.rows), -1)
        place_of[of] = known
        gains = self._gain(self.scales, ratings)[0]
        to = _places(self.rows, movies)
        core = np.flatnonzero(to >= 0)
        between = self._wide(of)[np.ix_(of, to[core])].T * self.scales[of]
        parts[np.ix_(core, known)] = between * gains[to[core], None]
        if self.rest_rows is not None:
            assert self.rest_items is not None
            assert self.rest_partial is not None
            assert self.rest_scales is not None
            of_rest = _places(self.rest_rows, movies)
            gains = self._gain(self.rest_scales, ratings)[0]
            for movie in np.flatnonzero(of_rest >= 0):
                row = of_rest[movie]
                items = self.rest_items[row]
                near = place_of[items] >= 0
                weights = self.rest_partial[row, near] * self.scales[items[near]] * gains[row]
                parts[movie, place_of[items[near]]] = weights
        if self.few_rows is not None:
            share = self._few_shares(np.zeros(len(of), np.intp), of, ratings)[0]
            of, to = _places(self.few_rows, rated), _places(self.few_rows, movies)
            some, few = np.flatnonzero(of >= 0), np.flatnonzero(to >= 0)
            between = self._few(of[some])[np.ix_(of[some], to[few])]
            parts[np.ix_(few, some)] += share * between.T
        return np.asarray(parts * values.astype(np.float32))

    def similarities(self, movie: int, size: int) -> NDArray[np.float32]:
        """Return how much more often than by chance the same people rated a movie and others.

        Partial correlations, of which all but the greatest are small, spread over -1 to 1: 1 for
        the movie itself, 0 where one is not in the core; shape (size,).
        """
        similarities = np.zeros(size, np.float32)
        item = _places(self.rows, np.array([movie]))
        if item[0] >= 0:
            within = self.rows < size
            similarities[self.rows[within]] = self._alike(item)[0, within]
            similarities[movie] = 1
        return similarities

    def _gain(self, scales: Floats, ratings: Rows) -> NDArray[np.float32]:
        """Return the factor of each movie's sum for people with so many ratings.

        EASE divides by the scale: it predicts a probability, which the most popular movies lead. A
        power of the scale gives some of this back to less rated movies, which ranks better. After
        few ratings much is given back, as whoever rates two movies of a series wants the third.
        """
        power = _COLDER + _COLDER_AT_FIRST * _FIRST_RATINGS / (_FIRST_RATINGS + ratings[:, None])
        # Exponentials are ten times faster than powers in double precision.
        gain = np.exp(power.astype(np.float32) * np.log(scales / self._median)) / scales
        return np.asarray(gain, np.float32)

    def _few_shares(self, people: Rows, items: Rows, ratings: Rows) -> NDArray[np.float32]:
        """Return how much each person gets of the model for few ratings, shape (people,)."""
        shares = _FEW / (1 + (ratings / _FEW_RATINGS) ** 2)
        shares[(ratings < 1) | (ratings > _FEW_AT_MOST)] = 0
        order = np.argsort(people, kind="stable")
        ends = np.cumsum(np.bincount(people, minlength=len(ratings)))
        for person in np.flatnonzero((shares > 0) & (np.diff(ends, prepend=0) > 1)):
            mine = items[order[ends[person - 1] if person else 0 : ends[person]]]
            alike = self._alike(mine, mine).sum() / (len(mine) * (len(mine) - 1))
            shares[person] *= 1 - min(max(alike / _ALIKE, 0), 1)
        return shares.astype(np.float32)

    def _alike(self, items: Rows, others: Rows | slice = slice(None)) -> NDArray[np.float32]:
        table = self._wide(items)
        chosen = table[items] if isinstance(others, slice) else table[np.ix_(items, others)]
        alike: NDArray[np.float32] = np.tanh(chosen / (_SPREADS * self._spread))
        return alike

    def _add_rest(
        self, scores: Floats, people: Rows, items: Rows, weighed: Floats, ratings: Rows
    ) -> None:
        """Add the sums of the movies beyond the core that are asked for."""
        if self.rest_rows is None or self.rest_scales is None:
            return
        asked = int(np.searchsorted(self.rest_rows, scores.shape[1]))
        if not asked:
            return
        if asked not in self._by_item:
            self._by_item[asked] = self._rest_by_item(asked)
        starts, movies, partial = self._by_item[asked]
        counts = starts[items + 1] - starts[items]
        each = np.repeat(starts[items] - np.cumsum(counts) + counts, counts)
        each += np.arange(len(each))
        cells = np.repeat(people, counts) * asked + movies[each]
        sums = np.bincount(cells, partial[each] * np.repeat(weighed, counts), len(scores) * asked)
        gained = sums.reshape(-1, asked) * self._gain(self.rest_scales[:asked], ratings)
        scores[:, self.rest_rows[:asked]] += gained.astype(np.float32)

    def _rest_by_item(self, asked: int) -> tuple[Rows, Rows, NDArray[np.float32]]:
        """Return the weights of so many of the rest by their item: starts, movies, weights."""
        assert self.rest_items is not None
        assert self.rest_partial is not None
        items = self.rest_items[:asked].ravel()
        order = np.argsort(items, kind="stable")
        starts = np.append(0, np.cumsum(np.bincount(items, minlength=len(self.rows))))
        movies = (order // self.rest_items.shape[1]).astype(np.int32)
        return starts, movies, self.rest_partial[:asked].ravel()[order].astype(np.float32)

    @cached_property
    def _by_item(self) -> dict[int, tuple[Rows, Rows, NDArray[np.float32]]]:
        """What `_rest_by_item` returned: for the learned movies, and for all."""
        return {}

    @cached_property
    def _median(self) -> np.float32:
        return np.float32(np.median(self.scales))

    @cached_property
    def _spread(self) -> float:
        """The standard deviation of partial correlations, of some 256 movies with all others."""
        some = slice(None, None, max(len(self.partial) // 256, 1))
        return max(float(self._wide(some)[some].std()), 1e-6)

    @cached_property
    def _wide(self) -> _Single:
        return _Single(self.partial)

    @cached_property
    def _few(self) -> _Single:
        assert self.few_weights is not None
        return _Single(self.few_weights)


def _places(rows: NDArray[np.int32], wanted: Rows) -> NDArray[np.intp]:
    """Return where table rows are among ascending ones, -1 for a row that is not there."""
    places = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    return np.where(rows[places] == wanted, places, -1)


def _sums(
    table: _Single, people: Rows, items: Rows, weights: Floats, count: int
) -> NDArray[np.float32]:
    """Return each person's sum of the rows of a table times weights."""
    used, places = np.unique(items, return_inverse=True)
    dense = np.zeros((count, len(used)), np.float32)
    dense[people, places] = weights
    sums: NDArray[np.float32] = dense @ table(used)[used]
    return sums


def rating_values(stars: Floats, rating_range: tuple[float, float]) -> NDArray[np.float32]:
    """Return the values of ratings as choices, -0.3 to 1.2, in the shape of the stars."""
    low, high = rating_range
    places = (np.asarray(stars, np.float32) - low) / (high - low)
    return np.asarray(np.interp(places, _PLACES, _VALUES), np.float32)


def match_scores(choice: Floats, likings: Floats) -> NDArray[np.float32]:
    """Return how well movies match a person: choice times the square root of liking.

    Likings are predicted stars as a share of the scale, 0 to 1, in the shape of the choices.
    """
    # A negative choice times a low liking would rank above one times a high liking.
    matches: NDArray[np.float32] = np.where(choice > 0, choice * np.sqrt(likings), choice)
    return matches
