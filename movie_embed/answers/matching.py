"""What a file says of a movie to the row of the table of movies that it means."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import NamedTuple

from movie_embed.answers.lookup import Lookup
from movie_embed.answers.own_columns import OwnFile, OwnRow
from movie_embed.answers.search import names_of, numbered
from movie_embed.data.movies import split_year
from movie_embed.data.names import (
    simplified,
    title_key,
    usual_title,
    with_article_first,
    without_article,
)

_CLEARLY = 5  # how many times the ratings of the next namesake the one that is meant has
_OWNER = re.compile(r"^.{2,40}?(?:['\u2019]s|s['\u2019]) ")
_POSSESSIVE = re.compile(rf"{_OWNER.pattern}(?=(?:The|A|An) )")  # Marvel's The Avengers
_SMALL = {"the", "and", "part", "vol", "volume", "chapter", "episode"}
_LONG = 10  # letters that hardly another movie of the year shares


class Found(NamedTuple):
    """The row that is meant, None where none is, and by what or why.

    It may be `guessed` among namesakes, or be `against` an id.
    """

    row: int | None
    how: str
    guessed: bool = False
    against: bool = False


class Matcher:
    """Find the movies of somebody's file: by id, and by title with the year.

    Parameters
    ----------
    lookup
        The movies.
    """

    def __init__(self, lookup: Lookup) -> None:
        self.movies, self.titles = lookup.movies, lookup.titles
        self._name = lookup.name

    def match(self, file: OwnFile) -> tuple[list[Found], list[str]]:
        """Return what each row means, and what is to be said of them all.

        An id and a title must agree, otherwise the title decides.
        """
        reading, notes = self._ids_of(file)
        trusted = reading != "movie" or file.source.name == "MovieLens"
        return [self._found(row, reading, trusted) for row in file.rows], notes

    def nearest(self, row: OwnRow) -> str:
        """Return the title nearest to one that is not there, ``""`` where none is near."""
        from rapidfuzz import fuzz, process  # only titles that are not there pay for its import

        key = numbered(title_key(split_year(row.title)[0]))
        keys = self.titles.keys
        near = process.extractOne(key, keys, scorer=fuzz.token_set_ratio, score_cutoff=75)
        rows = self.titles.named(near[0]) if near else []
        return self._name(self._most_rated(rows)) if rows else ""

    def _ids_of(self, file: OwnFile) -> tuple[str, list[str]]:
        """Return whose ids the column of movie ids holds: the ones of which most are known."""
        given = [row.movie for row in file.rows if row.movie]
        known = {
            name: sum(find(text) is not None for text in given)
            for name, find in self._readings.items()
        }
        best = max(known, key=known.__getitem__)
        if best == "movie" or not given:
            return "movie", self._own_ids(file)
        return best, [
            f"{file.name}: its movie ids are taken for {_OWNERS[best]} ids, of which "
            f"{known[best]:,} of {len(given):,} are known; as ids of this run {known['movie']:,} "
            "would be"
        ]

    def _own_ids(self, file: OwnFile) -> list[str]:
        """Return a word on ids that nothing confirms: one of them with its title."""
        if file.source.name == "MovieLens" or any(row.title for row in file.rows):
            return []
        for text in (row.movie for row in file.rows):
            if (row := self._by_own_id(text)) is not None:
                said = f"its movie ids are taken for those of this run: {text} is {self._name(row)}"
                return [f"{file.name}: {said}"]
        return []

    @cached_property
    def _readings(self) -> dict[str, Callable[[str], int | None]]:
        """How a movie id can be read."""
        return {
            "movie": self._by_own_id,
            "tmdb": lambda text: self._linked[1].get(_whole(text)),
            "imdb": lambda text: self._linked[0].get(_whole(text)),
        }

    def _by_own_id(self, text: str) -> int | None:
        if self.movies.ids.dtype == object:
            return self.movies.row_of(text)
        return self.movies.row_of(_whole(text))

    @cached_property
    def _linked(self) -> tuple[dict[int, int], dict[int, int]]:
        """The row of each IMDb number, and of each TMDB number."""
        links = self.movies.links
        columns = [[], []] if links is None else links.T.tolist()
        imdb, tmdb = ({n: row for row, n in enumerate(column) if n} for column in columns)
        return imdb, tmdb

    def _found(self, row: OwnRow, reading: str, trusted: bool) -> Found:
        ids = (
            (self._readings[reading](row.movie) if row.movie else None, _OWNERS[reading], trusted),
            (self._linked[0].get(row.imdb), "IMDb", True),
            (self._linked[1].get(row.tmdb), "TMDB", True),
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
            if by_id and found.row is not None:
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
        """Return the row that is meant of several that a title fits."""
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
        counts = sorted(int(self.movies.rating_counts[row]) for row in rows)
        if counts[-1] >= _CLEARLY * counts[-2] > 0 or counts[-2] == 0 < counts[-1]:
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
        loose = _loose(name)
        near = [r for r in self._loosely.get(loose, []) if not year or self._year(r) == year]
        if not near and year:
            rows = self._parts.get(loose) or self._loosely.get(
                _loose(_POSSESSIVE.sub("", name)), []
            )
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
        """The rows of what stands before or behind a colon or dash, or behind a name's 's."""
        rows_of: dict[str, list[int]] = defaultdict(list)
        for row in range(len(self.movies)):
            title = self._title(row)
            head, *tails = re.split(r": | [-\u2013] ", title)
            short = {head, _POSSESSIVE.sub("", title), *(f"{head} {tail}" for tail in tails[-1:])}
            long = {_OWNER.sub("", title), *tails[-1:]}
            for part in (short | long) - {title}:
                loose = _loose(part)
                if part in short or len(loose) >= _LONG:
                    rows_of[loose].append(row)
        return rows_of


_OWNERS = {"movie": "movie", "imdb": "IMDb", "tmdb": "TMDB"}


def _loose(name: str) -> str:
    return _joined(numbered(title_key(name)))


def _joined(key: str) -> str:
    return "".join(word for word in key.split() if word not in _SMALL) or key


def _said(name: str) -> set[str]:
    """Return a title, and those in its brackets, with their articles."""
    parts = [name, re.sub(r"\s*\([^()]*\)", "", name), *re.findall(r"\(([^()]*)\)", name)]
    bare = (re.sub(r"^(a\.?k\.?a\.?)\s+", "", part, flags=re.IGNORECASE) for part in parts)
    return {simplified(with_article_first(part.strip())).strip() for part in bare} - {""}


def _whole(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else -1
