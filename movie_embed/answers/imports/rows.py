"""Tables of people's own movies to rows: what each line says, and nothing that it does not say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import chain
from math import isfinite
from typing import NamedTuple

from movie_embed.answers.imports import words
from movie_embed.answers.imports.tables import Line, Table
from movie_embed.answers.imports.words import COLUMNS, plain
from movie_embed.data.json_rows import LIST_KEY
from movie_embed.data.movies import Id, split_year
from movie_embed.errors import MovieEmbedError, UnknownColumns, did_you_mean, printable

Columns = Mapping[str, str]  # names by meaning
Knows = Callable[[str], bool]  # whether the data has a title

_IDS = {
    "IMDb": re.compile(r"\btt(\d{7,10})\b"),
    "TMDB": re.compile(r"(?i)\b(?:tmdb(?:id)?|themoviedb(?:\.org/movie)?)[-=:/ ]{1,3}(\d{1,9})\b"),
}
_OWNERS = {"imdb": "IMDb", "tmdb": "TMDB", "themoviedb": "TMDB", "movielens": "movie"}
_YEAR = re.compile(r"(?<!\d)(?:1[89]|20)\d\d(?!\d)")
# A title with its year in round brackets; behind it other brackets, a dash or a file's ending.
_DATED = re.compile(r"(.*\S\s*\(\d{4}\))\s*(?:[\[{.-].*)?")
_BRACKETS = re.compile(r"(?<=\S)\s*(?:\[[^\[\]]*\]|\{[^{}]*\})\s*$")
_NOT_RATED = {"", "-", "\u2013", "\u2014", "?", "n/a", "na", "nan", "none", "null", "not rated"}
_LONGEST = 200  # letters of a title


class Row(NamedTuple):
    """One movie as a file names it."""

    place: int  # the line, or the entry in JSON
    ids: tuple[tuple[str, Id], ...]  # with their owner: IMDb, TMDB, "movie" for the run, or "id"
    title: tuple[str, ...]  # as shown, then others
    year: int
    kind: str | None  # the word for what is no movie
    seen: str | None  # the word that speaks against it
    stars: float | None  # as in the file

    def __str__(self) -> str:
        year = f" ({self.year})" if self.year else ""
        ids = (f"tt{i:07}" if owner == "IMDb" else f"{owner} {i}" for owner, i in self.ids)
        return printable(self.title[0] + year if self.title else next(ids, ""))


class Rows:
    """The rows of a table, by date, and their `faults`; it must have ratings if `rated`.

    `unknown` says why columns that are named cannot be read. `top` is the highest rating of the
    scale if the name of the column says it, `others` that by others, up to 10, and its column.
    """

    def __init__(
        self, table: Table, columns: Columns, rated: bool, rated_by: object, knows: Knows
    ) -> None:
        if odd := [str(meaning) for meaning in columns if meaning not in COLUMNS]:
            near = did_you_mean(odd[0], COLUMNS)
            raise MovieEmbedError(f"columns.{odd[0]}: must be one of {', '.join(COLUMNS)}{near}")
        self.name, head, self.lines, self.unit = table
        given = [name for name in columns.values() if name != "none"]
        if given and all(map(str.isdecimal, given)) and not words.known_columns(head.cells):
            self.lines = [head, *self.lines]  # columns are named by their places: it has no header
            head = Line(0, [str(place) for place in range(1, len(head.cells) + 1)])
        self.header, self.rated = [cell.strip() for cell in head.cells], rated
        self.at, self.unknown = self._places(columns)
        self._require_columns(knows)
        self.columns = {m: self.header[self.at[m][0]] for m in COLUMNS if self.at[m]}
        self.has = {m: any(self._value(line, m) for line in self.lines) for m in self.at}
        self.keys_are_kinds = "kind" not in columns
        self.top = (words.own_rating(self.columns.get("rating", "")) or (0, None))[1]
        others = [n for n in range(len(self.header)) if n not in self.at["rating"]]
        named = [n for n in others if re.search("rating|score|рейтинг|评分", plain(self.header[n]))]
        highest = [(max(self._numbers(n), default=0), self.header[n]) for n in named]
        self.others = max([(0.0, ""), *(each for each in highest if each[0] <= 10)])
        lines = self._lines_of(rated_by)
        self.rows = [self._row(line) for line in lines]
        self.faults = {line.number: line.fault for line in lines if line.fault}
        for line, row in zip(lines, self.rows, strict=True):
            text, counts = self._value(line, "rating"), rated and row[4:] == (None, None, None)
            if counts and text.casefold() not in _NOT_RATED:
                told = f"{printable(text, 40)!r} is no number: write ratings as 4.5"
                self.faults.setdefault(row.place, told)

    def _places(self, columns: Columns) -> tuple[dict[str, list[int]], dict[str, str]]:
        """Return the places of columns by meaning, and why those that were named are not there."""
        # In JSON, and tables made of it, "movie.title" is a title too.
        names = [{c, plain(c), plain(c.rpartition(".")[2])} - {""} for c in self.header]

        def called(name: str) -> list[int]:
            return [n for n, each in enumerate(names) if each & {name, plain(name)}]

        named = {m: called(name)[: name != "none"] for m, name in columns.items()}
        lacking = [m for m, name in columns.items() if name != "none" and not named[m]]
        taken, at = set(chain(*named.values())), {"key": called(LIST_KEY)}
        for meaning, common in COLUMNS.items():
            found = [there for word in common if (there := [*{*called(word)} - taken])]
            # There may be several other titles, and a season or the number of an episode.
            at[meaning] = sorted(chain(*found[: 99 if meaning in ("original", "episode") else 1]))
        ranks = [
            (min(r[0] for r in map(words.own_rating, each) if r), not self._numbers(n), n)
            for n, each in enumerate(names)
            if n not in taken and any(map(words.own_rating, each))
        ]
        at["rating"] = [min(ranks)[2]] if ranks else []  # one's own first, one with numbers first
        at |= {m: places for m, places in named.items() if m not in lacking}
        told = f"{self.name} has no such column, it has {printable(', '.join(self.header))}"
        near = (did_you_mean(columns[m], self.header) for m in lacking)
        return at, {m: f"columns.{m}={columns[m]}: {told}{next(near)}" for m in lacking}

    def _numbers(self, place: int) -> list[float]:
        return [n for line in self.lines if (n := _number(line.cells[place])) is not None]

    def _value(self, line: Line, meaning: str) -> str:
        """Return the first text of a meaning that is not blank."""
        places = self.at[meaning]  # most meanings have none, and this runs for each cell
        return next(filter(None, (line.cells[n].strip() for n in places)), "") if places else ""

    def _require_columns(self, knows: Knows) -> None:
        """Refuse a table in which no column has movies, or none has ratings."""
        if not self.lines and not any(self.at.values()):
            raise MovieEmbedError(f"{self.name} has no {'ratings' if self.rated else 'movies'}")
        named = f"its columns are named {printable(', '.join(self.header))}"
        stars = any(self._numbers(n) for n in self.at["rating"])
        if self.rated and not stars and re.search(r"(?i)thumbs|\blike", named):
            told = "has thumbs and no stars: write a CSV with the columns title and rating"
            raise MovieEmbedError(f"{self.name} {told}; {named}")
        tell = ("title", "original", "imdb", "tmdb", "movie", "id")
        lacking = [] if any(self.at[meaning] for meaning in tell) else ["title"]
        lacking += ["rating"] if self.rated and not self.at["rating"] else []
        for meaning in lacking:
            if meaning in self.unknown:
                raise MovieEmbedError(self.unknown[meaning])
            what = "movies (title, imdbId, ...)" if meaning == "title" else "ratings (rating, ...)"
            told = f"has no column of {what} that is known: {named} (columns.{meaning}= names one)"
            raise UnknownColumns(f"{self.name} {told}", self._guess(lacking, knows))

    def _guess(self, lacking: list[str], knows: Knows) -> dict[str, str]:
        """Return the columns that look most like those that are lacking, and like years."""
        scores: dict[str, list[tuple[float, int, int]]] = {"title": [], "rating": [], "year": []}
        headless, known = any(map(_number, self.header)), set(chain(*self.at.values()))
        rows = [self.header, *(line.cells for line in self.lines[:200])][not headless :]
        for n in {*range(len(self.header))} - (set() if headless else known):
            cells = {row[n].strip() for row in rows} - {""}
            numbers = [number for number in map(_number, cells) if number is not None]
            if len(numbers) * 10 < len(cells) * 9:
                scores["title"].append((sum(map(knows, list(cells)[:50])), len(cells), -n))
            elif numbers and all(1880 <= number <= 2100 for number in numbers):
                scores["year"].append((1, 1, -n))
            elif numbers and max(numbers) <= 100:
                # Others' averages have decimals, and a counter has every number.
                halves = sum((2 * number).is_integer() for number in numbers) / len(numbers)
                scores["rating"].append((halves * (len(cells) > 1), -len(cells), -n))
        best = {m: -max(found)[2] for m, found in scores.items() if found}
        headless |= "title" in lacking and "title" in best and knows(self.header[best["title"]])
        wanted = [m for m in best if m in lacking or headless or (m == "year" and not self.at[m])]
        names = {m: str(best[m] + 1) if headless else self.header[best[m]] for m in wanted}
        return names if {*lacking} <= {*names} else {}

    def _lines_of(self, rated_by: object) -> list[Line]:
        """Return the lines of one person, by their dates where all have dates of one kind."""
        lines, users = self.lines, dict.fromkeys(self._value(line, "user") for line in self.lines)
        users.pop("", None)
        if self.rated and (rated_by is not None or len(users) > 1):
            lines = [line for line in lines if self._value(line, "user") == str(rated_by)]
        if not lines and (users or rated_by is not None):
            some, first = printable(", ".join([*users][:5])), printable(next(iter(users), "NAME"))
            told = f"{self.name} has the ratings of {len(users):,} users ({some}, ...)"
            raise MovieEmbedError(f"{told}: rated_by={first} reads those of one")
        moments = {line.number: self._value(line, "date") for line in lines}
        for kind in (r"[0-9]{1,20}", r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*"):
            if all(re.fullmatch(kind, moment) for moment in moments.values()):
                return sorted(lines, key=lambda line: moments[line.number].rjust(20))
        return lines

    def _row(self, line: Line) -> Row:
        titles: list[str] = []
        years = [int(year) for year in _YEAR.findall(self._value(line, "year"))]
        for place in (*self.at["title"], *self.at["original"]):
            text = line.cells[place].strip()[:_LONGEST]
            dated = _DATED.fullmatch(text)
            name, year = split_year(dated[1] if dated else _BRACKETS.sub("", text))
            titles += [] if name in ("", *titles) or _IDS["IMDb"].search(name) else [name]
            years += [year] if year else []
        ids, stars = tuple(self._ids(line).items()), _number(self._value(line, "rating"))
        kind, seen = self._kind(line), self._not_seen(line)
        return Row(line.number, ids, tuple(titles), next(iter(years), 0), kind, seen, stars)

    def _ids(self, line: Line) -> dict[str, Id]:
        """Return the ids of a line by owner: in a column, in brackets, in an address."""
        found: dict[str, Id] = {}
        for owner, pattern in _IDS.items():
            own = re.fullmatch(r"(?:tt)?(\d{1,12})(?:\.0)?", self._value(line, owner.lower()))
            given = {own[1]} if own else {*pattern.findall("\t".join(line.cells))}
            if len(given) == 1:  # several ids may be those of movies like it
                found[owner] = int(given.pop())
        source = self._value(line, "source")
        owner = _OWNERS.get(plain(source), "") if source else "id"
        for whose, meaning in (("movie", "movie"), (owner, "id")):
            if whose and (number := self._value(line, meaning).removesuffix(".0")):
                found.setdefault(whose, number)
        return found

    def _kind(self, line: Line) -> str | None:
        """Return None for a movie, else the word for what the line is."""
        if self.has["kind"]:
            kind = self._value(line, "kind")
            return None if words.is_movie(kind) else kind
        keys = [self.header[n].rpartition(".")[0] for n in self.at["title"] if line.cells[n]]
        kinds = [*map(words.kind_of_key, (*keys, self._value(line, "key")))]
        if self.keys_are_kinds and any(kinds):
            return None if any(map(words.is_movie, kinds)) else next(filter(None, kinds))
        numbers = ((n, line.cells[n].strip()) for n in self.at["episode"])
        parts = (self.header[n] for n, text in numbers if text and _number(text) != 0)
        return next(parts, None)

    def _not_seen(self, line: Line) -> str | None:
        """Return None unless the movie was not watched, or not to the end."""
        watched, status, plays = (self._value(line, m) for m in ("watched", "status", "plays"))
        if self.has["watched"] and not _is_yes(watched) and (watched or not self.rated):
            return watched
        if status and plain(status) not in words.SEEN:
            return status
        # A player counts what it has played itself; a rating says more.
        return plays if self.has["plays"] and not self.rated and not _is_yes(plays) else None


def _number(text: str) -> float | None:
    if re.fullmatch("\u2605+\u00bd?\u2606*", text.strip()):
        return text.count("\u2605") + text.count("\u00bd") / 2
    try:
        number = float(text if "." in text else text.replace(",", ".", 1))
    except ValueError:
        return None
    return number if isfinite(number) else None


def _is_yes(text: str) -> bool:
    """Whether a cell says that a movie was watched: a word for it, a number of times, a date."""
    known = plain(text) in words.SEEN or bool(_YEAR.search(text))
    return known or (_number(text) or 0) > 0
