"""Somebody's own ratings, or lists of movies, from a service's export or a table of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from movie_embed.answers.lookup import Lookup
from movie_embed.answers.results import OwnMovies, OwnRatings

if TYPE_CHECKING:
    from movie_embed.answers.matching import Matcher


class ReadsFiles:
    """The part of `Recommender` that reads somebody's files."""

    lookup: Lookup

    @cached_property
    def _matcher(self) -> Matcher:
        from movie_embed.answers.matching import Matcher

        return Matcher(self.lookup)

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
        return Reading(self.lookup, self._matcher, of_one(file, rated_by)).ratings(scale)

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
        return Reading(self.lookup, self._matcher, file).listed()
