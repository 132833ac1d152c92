"""Which movies may be answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from movie_embed.checks import as_whole, is_number, listed, names, require, whole
from movie_embed.data.movies import MovieTable, split_genres, split_year
from movie_embed.errors import MovieEmbedError, did_you_mean

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Filters:
    """The movies that may be answers; by default all with a learned vector.

    Attributes
    ----------
    genres
        At least one of these, or of this one, in any case of letters; empty for all.
    exclude_genres
        None of these.
    years
        First and last year of release, both included, or the one year; a movie without a year is
        left out. ``"1990-2005"`` is read too.
    min_count
        At least this many ratings in the data.
    include_rare
        Also movies without a learned vector, with one from content.
    among
        Only these movies, by id or title; by default all.
    exclude
        None of these movies.

    Raises
    ------
    MovieEmbedError
        A value is not as described.
    """

    genres: str | Iterable[str] = ()
    exclude_genres: str | Iterable[str] = ()
    years: SupportsIndex | Sequence[SupportsIndex] | str | None = None
    min_count: int = 0
    include_rare: bool = False
    among: Any = None
    exclude: Any = None

    def __post_init__(self) -> None:
        plain = {
            "genres": names("genres", self.genres),
            "exclude_genres": names("exclude_genres", self.exclude_genres),
            "years": _first_and_last(self.years),
            "min_count": whole("min_count", self.min_count, least=0),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        flag = isinstance(self.include_rare, bool | np.bool_)
        require(flag, "include_rare", self.include_rare, "true or false")


class Catalogue:
    """Genres and years of a table of movies, parsed when a filter first asks."""

    def __init__(self, movies: MovieTable) -> None:
        self.movies = movies

    def allowed(self, filters: Filters) -> Mask:
        """Return which movies pass, shape (movies with vectors,); a genre may be unknown."""
        size = len(self.movies) if filters.include_rare else self.movies.embedded
        mask: Mask = self.movies.rating_counts[:size] >= filters.min_count
        if filters.genres:
            mask &= self._any_of(filters.genres)[:size]
        if filters.exclude_genres:
            mask &= ~self._any_of(filters.exclude_genres)[:size]
        if filters.years is not None:
            first, last = listed(filters.years)
            mask &= (self._years[:size] >= first) & (self._years[:size] <= last)
        return mask

    @cached_property
    def genre_names(self) -> list[str]:
        """Every genre there is, in alphabetical order."""
        return sorted({genre for text in set(self.movies.genres) for genre in split_genres(text)})

    def _any_of(self, genres: Iterable[str]) -> Mask:
        return reduce(np.logical_or, (self.masks[self.genre(genre)] for genre in genres))

    def genre(self, genre: str) -> str:
        """Return a genre as the data set writes it, from any case of letters, or raise."""
        known = {_plain_genre(name): name for name in self.genre_names}
        if (plain := _plain_genre(genre)) not in known:
            near = did_you_mean(plain, known, cutoff=0.6) or f": one of {', '.join(known.values())}"
            raise MovieEmbedError(f"unknown genre {genre}{near}")
        return known[plain]

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


def _plain_genre(name: str) -> str:
    """Return one spelling of a genre: MovieLens has Sci-Fi, TMDB and IMDb Science Fiction."""
    letters = "".join(filter(str.isalnum, name.casefold()))
    return {"sciencefiction": "scifi", "sf": "scifi", "noir": "filmnoir"}.get(letters, letters)


def _first_and_last(years: Any) -> tuple[int, int] | None:
    """Return the first and the last year of ``1990``, ``(1990, 2005)`` or ``"1990-2005"``."""
    if years is None:
        return None
    given = years.split("-") if isinstance(years, str) else listed(years)
    found = [int(y) if isinstance(y, str) and y.strip().isdecimal() else as_whole(y) for y in given]
    ends = [year for year in found if year is not None and year >= 0]
    fits = len(ends) == len(found) and len(ends) in (1, 2) and ends[0] <= ends[-1]
    require(fits, "years", years, "a year, or the first and the last: years=1990-2005")
    return ends[0], ends[-1]


def checked_shape(
    k: SupportsIndex, filters: Filters, diversity: float, explain: bool
) -> tuple[int, float]:
    """Return `k` and `diversity` as plain numbers, once all that shapes answers is right."""
    require(isinstance(filters, Filters), "filters", filters, "Filters(genres='Drama', ...)")
    spread = is_number(diversity) and 0 <= diversity <= 1
    require(spread, "diversity", diversity, "a number from 0 to 1")
    require(isinstance(explain, bool | np.bool_), "explain", explain, "true or false")
    return whole("k", k, least=1), float(diversity)
