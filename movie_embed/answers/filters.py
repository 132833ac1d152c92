"""Which movies may be answers."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
from numpy.typing import NDArray

from movie_embed.data.movies import MovieTable, split_genres, split_year
from movie_embed.errors import MovieEmbedError, did_you_mean

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Filters:
    """What an answer must be; by default every movie with a learned vector may be one.

    Attributes
    ----------
    genres
        At least one of these, in any case of letters; empty for all.
    exclude_genres
        None of these.
    years
        First and last year of release, both included; a movie without a year is left out.
    min_count
        At least this many ratings in the data.
    include_rare
        Also movies with a vector from content only.
    """

    genres: Collection[str] = ()
    exclude_genres: Collection[str] = ()
    years: tuple[int, int] | None = None
    min_count: int = 0
    include_rare: bool = False


class Catalogue:
    """Genres and years of a table of movies, parsed when a filter first asks.

    Parameters
    ----------
    movies
        The table.
    """

    def __init__(self, movies: MovieTable) -> None:
        self.movies = movies

    def allowed(self, filters: Filters) -> Mask:
        """Return which movies pass, shape (movies with vectors,).

        Raises
        ------
        MovieEmbedError
            A genre is unknown.
        """
        size = len(self.movies) if filters.include_rare else self.movies.embedded
        mask = self.movies.rating_counts[:size] >= filters.min_count
        if filters.genres:
            mask &= self._any_of(filters.genres)[:size]
        if filters.exclude_genres:
            mask &= ~self._any_of(filters.exclude_genres)[:size]
        if filters.years:
            first, last = filters.years
            mask &= (self._years[:size] >= first) & (self._years[:size] <= last)
        return mask

    @cached_property
    def genre_names(self) -> list[str]:
        """Every genre there is, in alphabetical order."""
        return sorted({genre for text in set(self.movies.genres) for genre in split_genres(text)})

    def _any_of(self, genres: Iterable[str]) -> Mask:
        return reduce(np.logical_or, (self.masks[self.genre(genre)] for genre in genres))

    def genre(self, genre: str) -> str:
        """Return a genre as the data set writes it, from any case of letters.

        Raises
        ------
        MovieEmbedError
            There is no such genre.
        """
        known = {name.casefold(): name for name in self.genre_names}
        if genre.casefold() not in known:
            near = did_you_mean(genre.casefold(), known) or f": one of {', '.join(known.values())}"
            raise MovieEmbedError(f"unknown genre {genre}{near}")
        return known[genre.casefold()]

    @cached_property
    def masks(self) -> dict[str, Mask]:
        """Which movies have each genre, shape (movies,)."""
        masks = {genre: np.zeros(len(self.movies), np.bool_) for genre in self.genre_names}
        for row, text in enumerate(self.movies.genres):
            for genre in split_genres(text):
                masks[genre][row] = True
        return masks

    @cached_property
    def _years(self) -> NDArray[np.int16]:
        """The years, -1 for none."""
        years = (split_year(title)[1] for title in self.movies.titles)
        return np.array([-1 if year is None else year for year in years], dtype=np.int16)
