"""The second head: which movies a person would choose, from implicit feedback.

EASE (Steck 2019, arXiv 1905.03375) predicts every column of the matrix of ratings from all others
by one ridge regression in closed form. `docs/ranking.md` has the measurements behind each number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Rows = NDArray[np.integer[Any]]
Ratings = tuple[Rows, Rows, Floats]  # users, table rows and stars, each of shape (ratings,)

# The value of a rating by its place on the scale: even a movie rated in the middle was chosen, and
# the lowest ratings push similar movies away.
_PLACES, _VALUES = (0.0, 0.25, 1.0), (-0.3, 0.5, 1.2)
_DROPOUT = 0.2  # as if a fifth of the ratings were hidden at random (Steck 2020, EDLAE)
_PRIOR, _PRIOR_RATINGS = 0.08, 20
_RARER, _RARER_AT_FIRST, _FIRST_RATINGS = 0.25, 1.25, 10
_SPREADS = 4  # standard deviations of partial correlations at which one counts as strong
_BLOCK = 2**23  # numbers of a dense block of users


@dataclass(frozen=True)
class Ease:
    """Item-item weights between the most rated movies.

    EASE's weight of a rated movie i for a movie j is ``partial[i, j] * scales[i] / scales[j]``:
    stored as partial correlations, the weights are symmetric and serve as similarities too.

    Attributes
    ----------
    rows
        The table rows of the items, ascending, int32, shape (items,).
    partial
        Partial correlations between movies, 0 on the diagonal, float16, shape (items, items).
        Dense: keeping the 200 greatest of each movie costs 3% of nDCG.
    scales
        float32, shape (items,).
    means
        The mean value of a rating over all users, who mostly have none: the popularity of every
        movie of the table, float32, shape (movies,).
    """

    rows: NDArray[np.int32]
    partial: NDArray[np.float16]
    scales: NDArray[np.float32]
    means: NDArray[np.float32]

    def scores(
        self, people: Rows, rated: Rows, values: Floats, count: int, size: int
    ) -> NDArray[np.float32]:
        """Return how likely people choose the first movies of the table.

        Parameters
        ----------
        people, rated, values
            Of each rating: whose it is, from 0, the table row of its movie, and its value, as
            `rating_values` returns it; shape (ratings,).
        count, size
            How many people and movies.

        Returns
        -------
        array
            About 0 to 1, shape (count, size): the sum of the `parts` of a person's ratings, and
            the movie's popularity, which counts less the more ratings there are.
        """
        ratings = np.bincount(people, minlength=count)[:, None]
        means = self.means[:size]
        scores = np.zeros((count, size), np.float32)  # movies may have joined the table since
        scores[:, : len(means)] = means * (_PRIOR * _PRIOR_RATINGS / (_PRIOR_RATINGS + ratings))
        items = self._items_of(rated)
        known = items >= 0
        used, places = np.unique(items[known], return_inverse=True)
        weights = np.zeros((count, len(used)), np.float32)
        weights[people[known], places] = values[known] * self.scales[items[known]]
        within = self.rows < size
        sums = weights @ self._wide[used]
        sums *= self._per_movie(ratings)
        scores[:, self.rows[within]] += sums[:, within]
        return scores

    def parts(self, rated: Rows, values: Floats, movies: Rows) -> NDArray[np.float32]:
        """Return the part of each rating in the scores of some movies, shape (movies, ratings)."""
        parts = np.zeros((len(movies), len(rated)), np.float32)
        to, of = self._items_of(movies), self._items_of(rated)
        known = np.ix_(to >= 0, of >= 0)
        to, of = to[to >= 0], of[of >= 0]
        between = self._wide[np.ix_(to, of)] * self.scales[of]
        per_movie = self._per_movie(np.array([[len(rated)]]))[0, to]
        parts[known] = between * per_movie[:, None]
        return np.asarray(parts * values.astype(np.float32))

    def similarities(self, movie: int, size: int) -> NDArray[np.float32]:
        """Return how much more often than by chance the same people rated a movie and others.

        Partial correlations, of which all but the greatest are small, spread over -1 to 1: 1 for
        the movie itself, 0 where one is no item; shape (size,).
        """
        similarities = np.zeros(size, np.float32)
        (item,) = self._items_of(np.array([movie]))
        if item >= 0:
            within = self.rows < size
            alike = np.tanh(self._wide[item] / (_SPREADS * self._spread))
            similarities[self.rows[within]] = alike[within]
            similarities[movie] = 1
        return similarities

    def _per_movie(self, ratings: Rows) -> NDArray[np.float32]:
        """Return the factor of each item's sum, shape (people, items).

        EASE divides by the scale: it predicts a probability, which the most popular movies lead.
        A power of the scale gives some of this back to rarer movies, which ranks better; much of
        it while there are few ratings, since who rates two movies of a series wants the third.
        """
        power = _RARER + _RARER_AT_FIRST * _FIRST_RATINGS / (_FIRST_RATINGS + ratings)
        per_movie: NDArray[np.float32] = (self._relative**power / self.scales).astype(np.float32)
        return per_movie

    @cached_property
    def _relative(self) -> NDArray[np.float32]:
        return self.scales / np.median(self.scales)

    @cached_property
    def _spread(self) -> float:
        """The standard deviation of partial correlations, of some 256 movies with all others."""
        some = self._wide[:: max(len(self.partial) // 256, 1)]
        return max(float(some.std()), 1e-6)

    @cached_property
    def _wide(self) -> NDArray[np.float32]:
        """The correlations in single precision: NumPy multiplies half precision very slowly."""
        return self.partial.astype(np.float32)

    def _items_of(self, rows: Rows) -> NDArray[np.intp]:
        """Return the item of each table row, -1 for a movie that is no item."""
        places = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return np.where(self.rows[places] == rows, places, -1)


def rating_values(stars: Floats, rating_range: tuple[float, float]) -> NDArray[np.float32]:
    """Return the values of ratings as choices, -0.3 to 1.2, in the shape of the stars."""
    low, high = rating_range
    places = (np.asarray(stars, np.float32) - low) / (high - low)
    return np.asarray(np.interp(places, _PLACES, _VALUES), np.float32)


def match_scores(choice: Floats, likings: Floats) -> NDArray[np.float32]:
    """Return how well movies match a person: choice times the square root of liking.

    Parameters
    ----------
    choice
        As `Ease.scores` returns it.
    likings
        Predicted stars as a share of the scale, 0 to 1, in the same shape.
    """
    # A negative choice times a low liking would rank above one times a high liking.
    matches: NDArray[np.float32] = np.where(choice > 0, choice * np.sqrt(likings), choice)
    return matches


def add_products(gram: Floats, users: Rows, items: Rows, values: Floats) -> None:
    """Add to a matrix of items by items the products of the values of each user's ratings."""
    first = users.min()
    dense = np.zeros((users.max() - first + 1, len(gram)), np.float32)
    dense[users - first, items] = values
    gram += dense.T @ dense  # of an array with itself: BLAS does half of the work


def fit_ease(
    blocks: Callable[[int], Iterable[Ratings]],
    users: int,
    counts: Rows,
    embedded: int,
    rating_range: tuple[float, float],
    l2: float,
    most: int,
    add: Callable[[Floats, Rows, Rows, Floats], None] = add_products,
) -> Ease:
    """Fit the weights: the inverse of one matrix of movies by movies.

    Parameters
    ----------
    blocks
        Takes a number of users, and yields the ratings of as many users at a time, and of no user
        twice. Stars may be of any movie of the table.
    users
        How many there are.
    counts
        Ratings of each movie of the table, shape (movies,).
    embedded
        How many movies, from the first, may be answers.
    rating_range
        The lowest and highest star of the scale.
    l2
        L2 strength, in ratings.
    most
        How many movies the matrix may have, the most rated: 4,000 take 0.4 GB and some seconds.
    add
        Does what `add_products` does; below the diagonal it may add nothing.
    """
    rows = np.sort(np.argsort(-counts[:embedded], kind="stable")[:most])
    item_of = np.full(len(counts), -1, np.intp)
    item_of[rows] = np.arange(len(rows))
    sums, gram = np.zeros(len(counts)), np.zeros((len(rows), len(rows)))
    for who, movies, stars in blocks(max(_BLOCK // len(rows), 1)):
        values = rating_values(stars, rating_range)
        sums += np.bincount(movies, values, len(counts))
        items = item_of[movies]
        chosen = np.flatnonzero(items >= 0)
        if len(chosen):
            add(gram, who[chosen], items[chosen], values[chosen])
    gram = np.triu(gram)
    gram += np.triu(gram, 1).T
    gram[np.diag_indices_from(gram)] *= 1 + _DROPOUT / (1 - _DROPOUT)
    gram[np.diag_indices_from(gram)] += l2
    inverse = np.linalg.inv(gram)
    scales = np.sqrt(np.diag(inverse))
    partial = -inverse / scales / scales[:, None]
    np.fill_diagonal(partial, 0)
    return Ease(
        rows.astype(np.int32),
        partial.astype(np.float16),
        scales.astype(np.float32),
        (sums / users).astype(np.float32),
    )
