"""Somebody's own ratings, or lists of movies, from a service's export or a table of theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from movie_embed.answers.lookup import Lookup, MovieId
from movie_embed.data.movies import Id


@dataclass(frozen=True)
class Match:
    """One row of a file, and the movie that it was taken for.

    Attributes
    ----------
    line
        The line in the file; in JSON the entry.
    title, rating
        As in the file: the title with its year, or else an id; the rating.
    movie_id, taken_for
        The movie; None if the row was left out.
    stars
        The rating on the scale of the run; None if the row does not count.
    how
        By what the movie was found, or why the row does not count.
    """

    line: int
    title: str
    rating: str
    movie_id: Id | None
    taken_for: str | None
    stars: float | None
    how: str


class OwnRatings(dict[MovieId, float]):
    """Stars by movie, as `Recommender.for_ratings` takes them.

    `matches` has every row of the file; `notes` say what was converted, guessed and left out.
    """

    def __init__(
        self, stars: Mapping[MovieId, float], matches: list[Match], notes: list[str]
    ) -> None:
        super().__init__(stars)
        self.matches, self.notes = matches, notes


class OwnMovies(list[MovieId]):
    """Movies, as `Recommender.similar` takes them; `matches` and `notes` as in `OwnRatings`."""

    def __init__(self, ids: Iterable[MovieId], matches: list[Match], notes: list[str]) -> None:
        super().__init__(ids)
        self.matches, self.notes = matches, notes


class ReadsFiles:
    """The part of `Recommender` that reads somebody's files."""

    lookup: Lookup

    def read_ratings(
        self,
        path: str | Path,
        *,
        scale: float | None = None,
        columns: Mapping[str, str] | None = None,
        rated_by: object = None,
    ) -> OwnRatings:
        """Read somebody's ratings, from a service's export or a table of one's own.

        Movies that the run does not have are left out and listed in the `notes`.

        Parameters
        ----------
        path
            An export of Letterboxd, IMDb, Trakt, TMDB, Simkl, Filmweb or MovieLens, or CSV or JSON
            with a title or an id and a rating.
        scale
            The highest rating of the scale; by default the service's, or one that fits the values.
        columns
            The names of unusual columns by meaning: ``{"title": "Movie seen"}``.
        rated_by
            The user, if the file has several.

        Raises
        ------
        MovieEmbedError
            The file cannot be read, or no movie in it is known.
        """
        from movie_embed.answers.own_files import read_own_file  # few questions need it
        from movie_embed.answers.own_reading import Reading, of_one

        file = read_own_file(Path(path), columns or {}, "ratings")
        return Reading(self.lookup, of_one(file, rated_by)).ratings(scale)

    def read_movies(
        self, path: str | Path, *, seen: bool = False, columns: Mapping[str, str] | None = None
    ) -> OwnMovies:
        """Read a list of movies: a watchlist, an IMDb list, or plain titles one a line.

        Of a whole export the watchlist is read, or the movies watched if `seen`. Otherwise as
        `read_ratings`.
        """
        from movie_embed.answers.own_files import read_own_file
        from movie_embed.answers.own_reading import Reading

        file = read_own_file(Path(path), columns or {}, "watched" if seen else "watchlist")
        return Reading(self.lookup, file).listed()
