"""The one index of titles: as people type them, and as lists and exports write them."""

from __future__ import annotations

import logging
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from functools import cached_property

import numpy as np

from movie_embed.data.movies import MovieTable, split_year
from movie_embed.data.names import (
    simplified,
    title_key,
    titles_in,
    usual_title,
    with_article_first,
    without_article,
    without_moved_article,
)
from movie_embed.errors import MovieEmbedError, UnknownError

_LISTED = 10
_CLEARLY = 10  # times the ratings of all its namesakes together make a movie the one meant
_ROMAN = re.compile(r"\b(?=[ivx]+\b)(x{0,3})(ix|iv|v?i{0,3})\b")
_ONES = ["", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix"]
_OWNER = re.compile(r"^.{2,40}?(?:['\u2019]s|s['\u2019]) ")
_POSSESSIVE = re.compile(rf"{_OWNER.pattern}(?=(?:The|A|An) )")  # Marvel's The Avengers
_SMALL = {"the", "and", "part", "vol", "volume", "chapter", "episode"}
_LONG = 10  # letters: a part of a title as long as this is rarely in another title of the year
_log = logging.getLogger(__name__)


class TitleIndex:
    """Find movies by title.

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
        rows, exact = self._found(text)
        best = self.meant(rows, _CLEARLY)
        if best is None and rows:
            told = f'"{text}" fits {len(rows)} movies; add the year or give the id:'
            raise MovieEmbedError(told + self._listed(rows))
        if best is None:
            raise UnknownError(f'no movie is called "{text}"; {self._way_on(text)}')
        name = self.movies.titles[best]
        if len(rows) > 1:
            told = '"%s" fits %d movies and is taken for %s, the most rated by far'
            _log.warning(told, text, len(rows), name)
        elif not exact:
            _log.warning('"%s" is taken for %s', text, name)
        return best

    def rows(self, text: str) -> list[int]:
        """Return the rows of all movies that a title may mean, as `row` reads it."""
        return self._found(text)[0]

    def typed(self, text: str, most: int = 10) -> list[int]:
        """Return at most so many movies with words that begin as those typed, most rated first.

        A title that is the text, run together or not, goes before; where no word fits, any like it.
        """
        key = title_key(text) or simplified(text).strip()
        number = _numbered(key)
        whole = self._chosen(self._run_together(number, None), None)[:most] if number else []
        for words in (number.split(), key.split(), key.split()[:-1]):
            if words and (rows := self._with_words(words, most)):
                return list(dict.fromkeys([*whole, *rows]))[:most]
        return whole or (self.rows(text)[:most] if len(key) > 3 else [])

    def named(self, key: str) -> list[int]:
        """Return the rows of a whole name in the form of `title_key`."""
        return self._rows_of.get(key, [])

    def meant(self, rows: Iterable[int], times: int) -> int | None:
        """Return the one of namesakes with so many times the ratings of all others together."""
        counts = {row: int(self.movies.rating_counts[row]) for row in rows}
        if not counts:
            return None
        best = max(counts, key=lambda row: counts[row])
        others = sum(counts.values()) - counts[best]
        return best if len(counts) == 1 or counts[best] >= max(1, times * others) else None

    def near(self, text: str, most: int, cutoff: float) -> list[int]:
        """Return the rows of the names most like a title that is not there, likeness 0 to 100."""
        from rapidfuzz import fuzz, process  # only titles that are not there pay for its import

        key, names = _numbered(title_key(split_year(text)[0])), list(self._rows_of)
        found = process.extract(
            key, names, scorer=fuzz.token_set_ratio, limit=most, score_cutoff=cutoff
        )
        return [row for name, _, _ in found for row in self._rows_of[name]]

    def listed(self, titles: Iterable[str], year: int) -> tuple[str, list[int]]:
        """Return how one movie's titles in a list were found, and all rows that they may mean.

        The year, 0 for none, may be one off only where a title is the same to the article and no
        movie of the year has one of the titles. It must be the same where a title lacks the part
        before or behind its colon.
        """
        read = [(name, year or own or 0) for name, own in map(split_year, titles)]
        for how, find in (("", self._of_year), ("", self._near_year), ("a similar ", self._alike)):
            for name, given in read:
                if rows := find(name, given):
                    behind = " and the year" if how else " and year"
                    return f"{how}title{behind if given else ''}", rows
        dated = (re.fullmatch(r"(.+\S)\s+((?:19|20)\d\d)", name) for name, _ in read if not year)
        again = next(filter(None, dated), None)
        return self.listed([again[1]], int(again[2])) if again else ("", [])

    def knows(self, title: str) -> bool:
        """Whether a title in a list may mean a movie."""
        return bool(self.listed([title], 0)[1])

    def closest(self, titles: Iterable[str], rows: list[int]) -> list[int]:
        """Return the rows that have a title to the article, where there are any.

        It tells "Holiday" and "The Holiday" apart where the data has both.
        """
        for title in titles:
            name = split_year(title)[0]
            plain = simplified(usual_title(name))
            rows = [row for row in rows if self.same(name, row)] or rows
            rows = [r for r in rows if simplified(usual_title(self._title(r))) == plain] or rows
        return rows

    def same(self, title: str, row: int) -> bool:
        """Whether a title, or one in its brackets, is one of a row's, to the article."""
        return not _said(split_year(title)[0]).isdisjoint(_said(self._title(row)))

    def most_rated(self, rows: Iterable[int]) -> int:
        """Return the row with most ratings, of those with learned vectors if there are any."""
        counts = self.movies.rating_counts
        return max(rows, key=lambda row: (row < self.movies.embedded, counts[row], -row))

    def year(self, row: int) -> int | None:
        """Return the year of a row."""
        return split_year(self.movies.titles[row])[1]

    def _title(self, row: int) -> str:
        return split_year(self.movies.titles[row])[0]

    def _found(self, text: str) -> tuple[list[int], bool]:
        """Return the rows that a title may mean, and whether it is exactly theirs."""
        readings = [split_year(text)]
        if bare := re.fullmatch(r"(.+\S)\s+(\d{4})", readings[0][0]):
            readings.append((bare[1], int(bare[2])))
        for find in (self._exact, self._run_together, self._worded, self._misspelt):
            for name, year in readings:
                key = _numbered(title_key(name))
                if key and (rows := self._chosen(find(key, year), year)):
                    return rows, find == self._exact
        return [], False

    def _exact(self, key: str, _: int | None) -> list[str]:
        return [key] if key in self._rows_of else []

    def _run_together(self, key: str, _: int | None) -> list[str]:
        """Return the titles that are the same without blanks, else begin so with several words.

        So "walle" is WALL-E, and "et" is E.T. the Extra-Terrestrial.
        """
        joined, (same, by_first_word) = key.replace(" ", ""), self._without_blanks
        if joined in same or len(max(key.split(), key=len)) not in (1, len(key)):
            return same.get(joined, [])
        begun = re.compile(" ?".join(joined) + r"\b")
        firsts = (by_first_word.get(joined[:size], ()) for size in range(1, len(joined)))
        return [title for titles in firsts for title in titles if begun.match(title)]

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
            if re.findall(r"\d+", title) == re.findall(r"\d+", key) and self._chosen([title], year)
        ]
        return [title for title, distance in near if distance == near[0][1]]

    def _chosen(self, keys: Iterable[str], year: int | None) -> list[int]:
        """Return the rows of the year, and those with learned vectors where there are any."""
        rows = {row for key in keys for row in self._rows_of[key]}
        fitting = {row for row in rows if year in (None, self.year(row))}
        learned = {row for row in fitting if row < self.movies.embedded}
        return sorted(learned or fitting)

    def _way_on(self, text: str) -> str:
        """Return what helps with a title that is not there."""
        if not any(self._rows_of):
            return "the data has no titles: give its movie_id"
        if near := self.near(text, 3, cutoff=50):
            return f"nearest:{self._listed(near)}"
        foreign = re.compile(r"[^\W\d_\0-\u024f]")
        if foreign.search(simplified(text)) and not any(map(foreign.search, self._rows_of)):
            return "the titles of the data are in Latin letters: give the English or original one"
        return "no title is like it: give its movie_id, or its English or original title"

    def _listed(self, rows: Iterable[int]) -> str:
        counts = self.movies.rating_counts
        most_rated = sorted({*rows}, key=lambda row: (-counts[row], row))
        lines = [
            f"\n  {self.movies.ids[row]:>7}  {self.movies.titles[row]}  (ratings: {counts[row]:,})"
            for row in most_rated[:_LISTED]
        ]
        more = len(most_rated) - _LISTED
        return "".join(lines) + (f"\n  and {more:,} more" if more > 0 else "")

    def _with_words(self, words: list[str], most: int) -> list[int]:
        order, text, starts = self._by_count
        longest = max(words, key=len)
        rows: dict[int, None] = {}
        at = text.find(f" {longest}")
        while at >= 0 and len(rows) < most:
            line = bisect_right(starts, at) - 1
            start, end = starts[line], starts[line + 1]
            if all(f" {word}" in text[start:end] for word in words):
                rows[order[line]] = None
            at = text.find(f" {longest}", end - 1)
        return list(rows)

    def _of_year(self, name: str, year: int) -> list[int]:
        """Return the rows with a name of this title and its year, or without a year."""
        for each in _names(name):
            key = _numbered(title_key(each))
            rows = self.named(key) or self.named(without_article(key))  # The A-Team
            if rows := [row for row in rows if not year or self.year(row) in (None, year)]:
                return rows
        return []

    def _near_year(self, name: str, year: int) -> list[int]:
        """Return the rows with a name that is the same to the article, a year earlier or later."""
        years = (year - 1, year + 1) if year else ()
        near = (row for each in years for row in self._of_year(name, each))
        return [row for row in near if self.year(row) and self.same(name, row)]

    def _alike(self, name: str, year: int) -> list[int]:
        """Return the rows of the year with the name but for small words, blanks and one part."""
        loose, shorter = _loose(name), _loose(_POSSESSIVE.sub("", name))
        near = [r for r in self._loosely.get(loose, []) if not year or self.year(r) == year]
        if not near and year:
            rows = self._parts.get(loose) or self._loosely.get(shorter, [])
            near = [row for row in rows if self.year(row) == year]
        return near if len({self.movies.titles[row] for row in near}) == 1 else []

    @cached_property
    def _spelt(self) -> list[tuple[str, str, int]]:
        """Each name as people spell it, with Roman numerals as numbers, and its row."""
        names = [(n, row) for row, title in enumerate(self.movies.titles) for n in _names(title)]
        # One pass over all names together: a normalisation each would take seconds.
        text = simplified("\n".join(name for name, _ in names))
        spelt = zip(text.split("\n"), _numbered(text).split("\n"), names, strict=True)
        keys = ((without_article(a.strip()), without_article(b.strip()), n[1]) for a, b, n in spelt)
        return [each for each in keys if each[0]]

    @cached_property
    def _rows_of(self) -> dict[str, list[int]]:
        rows_of = defaultdict(list)
        for _, key, row in self._spelt:
            rows_of[key].append(row)
        return rows_of

    @cached_property
    def _without_blanks(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """The names without blanks, and those with each first word."""
        joined: dict[str, list[str]] = defaultdict(list)
        first: dict[str, list[str]] = defaultdict(list)
        for spelt, key, _ in self._spelt:
            for each in {spelt, key}:
                joined[each.replace(" ", "")].append(key)
                first[each.partition(" ")[0]].append(key)
        return joined, first

    @cached_property
    def _by_count(self) -> tuple[list[int], str, list[int]]:
        """The rows by number of ratings, their names as one text, and where each begins.

        A loop over titles in Python would take longer than a key press.
        """
        counts = self.movies.rating_counts
        named = [(row, key) for key, rows in self._rows_of.items() for row in rows]
        named.sort(key=lambda each: (-counts[each[0]], each[0]))
        lines = [f" {key} {self.year(row) or ''}\n" for row, key in named]
        starts = np.cumsum([0, *map(len, lines)]).tolist()
        return [row for row, _ in named], "".join(lines), starts

    @cached_property
    def _loosely(self) -> dict[str, list[int]]:
        """The rows of each name without small words and blanks."""
        rows_of: dict[str, list[int]] = defaultdict(list)
        for key, rows in self._rows_of.items():
            rows_of[_joined(key)] += rows
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


def _names(title: str) -> list[str]:
    """Return a title without its year and moved article, and each one that its brackets give."""
    name = split_year(title)[0].replace("\n", " ")
    return [without_moved_article(each) for each in (titles_in(name) if "(" in name else [name])]


def _numbered(key: str) -> str:
    """Return ``"godfather part 2"`` for ``"godfather part ii"``."""
    return _ROMAN.sub(lambda found: str(10 * len(found[1]) + _ONES.index(found[2])), key)


def _loose(name: str) -> str:
    return _joined(_numbered(title_key(name)))


def _joined(key: str) -> str:
    return "".join(word for word in key.split() if word not in _SMALL) or key


def _said(name: str) -> set[str]:
    """Return a title, and those in its brackets, with their articles."""
    return {simplified(with_article_first(each)).strip() for each in titles_in(name)} - {""}
