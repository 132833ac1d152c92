"""Titles as people type them to rows of the table of movies."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cached_property

from movie_embed.data.movies import MovieTable, split_year
from movie_embed.data.names import simplified, title_key, without_article, without_moved_article
from movie_embed.errors import MovieEmbedError

_LISTED = 10


class TitleSearch:
    """Find movies by title: articles moved or left out, accents, typos, other titles in brackets.

    Parameters
    ----------
    movies
        The table; movies with learned vectors go before those without of the same name.
    """

    def __init__(self, movies: MovieTable) -> None:
        self.movies = movies

    def row(self, text: str) -> int:
        """Return the row of the one movie that a title means.

        Parameters
        ----------
        text
            A title, or the beginning of words of one: ``"the matrix"``, ``"Matrix, The (1999)"``,
            ``"incpetion"``. A year behind it, in brackets or not, tells namesakes apart.

        Raises
        ------
        MovieEmbedError
            No movie is meant clearly; the candidates, or the nearest, are listed with their ids
            and numbers of ratings, a line each.
        """
        rows = self.rows(text)
        if not rows:
            raise MovieEmbedError(f'no movie is called "{text}"; nearest:{self._listed_near(text)}')
        if len(rows) > 1:
            raise MovieEmbedError(
                f'"{text}" fits {len(rows)} movies; add the year or give the id:'
                + self._listed(rows)
            )
        return rows[0]

    def rows(self, text: str) -> list[int]:
        """Return the rows of all movies that a title may mean, as `row` reads it."""
        name, year = split_year(text)
        found = self._matching(name, year)
        if not found and (bare := re.fullmatch(r"(.+\S)\s+(\d{4})", name)):
            found = self._matching(bare[1], int(bare[2]))
        return found or self._misspelt(name, year)

    def _matching(self, name: str, year: int | None) -> list[int]:
        key = title_key(name)
        return self._chosen(self._rows_of.get(key, []), year) or self._chosen(
            (row for other in self._with_words(key) for row in self._rows_of[other]), year
        )

    def _with_words(self, key: str) -> Iterator[str]:
        start = f" {key}"
        return (other for other in self._rows_of if key and start in f" {other}")

    def _misspelt(self, name: str, year: int | None) -> list[int]:
        """Return the nearest titles, if at most one letter in five is wrong or out of place."""
        from rapidfuzz import process
        from rapidfuzz.distance import OSA  # only a misspelt title pays for its import

        key = title_key(name)
        if not key:  # one letter more would make it any title of one letter
            return []
        near = process.extract(
            key, self._keys, scorer=OSA.distance, score_cutoff=max(1, len(key) // 5), limit=None
        )
        for distance in sorted({distance for _, distance, _ in near}):
            keys = [other for other, its_distance, _ in near if its_distance == distance]
            if found := self._chosen((row for k in keys for row in self._rows_of[k]), year):
                return found
        return []

    def _chosen(self, rows: Iterable[int], year: int | None) -> list[int]:
        """Keep those of the year, and those with learned vectors where there are any."""
        fitting = {row for row in rows if year in (None, split_year(self.movies.titles[row])[1])}
        learned = {row for row in fitting if row < self.movies.embedded}
        return sorted(learned or fitting)

    def _listed_near(self, text: str) -> str:
        from rapidfuzz import process

        key = title_key(split_year(text)[0])
        near = process.extract(key, self._keys, limit=3)
        return self._listed({row for name, _, _ in near for row in self._rows_of[name]})

    def _listed(self, rows: Iterable[int]) -> str:
        counts = self.movies.rating_counts
        most_rated = sorted(rows, key=lambda row: (-counts[row], row))
        lines = [
            f"\n  {self.movies.ids[row]:>7}  {self.movies.titles[row]}  (ratings: {counts[row]:,})"
            for row in most_rated[:_LISTED]
        ]
        more = len(most_rated) - _LISTED
        return "".join(lines) + (f"\n  and {more:,} more" if more > 0 else "")

    @cached_property
    def _keys(self) -> list[str]:
        return list(self._rows_of)

    @cached_property
    def _rows_of(self) -> dict[str, list[int]]:
        names = [(n, row) for row, title in enumerate(self.movies.titles) for n in _names(title)]
        rows_of = defaultdict(list)
        # One pass over all names together: a normalisation each would take seconds.
        keys = simplified("\n".join(name for name, _ in names)).split("\n")
        for key, (_, row) in zip(keys, names, strict=True):
            rows_of[without_article(key.strip())].append(row)
        rows_of.pop("", None)
        return rows_of


def _names(title: str) -> Iterator[str]:
    """Yield a title without its year, and each title that its brackets give besides."""
    name = split_year(title)[0].replace("\n", " ")
    if "(" not in name:
        yield without_moved_article(name)
        return
    inside = re.findall(r"\(([^()]*)\)", name)
    outside = re.sub(r"\s*\([^()]*\)", "", name).strip()
    yield from {name, without_moved_article(outside)}
    for other in inside:
        yield without_moved_article(re.sub(r"^(a\.?k\.?a\.?)\s+", "", other, flags=re.IGNORECASE))
