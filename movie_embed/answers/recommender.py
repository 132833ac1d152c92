"""Embeddings to answers: movies like others, for a user of the data, or for somebody new."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from os import cpu_count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, SupportsIndex, get_args

import numpy as np
from numpy.typing import NDArray

from movie_embed.answers.filters import Catalogue, Filters, checked_shape
from movie_embed.answers.lookup import Asked, Lookup, Movie, Rows
from movie_embed.answers.people import Aggregate, Order, People
from movie_embed.answers.ranking import best_rows, diverse_rows, estimates_drawn, mean_query
from movie_embed.answers.results import (
    MovieVector,
    OwnMovies,
    OwnRatings,
    Reason,
    Recommendations,
    SimilarUser,
)
from movie_embed.checks import choose, is_number, listed, names, require, whole
from movie_embed.data.movies import Id
from movie_embed.embeddings.content import with_movie
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.embeddings.spaces import Space, Spaces, cosines, unit
from movie_embed.errors import MovieEmbedError
from movie_embed.evaluation import top_rows

if TYPE_CHECKING:
    import pandas as pd

Metric = Literal["mixed", "cosine", "whitened", "dot"]
Combine = Literal["mean", "max"]

_ANY = Filters()
_MOST_REASONS = 3
_BLOCK = 128  # people


class Recommender:
    """Answer from saved embeddings.

    As a movie, an integer is its id in the data, and a string a title, as `TitleIndex.row` reads
    it. Integers may be NumPy's, and several movies an array, a Series or any other collection.

    Parameters
    ----------
    embeddings
        The embeddings of a training run.
    """

    def __init__(self, embeddings: SavedEmbeddings) -> None:
        self.embeddings = embeddings
        self._spaces = Spaces(embeddings)
        self.lookup = Lookup(embeddings)
        self._catalogue = Catalogue(embeddings.movies)

    @classmethod
    def load(cls, run: str | Path) -> Recommender:
        """Load a run, and answer from it to the end, although another may replace it.

        Parameters
        ----------
        run
            A run folder, or a file that names one, as ``outputs/latest`` does the newest.

        Raises
        ------
        MovieEmbedError
            There is no such run, or its file is damaged.
        """
        return cls(SavedEmbeddings.load(Path(run)))

    def similar(
        self,
        movies: Movie | Iterable[Movie],
        k: SupportsIndex = 10,
        combine: Combine = "mean",
        *,
        metric: Metric | None = None,
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
            One id or title, or several. They are never among the answers.
        k
            How many answers; there may be fewer movies that pass the filters.
        combine
            ``"mean"``: score against the mean of the query vectors. ``"max"``: against the nearest
            query vector.
        metric
            ``"mixed"``, the default if the run has an implicit model: the mean of whitened cosine
            and `Ease.similarities`, -1 to 1. ``"cosine"``, else the default: of the normalised
            vectors, -1 to 1. ``"whitened"``: a cosine after `half_whitened`, -1 to 1. ``"dot"``:
            dot product of the vectors as trained, unbounded; movies with long vectors gain.
        weights
            The weight of each query movie in the mean, above 0; by default all equal.
        not_like
            Movies to keep away from, never among the answers. With ``"mean"`` half of their mean
            is subtracted from the query; with ``"max"`` a movie nearer to one of them than to any
            query movie is left out.
        filters
            Which movies may be answers.
        diversity
            From 0, the most similar, to 1, as unlike each other as possible; see `diverse_rows`.
        explain
            Whether each answer says which query movie it is nearest to by cosine.

        Raises
        ------
        MovieEmbedError
            A movie is unknown, without direction, or liked and disliked at once, or a setting is
            not as described.
        """
        k, diversity = checked_shape(k, filters, diversity, explain)
        choose("combine", combine, get_args(Combine))
        metric = metric or ("mixed" if self._spaces.ease else "cosine")
        choose("metric", metric, get_args(Metric))
        liked, disliked = self.lookup.rows(movies), self.lookup.rows(not_like, "not_like")
        if not liked:
            raise MovieEmbedError("name at least one movie")
        for row in set(liked) & set(disliked):
            raise MovieEmbedError(f"{self.lookup.name(row)} is both liked and disliked")
        space = self._space([*liked, *disliked], filters)
        for row in [*liked, *disliked]:
            space.require_direction(row, self.lookup.name(row))
        allowed = self._allowed([*liked, *disliked], filters)
        allowed &= space.directed[: len(allowed)]
        tables = {"dot": space.vectors, "cosine": space.unit}
        table = tables.get(metric, space.whitened)
        together = self._together([*liked, *disliked], len(allowed)) if metric == "mixed" else None
        if combine == "mean":
            query = mean_query(table[liked], table[disliked], weights)
            if together is None and not query.any():
                told = "the movies asked about cancel out: leave one out, or combine=max"
                raise MovieEmbedError(told)
            scores = table[: len(allowed)] @ (query if metric == "dot" else unit(query))
            if together is not None:
                pulls = together[: len(liked)], together[len(liked) :]
                scores = (scores + mean_query(*pulls, weights)) / 2
        else:
            if weights is not None:
                raise MovieEmbedError("weights need combine=mean")
            products = table[[*liked, *disliked]] @ table[: len(allowed)].T
            if together is not None:
                products = (products + together) / 2
            scores = products[: len(liked)].max(axis=0)
            allowed &= scores >= products[len(liked) :].max(axis=0, initial=-np.inf)
        if metric != "dot":
            scores = np.clip(scores, -1, 1)  # rounding may go beyond
        scores = estimates_drawn(scores, space.learned, 0)
        rows = diverse_rows(scores, allowed, k, space.unit, diversity)
        label = "dot_product" if metric == "dot" else "similarity"
        reasons = self._nearest(rows, np.array(liked)) if explain else None
        return self.lookup.answers(rows, {label: scores[rows]}, reasons)

    def _together(self, movies: Sequence[int], size: int) -> NDArray[np.float32] | None:
        """Return `Ease.similarities` of some movies, shape (movies, size); None if it has none."""
        ease = self._spaces.ease
        if ease is None:
            raise MovieEmbedError(
                "metric=mixed: the run has no implicit model (ranking.enabled=false)"
            )
        together = np.stack([ease.similarities(movie, size) for movie in movies])
        return together if together.any() else None

    def for_user(
        self, user_id: SupportsIndex | str, k: SupportsIndex = 10, **settings: Any
    ) -> Recommendations:
        """Return movies for a user of the data by the saved ratings: `for_people` of one.

        Raises
        ------
        MovieEmbedError
            The user is unknown, the run saved no users, or a setting is not as described.
        """
        return self.for_people([user_id], k, **settings)

    def for_ratings(
        self, ratings: Mapping[Any, float], k: SupportsIndex = 10, **settings: Any
    ) -> Recommendations:
        """Return movies for somebody new: `for_people` of one.

        `ratings` has stars by movie, within the rating scale: a dict, or a Series indexed by movie.
        If it is empty, popular and well-liked movies are the answers.

        Raises
        ------
        MovieEmbedError
            A movie is unknown or rated twice, stars are off the scale, or a setting is not as
            described.
        """
        return self.for_people([ratings], k, **settings)

    def for_people(
        self,
        people: Iterable[Any],
        k: SupportsIndex = 10,
        *,
        order: Order | None = None,
        together: Aggregate = "average",
        popularity: float = 0.0,
        filters: Filters = _ANY,
        diversity: float = 0.0,
        explain: bool = False,
    ) -> Recommendations:
        """Return the movies that match several people together, or one.

        The match multiplies two predictions: how likely the person chooses a movie, by the implicit
        model, and the square root of how well the person would like it, by the stars. It is a share
        of the person's best match among the movies not rated yet.

        Parameters
        ----------
        people
            User ids or ratings. A movie that one of them rated is never an answer.
        k, filters, diversity
            As in `similar`.
        order
            ``"match"``, the default if the run has an implicit model; ``"choice"``, how likely they
            choose a movie; ``"stars"``, how well they would like it.
        together
            How scores of several people become one: ``"average"``, or ``"least"``, the score of
            the person whom a movie suits least.
        popularity
            From -1, which moves less known movies up, to 1, which moves well-known ones up. It
            works on the match and the choice, not on the order by stars.
        explain
            Whether each answer names the rated movies that add most to its score.

        Raises
        ------
        MovieEmbedError
            As `for_user` and `for_ratings`.
        """
        k, diversity = checked_shape(k, filters, diversity, explain)
        asked = [
            self.lookup.rated(each) if hasattr(each, "items") else self._rated_by(each)
            for each in people
        ]
        require(bool(asked), "people", people, "at least one user id or ratings")
        group = self._people(asked, filters, together)
        scores = group.scores(order)
        scores = self._towards(popularity, order, scores)
        allowed = self._allowed(group.rated, filters)
        rows = diverse_rows(scores, allowed, k, group.space.unit, diversity)
        match = group.match(rows)
        numbers = {} if match is None else {"match": match}
        reasons = self._main_parts(rows, group, order) if explain else None
        return self.lookup.answers(rows, {**numbers, "predicted_stars": group.stars(rows)}, reasons)

    def for_users(
        self, ids: Iterable[SupportsIndex | str] | None = None, k: SupportsIndex = 10, **how: Any
    ) -> pd.DataFrame:
        """Return a list for each of many users of the data, by default all, as `for_user` does.

        ``order``, ``popularity`` and ``filters`` are as in `for_people`.

        Returns
        -------
        DataFrame
            With the columns user, movie, rank and score, in the users' order.

        Raises
        ------
        MovieEmbedError
            As `for_user`.
        """
        users = self._spaces.users
        if ids is None:
            rows: Iterable[int] = range(len(users.ids))
        else:
            rows = [self.lookup.user(users, each) for each in listed(ids)]
        asked = [Asked(*users.ratings_of(row)) for row in rows]
        return self._lists(asked, users.ids[list(rows)], k, **how)

    def for_many(self, ratings: pd.DataFrame, k: SupportsIndex = 10, **how: Any) -> pd.DataFrame:
        """Return a list for each of many new people, as `for_ratings` does.

        `ratings` has the columns user, movie, an id of the data, and rating, in stars. The rest is
        as in `for_users`.
        """
        return self._lists(*self.lookup.rated_by_many(ratings), k, **how)

    def predict(self, pairs: pd.DataFrame) -> pd.DataFrame:
        """Predict what users of the data think of movies, from their saved ratings.

        `pairs` has the columns user and movie, ids of the data. Returned is a copy with the columns
        stars, predicted, and score, the match, which may exceed 1 for a movie already rated; it is
        left out if the run has no implicit model.
        """
        users = self._spaces.users
        people, ids, rows = self.lookup.columns(pairs)
        asked = [Asked(*users.ratings_of(self.lookup.user(users, each))) for each in ids]
        columns = np.full((2, len(rows)), np.nan, np.float32)
        cold = bool(len(rows)) and int(rows.max()) >= self.embeddings.movies.embedded
        order = np.argsort(people, kind="stable")

        def fill(first: int, group: People) -> None:
            ends = np.searchsorted(people[order], [first, first + len(group.asked)])
            mine = order[slice(*ends)]
            cells = people[mine] - first, rows[mine]
            columns[0, mine] = group.each("stars")[cells]
            if group.ease:
                columns[1, mine] = group.each("match")[cells]

        self._in_blocks(asked, Filters(include_rare=cold), fill)
        found = {"stars": columns[0], "score": columns[1]}
        return pairs.assign(**found if self._spaces.ease else {"stars": columns[0]})

    def _lists(
        self,
        asked: Sequence[Asked],
        ids: NDArray[Any],
        k: SupportsIndex,
        order: Order | None = None,
        popularity: float = 0.0,
        filters: Filters = _ANY,
    ) -> pd.DataFrame:
        """Return a list for each person: the columns user, by `ids`, movie, rank and score."""
        import pandas as pd

        k, _ = checked_shape(k, filters, 0.0, explain=False)
        allowed = self._allowed([], filters)
        tops = np.full((len(asked), k), -1, np.int32)
        scores = np.zeros((len(asked), k), np.float32)

        def fill(first: int, group: People) -> None:
            each = self._towards(popularity, order, group.each(order))
            each = np.where(group.unrated & allowed[: each.shape[1]], each, -np.inf)
            top = top_rows(each, k)
            part = slice(first, first + len(top)), slice(0, top.shape[1])
            tops[part], scores[part] = top, np.take_along_axis(each, top, axis=1)

        self._in_blocks(asked, filters, fill)
        people, ranks = np.nonzero(tops >= 0)
        columns = {"user": ids[people], "movie": self.embeddings.movies.ids[tops[people, ranks]]}
        return pd.DataFrame(columns | {"rank": ranks + 1, "score": scores[people, ranks]})

    def _in_blocks(
        self, asked: Sequence[Asked], filters: Filters, fill: Callable[[int, People], None]
    ) -> None:
        """Call a function with blocks of people, and the first of each, from a thread a core."""
        from concurrent.futures import ThreadPoolExecutor

        from movie_embed.threads import blas_threads

        def block(first: int) -> None:
            fill(first, self._people(asked[first : first + _BLOCK], filters, None))

        # Products of a block are too small for the threads of BLAS.
        with blas_threads(1), ThreadPoolExecutor(cpu_count()) as pool:
            deque(pool.map(block, range(0, len(asked), _BLOCK)), maxlen=0)  # raises their errors

    def _towards(
        self, popularity: float, order: Order | None, scores: NDArray[Any]
    ) -> NDArray[Any]:
        """Return scores, shape (..., movies), moved towards well-known or less known movies."""
        if not popularity:
            return scores
        wide = is_number(popularity) and -1 <= popularity <= 1
        require(wide, "popularity", popularity, "a number from -1 to 1")
        ranked = order != "stars" and self._spaces.ease is not None
        require(ranked, "popularity", popularity, "0 where stars order the answers")
        counts = self.embeddings.movies.rating_counts[: scores.shape[-1]]
        return np.asarray(scores * (counts + 1.0) ** (popularity / 2))

    def read_ratings(
        self,
        file: str | Path | bytes,
        *,
        name: str = "the file",
        scale: float | None = None,
        columns: Mapping[str, str] | None = None,
        rated_by: object = None,
    ) -> OwnRatings:
        """Read somebody's ratings, from a service's export or a table of one's own.

        Movies that the run does not have are left out and listed in the `notes`.

        Parameters
        ----------
        file
            A file, or its content as bytes: an export of any service, or CSV or JSON of one's own,
            with a title or an id and a rating. A zip, or a folder, of such files does too.
        name
            What messages call content that is given as bytes.
        scale
            The highest rating of the scale; by default what the column says, or else the lowest of
            5, 10 and 100 that no rating exceeds.
        columns
            The names of unusual columns by meaning: ``{"title": "Movie seen"}``; ``""`` for one
            that is not to be read.
        rated_by
            The user, if the file has several.

        Raises
        ------
        MovieEmbedError
            The file cannot be read, or no movie in it is known.
        """
        from movie_embed.answers.imports.reading import read_ratings  # few questions need it

        how = {"name": name, "columns": columns, "rated_by": rated_by}
        return read_ratings(self.lookup, file, scale, **how)

    def read_movies(
        self,
        file: str | Path | bytes,
        *,
        name: str = "the file",
        seen: bool = False,
        columns: Mapping[str, str] | None = None,
    ) -> OwnMovies:
        """Read a list of movies: a watchlist, an IMDb list, or plain titles one a line.

        Of a whole export the watchlist is read, or the movies watched if `seen`; of a table then
        only the rows that no column calls unwatched. Otherwise as `read_ratings`.
        """
        from movie_embed.answers.imports.reading import read_movies

        return read_movies(self.lookup, file, seen, name=name, columns=columns)

    def fold_in(self, ratings: Mapping[Any, float]) -> NDArray[np.float64]:
        """Return the vector, then the bias, fitted to somebody's ratings, shape (dim + 1,).

        They are regularised towards the average user, as strongly as in training.
        """
        fitted: NDArray[np.float64] = self._people([self.lookup.rated(ratings)], _ANY).fitted[0]
        return fitted

    def similar_users(
        self, user_id: SupportsIndex | str, k: SupportsIndex = 10
    ) -> list[SimilarUser]:
        """Return the users whose vectors have the highest cosine to a user's.

        Raises
        ------
        MovieEmbedError
            The user is unknown or without direction, or the run saved no users.
        """
        user, space = self.lookup.user(self._spaces.users, user_id), self._spaces.of_users
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

        The title has the year in brackets, if known: ``"Moana 2 (2024)"``. Genres are those of the
        data, in any case of letters. Returned are a Recommender that has the movie, beside the rare
        ones, and the movie's id there.

        Raises
        ------
        MovieEmbedError
            The title is empty, or a genre is unknown.
        """
        named = isinstance(title, str) and bool(title.strip())
        require(named, "title", title, "the new movie's, as text")
        known = [self._catalogue.genre(genre) for genre in names("new_genres", genres)]
        longer = with_movie(self.embeddings, self._spaces.content, title, known)
        return Recommender(longer), longer.movies.ids.item(-1)

    def vector(self, movie: Movie) -> MovieVector:
        """Return a known movie's vector, raw and normalised (paper, section III.F)."""
        row = self.lookup.row(movie)
        space = self._space([row])
        return MovieVector(
            movie_id=self.embeddings.movies.ids.item(row),
            title=self.lookup.description(row),
            vector=space.vectors[row],
            normalised=space.unit[row],
        )

    def rating_values(self, movie: Movie) -> dict[float, int]:
        """Return how often users gave a movie each rating value, ``{}`` if the run saved none."""
        row = self.lookup.row(movie)
        try:
            users = self._spaces.users
        except MovieEmbedError:
            return {}
        counts = np.bincount(users.stars[users.rated == row], minlength=len(users.levels))
        return dict(zip(users.levels.tolist(), counts.tolist(), strict=True))

    def title(self, movie: Movie) -> str:
        """Return a movie's title with its year, and a note if its vector is from content."""
        return self.lookup.description(self.lookup.row(movie))

    def movie_id(self, title: str) -> Id:
        """Return the id of a title; see `TitleIndex.row` for how and for errors."""
        movie_id: Id = self.embeddings.movies.ids.item(self.lookup.row(title))
        return movie_id

    def _people(
        self, asked: Sequence[Asked], filters: Filters, together: Aggregate | None = "average"
    ) -> People:
        rated = np.concatenate([each.rows for each in asked])
        spaces = self._space(rated, _ANY), self._space([], filters)
        return People(asked, self.embeddings, *spaces, self._spaces.ease, together)

    def _rated_by(self, user_id: Any) -> Asked:
        return Asked(*self._spaces.users.ratings_of(self.lookup.user(self._spaces.users, user_id)))

    def _nearest(self, rows: Rows, liked: Rows) -> list[tuple[Reason, ...]]:
        """Return for each answer the movie asked about that is nearest to it by cosine."""
        unit = self._space([*rows, *liked]).unit
        alike = cosines(unit[rows], unit[liked])
        found = zip(rows.tolist(), alike.argmax(axis=1), alike.max(axis=1).tolist(), strict=True)
        # A vector without direction is nearest to nothing.
        return [
            (self.lookup.reason(row, int(liked[near]), similarity=cosine),) if cosine else ()
            for row, near, cosine in found
        ]

    def _main_parts(
        self, rows: Rows, people: People, order: Order | None
    ) -> list[tuple[Reason, ...]]:
        """Return for each answer the ratings that add most to its score, at most three."""
        rated, stars, shares = people.shares(rows, order)
        return [
            tuple(
                self.lookup.reason(row, int(rated[i]), stars=float(stars[i]), share=float(mine[i]))
                for i in np.argsort(-mine, kind="stable")[:_MOST_REASONS]
                if mine[i] >= 0.005  # shown as 1% or more
            )
            for row, mine in zip(rows.tolist(), shares, strict=True)
        ]

    def _allowed(self, excluded: Sequence[int] | Rows, filters: Filters) -> NDArray[np.bool_]:
        allowed = self._catalogue.allowed(filters)
        if filters.among is not None:
            allowed &= np.isin(np.arange(len(allowed)), self.lookup.rows(filters.among))
        rows = np.append(excluded, self.lookup.rows(filters.exclude)).astype(np.intp)
        allowed[rows[rows < len(allowed)]] = False
        return allowed

    def _space(self, rows: Sequence[int] | Rows, filters: Filters = _ANY) -> Space:
        """Return the learned space, or the one with rare movies where a row or filter needs it."""
        rare = filters.include_rare or max(rows, default=0) >= self.embeddings.movies.embedded
        return self._spaces.whole if rare else self._spaces.learned
