"""From people's files to stars by movie, and what each line was taken for."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from movie_embed.answers.imports.rows import Columns, Row, Rows
from movie_embed.answers.imports.tables import read_table
from movie_embed.answers.lookup import Lookup
from movie_embed.answers.matching import Matcher
from movie_embed.answers.results import FileRead, Match, OwnMovies, OwnRatings
from movie_embed.checks import is_number, require
from movie_embed.data.movies import MovieId
from movie_embed.errors import MovieEmbedError, printable

File = str | Path | bytes

_LISTED = 20
_TOPS = (5.0, 10.0, 100.0)


def read_ratings(lookup: Lookup, file: File, scale: float | None = None, **how: Any) -> OwnRatings:
    """Read somebody's ratings; `how` is that of `_rows`."""
    reading = _Reading(lookup, _rows(lookup, file, "ratings", **how), seen=True)
    stars = reading.stars(scale)
    given = {MovieId(lookup.movies.ids.item(row)): value for row, value in stars.items()}
    return OwnRatings(given, reading.result(stars))


def read_movies(lookup: Lookup, file: File, seen: bool = False, **how: Any) -> OwnMovies:
    """Read a list of movies, or of movies `seen`; `how` is that of `_rows`."""
    rows = _rows(lookup, file, "watched" if seen else "watchlist", **how)
    reading = _Reading(lookup, rows, seen)
    ids = [MovieId(lookup.movies.ids.item(movie)) for movie in reading.counted()]
    return OwnMovies(ids, reading.result({}))


def _rows(
    lookup: Lookup,
    file: File,
    wanted: str,
    name: str = "the file",
    columns: Columns | None = None,
    rated_by: object = None,
    strict: bool = True,
) -> Rows:
    """Read a file, or its content with a name; if `strict`, all columns named must be there."""
    if not isinstance(file, bytes):
        file, name = Path(file).expanduser(), str(file)
    table = read_table(file, name, wanted, lookup.titles.knows)
    rows = Rows(table, columns or {}, wanted == "ratings", rated_by, lookup.titles.knows)
    for told in rows.unknown.values() if strict else ():
        raise MovieEmbedError(told)
    return rows


class _Reading:
    """One file on its way to movies: what its rows were taken for, and notes on it."""

    def __init__(self, lookup: Lookup, file: Rows, seen: bool) -> None:
        self.lookup, self.matcher, self.file = lookup, Matcher(lookup), file
        self.low, self.high = lookup.embeddings.rating_range
        self.notes: list[str] = []
        self.how = dict(file.faults)  # by place
        self.out: dict[str, Counter[str]] = defaultdict(Counter)
        self.used = [row for row in file.rows if self._is_used(row, seen)]
        if not self.used:
            told = [f"{file.name} has no {'ratings' if file.rated else 'movies'}"]
            told += [f"{file.unit} {n}: {fault}" for n, fault in file.faults.items()][:1]
            ways = [m for m in ("episode", "watched", "status", "plays") if m in file.columns]
            way = " ".join(f"columns.{meaning}=none" for meaning in ("kind", *ways))
            told += [*self._left_out(), f"with {way} they count"][: 9 * bool(self.out)]
            raise MovieEmbedError("; ".join(told))
        bare = all(not row.title and [*dict(row.ids)] == ["id"] for row in self.used)
        owner, said = self.matcher.owner([r.ids[0][1] for r in self.used]) if bare else ("", "")
        self.notes += [f"{file.name}: {said}"] if said else []
        self.found = {row: self.matcher.match(*row[1:4], owner) for row in self.used}

    def _is_used(self, row: Row, seen: bool) -> bool:
        """Whether a row tells a movie that was rated, or seen; else its own word is told."""
        unrated = self.file.rated and (row.stars is None or row.stars <= 0 <= self.low)
        told = {"not movies": row.kind, "not seen": row.seen if seen else None}
        for reason, word in (told | {"not rated": "" if unrated else None}).items():
            if word is not None and row.place not in self.how:
                self.out[reason][printable(word, 30)] += 1
                self.how[row.place] = f"{reason}: {printable(word, 30)}".removesuffix(": ")
        return row.place not in self.how

    def stars(self, scale: float | None) -> dict[int, float]:
        """Return stars by movie, on the scale of the run."""
        top, low = self._top(scale), min(self.low, 0)
        # Three stars of five stay three of five, also where the run has no half a star.
        stars = {
            m: low + (r.stars or 0) / top * (self.high - low) for m, r in self.counted().items()
        }
        if below := sum(value < self.low for value in stars.values()):
            told = f"ratings raised to the lowest of the run, {self.low:g}: {below:,}"
            self.notes.append(f"{self.file.name}: {told}")
        return {movie: max(value, self.low) for movie, value in stars.items()}

    def counted(self) -> dict[int, Row]:
        """Return the row that counts for each movie, one of its year before the later one."""
        counted: dict[int, Row] = {}
        groups: dict[str, list[Row]] = defaultdict(list)
        groups["rows left out"] = [r for r in self.file.rows if r.place in self.file.faults]
        for row, found in self.found.items():
            self.how[row.place] = found.how
            if found.row is None:
                groups["movies left out"].append(row)
                continue
            if found.note:
                groups[found.note].append(row)
            kept, other = row, counted.get(found.row)
            if other:
                kept, other = (other, row) if found.off > self.found[other].off else (row, other)
                self.how[other.place] = f"again in {self.file.unit} {kept.place}"
                groups["listed twice"].append(other)
            counted[found.row] = kept
        if not counted:
            known = self._listed("known", groups["movies left out"])
            raise MovieEmbedError(f"no movie in {self.file.name} is {known}")
        told = [self._listed(what, rows) for what, rows in groups.items() if rows]
        self.notes += [f"{self.file.name}: {each}" for each in (*self._left_out(), *told)]
        return counted

    def _top(self, scale: float | None) -> float:
        """Return the highest rating of the file's scale, with a note where it may be another."""
        file, highest = self.file, max(self.used, key=lambda row: row.stars or 0)
        most, (others, column) = highest.stars or 0.0, file.others
        where = f"{file.name}, {file.unit} {highest.place} has {most:g}"
        tops = _TOPS if self.high in _TOPS else (self.high, *_TOPS)
        top, why = next((each for each in tops if most <= each), 0.0), "none is above it"
        if scale is not None:
            fits = is_number(scale) and scale > 0 and most <= scale
            require(fits, "scale", scale, f"the highest rating there is: {where}")
            top, why = float(scale), f"scale={scale:g}"
        elif file.top and most <= file.top:
            top, why = file.top, f"as {file.columns['rating']!r} says"
        elif not top:
            raise MovieEmbedError(f"{where}: scale= names the highest rating of its scale")
        elif top < others:
            # In a service's own table, with its ids, all ratings have one scale.
            whole = all(row.ids and not (row.stars or 0) % 1 for row in self.used)
            top, why = (10.0, "as") if whole else (top, "though")
            why += f" {column!r} goes up to {others:g}"
        if top != self.high or "goes up" in why:
            told = f"ratings out of {top:g} ({why}) count as stars out of {self.high:g}"
            self.notes.append(f"{file.name}: {told}, the scale of the run; scale= gives another")
        return top

    def _left_out(self) -> list[str]:
        """Return how many rows are left out for what reason, by the file's words."""
        told = []
        for reason, words in self.out.items():
            shown = [f'"{word}" {n:,}' for word, n in words.most_common(5)]
            shown += [f"{len(words) - 5:,} other words"] if len(words) > 5 else []
            number = f"{words.total():,}" if reason == "not rated" else ", ".join(shown)
            told.append(f"left out as {reason}: {number}")
        return told

    def _listed(self, what: str, rows: list[Row]) -> str:
        """Return the number of rows, and the first of them, a line each."""
        lines = []
        for row in rows[:_LISTED]:
            how, title = self.how[row.place], f"{row}: " if str(row) else ""
            near = self.matcher.nearest(row.title) if how.startswith("not in") else ""
            lines.append(f"{self.file.unit} {row.place}: {title}{how}{near}")
        more = [f"and {len(rows) - _LISTED:,} more"] if len(rows) > _LISTED else []
        return "\n  ".join([f"{what} ({len(rows):,}):", *lines, *more])

    def result(self, stars: dict[int, float]) -> FileRead:
        """Return what each row was taken for, and the stars of those that count."""
        matches = []
        for row in sorted(self.file.rows, key=lambda row: row.place):
            how, movie = self.how[row.place], self.found[row].row if row in self.found else None
            rating = "" if row.stars is None else f"{row.stars:g}"
            taken = None if movie is None else self.lookup.name(movie)
            found = None if movie is None else self.lookup.movies.ids.item(movie)
            given = None if how.startswith("again") else stars.get(-1 if movie is None else movie)
            matches.append(Match(row.place, str(row), rating, found, taken, given, how))
        return FileRead(matches, self.notes, self.file.columns, self.file.unknown)
