"""From ids, titles and stars to rows of the table of movies, and back to names."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from movie_embed.answers.results import Reason, Recommendation, Recommendations
from movie_embed.answers.titles import TitleIndex
from movie_embed.checks import is_number, listed, require, whole
from movie_embed.data.movies import MovieId, as_ids_are, nearest_ids, split_genres, split_year
from movie_embed.embeddings.saved import SavedEmbeddings, UserEmbeddings
from movie_embed.errors import MovieEmbedError, UnknownError, plural

if TYPE_CHECKING:
    import pandas as pd

Rows = NDArray[np.intp]


Movie = SupportsIndex | str | MovieId
_log = logging.getLogger(TitleIndex.__module__)  # its notes on titles go the same way


class Asked(NamedTuple):
    """One person's ratings: table rows and stars."""

    rows: Rows
    stars: NDArray[np.float32]


class Lookup:
    """Find movies and users by id or title, and name them."""

    def __init__(self, embeddings: SavedEmbeddings) -> None:
        self.embeddings = embeddings
        self.movies = embeddings.movies

    @cached_property
    def titles(self) -> TitleIndex:
        """The search by title."""
        return TitleIndex(self.movies)

    def row(self, movie: Movie, key: str = "movie_id") -> int:
        """Return the row of an id or a title, or raise with the nearest ones."""
        if isinstance(movie, str):
            if not movie.isdecimal() or self.titles.named(movie) or self.movies.ids.dtype == object:
                return self.titles.row(movie)  # "300" is a title, where there is such a movie
            movie = MovieId(int(movie))
            if (row := self.movies.row_of(movie.id)) is not None:
                _log.warning('"%s" is taken for movie_id=%s, %s', *movie, movie.id, self.name(row))
        movie_id = movie.id if isinstance(movie, MovieId) else whole(key, movie)
        row = self.movies.row_of(movie_id)
        if row is None:
            rows = nearest_ids(self.movies.ids[: self.movies.embedded], movie_id)
            near = ", ".join(f"{self.movies.ids[r]} {self.movies.titles[r]}".strip() for r in rows)
            raise UnknownError(
                f"{key}={movie_id} is not in {self.embeddings.data_name}; nearest ids: {near}"
            )
        return row

    def rows(self, movies: Movie | Iterable[Movie], key: str = "movie_id") -> list[int]:
        """Return the rows of one movie or several."""
        given = [movies] if isinstance(movies, MovieId) else listed(movies)
        return [self.row(movie, key) for movie in given]

    def user(self, users: UserEmbeddings, user_id: SupportsIndex | str) -> int:
        """Return the row of a user, or raise with the nearest ids."""
        text = isinstance(user_id, str) and users.ids.dtype == object
        try:
            wanted = as_ids_are(users.ids, str(user_id) if text else whole("user_id", user_id))
        except MovieEmbedError as error:
            raise UnknownError(str(error)) from error
        found = np.flatnonzero(users.ids == wanted)
        if not len(found):
            near = np.sort(users.ids[nearest_ids(users.ids, wanted)])
            raise UnknownError(
                f"user_id={wanted} is not in {self.embeddings.data_name}; nearest ids: "
                + ", ".join(map(str, near))
            )
        return int(found[0])

    def rated(self, ratings: Mapping[Any, float]) -> Asked:
        """Return the rows and stars of somebody's ratings, a dict or Series, once they are checked.

        A movie may be unknown or rated twice, or stars may be off the scale: then it raises.
        """
        low, high = self.embeddings.rating_range
        by_movie = hasattr(ratings, "items")
        require(by_movie, "ratings", ratings, "stars by movie: {1: 5, 4896: 3.5}, or a Series")
        stars_of: dict[int, float] = {}
        for movie, stars in ratings.items():
            require(is_number(stars), f"stars of {movie}", stars, "a number")
            row = self.row(movie)
            if row in stars_of:
                raise MovieEmbedError(f"{self.name(row)} is rated twice")
            if not low <= stars <= high:
                told = f"{stars:g} stars are off the scale, {low:g} to {high:g}"
                raise MovieEmbedError(f"{self.name(row)}: {told}")
            stars_of[row] = stars
        return Asked(
            np.array(list(stars_of), np.intp), np.array(list(stars_of.values()), np.float32)
        )

    def columns(self, frame: pd.DataFrame, *others: str) -> tuple[Rows, NDArray[Any], Rows]:
        """Return the person, from 0, of each row of a frame, all people's ids, and table rows.

        The frame has the columns user and movie, an id of the data, and `others`.
        """
        import pandas as pd

        for name in ("user", "movie", *others):
            found = ", ".join(map(str, getattr(frame, "columns", ())))
            require(name in found.split(", "), "columns", found, f"with {name} among them")
        people, ids = pd.factorize(frame["user"])
        places, movies = pd.factorize(frame["movie"])
        for name, codes in (("user", people), ("movie", places)):
            if (codes < 0).any():
                raise MovieEmbedError(f"row {int(np.argmin(codes)) + 1} has no {name}")
        named = (each if isinstance(each, str) else whole("movie", each) for each in movies)
        rows = np.array([self.row(MovieId(each), "movie") for each in named], np.intp)
        return people, np.asarray(ids), rows[places]

    def rated_by_many(self, ratings: pd.DataFrame) -> tuple[list[Asked], NDArray[Any]]:
        """Return the ratings of each person in a frame of user, movie and rating, and their ids."""
        people, ids, rows = self.columns(ratings, "rating")
        stars, (low, high) = np.asarray(ratings["rating"], np.float32), self.embeddings.rating_range
        order = np.lexsort((rows, people))
        twice = np.zeros(len(rows), np.bool_)
        twice[order[1:]] = (np.diff(people[order]) == 0) & (np.diff(rows[order]) == 0)
        wrong = twice | ~((stars >= low) & (stars <= high))
        if wrong.any():
            row = int(np.argmax(wrong))
            scale = f"{stars[row]:g} stars are off the scale, {low:g} to {high:g}"
            told = "rated twice" if twice[row] else scale
            raise MovieEmbedError(f"user {ids[people[row]]}, {self.name(int(rows[row]))}: {told}")
        ends = np.cumsum(np.bincount(people, minlength=len(ids)))[:-1]
        return [Asked(rows[mine], stars[mine]) for mine in np.split(order, ends)], ids

    def name(self, row: int) -> str:
        """Return a title with its year, or the id where there is none."""
        return self.movies.titles[row] or f"movie {self.movies.ids[row]}"

    def description(self, row: int) -> str:
        """Return the name, and where there is no learned vector, why."""
        if row < self.movies.embedded:
            return self.name(row)
        count, saved = int(self.movies.rating_counts[row]), self.embeddings
        if count < saved.min_ratings:
            why = f"{plural(count, 'rating')}, below data.min_ratings={saved.min_ratings}"
        elif count < saved.min_learned:
            why = f"{plural(count, 'rating')}, below save.min_ratings={saved.min_learned}"
        else:
            why = f"{plural(count, 'rating')}, all held out for validation or without effect"
        return f"{self.name(row)} (from content; {why})"

    def answers(
        self,
        rows: Rows,
        numbers: Mapping[str, NDArray[Any]],
        reasons: Sequence[tuple[Reason, ...]] | None = None,
    ) -> Recommendations:
        """Return the answers of table rows, best first, with a column of numbers each."""
        columns = {name: column.tolist() for name, column in numbers.items()}
        return Recommendations(
            Recommendation(
                rank=place + 1,
                **self.described(row),
                reasons=reasons[place] if reasons else (),
                **{name: column[place] for name, column in columns.items()},
            )
            for place, row in enumerate(rows.tolist())
        )

    def described(self, row: int) -> dict[str, Any]:
        """Return the description of a movie, by the names of `Recommendation`."""
        title, year = split_year(self.movies.titles[row])
        movie_id = self.movies.ids.item(row)
        return {
            "movie_id": movie_id,
            "title": title or f"movie {movie_id}",
            "year": year,
            "genres": split_genres(self.movies.genres[row]),
            "from_content": row >= self.movies.embedded,
            "imdb_id": self.movies.imdb_id(row),
            "tmdb_id": self.movies.tmdb_id(row),
        }

    def reason(self, row: int, other: int, **numbers: float) -> Reason:
        """Return a reason for an answer: the row that speaks for it, with its numbers."""
        genres, others = (split_genres(self.movies.genres[r]) for r in (row, other))
        return Reason(
            movie_id=self.movies.ids.item(other),
            title=self.name(other),
            similarity=numbers.get("similarity"),
            stars=numbers.get("stars"),
            share=numbers.get("share"),
            shared_genres=tuple(genre for genre in genres if genre in others),
        )
