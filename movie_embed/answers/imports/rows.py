"""Tables of people's own movies to rows: what each line says, and nothing that it does not say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from typing import NamedTuple

from movie_embed.answers.imports.tables import LISTED_AS, Line, Table
from movie_embed.answers.imports.words import (
    COLUMNS,
    SEEN,
    is_movie,
    kind_of_key,
    known_columns,
    own_rating,
    plain,
)
from movie_embed.data.movies import split_year
from movie_embed.errors import MovieEmbedError, did_you_mean, printable

Columns = Mapping[str, str]  # names of columns by meaning; "" for a column that is not to be read
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
_THUMBS = re.compile(r"thumbs?(value|up|down)?s?|likes?|liked|reaction")
_NOT_RATED = {"", "-", "\u2013", "\u2014", "?", "n/a", "na", "nan", "none", "null", "not rated"}
_MOVIES = ("title", "original", "english", "imdb", "tmdb", "movie", "id")  # columns that tell one
_LONGEST = 300  # letters of a title


class Row(NamedTuple):
    """One movie as a file names it.

    Its ids go with their owners, "IMDb", "TMDB", "movie" for the run, "id" for one unknown. Its
    titles are the one shown, the original, the English. A `kind` is a word for what is no movie, a
    `seen` one that speaks against that. Stars are as in the file.
    """

    place: int
    ids: tuple[tuple[str, int | str], ...]
    title: tuple[str, ...]
    year: int
    kind: str | None
    seen: str | None
    stars: float | None

    def __str__(self) -> str:
        if self.title:
            return printable(f"{self.title[0]} ({self.year})" if self.year else self.title[0])
        shown = (f"tt{i:07}" if owner == "IMDb" else f"{owner} {i}" for owner, i in self.ids)
        return printable(next(shown, ""))


@dataclass(frozen=True)
class Rows:
    """The rows of a file as they were rated one after another; `faults` of those unreadable.

    `columns` were read, by meaning, and `unknown` says why others cannot be. `top` is the highest
    rating of the scale where the file says it, `site` the highest by others and its column.
    """

    name: str
    unit: str
    rows: list[Row]
    faults: dict[int, str]
    columns: dict[str, str]
    unknown: dict[str, str]
    top: float | None
    site: tuple[float, str]


class UnknownColumns(MovieEmbedError):
    """No column is known to have movies, or ratings; `columns` names some that may, by meaning."""

    def __init__(self, message: str, columns: dict[str, str]) -> None:
        super().__init__(message)
        self.columns = columns


def read_rows(table: Table, columns: Columns, rated: bool, rated_by: object, knows: Knows) -> Rows:
    """Read the lines of a table below its header; `rated` if it must have ratings."""
    for meaning in columns:
        if meaning not in COLUMNS:
            near = did_you_mean(str(meaning), COLUMNS)
            raise MovieEmbedError(f"columns.{meaning}: must be one of {', '.join(COLUMNS)}{near}")
    given = [name for name in columns.values() if name]
    if given and all(map(str.isdecimal, given)) and not known_columns(table.head.cells):
        places = [str(place) for place in range(1, len(table.head.cells) + 1)]
        lines = [table.head, *table.lines]  # columns are named by their places: it has no header
        table = table._replace(head=Line(0, places), lines=lines)
    reader = _Reader(table, columns)
    reader.require_columns(rated, knows)
    return reader.rows(rated, rated_by)


class _Reader:
    """The places of a table's columns by meaning, and from them its rows."""

    def __init__(self, table: Table, columns: Columns) -> None:
        self.table, self.header = table, [cell.strip() for cell in table.head.cells]
        # In JSON, and tables made of it, "movie.title" is a title too.
        self.names = [{c, plain(c), plain(c.rpartition(".")[2])} for c in self.header]
        named = {meaning: self._called(name)[:1] for meaning, name in columns.items()}
        lacking = {m: name for m, name in columns.items() if name and not named[m]}
        self.unknown = {m: self._lacks(m, name) for m, name in lacking.items()}
        taken = {place for places in named.values() for place in places}
        self.at = {}
        for meaning, words in COLUMNS.items():
            found = [there for w in words if (there := sorted({*self._called(w)} - taken))]
            # A movie has one year and one title, an episode a season or a number.
            self.at[meaning] = list(chain(*(found if meaning == "episode" else found[:1])))
        ranks = (self._rank(n) for n in range(len(self.header)) if n not in taken)
        self.at["rating"] = [rank[2] for rank in sorted(filter(None, ranks))[:1]]
        self.at |= {m: places for m, places in named.items() if m not in lacking}
        self.keys_are_kinds = "kind" not in columns
        self.has = {m: any(self._value(line, m) for line in table.lines) for m in COLUMNS}
        numbers = [self._numbers(n) for n in self.at["rating"]]
        said = [rank[1] for n in self.at["rating"] if (rank := own_rating(self.header[n]))]
        tops = [top for top in (*said, *(top for each in numbers for _, top in each)) if top]
        self.top, self.rated = max(tops, default=None), any(numbers)

    def _called(self, name: str) -> list[int]:
        return [n for n, names in enumerate(self.names) if name and names & {name, plain(name)}]

    def _lacks(self, meaning: str, name: str) -> str:
        shown, near = printable(", ".join(self.header)), did_you_mean(name, self.header)
        file = self.table.name
        return f"columns.{meaning}={name}: {file} has no such column, it has {shown}{near}"

    def _rank(self, place: int) -> tuple[int, bool, int] | None:
        """Return the order of a column of ratings: one's own first, then one with numbers."""
        ranks = [rank[0] for rank in map(own_rating, self.names[place]) if rank]
        return (min(ranks), not self._numbers(place), place) if ranks else None

    def _numbers(self, place: int) -> list[tuple[float, float | None]]:
        return list(filter(None, (_number(line.cells[place]) for line in self.table.lines)))

    def _value(self, line: Line, meaning: str) -> str:
        """Return the first text of a meaning that is not blank."""
        return next(filter(None, (line.cells[n].strip() for n in self.at[meaning])), "")

    def require_columns(self, rated: bool, knows: Knows) -> None:
        """Refuse a table in which no column has movies, or none has ratings."""
        name, shown = self.table.name, printable(", ".join(self.header))
        if not self.table.lines and not any(self.at.values()):
            raise MovieEmbedError(f"{name} has no {'ratings' if rated else 'movies'}")
        if rated and not self.rated and any(_THUMBS.fullmatch(plain(c)) for c in self.header):
            told = "has thumbs and no stars: write a CSV with the columns title and rating"
            raise MovieEmbedError(f"{name} {told}; its columns are named {shown}")
        lacking = [] if any(self.at[meaning] for meaning in _MOVIES) else ["title"]
        lacking += ["rating"] if rated and not self.at["rating"] else []
        for meaning in lacking:
            if meaning in self.unknown:
                raise MovieEmbedError(self.unknown[meaning])
            what = "movies (title, imdbId, ...)" if meaning == "title" else "ratings (rating, ...)"
            told = f"{name} has no column of {what} that is known: its columns are named {shown}"
            raise UnknownColumns(
                f"{told} (columns.{meaning}= names one)", self._guess(lacking, knows)
            )

    def _guess(self, lacking: list[str], knows: Knows) -> dict[str, str]:
        """Return the columns that look most like those that are lacking, and like years."""
        head, lines = self.table.head, self.table.lines[:200]
        headless = any(map(_number, head.cells))
        scores: dict[str, list[tuple[float, int, int]]] = {"title": [], "rating": [], "year": []}
        for n in range(len(head.cells)):
            texts = [line.cells[n].strip() for line in (head, *lines)][not headless :]
            cells = {text for text in texts if text}
            numbers = [number[0] for number in map(_number, cells) if number]
            if len(numbers) * 10 < len(cells) * 9:
                scores["title"].append((sum(map(knows, list(cells)[:50])), len(cells), -n))
            elif numbers and all(1880 <= number <= 2100 for number in numbers):
                scores["year"].append((1, 1, -n))
            elif numbers and max(numbers) <= 100 and [n] != self.at["rating"]:
                # Others' averages have decimals, and a counter has every number.
                halves = sum((2 * number).is_integer() for number in numbers) / len(numbers)
                scores["rating"].append((halves * (len(cells) > 1), -len(cells), -n))
        best = {m: -max(found)[2] for m, found in scores.items() if found}
        wanted = [m for m in best if m in lacking or headless or (m == "year" and not self.at[m])]
        headless = headless or ("title" in wanted and knows(self.header[best["title"]]))
        return {m: str(best[m] + 1) if headless else self.header[best[m]] for m in wanted}

    def rows(self, rated: bool, rated_by: object) -> Rows:
        """Return what each line says; where each has a date, in the order of the dates."""
        lines = self._of_one(rated_by) if rated else self.table.lines
        moments = {line.number: self._value(line, "date") for line in lines}
        for kind in (r"[0-9]{1,20}", r"[0-9]{4}-[0-9]{2}-[0-9]{2}.*"):
            if all(re.fullmatch(kind, moment) for moment in moments.values()):
                lines = sorted(lines, key=lambda line: moments[line.number].rjust(20))
        rows = [self._row(line, rated) for line in lines]
        pairs = zip(lines, rows, strict=True)
        faults = {row.place: self._fault(line, row, rated) for line, row in pairs}
        columns = {meaning: self.header[places[0]] for meaning, places in self.at.items() if places}
        faults = {number: fault for number, fault in faults.items() if fault}
        return Rows(
            self.table.name, self.table.unit, rows, faults, columns, self.unknown, self.top,
            self._site(),
        )  # fmt: skip

    def _of_one(self, rated_by: object) -> list[Line]:
        """Return the lines of one person, where a file has those of several."""
        users = dict.fromkeys(filter(None, (self._value(e, "user") for e in self.table.lines)))
        if rated_by is None and len(users) < 2:
            return self.table.lines
        if str(rated_by) in users:
            return [line for line in self.table.lines if self._value(line, "user") == str(rated_by)]
        name, some = self.table.name, ", ".join(list(users)[:5]) or "none"
        if rated_by is None:
            told = f"{name} has the ratings of {len(users):,} users ({some}, ...)"
            raise MovieEmbedError(f"{told}: rated_by={next(iter(users))} reads those of the first")
        raise MovieEmbedError(f"rated_by={rated_by}: {name} has no such user; it has {some}")

    def _row(self, line: Line, rated: bool) -> Row:
        titles, years = [], []
        for meaning in ("title", "original", "english"):
            text = self._value(line, meaning)[:_LONGEST]
            dated = _DATED.fullmatch(text)
            name, year = split_year(dated[1] if dated else _BRACKETS.sub("", text))
            titles += (
                [name] if name and name not in titles and not _IDS["IMDb"].search(name) else []
            )
            years += [year] if year else []
        dates = filter(None, (_YEAR.search(line.cells[n]) for n in self.at["year"]))
        year = next((int(date[0]) for date in dates), years[0] if years else 0)
        number = _number(self._value(line, "rating"))
        stars = number[0] * (self.top or 1) / (number[1] or self.top or 1) if number else None
        kind, seen = self._kind(line), self._not_seen(line, rated)
        return Row(line.number, self._ids(line), tuple(titles), year, kind, seen, stars)

    def _ids(self, line: Line) -> tuple[tuple[str, int | str], ...]:
        """Return the ids that a line has: in a column, in brackets, in an address."""
        found: dict[str, int | str] = {}
        text = "\t".join(line.cells)
        for owner, pattern in _IDS.items():
            cell = self._value(line, owner.lower())
            own = re.fullmatch(r"(?:tt)?(\d{1,12})(?:\.0)?", cell)
            given = {own[1]} if own else {*pattern.findall(cell)} or {*pattern.findall(text)}
            if len(given) == 1:  # several ids may be those of movies like it
                found[owner] = int(given.pop())
        if movie := self._value(line, "movie"):
            found["movie"] = movie.removesuffix(".0")
        number, source = self._value(line, "id").removesuffix(".0"), self._value(line, "source")
        owner = _OWNERS.get(plain(source), "") if source else "id"
        if number and owner:
            found.setdefault(owner, number)
        return tuple(found.items())

    def _kind(self, line: Line) -> str | None:
        """Return None for a movie, else the word for what the line is."""
        if self.has["kind"]:
            kind = self._value(line, "kind")
            return None if is_movie(kind) else kind
        if self.keys_are_kinds:
            keys = [self.header[n].rpartition(".")[0] for n in self.at["title"] if line.cells[n]]
            keys += [line.cells[n] for n in self._called(LISTED_AS)]
            if kinds := list(filter(None, map(kind_of_key, keys))):
                return None if any(map(is_movie, kinds)) else kinds[0]
        parts = ((n, line.cells[n].strip()) for n in self.at["episode"])
        return next(
            (self.header[n] for n, part in parts if part and _number(part) != (0, None)), None
        )

    def _not_seen(self, line: Line, rated: bool) -> str | None:
        """Return None unless the movie was not watched, or not to the end."""
        watched, status = self._value(line, "watched"), self._value(line, "status")
        if self.has["watched"] and not _is_yes(watched) and (watched or not rated):
            return watched
        if status and plain(status) not in SEEN:
            return status
        # A player counts what it has played itself; a rating says more.
        plays = self._value(line, "plays")
        return plays if self.has["plays"] and not rated and not _is_yes(plays) else None

    def _fault(self, line: Line, row: Row, rated: bool) -> str:
        text = self._value(line, "rating") if rated else ""
        if row.stars is not None or text.casefold() in _NOT_RATED or row.kind or row.seen:
            return line.fault
        return line.fault or f"{printable(text, 40)!r} is no number: write ratings as 4.5"

    def _site(self) -> tuple[float, str]:
        """Return the highest rating by others, up to 10, and its column."""
        highest = (0.0, "")
        for n, name in enumerate(self.header):
            other = any(word in plain(name) for word in COLUMNS["rating"] if len(word) > 3)
            if other and n not in self.at["rating"] and (numbers := self._numbers(n)):
                most = max(number for number, _ in numbers)
                highest = max(highest, (most, name)) if most <= 10 else highest
        return highest


def _number(text: str) -> tuple[float, float | None] | None:
    """Return a rating, as 4.5, 4,5, 4.5/5, 90% or in stars, and the scale that it names."""
    text = text.strip()
    if re.fullmatch("\u2605*\u00bd?\u2606*", text) and text:
        return text.count("\u2605") + text.count("\u00bd") / 2, 5.0
    scaled = re.fullmatch(r"(.+?)\s*(?:/\s*(5|10|100)|(%))", text)
    value, top = (scaled[1], float(scaled[2] or 100)) if scaled else (text, None)
    try:
        number = float(value if "." in value else value.replace(",", ".", 1))
    except ValueError:
        return None
    return (number, top) if isfinite(number) else None


def _is_yes(text: str) -> bool:
    """Whether a cell says that a movie was watched: a word for it, a number of times, a date."""
    number = _number(text)
    return number[0] > 0 if number else plain(text) in SEEN or bool(_YEAR.search(text))
