"""Scores of movies for people, from their ratings; users of the data are people too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from movie_embed.answers.lookup import Asked, Rows
from movie_embed.answers.ranking import estimates_drawn
from movie_embed.checks import choose
from movie_embed.embeddings.ease import Ease, match_scores, rating_values
from movie_embed.embeddings.fold_in import fold_in, predict_stars, rating_parts
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.embeddings.spaces import Space
from movie_embed.errors import MovieEmbedError

Order = Literal["match", "choice", "stars"]
Aggregate = Literal["average", "least"]
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class People:
    """One person or several, and their scores of the first movies of a space.

    Attributes
    ----------
    asked
        The ratings of each.
    saved
        The saved embeddings.
    of_ratings, space
        The space with all rated movies, and the one with the movies that may be answers.
    ease
        The implicit model, or None.
    aggregate
        How the scores of several people become one: ``"average"``, or ``"least"``, that of the
        person whom a movie suits least. None where each person has a list alone.
    """

    asked: Sequence[Asked]
    saved: SavedEmbeddings
    of_ratings: Space
    space: Space
    ease: Ease | None
    aggregate: Aggregate | None = "average"

    def __post_init__(self) -> None:
        if self.aggregate:
            choose("together", self.aggregate, get_args(Aggregate))

    @cached_property
    def rated(self) -> Rows:
        """The table rows that anybody has rated."""
        return np.concatenate([each.rows for each in self.asked])

    @cached_property
    def given(self) -> Floats:
        """The stars given for `rated`."""
        return np.concatenate([each.stars for each in self.asked])

    @cached_property
    def unrated(self) -> NDArray[np.bool_]:
        """Which movies nobody rated, or each person, shape (1 or people, movies)."""
        alone, size = self.aggregate is None, len(self.space.vectors)
        unrated = np.ones((len(self.asked) if alone else 1, size), np.bool_)
        for person, each in enumerate(self.asked):
            unrated[person if alone else 0, each.rows[each.rows < size]] = False
        return unrated

    def each(self, order: Order | None) -> Floats:
        """Return each person's scores, by which answers are ranked, shape (people, movies)."""
        order = order or ("match" if self.ease else "stars")
        choose("order", order, get_args(Order))
        if order == "stars":
            return predict_stars(self._likings, self.saved.rating_range)
        if self.ease is None:
            raise MovieEmbedError(
                f"order={order}: the run has no implicit model (ranking.enabled=false), only stars"
            )
        return self._matches if order == "match" else self._relative(self._choices)

    def scores(self, order: Order | None) -> Floats:
        """Return the scores of all together, shape (movies,)."""
        return self._joined(self.each(order))

    def stars(self, movies: Rows | slice) -> Floats:
        """Return predicted stars of some movies, shape (movies,)."""
        return self._joined(predict_stars(self._likings[:, movies], self.saved.rating_range))

    def match(self, movies: Rows) -> Floats | None:
        """Return the matches of some movies as shares of the best; None without the model."""
        return None if self.ease is None else np.clip(self._joined(self._matches[:, movies]), 0, 1)

    def shares(self, movies: Rows, order: Order | None) -> tuple[Rows, Floats, Floats]:
        """Return each rating's share of some movies' scores.

        Returned are the table rows that were rated and their stars, shape (ratings,), and the
        shares, shape (movies, ratings): of all positive parts of a movie's score, each rating's.
        """
        parts: list[Floats] = []
        mine: Floats
        for person, each in enumerate(self.asked):
            if self.ease is None or order == "stars":
                of = self.of_ratings
                mine, rest = rating_parts(
                    (of.vectors[each.rows], of.biases[each.rows], each.stars),
                    self.saved.rating_range,
                    self.saved.fold_in_ridge,
                    (self.fitted[person], self.saved.average_user.astype(np.float64)),
                    self.space.vectors[movies],
                )
            else:
                values = rating_values(each.stars, self.saved.rating_range)
                mine = self.ease.parts(each.rows, values, movies)
                rest = self._choices[person][movies] - mine.sum(axis=1)
            mine = np.maximum(mine, 0)
            parts.append(mine / (mine.sum(axis=1) + np.maximum(rest, 0) + 1e-9)[:, None])
        return self.rated, self.given, np.concatenate(parts, axis=1) / len(self.asked)

    @cached_property
    def fitted(self) -> Floats:
        """Vector, then bias, of each person, shape (people, dim + 1)."""
        saved, of = self.saved, self.of_ratings
        return np.stack(
            [
                fold_in(
                    of.vectors[each.rows],
                    of.biases[each.rows],
                    each.stars,
                    saved.rating_range,
                    saved.fold_in_ridge,
                    saved.average_user.astype(np.float64),
                )
                for each in self.asked
            ]
        )

    @cached_property
    def _likings(self) -> Floats:
        """Scores before the sigmoid, shape (people, movies)."""
        fitted = self.fitted.astype(np.float32)
        products = fitted[:, :-1] @ self.space.vectors.T + self.space.biases
        learned = self.space.learned
        if products.shape[1] > learned:
            for each in products:
                estimates_drawn(each, learned, each[:learned].mean())
        likings: Floats = products + fitted[:, -1:]
        return likings

    @cached_property
    def _choices(self) -> Floats:
        """How likely people choose movies, shape (people, movies)."""
        assert self.ease is not None
        sizes = [len(each.rows) for each in self.asked]
        people = np.repeat(np.arange(len(sizes)), sizes)
        values = rating_values(self.given, self.saved.rating_range)
        size = len(self.space.vectors)
        choices: Floats = self.ease.scores(people, self.rated, values, len(sizes), size)
        return choices

    @cached_property
    def _matches(self) -> Floats:
        """Each movie's match as a share of the person's best, shape (people, movies)."""
        return self._relative(match_scores(self._choices, predict_stars(self._likings, (0, 1))))

    def _relative(self, scores: Floats) -> Floats:
        """Return each person's scores as shares of the best among unrated movies."""
        tiny = np.finfo(np.float32).tiny
        best = scores.max(axis=1, where=self.unrated, initial=tiny, keepdims=True)
        return np.asarray(scores / best)

    def _joined(self, scores: Floats) -> Floats:
        if len(scores) == 1:
            return np.asarray(scores[0])
        return np.asarray(
            scores.mean(axis=0) if self.aggregate == "average" else scores.min(axis=0)
        )
