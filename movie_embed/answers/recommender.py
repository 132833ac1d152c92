"""Embeddings to answers: movies like others, for a user of the data, or for somebody new."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from movie_embed.answers.filters import Catalogue, Filters
from movie_embed.answers.lookup import Asked, Lookup, Movie, Rows
from movie_embed.answers.ranking import best_rows, diverse_rows
from movie_embed.answers.results import (
    MovieVector,
    Reason,
    Recommendation,
    Recommendations,
    SimilarUser,
)
from movie_embed.data.movies import split_genres, split_year
from movie_embed.embeddings.content import with_movie
from movie_embed.embeddings.fold_in import fold_in, predict_stars
from movie_embed.embeddings.saved import LATEST, SavedEmbeddings
from movie_embed.embeddings.spaces import Space, Spaces, Vectors, unit
from movie_embed.errors import MovieEmbedError

Metric = Literal["cosine", "whitened", "dot"]
Combine = Literal["mean", "max"]

_ANY = Filters()
_LABELS = {"cosine": "similarity", "whitened": "similarity", "dot": "dot_product"}


class Recommender:
    """Answer from saved embeddings.

    Wherever a movie is asked for, an integer is a MovieLens id and a string a title, as
    `TitleSearch.row` reads it.

    Parameters
    ----------
    embeddings
        What a training run saved.
    run
        The run folder, from which users and vectors from content are read when a question first
        needs them; not needed where `embeddings` holds them.
    """

    def __init__(self, embeddings: SavedEmbeddings, run: Path | None = None) -> None:
        self.embeddings = embeddings
        self._spaces = Spaces(embeddings, run)
        self._lookup = Lookup(embeddings)
        self._catalogue = Catalogue(embeddings.movies)

    @classmethod
    def load(cls, run: str | Path = LATEST) -> Recommender:
        """Load a run.

        Parameters
        ----------
        run
            A run folder, or a file that names one; by default the newest finished run.

        Raises
        ------
        MovieEmbedError
            There is no such run, or its file is damaged.
        """
        return cls(SavedEmbeddings.load(Path(run)), Path(run))

    def similar(
        self,
        movies: Movie | Sequence[Movie],
        k: int = 10,
        combine: Combine = "mean",
        *,
        metric: Metric = "cosine",
        weights: Sequence[float] | None = None,
        not_like: Movie | Sequence[Movie] = (),
        filters: Filters = _ANY,
        diversity: float = 0.0,
        explain: bool = False,
    ) -> Recommendations:
        """Return the movies most similar to one movie, or to several together.

        Parameters
        ----------
        movies
            One id or title or several; these are never among the answers.
        k
            How many answers, at most as many as there are other movies that pass the filters.
        combine
            ``"mean"``: score against the mean of the query vectors. ``"max"``: against the nearest
            query vector.
        metric
            ``"cosine"``: between normalised vectors, -1 to 1. ``"whitened"``: a cosine too, in
            which no few directions drown the others; see `half_whitened`. ``"dot"``: of the
            vectors as trained, unbounded, in which movies with long vectors gain.
        weights
            How much each query movie counts in the mean, above 0; by default all the same.
        not_like
            Movies to keep away from, never among the answers. With ``"mean"`` half of their mean
            is taken from the query; with ``"max"`` a movie nearer to one of them than to any
            query movie is left out.
        filters
            Which movies may be answers.
        diversity
            From 0, the most similar, to 1, as unlike each other as possible; see `diverse_rows`.
        explain
            Whether each answer says which query movie it is nearest to.

        Raises
        ------
        MovieEmbedError
            A movie is unknown, liked and disliked at once, or the weights do not fit.
        """
        liked, disliked = self._lookup.rows(movies), self._lookup.rows(not_like)
        if not liked:
            raise MovieEmbedError("name at least one movie")
        for row in set(liked) & set(disliked):
            raise MovieEmbedError(f"{self._lookup.name(row)} is both liked and disliked")
        space = self._space([*liked, *disliked], filters)
        allowed = self._allowed([*liked, *disliked], filters)
        unit_table = space.whitened if metric == "whitened" else space.unit
        table = space.vectors if metric == "dot" else unit_table
        if combine == "mean":
            query = _mean_query(table[liked], table[disliked], _checked(weights, len(liked)))
            scores = table[: len(allowed)] @ (query if metric == "dot" else unit(query))
        else:
            if weights is not None:
                raise MovieEmbedError("weights need combine=mean")
            scores = _greatest(table[: len(allowed)], table[liked])
            allowed &= scores >= _greatest(table[: len(allowed)], table[disliked])
        rows = diverse_rows(scores, allowed, k, unit_table, diversity)
        asked = Asked(np.array(liked)) if explain else None
        return self._answers(rows, _LABELS[metric], scores[rows], asked)

    def similar_each(
        self, movies: Sequence[Movie], k: int = 10, **settings: Any
    ) -> list[Recommendations]:
        """Return `similar` for each movie alone, in their order; it takes the same settings."""
        return [self.similar(movie, k, **settings) for movie in movies]

    def for_user(
        self,
        user_id: int,
        k: int = 10,
        *,
        filters: Filters = _ANY,
        diversity: float = 0.0,
        explain: bool = False,
    ) -> Recommendations:
        """Return the movies with the highest predicted stars that a user has not rated.

        Parameters
        ----------
        user_id
            A user of the training data.
        k, filters, diversity, explain
            As in `similar`; an answer is explained by a movie that the user rated.

        Raises
        ------
        MovieEmbedError
            The user is unknown, or the run saved no users.
        """
        users, user = self._spaces.users, self._user(user_id)
        fitted = np.append(users.vectors[user], users.biases[user])
        asked = Asked(*users.ratings_of(user))
        return self._for_taste(fitted, asked, k, filters, diversity, explain)

    def for_users(
        self, user_ids: Sequence[int], k: int = 10, **settings: Any
    ) -> list[Recommendations]:
        """Return `for_user` for each user, in their order; it takes the same settings."""
        return [self.for_user(user_id, k, **settings) for user_id in user_ids]

    def for_ratings(
        self,
        ratings: Mapping[Movie, float],
        k: int = 10,
        *,
        filters: Filters = _ANY,
        diversity: float = 0.0,
        explain: bool = False,
    ) -> Recommendations:
        """Return the movies with the highest predicted stars for somebody new.

        Parameters
        ----------
        ratings
            Stars by movie, within the rating scale.
        k, filters, diversity, explain
            As in `similar`; an answer is explained by a movie that was rated.

        Raises
        ------
        MovieEmbedError
            There are no ratings, a movie is unknown or rated twice, or stars are off the scale.
        """
        asked = self._lookup.rated(ratings)
        fitted = self._fitted(asked)
        return self._for_taste(fitted, asked, k, filters, diversity, explain)

    def fold_in(self, ratings: Mapping[Movie, float]) -> NDArray[np.float64]:
        """Return the vector, then the bias, fitted to somebody's ratings, shape (dim + 1,).

        The strength of the regularisation is the training's, and it draws to the average user.

        Raises
        ------
        MovieEmbedError
            As `for_ratings`.
        """
        return self._fitted(self._lookup.rated(ratings))

    def similar_users(self, user_id: int, k: int = 10) -> list[SimilarUser]:
        """Return the users whose vectors have the highest cosine to a user's.

        Raises
        ------
        MovieEmbedError
            The user is unknown, or the run saved no users.
        """
        user, unit = self._user(user_id), self._spaces.unit_users
        similarities = unit @ unit[user]
        rows = best_rows(similarities, np.arange(len(unit)) != user, k)
        ids = self._spaces.users.ids
        return [
            SimilarUser(rank, int(ids[row]), float(similarities[row]))
            for rank, row in enumerate(rows, start=1)
        ]

    def with_movie(self, title: str, genres: Sequence[str] = ()) -> tuple[Recommender, int]:
        """Add a movie that the data does not have, with a vector from content.

        Parameters
        ----------
        title
            With the year in brackets, if known: ``"Moana 2 (2024)"``.
        genres
            Of those in the data set, in any case of letters.

        Returns
        -------
        tuple
            A Recommender that has the movie, beside the rare ones, and the movie's id there.

        Raises
        ------
        MovieEmbedError
            A genre is unknown.
        """
        known = [self._catalogue.genre(genre) for genre in genres]
        longer = with_movie(self.embeddings, self._spaces.content, title, known)
        return Recommender(longer, self._spaces.run), int(longer.movies.ids[-1])

    def vector(self, movie: Movie) -> MovieVector:
        """Return a movie's vector, raw and normalised (paper, section III.F).

        Raises
        ------
        MovieEmbedError
            The movie is unknown.
        """
        row = self._lookup.row(movie)
        space = self._space([row])
        return MovieVector(
            movie_id=int(self.embeddings.movies.ids[row]),
            title=self._lookup.description(row),
            vector=space.vectors[row],
            normalised=space.unit[row],
        )

    def title(self, movie: Movie) -> str:
        """Return a movie's title with its year, and that its vector is from content if it is."""
        return self._lookup.description(self._lookup.row(movie))

    def movie_id(self, title: str) -> int:
        """Return the MovieLens id of a title; see `TitleSearch.row` for how and for errors."""
        return int(self.embeddings.movies.ids[self._lookup.row(title)])

    def _for_taste(
        self,
        fitted: NDArray[np.floating[Any]],
        asked: Asked,
        k: int,
        filters: Filters,
        diversity: float,
        explain: bool,
    ) -> Recommendations:
        allowed = self._allowed(asked.rows, filters)
        space = self._space([], filters)
        taste = fitted.astype(np.float32)
        scores = space.vectors[: len(allowed)] @ taste[:-1] + space.biases[: len(allowed)]
        rows = diverse_rows(scores, allowed, k, space.unit, diversity)
        stars = predict_stars(scores[rows] + taste[-1], self.embeddings.rating_range)
        return self._answers(rows, "predicted_stars", stars, asked if explain else None)

    def _fitted(self, asked: Asked) -> NDArray[np.float64]:
        space, saved = self._space(asked.rows), self.embeddings
        assert asked.stars is not None
        return fold_in(
            space.vectors[asked.rows],
            space.biases[asked.rows],
            asked.stars,
            saved.rating_range,
            saved.fold_in_ridge,
            saved.average_user.astype(np.float64),
        )

    def _answers(
        self, rows: Rows, label: str, numbers: NDArray[Any], asked: Asked | None
    ) -> Recommendations:
        reasons = self._reasons(rows, asked) if asked else [None] * len(rows)
        ranked = enumerate(zip(rows.tolist(), numbers.tolist(), reasons, strict=True), start=1)
        return Recommendations(
            self._answer(rank, row, {label: number}, reason)
            for rank, (row, number, reason) in ranked
        )

    def _answer(
        self, rank: int, row: int, number: dict[str, Any], reason: Reason | None
    ) -> Recommendation:
        table = self.embeddings.movies
        title, year = split_year(table.titles[row])
        movie_id = int(table.ids[row])
        return Recommendation(
            rank=rank,
            movie_id=movie_id,
            title=title or f"movie {movie_id}",
            year=year,
            genres=split_genres(table.genres[row]),
            from_content=row >= table.embedded,
            reason=reason,
            **number,
        )

    def _reasons(self, rows: Rows, asked: Asked) -> list[Reason]:
        unit = self._space([*rows, *asked.rows]).unit
        cosines = unit[rows] @ unit[asked.rows].T
        nearest = cosines.argmax(axis=1)
        stars = [None] * len(rows) if asked.stars is None else asked.stars[nearest].tolist()
        greatest = cosines.max(axis=1).tolist()
        found = zip(rows.tolist(), asked.rows[nearest].tolist(), greatest, stars, strict=True)
        return [self._lookup.reason(*parts) for parts in found]

    def _allowed(self, excluded: Sequence[int] | Rows, filters: Filters) -> NDArray[np.bool_]:
        allowed = self._catalogue.allowed(filters)
        rows = np.asarray(excluded, dtype=np.intp)
        allowed[rows[rows < len(allowed)]] = False
        return allowed

    def _space(self, rows: Sequence[int] | Rows, filters: Filters = _ANY) -> Space:
        """Return the learned space, or the one with rare movies where a row or filter needs it."""
        rare = filters.include_rare or max(rows, default=0) >= self.embeddings.movies.embedded
        return self._spaces.whole if rare else self._spaces.learned

    def _user(self, user_id: int) -> int:
        ids = self._spaces.users.ids
        found = np.flatnonzero(ids == user_id)
        if not len(found):
            nearest = np.sort(ids[np.argsort(np.abs(ids - user_id), kind="stable")[:3]])
            raise MovieEmbedError(
                f"user_id={user_id} is not in {self.embeddings.data_name}; nearest ids: "
                + ", ".join(map(str, nearest))
            )
        return int(found[0])


def _mean_query(liked: Vectors, disliked: Vectors, weights: NDArray[np.float32]) -> Vectors:
    query: Vectors = weights @ liked / weights.sum()
    return query - disliked.mean(axis=0) / 2 if len(disliked) else query


def _greatest(candidates: Vectors, queries: Vectors) -> NDArray[np.float32]:
    """Return each candidate's greatest product with a query, ``-inf`` where there is none."""
    greatest: NDArray[np.float32] = (candidates @ queries.T).max(axis=1, initial=-np.inf)
    return greatest


def _checked(weights: Sequence[float] | None, size: int) -> NDArray[np.float32]:
    if weights is None:
        return np.ones(size, np.float32)
    if len(weights) != size or not all(weight > 0 for weight in weights):
        raise MovieEmbedError(f"weights={list(weights)}: must be {size}, one a movie, all above 0")
    return np.array(weights, np.float32)
