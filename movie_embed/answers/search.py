"""From titles as people type them to rows of the table of movies."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property

from movie_embed.data.movies import MovieTable, split_year
from movie_embed.data.names import (
    simplified,
    title_key,
    titles_in,
    without_article,
    without_moved_article,
)
from movie_embed.errors import MovieEmbedError, UnknownError

_LISTED = 10
_ROMAN = re.compile(r"\b(?=[ivx]+\b)(x{0,3})(ix|iv|v?i{0,3})\b")
_ONES = ["", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix"]
_log = logging.getLogger(__name__)


class TitleSearch:
    """Find movies by title: exact, by words in any order, or misspelt.

    Articles, accents, case and punctuation do not count, titles in brackets are titles too, and
    Roman numerals are numbers. Movies with learned vectors go before others of the same name.
    """

    def __init__(self, movies: MovieTable) -> None:
        self.movies = movies

    def row(self, text: str) -> int:
        """Return the row of the one movie that a title means.

        It is a title or words of it in any order, ``"the matrix"``, ``"Matrix, The (1999)"``,
        ``"lord of rings fellowship"``, else one with a few wrong letters, ``"incpetion"``. A year
        behind it, in brackets or not, tells namesakes apart. A title that is not exact is logged as
        a warning with the one it is taken for.

        Raises
        ------
        MovieEmbedError
            No movie is meant clearly; the candidates, or the nearest, are listed with their ids
            and numbers of ratings, a line each.
        """
        rows = self.rows(text)
        if not rows:
            near = self._listed(self.near(text, 3))
            way = f"nearest:{near}" if near else "the data has no titles: give its movie_id"
            raise UnknownError(f'no movie is called "{text}"; {way}')
        if len(rows) > 1:
            raise MovieEmbedError(
                f'"{text}" fits {len(rows)} movies; add the year or give the id:'
                + self._listed(rows)
            )
        return rows[0]

    def rows(self, text: str) -> list[int]:
        """Return the rows of all movies that a title may mean, as `row` reads it."""
        readings = [split_year(text)]
        if bare := re.fullmatch(r"(.+\S)\s+(\d{4})", readings[0][0]):
            readings.append((bare[1], int(bare[2])))
        for find in (self._exact, self._worded, self._misspelt):
            for name, year in readings:
                key = numbered(title_key(name))
                rows = self._chosen(find(key, year), year) if key else []
                if len(rows) == 1 and find != self._exact:
                    _log.warning('"%s" is taken for %s', text, self.movies.titles[rows[0]])
                if rows:
                    return rows
        return []

    @property
    def keys(self) -> list[str]:
        """All names, as `numbered` and `title_key` make them."""
        return list(self._rows_of)

    def named(self, key: str) -> list[int]:
        """Return the rows of a name in the form of `keys`."""
        return self._rows_of.get(key, [])

    def _exact(self, key: str, _: int | None) -> list[str]:
        return [key] if key in self._rows_of else []

    def _worded(self, key: str, _: int | None) -> list[str]:
        """Return the titles that have all words, in any order; the last may be unfinished."""
        words = [f" {word} " for word in key.split()]
        if not key[-1].isdigit():
            words[-1] = words[-1].rstrip()
        return [title for title in self._rows_of if all(word in f" {title} " for word in words)]

    def _misspelt(self, key: str, year: int | None) -> list[str]:
        """Return the nearest titles, if at most one letter in five is wrong or out of place.

        Their numbers are the same: a fourth part that the data lacks is not its third.
        """
        from rapidfuzz import process
        from rapidfuzz.distance import OSA  # only a misspelt title pays for its import

        most = max(1, len(key) // 5)
        found = process.extract(
            key, list(self._rows_of), scorer=OSA.distance, score_cutoff=most, limit=None
        )
        near = [
            (title, distance)
            for title, distance, _ in found
            if _numbers(title) == _numbers(key) and self._chosen([title], year)
        ]
        return [title for title, distance in near if distance == near[0][1]]

    def _chosen(self, keys: Iterable[str], year: int | None) -> list[int]:
        """Return the rows of the year, and those with learned vectors where there are any."""
        rows = {row for key in keys for row in self._rows_of[key]}
        fitting = {row for row in rows if year in (None, split_year(self.movies.titles[row])[1])}
        learned = {row for row in fitting if row < self.movies.embedded}
        return sorted(learned or fitting)

    def near(self, text: str, most: int, cutoff: float = 0) -> list[int]:
        """Return the rows of the names most like a title that is not there, likeness 0 to 100."""
        from rapidfuzz import fuzz, process  # only titles that are not there pay for its import

        key, names = numbered(title_key(split_year(text)[0])), list(self._rows_of)
        found = process.extract(
            key, names, scorer=fuzz.token_set_ratio, limit=most, score_cutoff=cutoff
        )
        return [row for name, _, _ in found for row in self._rows_of[name]]

    def _listed(self, rows: Iterable[int]) -> str:
        counts = self.movies.rating_counts
        most_rated = sorted({*rows}, key=lambda row: (-counts[row], row))
        lines = [
            f"\n  {self.movies.ids[row]:>7}  {self.movies.titles[row]}  (ratings: {counts[row]:,})"
            for row in most_rated[:_LISTED]
        ]
        more = len(most_rated) - _LISTED
        return "".join(lines) + (f"\n  and {more:,} more" if more > 0 else "")

    @cached_property
    def _rows_of(self) -> dict[str, list[int]]:
        names = [(n, row) for row, title in enumerate(self.movies.titles) for n in names_of(title)]
        rows_of = defaultdict(list)
        # One pass over all names together: a normalisation each would take seconds.
        keys = numbered(simplified("\n".join(name for name, _ in names))).split("\n")
        for key, (_, row) in zip(keys, names, strict=True):
            rows_of[without_article(key.strip())].append(row)
        rows_of.pop("", None)
        return rows_of


def names_of(title: str) -> list[str]:
    """Return a title without its year and moved article, and each one that its brackets give."""
    name = split_year(title)[0].replace("\n", " ")
    return [without_moved_article(each) for each in (titles_in(name) if "(" in name else [name])]


def numbered(key: str) -> str:
    """Return ``"godfather part 2"`` for ``"godfather part ii"``."""
    return _ROMAN.sub(lambda found: str(10 * len(found[1]) + _ONES.index(found[2])), key)


def _numbers(key: str) -> list[str]:
    return re.findall(r"\d+", key)
