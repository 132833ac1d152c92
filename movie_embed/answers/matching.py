"""From the ids, titles and year of a row of somebody's list to the movie that it means."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from typing import NamedTuple

from movie_embed.answers.lookup import Lookup
from movie_embed.data.movies import Id
from movie_embed.errors import printable

_CLEARLY = (
    5  # times the ratings of its namesakes; less than in a question, as few titles lack years
)
_GUESSED = "titles without a year, taken for the best known of them"
Ids = tuple[tuple[str, Id], ...]


class Found(NamedTuple):
    """A movie's row, or None, and how it was found, or why not.

    The year may be `off` by one. `note` has a word where a title was taken for one of namesakes, or
    against an id.
    """

    row: int | None
    how: str
    off: bool = False
    note: str = ""


class Matcher:
    """Find the movies of a list, of which ids and titles must agree."""

    def __init__(self, lookup: Lookup) -> None:
        self.movies, self.titles, self.name = lookup.movies, lookup.titles, lookup.name
        self.match = cache(self._match)  # rows that name a movie alike are matched once

    def _match(self, given: Ids, titles: tuple[str, ...], year: int, owner: str = "") -> Found:
        """Return the movie of a row: by an id, unless its title and year contradict it.

        Ids whose owner is not known, ``"id"``, are those of `owner`, ``""`` for nobody's.
        """
        owned = ((owner if each == "id" else each, number) for each, number in given)
        ids = [each for each in owned if each[0]]

        def apart(row: int) -> int:
            own = self.titles.year(row)
            return abs(year - own) if year and own else 0

        by_id = [(owner, row) for owner, n in ids if (row := self.row_of(owner, n)) is not None]
        how, rows = self.titles.listed(titles, year)
        for owner, row in by_id:
            if (row in rows or not titles) and apart(row) < 2:
                return Found(row, f"{owner} id", off=apart(row) == 1)
        if rows:
            found = self._of_title(titles, year, how, rows)
            found = self._outvoted(found, ids, year) if found.row is not None else found
            return found._replace(off=found.row is not None and apart(found.row) == 1)
        for owner, row in by_id:
            same = any(self.titles.same(title, row) for title in titles)
            # A title that the data lacks may be a translation, but a number on TMDB a series'.
            alone = apart(row) < 2 if owner == "IMDb" else year and not apart(row)
            if alone or (same and apart(row) < 2):
                how = f"{owner} id{' and title' if same else ' and year' if year else ''}"
                return Found(row, how, off=apart(row) == 1)
            return Found(None, f"its {owner} id is that of {self.name(row)}")
        if ids and not titles and self.movies.links is None:
            return Found(None, "it needs links.csv, which the data of this run did not have")
        return Found(None, f"not in {len(self.movies):,} movies")

    def row_of(self, owner: str, number: Id) -> int | None:
        """Return the row of an id at ``"IMDb"`` or ``"TMDB"``, or of this data, ``"movie"``."""
        if self.movies.ids.dtype == object and owner != "TMDB":  # the data's may be IMDb's
            text = f"tt{number:07}" if isinstance(number, int) and owner == "IMDb" else str(number)
            if (row := self.movies.row_of(text)) is not None:
                return row
        whole = int(number) if str(number).isdecimal() else -1
        return self.movies.row_of(whole) if owner == "movie" else self._linked[owner].get(whole)

    def owner(self, numbers: Sequence[Id]) -> tuple[str, str]:
        """Return whose ids some are, of those who know most of them, and a note on it."""
        known = {
            owner: [row for n in numbers if (row := self.row_of(owner, n)) is not None]
            for owner in ("movie", "TMDB", "IMDb")
        }
        best = max(known, key=lambda owner: len(known[owner]))
        whose = "this run" if best == "movie" else best
        # Nothing confirms ids alone, so one is shown.
        first = f", the first is {self.name(known[best][0])}" if known[best] else ""
        return best, f"its movie ids are taken for those of {whose}{first}"

    def nearest(self, titles: Sequence[str]) -> str:
        """Return words for the title nearest to one that is not there, ``""`` if none is near."""
        rows = self.titles.near(titles[0], 1, cutoff=75) if titles else []
        return f"; nearest: {self.name(self.titles.most_rated(rows))}" if rows else ""

    def _of_title(self, titles: Sequence[str], year: int, how: str, rows: list[int]) -> Found:
        rows = self.titles.closest(titles, rows)
        if len(rows) == 1 or year:
            return Found(self.titles.most_rated(rows), how)
        if (row := self.titles.meant(rows, _CLEARLY)) is not None:
            return Found(row, f"{how}, the most rated of {len(rows)}", note=_GUESSED)
        names = ", ".join(map(self.name, rows[:3])) + (", ..." if len(rows) > 3 else "")
        return Found(None, f"it may be {names}: give the year")

    def _outvoted(self, found: Found, ids: Sequence[tuple[str, Id]], year: int) -> Found:
        """Return what a title leads to against an id: only with its year it outvotes one."""
        assert found.row is not None
        for owner, number in ids:
            other = self.row_of(owner, number)
            own = (
                self.movies.imdb_id(found.row)
                if owner == "IMDb"
                else self.movies.tmdb_id(found.row)
            )
            if other == found.row or (owner != "movie" and own is None):
                continue
            if other is None and (not year or not found.how.startswith("title")):
                told = (
                    f"its {owner} id {printable(str(number))} is not that of {self.name(found.row)}"
                )
                return Found(None, told)
            whose = printable(str(number)) if other is None else self.name(other)
            told = f"against its {owner} id: {whose}"
            return found._replace(how=f"{found.how}, {told}", note="the title decides")
        return found

    @cached_property
    def _linked(self) -> dict[str, dict[int, int]]:
        """The row of each number on IMDb and on TMDB."""
        links = self.movies.links
        columns = [[], []] if links is None else links.T.tolist()
        imdb, tmdb = ({n: row for row, n in enumerate(column) if n} for column in columns)
        return {"IMDb": imdb, "TMDB": tmdb}
