"""Embeddings to answers: movies like others, for a user of the data, or for somebody new."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, SupportsIndex, get_args

import numpy as np
from numpy.typing import NDArray

from movie_embed.answers.filters import Catalogue, Filters, checked_shape
from movie_embed.answers.lookup import Asked, Lookup, Movie, Rows
from movie_embed.answers.own_ratings import ReadsFiles
from movie_embed.answers.ranking import (
    best_rows,
    diverse_rows,
    estimates_drawn,
    greatest,
    mean_query,
)
from movie_embed.answers.results import (
    MovieVector,
    Reason,
    Recommendation,
    Recommendations,
    SimilarUser,
)
from movie_embed.checks import choose, listed, names, require, whole
from movie_embed.data.movies import Id, as_ids_are, nearest_ids, split_genres, split_year
from movie_embed.embeddings.content import with_movie
from movie_embed.embeddings.fold_in import fold_in, predict_stars
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.embeddings.spaces import Space, Spaces, cosines, unit
from movie_embed.errors import MovieEmbedError

Metric = Literal["cosine", "whitened", "dot"]
Combine = Literal["mean", "max"]

_ANY = Filters()
_LABELS = {"cosine": "similarity", "whitened": "similarity", "dot": "dot_product"}


class Recommender(ReadsFiles):
    """Answer from saved embeddings.

    Wherever a movie is asked for, an integer is a MovieLens id and a string a title, as
    `TitleSearch.row` reads it. Integers may be NumPy's, and several of anything an array, a
    Series or any other collection.

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
    def load(cls, run: str | Path) -> Recommender:
        """Load a run.

        Parameters
        ----------
        run
            A run folder, or a file that names one, as ``outputs/latest`` does the newest.

        Raises
        ------
        MovieEmbedError
            There is no such run, or its file is damaged.
        """
        return cls(SavedEmbeddings.load(Path(run)), Path(run))

    def similar(
        self,
        movies: Movie | Iterable[Movie],
        k: SupportsIndex = 10,
        combine: Combine = "mean",
        *,
        metric: Metric = "cosine",
        weights: Iterable[float] | None = None,
        not_like: Movie | Iterable[Movie] = (),
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
            A movie is unknown, without direction, or liked and disliked at once, or a setting is
            not as described.
        """
        k, diversity = checked_shape(k, filters, diversity, explain)
        choose("combine", combine, get_args(Combine))
        choose("metric", metric, get_args(Metric))
        liked, disliked = self._lookup.rows(movies), self._lookup.rows(not_like)
        if not liked:
            raise MovieEmbedError("name at least one movie")
        for row in set(liked) & set(disliked):
            raise MovieEmbedError(f"{self._lookup.name(row)} is both liked and disliked")
        space = self._space([*liked, *disliked], filters)
        for row in [*liked, *disliked]:
            space.require_direction(row, self._lookup.name(row))
        allowed = self._allowed([*liked, *disliked], filters)
        allowed &= space.directed[: len(allowed)]
        unit_table = space.whitened if metric == "whitened" else space.unit
        table = space.vectors if metric == "dot" else unit_table
        if combine == "mean":
            query = mean_query(table[liked], table[disliked], weights)
            scores = table[: len(allowed)] @ (query if metric == "dot" else unit(query))
        else:
            if weights is not None:
                raise MovieEmbedError("weights need combine=mean")
            scores = greatest(table[: len(allowed)], table[liked])
            allowed &= scores >= greatest(table[: len(allowed)], table[disliked])
        if metric != "dot":
            scores = np.clip(scores, -1, 1)  # which rounding passes
        scores = estimates_drawn(scores, space.learned, 0)
        rows = diverse_rows(scores, allowed, k, unit_table, diversity)
        asked = Asked(np.array(liked)) if explain else None
        return self._answers(rows, _LABELS[metric], scores[rows], asked)

    def similar_each(
        self, movies: Movie | Iterable[Movie], k: SupportsIndex = 10, **settings: Any
    ) -> list[Recommendations]:
        """Return `similar` for each movie alone, in their order; it takes the same settings."""
        return [self.similar(movie, k, **settings) for movie in listed(movies)]

    def for_user(
        self,
        user_id: SupportsIndex | str,
        k: SupportsIndex = 10,
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
            The user is unknown, the run saved no users, or a setting is not as described.
        """
        k, diversity = checked_shape(k, filters, diversity, explain)
        users, user = self._spaces.users, self._user(user_id)
        fitted = np.append(users.vectors[user], users.biases[user])
        asked = Asked(*users.ratings_of(user))
        return self._for_taste(fitted, asked, k, filters, diversity, explain)

    def for_users(
        self,
        user_ids: SupportsIndex | str | Iterable[SupportsIndex | str],
        k: SupportsIndex = 10,
        **settings: Any,
    ) -> list[Recommendations]:
        """Return `for_user` for each user, in their order; it takes the same settings."""
        return [self.for_user(user_id, k, **settings) for user_id in listed(user_ids)]

    def for_ratings(
        self,
        ratings: Mapping[Any, float],
        k: SupportsIndex = 10,
        *,
        filters: Filters = _ANY,
        diversity: float = 0.0,
        explain: bool = False,
    ) -> Recommendations:
        """Return the movies with the highest predicted stars for somebody new.

        Parameters
        ----------
        ratings
            Stars by movie, within the rating scale: a dict, or a Series indexed by movie.
        k, filters, diversity, explain
            As in `similar`; an answer is explained by a movie that was rated.

        Raises
        ------
        MovieEmbedError
            There are no ratings, a movie is unknown or rated twice, stars are off the scale, or a
            setting is not as described.
        """
        k, diversity = checked_shape(k, filters, diversity, explain)
        asked = self._lookup.rated(ratings)
        fitted = self._fitted(asked)
        return self._for_taste(fitted, asked, k, filters, diversity, explain)

    def fold_in(self, ratings: Mapping[Any, float]) -> NDArray[np.float64]:
        """Return the vector, then the bias, fitted to somebody's ratings, shape (dim + 1,).

        The strength of the regularisation is the training's, and it draws to the average user.

        Raises
        ------
        MovieEmbedError
            As `for_ratings`.
        """
        return self._fitted(self._lookup.rated(ratings))

    def similar_users(
        self, user_id: SupportsIndex | str, k: SupportsIndex = 10
    ) -> list[SimilarUser]:
        """Return the users whose vectors have the highest cosine to a user's.

        Raises
        ------
        MovieEmbedError
            The user is unknown or without direction, or the run saved no users.
        """
        user, space = self._user(user_id), self._spaces.of_users
        space.require_direction(user, f"user_id={user_id}")
        similarities = cosines(space.unit, space.unit[user])
        allowed = space.directed & (np.arange(len(space.unit)) != user)
        rows = best_rows(similarities, allowed, whole("k", k, least=1))
        ids = self._spaces.users.ids
        return [
            SimilarUser(rank, ids.item(row), float(similarities[row]))
            for rank, row in enumerate(rows, start=1)
        ]

    def with_movie(self, title: str, genres: str | Iterable[str] = ()) -> tuple[Recommender, Id]:
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
            The title is empty, or a genre is unknown.
        """
        named = isinstance(title, str) and bool(title.strip())
        require(named, "title", title, "the new movie's, as text")
        known = [self._catalogue.genre(genre) for genre in names("new_genres", genres)]
        longer = with_movie(self.embeddings, self._spaces.content, title, known)
        return Recommender(longer, self._spaces.run), longer.movies.ids.item(-1)

    def vector(self, movie: Movie) -> MovieVector:
        """Return a known movie's vector, raw and normalised (paper, section III.F)."""
        row = self._lookup.row(movie)
        space = self._space([row])
        return MovieVector(
            movie_id=self.embeddings.movies.ids.item(row),
            title=self._lookup.description(row),
            vector=space.vectors[row],
            normalised=space.unit[row],
        )

    def title(self, movie: Movie) -> str:
        """Return a movie's title with its year, and that its vector is from content if it is."""
        return self._lookup.description(self._lookup.row(movie))

    def movie_id(self, title: str) -> Id:
        """Return the id of a title; see `TitleSearch.row` for how and for errors."""
        movie_id: Id = self.embeddings.movies.ids.item(self._lookup.row(title))
        return movie_id

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
        scores = estimates_drawn(scores, space.learned, scores[: space.learned].mean())
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
        movie_id = table.ids.item(row)
        return Recommendation(
            rank=rank,
            movie_id=movie_id,
            title=title or f"movie {movie_id}",
            year=year,
            genres=split_genres(table.genres[row]),
            from_content=row >= table.embedded,
            reason=reason,
            imdb_id=table.imdb_id(row),
            tmdb_id=table.tmdb_id(row),
            **number,
        )

    def _reasons(self, rows: Rows, asked: Asked) -> list[Reason | None]:
        unit = self._space([*rows, *asked.rows]).unit
        alike = cosines(unit[rows], unit[asked.rows])
        best = alike.argmax(axis=1)
        stars = [None] * len(rows) if asked.stars is None else asked.stars[best].tolist()
        most = alike.max(axis=1).tolist()
        found = zip(rows.tolist(), asked.rows[best].tolist(), most, stars, strict=True)
        # A vector without direction is nearest to nothing.
        return [self._lookup.reason(*parts) if parts[2] else None for parts in found]

    def _allowed(self, excluded: Sequence[int] | Rows, filters: Filters) -> NDArray[np.bool_]:
        allowed = self._catalogue.allowed(filters)
        rows = np.asarray(excluded, dtype=np.intp)
        allowed[rows[rows < len(allowed)]] = False
        return allowed

    def _space(self, rows: Sequence[int] | Rows, filters: Filters = _ANY) -> Space:
        """Return the learned space, or the one with rare movies where a row or filter needs it."""
        rare = filters.include_rare or max(rows, default=0) >= self.embeddings.movies.embedded
        return self._spaces.whole if rare else self._spaces.learned

    def _user(self, user_id: SupportsIndex | str) -> int:
        ids = self._spaces.users.ids
        text = isinstance(user_id, str) and ids.dtype == object
        wanted = as_ids_are(ids, str(user_id) if text else whole("user_id", user_id))
        found = np.flatnonzero(ids == wanted)
        if not len(found):
            raise MovieEmbedError(
                f"user_id={wanted} is not in {self.embeddings.data_name}; nearest ids: "
                + ", ".join(map(str, np.sort(ids[nearest_ids(ids, wanted)])))
            )
        return int(found[0])
