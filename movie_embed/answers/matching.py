"""From a row of somebody's file to the movie that it means."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property
from typing import NamedTuple

from movie_embed.answers.lookup import Lookup
from movie_embed.answers.own_columns import OwnFile, OwnRow
from movie_embed.answers.search import names_of, numbered
from movie_embed.data.movies import split_year
from movie_embed.data.names import (
    simplified,
    title_key,
    titles_in,
    usual_title,
    with_article_first,
    without_article,
)

_CLEARLY = 5  # times as many ratings as the next namesake make a movie the one that is meant
_OWNER = re.compile(r"^.{2,40}?(?:['\u2019]s|s['\u2019]) ")
_POSSESSIVE = re.compile(rf"{_OWNER.pattern}(?=(?:The|A|An) )")  # Marvel's The Avengers
_SMALL = {"the", "and", "part", "vol", "volume", "chapter", "episode"}
_LONG = 10  # letters: a part of a title as long as this is rarely in another title of the year


class Found(NamedTuple):
    """A movie's place in the table, or None, and how it was found, or why not.

    It may be `guessed` among namesakes, or found by title `against` the row's id.
    """

    place: int | None
    how: str
    guessed: bool = False
    against: bool = False


class Matcher:
    """Find the movies of somebody's file: by id, and by title with the year."""

    def __init__(self, lookup: Lookup) -> None:
        self.movies, self.titles = lookup.movies, lookup.titles
        self._name = lookup.name

    def match(self, file: OwnFile) -> list[str]:
        """Give each row that may count its movie; return notes on the ids of the file.

        An id and a title must agree, otherwise the title decides.
        """
        owner, notes = self._owner_of(file)
        sure = owner != "movie" or file.source.name == "MovieLens"
        for row in file.rows:
            if not row.state:
                row.place, row.how, row.guessed, row.against = self._found(row, owner, sure)
        return notes

    def nearest(self, title: str) -> str:
        """Return the title nearest to one that is not there, ``""`` where none is near."""
        rows = self.titles.near(title, 1, cutoff=75)
        return self._name(self._most_rated(rows)) if rows else ""

    def _owner_of(self, file: OwnFile) -> tuple[str, list[str]]:
        """Return the owner of the movie ids, who knows most of them; and a note about it."""
        given = [row.movie for row in file.rows if row.movie]
        owners = ("movie", "TMDB", "IMDb")
        known = {o: sum(self._by_id(o, text) is not None for text in given) for o in owners}
        best = max(known, key=known.__getitem__)
        if best != "movie":
            return best, [
                f"{file.name}: its movie ids are taken for {best} ids, of which {known[best]:,} of "
                f"{len(given):,} are known; as ids of this run {known['movie']:,} would be"
            ]
        if file.source.name == "MovieLens" or any(row.title for row in file.rows):
            return best, []
        # Nothing confirms ids alone, so one of them is shown with its movie.
        for text in given:
            if (place := self._by_id(best, text)) is not None:
                said = f"its movie ids are taken for those of this run: {text} is"
                return best, [f"{file.name}: {said} {self._name(place)}"]
        return best, []

    def _by_id(self, owner: str, text: str) -> int | None:
        """Return the place of a movie by an id, ``""`` for none, of the run, IMDb or TMDB."""
        if owner == "movie" and self.movies.ids.dtype == object:
            return self.movies.row_of(text)
        number = int(text) if re.fullmatch(r"[0-9]{1,18}", text) else -1
        return self.movies.row_of(number) if owner == "movie" else self._linked[owner].get(number)

    @cached_property
    def _linked(self) -> dict[str, dict[int, int]]:
        """The place of each number on IMDb and on TMDB."""
        links = self.movies.links
        columns = [[], []] if links is None else links.T.tolist()
        imdb, tmdb = ({n: place for place, n in enumerate(column) if n} for column in columns)
        return {"IMDb": imdb, "TMDB": tmdb}

    def _found(self, row: OwnRow, owner: str, sure: bool) -> Found:
        ids = (
            (self._by_id(owner, row.movie), owner, sure),
            (self._linked["IMDb"].get(row.imdb), "IMDb", True),
            (self._linked["TMDB"].get(row.tmdb), "TMDB", True),
        )
        by_id = [(place, owner, sure) for place, owner, sure in ids if place is not None]
        named = [self._by_title(title, row.year) for title in (row.title, row.original) if title]
        fitting = {place for _, places in named for place in places}
        for place, owner, _ in by_id:
            if not named or place in fitting:
                return Found(place, f"{owner} id")
        how, places = next((each for each in named if each[1]), ("", []))
        if places:
            found = self._one(places, row, how)
            if by_id and found.place is not None:
                place, owner, _ = by_id[0]
                against = f"{how}, against its {owner} id: {self._name(place)}"
                return found._replace(how=against, against=True)
            return found
        said = _said(row.title) | _said(row.original)
        for place, owner, sure in by_id:
            year = self._year(place)
            if sure and row.year and year and abs(row.year - year) <= 1:
                return Found(place, f"{owner} id and year")
            if not said.isdisjoint(_said(self._title(place))):
                return Found(place, f"{owner} id and title")
        if by_id:
            place, owner, _ = by_id[0]
            return Found(None, f"its {owner} id is that of {self._name(place)}")
        if not row.title and self.movies.links is None and (row.imdb or row.tmdb):
            return Found(None, "it needs links.csv, which the data of this run did not have")
        return Found(None, f"not in {len(self.movies):,} movies")

    def _one(self, rows: list[int], own: OwnRow, how: str) -> Found:
        """Return the movie that is meant of several that a title fits."""
        title, year = split_year(own.title)
        if year := own.year or year or 0:
            apart = {row: abs((self._year(row) or year + 1) - year) for row in rows}
            rows = [row for row in rows if apart[row] == min(apart.values())]
        # The article tells "Holiday" and "The Holiday" apart where the data has both.
        same, plain = _said(title), simplified(usual_title(title))
        rows = [r for r in rows if not same.isdisjoint(_said(self._title(r)))] or rows
        rows = [r for r in rows if simplified(usual_title(self._title(r))) == plain] or rows
        best = self._most_rated(rows)
        if len(rows) == 1 or year:
            return Found(best, how)
        most, second, *_ = sorted((int(self.movies.rating_counts[r]) for r in rows), reverse=True)
        if most and most >= _CLEARLY * second:
            return Found(best, f"{how}, the most rated of {len(rows)}", guessed=True)
        names = ", ".join(map(self._name, rows[:3])) + (", ..." if len(rows) > 3 else "")
        return Found(None, f"it may be {names}: give the year")

    def _by_title(self, title: str, year: int) -> tuple[str, list[int]]:
        """Return how a title was found, and all rows of about the year that it may mean.

        A year may be one off where the title is the same to the article. It must be the same where
        the title lacks what stands before or behind a colon.
        """
        name, own_year = split_year(title)
        year = year or own_year or 0
        for each in names_of(name):
            key = numbered(title_key(each))
            rows = self.titles.named(key) or self.titles.named(without_article(key))  # The A-Team
            if near := [row for row in rows if self._is_near(row, each, year)]:
                return "title and year" if year else "title", near
        if not year and (dated := re.fullmatch(r"(.+\S)\s+((?:19|20)\d\d)", name)):
            return self._by_title(dated[1], int(dated[2]))
        loose, shorter = _loose(name), _loose(_POSSESSIVE.sub("", name))
        near = [r for r in self._loosely.get(loose, []) if not year or self._year(r) == year]
        if not near and year:
            rows = self._parts.get(loose) or self._loosely.get(shorter, [])
            near = [row for row in rows if self._year(row) == year]
        clear = len({self.movies.titles[row] for row in near}) == 1
        return "a similar title" + (" and the year" if year else ""), near if clear else []

    def _is_near(self, row: int, name: str, year: int) -> bool:
        """Whether the year of a row is the one given, or one off and the title the same."""
        own = self._year(row)
        if not year or own is None or own == year:
            return True
        return abs(own - year) == 1 and not _said(name).isdisjoint(_said(self._title(row)))

    def _most_rated(self, rows: Iterable[int]) -> int:
        counts = self.movies.rating_counts
        return max(rows, key=lambda row: (row < self.movies.embedded, counts[row], -row))

    def _title(self, row: int) -> str:
        return split_year(self.movies.titles[row])[0]

    def _year(self, row: int) -> int | None:
        return split_year(self.movies.titles[row])[1]

    @cached_property
    def _loosely(self) -> dict[str, list[int]]:
        """The rows of each name without small words and blanks."""
        rows_of: dict[str, list[int]] = defaultdict(list)
        for key in self.titles.keys:
            rows_of[_joined(key)] += self.titles.named(key)
        return rows_of

    @cached_property
    def _parts(self) -> dict[str, list[int]]:
        """The rows of each part of a title: before or behind a colon, a dash or a name's 's."""
        rows_of: dict[str, list[int]] = defaultdict(list)
        for row in range(len(self.movies)):
            title = self._title(row)
            head, *tails = re.split(r": | [-\u2013] ", title)
            parts = {head, _POSSESSIVE.sub("", title), *(f"{head} {tail}" for tail in tails[-1:])}
            others = {_OWNER.sub("", title), *tails[-1:]}
            parts |= {part for part in others if len(_loose(part)) >= _LONG}
            for part in parts - {title}:
                rows_of[_loose(part)].append(row)
        return rows_of


def _loose(name: str) -> str:
    return _joined(numbered(title_key(name)))


def _joined(key: str) -> str:
    return "".join(word for word in key.split() if word not in _SMALL) or key


def _said(name: str) -> set[str]:
    """Return a title, and those in its brackets, with their articles."""
    return {simplified(with_article_first(each)).strip() for each in titles_in(name)} - {""}
