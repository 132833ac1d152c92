"""The table of movies that travels from the raw files to the answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_YEAR = re.compile(r"\((\d{4})(?:\s*[-–]\s*\d{0,4})?\)\s*$")  # noqa: RUF001
_NO_GENRES = "(no genres listed)"
_TEXTS = ("titles", "genres", "tags")
TABLE_COLUMNS = ("movie_ids", "rating_counts", *_TEXTS)

Id = int | str


class MovieId(NamedTuple):
    """A movie by its id. An id that is text needs this, because a plain string is a title."""

    id: Id


@dataclass(frozen=True)
class MovieTable:
    """Every movie of a data set; the embedded ones come first, in the order of their vectors."""

    ids: NDArray[Any]  # int64, or `str` where they are text
    titles: list[str]  # as in the raw file: "Matrix, The (1999)"
    genres: list[str]  # joined by |
    tags: list[str]  # joined by |
    rating_counts: NDArray[np.int64]  # before any filter
    embedded: int  # how many rows, from the first, have a vector
    links: NDArray[np.int64] | None = None  # numbers on IMDb and on TMDB; 0 where one is not known

    def __len__(self) -> int:
        return len(self.ids)

    def row_of(self, movie_id: Id) -> int | None:
        """Return the row of an id, or None if the data set does not have it."""
        return self._row_of.get(as_ids_are(self.ids, movie_id))

    @cached_property
    def _row_of(self) -> dict[Id, int]:
        return {movie_id: row for row, movie_id in enumerate(self.ids.tolist())}

    def imdb_id(self, row: int) -> str | None:
        """Return the id of a row on IMDb, ``"tt0111161"``, or None if it is not known."""
        number = 0 if self.links is None else int(self.links[row, 0])
        return f"tt{number:07}" if number else None

    def tmdb_id(self, row: int) -> int | None:
        """Return the id of a row on TMDB, or None if it is not known."""
        return None if self.links is None else int(self.links[row, 1]) or None

    def take(self, rows: NDArray[np.int64], embedded: int) -> MovieTable:
        """Return the given rows, of which the first `embedded` have vectors."""
        texts = {name: [getattr(self, name)[row] for row in rows] for name in _TEXTS}
        return replace(
            self,
            ids=self.ids[rows],
            rating_counts=self.rating_counts[rows],
            embedded=embedded,
            links=None if self.links is None else self.links[rows],
            **texts,
        )

    def to_columns(self) -> dict[str, Any]:
        """Return the columns as `storage.write_columns` takes them."""
        columns = {"movie_ids": self.ids, "rating_counts": self.rating_counts}
        columns |= {name: getattr(self, name) for name in _TEXTS}
        return columns if self.links is None else columns | {"links": self.links}

    @classmethod
    def from_columns(cls, columns: Mapping[str, Any], embedded: int) -> MovieTable:
        """Build the table from columns that `to_columns` made."""
        given: dict[str, Any] = {
            name: columns.get(name) for name in (*_TEXTS, "rating_counts", "links")
        }
        return cls(ids_of(columns["movie_ids"]), embedded=embedded, **given)


def ids_of(column: Any) -> NDArray[Any]:
    """Return ids as they were saved, numbers or text, as an array."""
    return np.array(column, dtype=object) if isinstance(column, list) else column


def as_ids_are(ids: NDArray[Any], wanted: Id) -> Id:
    """Return an id as text where ids are text: on a command line 12 is a number."""
    return str(wanted) if ids.dtype == object else wanted


def nearest_ids(ids: NDArray[Any], wanted: Id, count: int = 3) -> NDArray[np.intp]:
    """Return the rows of the ids nearest to one that is not there: by value, or by spelling."""
    if ids.dtype != object and not isinstance(wanted, str):
        distances = np.abs(ids.astype(np.float64) - wanted)
        return np.argsort(distances, kind="stable")[:count]
    texts = list(map(str, ids.tolist()))
    near = get_close_matches(str(wanted), texts, count, cutoff=0.5) or texts[:count]
    return np.array([texts.index(text) for text in near], dtype=np.intp)


# An answer asks for the same few titles again and again.
@lru_cache(maxsize=2**16)
def split_year(title: str) -> tuple[str, int | None]:
    """Split ``"Toy Story (1995)"`` into ``("Toy Story", 1995)``; the year may be absent."""
    match = _YEAR.search(title)
    return (title[: match.start()].rstrip(), int(match[1])) if match else (title.strip(), None)


@lru_cache(maxsize=2**16)
def split_genres(genres: str) -> tuple[str, ...]:
    """Split ``"Adventure|Animation"`` into its genres; none for MovieLens' placeholder."""
    return () if genres in ("", _NO_GENRES) else tuple(genres.split("|"))


def split_tags(tags: str) -> tuple[str, ...]:
    """Split ``"pixar|toys"`` into its tags."""
    return tuple(tags.split("|")) if tags else ()


def series_of(title: str) -> str:
    """Return the series of a title: its part before a number, a colon or 'and the'.

    "Toy Story 2 (1999)" and "Toy Story (1995)" are both "toy story"; so "Harry Potter and the
    Goblet of Fire", "Star Wars: Episode IV - A New Hope" and "Godfather: Part II, The".
    """
    name = re.sub(r"\s*\(.*?\)", "", split_year(title)[0])
    name = re.sub(r", (The|A|An)$", "", name)
    name = re.split(r":| and the | - ", name)[0]
    return re.sub(r"(\s+Part)?\s+(\d{1,2}|[IVX]+)$", "", name).strip().lower()
