"""What a file says of a movie to the row of the table of movies that it means."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import NamedTuple

from movie_embed.answers.lookup import Lookup
from movie_embed.answers.own_columns import OwnFile, OwnRow
from movie_embed.answers.search import numbered
from movie_embed.data.movies import split_year
from movie_embed.data.names import title_key

_CLEARLY = 5  # how many times the ratings of the next namesake the one that is meant has
_POSSESSIVE = re.compile(r"^.{2,40}?(?:['\u2019]s|s['\u2019]) (?=(?:The|A|An) )")
_SMALL = {"the", "a", "an", "and", "part", "vol", "volume", "chapter", "episode"}


class Found(NamedTuple):
    """The row that is meant, None where none is, and by what or why."""

    row: int | None
    how: str
    guessed: bool = False


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
        """Return the title nearest to one that is not there, ``""`` if none is near."""
        from rapidfuzz import fuzz, process  # only titles that are not there pay for its import

        key = numbered(title_key(split_year(row.title)[0]))
        keys = self.titles.keys
        near = process.extractOne(key, keys, scorer=fuzz.token_set_ratio, score_cutoff=70)
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
            return "movie", []
        return best, [
            f"{file.name}: its movie ids are taken for {_OWNERS[best]} ids, of which "
            f"{known[best]:,} of {len(given):,} are known; as ids of this run {known['movie']:,} "
            "would be"
        ]

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
            found = self._one(places, row.year or split_year(row.title)[1] or 0, how)
            if by_id and found.row is not None:
                place, owner, _ = by_id[0]
                return found._replace(how=f"{how}, against its {owner} id: {self._name(place)}")
            return found
        for place, owner, sure in by_id:
            year = self._year(place)
            if sure and row.year and year and abs(row.year - year) <= 1:
                return Found(place, f"{owner} id and year")
        if by_id:
            place, owner, _ = by_id[0]
            return Found(None, f"its {owner} id is that of {self._name(place)}")
        return Found(None, f"not in {len(self.movies):,} movies")

    def _one(self, rows: list[int], year: int, how: str) -> Found:
        """Return the row that is meant of several that a title fits."""
        if year:
            apart = {row: abs((self._year(row) or year + 1) - year) for row in rows}
            rows = [row for row in rows if apart[row] == min(apart.values())]
        best = self._most_rated(rows)
        if len(rows) == 1 or year:
            return Found(best, how)
        counts = sorted(int(self.movies.rating_counts[row]) for row in rows)
        if counts[-1] >= _CLEARLY * counts[-2] > 0 or counts[-2] == 0 < counts[-1]:
            return Found(best, f"{how}, the most rated of {len(rows)}", guessed=True)
        return Found(None, f"{len(rows)} movies are called so: give the year")

    def _by_title(self, title: str, year: int) -> tuple[str, list[int]]:
        """Return how a title was found, and all rows of about the year that it may mean.

        With a year, the title may also lack what follows a colon, have three words or more in
        common, or a wrong letter in eight; but then the year is the same.
        """
        name, own_year = split_year(title)
        year = year or own_year or 0
        key = numbered(title_key(name))
        if not key:
            return "", []
        near = self._near(self.titles.named(key), year, 1)
        if not near and not year and (dated := re.fullmatch(r"(.+\S)\s+((?:19|20)\d\d)", name)):
            return self._by_title(dated[1], int(dated[2]))
        if near:
            return "title and year" if year else "title", near
        loose = _loose(key)
        near = self._near(self._loosely.get(loose, ()), year, 1)
        near = near or self._worded(key, year)
        if not near and year:
            bare = _loose(numbered(title_key(_POSSESSIVE.sub("", name))))
            rows = self._heads.get(loose) or self._loosely.get(bare, [])
            near = self._near(rows, year, 0) or self._misspelt(key, year)
        clear = len({self.movies.titles[row] for row in near}) == 1
        return "a similar title" + (" and the year" if year else ""), near if clear else []

    def _near(self, rows: Iterable[int], year: int, apart: int) -> list[int]:
        years = ((row, self._year(row)) for row in dict.fromkeys(rows))
        return [r for r, own in years if not year or own is None or abs(own - year) <= apart]

    def _worded(self, key: str, year: int) -> list[int]:
        """Return the rows whose title has all words, three or more, and no other numbers."""
        words = {*key.split()} - _SMALL
        if len(words) < 3:
            return []
        rows = set.intersection(*(self._having.get(word, set()) for word in words))
        near = self._near(sorted(rows), year, 0)
        numbers = {word for word in words if word.isdigit()}
        return [row for row in near if year or numbers == self._numbers(row)]

    def _numbers(self, row: int) -> set[str]:
        return {word for word in numbered(title_key(self._title(row))).split() if word.isdigit()}

    def _misspelt(self, key: str, year: int) -> list[int]:
        from rapidfuzz import process
        from rapidfuzz.distance import OSA

        keys = self._of_year.get(year, {})
        numbers = re.findall(r"\d+", key)
        same = [each for each in keys if re.findall(r"\d+", each) == numbers]
        near = process.extractOne(key, same, scorer=OSA.distance, score_cutoff=len(key) // 8)
        return keys[near[0]] if near and len(key) >= 8 else []

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
            rows_of[_loose(key)] += self.titles.named(key)
        return rows_of

    @cached_property
    def _heads(self) -> dict[str, list[int]]:
        """The rows of what stands before a colon or a dash, or after a name as in Marvel's The."""
        rows_of: dict[str, list[int]] = defaultdict(list)
        for row in range(len(self.movies)):
            title = self._title(row)
            head = re.split(r": | [-\u2013] ", title, maxsplit=1)[0]
            for short in {head, _POSSESSIVE.sub("", title)} - {title}:
                rows_of[_loose(numbered(title_key(short)))].append(row)
        return rows_of

    @cached_property
    def _having(self) -> dict[str, set[int]]:
        """The rows that have a word."""
        rows_of: dict[str, set[int]] = defaultdict(set)
        for key in self.titles.keys:
            for word in key.split():
                rows_of[word].update(self.titles.named(key))
        return rows_of

    @cached_property
    def _of_year(self) -> dict[int, dict[str, list[int]]]:
        """The rows of each name, by year."""
        rows_of: dict[int, dict[str, list[int]]] = defaultdict(dict)
        for key in self.titles.keys:
            for row in self.titles.named(key):
                rows_of[self._year(row) or 0].setdefault(key, []).append(row)
        return rows_of


_OWNERS = {"movie": "movie", "imdb": "IMDb", "tmdb": "TMDB"}


def _loose(key: str) -> str:
    return "".join(word for word in key.split() if word not in _SMALL) or key


def _whole(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else -1
