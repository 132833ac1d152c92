"""From people's files to stars by movie, and what each line was taken for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from movie_embed.answers.imports.rows import Columns, Row, Rows, read_rows
from movie_embed.answers.imports.tables import read_table
from movie_embed.answers.lookup import Lookup
from movie_embed.answers.results import FileRead, Match, OwnMovies, OwnRatings
from movie_embed.checks import is_number, require
from movie_embed.data.movies import Id, MovieId
from movie_embed.errors import MovieEmbedError, printable

File = str | Path | bytes

_LISTED = 20
_CLEARLY = 5  # times the ratings of its namesakes; less than of one title, as most have a year
_TOPS = (5.0, 10.0, 100.0)
_LEAVES_OUT = {"not movies": ("kind", "episode"), "not seen": ("watched", "status", "plays")}


class Found(NamedTuple):
    """A movie's place in the table, or None, and how it was found, or why not.

    The year may be `off` by one, the movie `guessed` among namesakes, the title `against` an id.
    """

    place: int | None
    how: str
    off: bool = False
    guessed: bool = False
    against: bool = False


class Imports:
    """Reads people's files for one run."""

    def __init__(self, lookup: Lookup) -> None:
        self.lookup = lookup

    def ratings(
        self, file: File, scale: float | None = None, rated_by: object = None, **how: Any
    ) -> OwnRatings:
        """Read somebody's ratings; `how` is that of `_rows`."""
        reading = _Reading(self.lookup, self._rows(file, "ratings", rated_by, **how), True, True)
        stars = reading.stars(scale)
        return OwnRatings({reading.id(p): value for p, value in stars.items()}, reading.read(stars))

    def movies(self, file: File, seen: bool = False, **how: Any) -> OwnMovies:
        """Read a list of movies, or of movies `seen`; `how` is that of `_rows`."""
        rows = self._rows(file, "watched" if seen else "watchlist", None, **how)
        reading = _Reading(self.lookup, rows, False, seen)
        return OwnMovies(map(reading.id, reading.counted()), reading.read({}))

    def _rows(
        self,
        file: File,
        wanted: str,
        rated_by: object,
        name: str = "the file",
        columns: Columns | None = None,
        strict: bool = True,
    ) -> Rows:
        """Read a file, or its content with a name; if `strict`, all columns named must be there."""
        if not isinstance(file, bytes):
            file, name = Path(file).expanduser(), str(file)
        table = read_table(file, name, wanted, self._knows)
        rows = read_rows(table, columns or {}, wanted == "ratings", rated_by, self._knows)
        for told in rows.unknown.values() if strict else ():
            raise MovieEmbedError(told)
        return rows

    def _knows(self, title: str) -> bool:
        return bool(self.lookup.titles.listed([title], 0)[1])


class _Reading:
    """One file on its way to movies: what its rows were taken for, and notes on it."""

    def __init__(self, lookup: Lookup, file: Rows, rated: bool, seen: bool) -> None:
        self.lookup, self.titles, self.name = lookup, lookup.titles, lookup.name
        self.file, self.rated, self.unit = file, rated, file.unit
        self.low, self.high = lookup.embeddings.rating_range
        self.notes: list[str] = []
        self.known: dict[Any, Found] = {}  # what rows that name a movie alike are taken for
        self.how = dict(file.faults)  # by line
        self.out: dict[str, Counter[str]] = defaultdict(Counter)
        self.rows = [row for row in file.rows if not self._is_out(row, seen)]
        self.owner = self._owner()
        if not self.rows:
            raise self._nothing()

    def _is_out(self, row: Row, seen: bool) -> bool:
        """Whether a row tells no movie that was rated, or seen; its own words are told."""
        unrated = self.rated and (row.stars is None or row.stars <= 0 <= self.low)
        reasons = {"not movies": row.kind, "not seen": row.seen if seen else None}
        reasons["not rated"] = "" if unrated else None
        for reason, word in reasons.items() if row.place not in self.how else ():
            if word is not None:
                self.out[reason][word] += 1
                self.how[row.place] = f"{reason}: {word}" if word else reason
                break
        return row.place in self.how

    def stars(self, scale: float | None) -> dict[int, float]:
        """Return stars by movie, on the scale of the run."""
        top, low = self._top(scale), min(self.low, 0)
        # Three stars of five stay three of five, also where the run has no half a star.
        counted = self.counted().items()
        stars = {p: low + (row.stars or 0) / top * (self.high - low) for p, row in counted}
        if below := sum(value < self.low for value in stars.values()):
            self._note(f"ratings raised to the lowest of the run, {self.low:g}: {below:,}")
        return {place: max(value, self.low) for place, value in stars.items()}

    def counted(self) -> dict[int, Row]:
        """Return the row that counts for each movie: one of its year, then the later one."""
        counted: dict[int, Row] = {}
        twice: list[str] = []
        for row in self.rows:
            found = self._find(row)
            self.how[row.place] = found.how
            if found.place is None:
                continue
            kept, other = row, counted.get(found.place)
            if other and found.off and not self._find(other).off:
                kept, other = other, row
            counted[found.place] = kept
            if other:
                self.how[other.place] = f"again in {self.unit} {kept.place}"
                lines = "{} and {}".format(*sorted((kept.place, other.place)))
                told = f"{self.name(found.place)}: {self.unit}s {lines}; {kept.place} is kept"
                twice += [told] if self.rated else []
        unknown = [row for row in self.rows if self._find(row).place is None]
        if not counted:
            told = _listed(unknown, self._unknown)
            raise MovieEmbedError(f"no movie in {self.file.name} is known{told}")
        for words in self._left_out():
            self._note(words)
        faulty = [row for row in self.file.rows if row.place in self.file.faults]
        against = [row for row in counted.values() if self._find(row).against]
        guessed = sum(self._find(row).guessed for row in counted.values())
        for what, told in (
            ("rows left out", _listed(faulty, self._said)),
            ("listed twice", _listed(twice, str)),
            ("the title decides", _listed(against, self._said)),
            (
                "titles without a year, taken for the best known of them",
                f": {guessed:,}" if guessed else "",
            ),
            ("movies left out", _listed(unknown, self._unknown)),
        ):
            if told:
                self._note(what + told)
        return counted

    def _find(self, row: Row) -> Found:
        key = (row.ids, row.title, row.year)
        if key not in self.known:
            self.known[key] = self._found(row)
        return self.known[key]

    def _found(self, row: Row) -> Found:
        """Return the movie of a row: by an id, unless its title and year contradict it."""
        owned = [(self.owner if owner == "id" else owner, number) for owner, number in row.ids]
        ids = [(owner, n, self.lookup.row_by(owner, n)) for owner, n in owned if owner]
        how, fits = self.titles.listed(row.title, row.year)
        for owner, _, place in ids:
            near = place is not None and self._apart(row, place) < 2
            if place is not None and near and (place in fits or not row.title):
                return Found(place, f"{owner} id", off=self._apart(row, place) == 1)
        if fits:
            return self._by_title(row, how, fits, ids)
        for owner, _, place in ids:
            if place is None:
                continue
            apart, same = (
                self._apart(row, place),
                any(self.titles.same(t, place) for t in row.title),
            )
            # A title that the data lacks may be a translation, but a number on TMDB a series'.
            alone = apart < 2 if owner == "IMDb" else apart == 0 and row.year
            if alone or (same and apart < 2):
                how = f"{owner} id{' and title' if same else ' and year' if row.year else ''}"
                return Found(place, how, off=apart == 1)
            return Found(None, f"its {owner} id is that of {self.name(place)}")
        if ids and not row.title and self.lookup.movies.links is None:
            return Found(None, "it needs links.csv, which the data of this run did not have")
        return Found(None, f"not in {len(self.lookup.movies):,} movies")

    def _by_title(self, row: Row, how: str, fits: list[int], ids: list[Any]) -> Found:
        """Return the movie of those that a title fits; only with the year it outvotes an id."""
        rows, guessed = self.titles.closest(row.title, fits), False
        place: int | None = self.titles.most_rated(rows)
        if len(rows) > 1 and not row.year:
            place, guessed = self.titles.meant(rows, _CLEARLY), True
            how = f"{how}, the most rated of {len(rows)}"
        if place is None:
            names = ", ".join(map(self.name, rows[:3])) + (", ..." if len(rows) > 3 else "")
            return Found(None, f"it may be {names}: give the year")
        off = self._apart(row, place) == 1
        for owner, number, other in ids:
            if str(self.lookup.id_at(owner, place)) in (str(number), "None"):
                continue
            if other is None and (not row.year or not how.startswith("title")):
                return Found(None, f"its {owner} id {number} is not that of {self.name(place)}")
            told = f"against its {owner} id: {number if other is None else self.name(other)}"
            return Found(place, f"{how}, {told}", off, guessed, against=True)
        return Found(place, how, off, guessed)

    def _apart(self, row: Row, place: int) -> int:
        year = self.titles.year(place)
        return abs(row.year - year) if row.year and year else 0

    def _owner(self) -> str:
        """Return whose ids those without an owner are, if the file has nothing else; note it."""
        given = [number for row in self.rows for owner, number in row.ids if owner == "id"]
        if not given or any(row.title or row.ids[:1] != row.ids[-1:] for row in self.rows):
            return ""
        known: dict[str, list[Id]] = {
            owner: [n for n in given if self.lookup.row_by(owner, n) is not None]
            for owner in ("movie", "TMDB", "IMDb")
        }
        best = max(known, key=lambda owner: len(known[owner]))
        for number in known[best][:1]:  # nothing confirms ids alone, so one is shown
            whose = "this run" if best == "movie" else best
            told = f"{len(known[best]):,} of {len(given):,} are known: {number} is"
            movie = self.name(self.lookup.row_by(best, number) or 0)
            self._note(f"its movie ids are taken for those of {whose}; {told} {movie}")
        return best

    def _top(self, scale: float | None) -> float:
        """Return the highest rating of the file's scale, with a note where it may be another."""
        highest = max(self.rows, key=lambda row: row.stars or 0)
        most, (others, column) = highest.stars or 0.0, self.file.site
        where = f"{self.file.name}, {self.unit} {highest.place} has {most:g}"
        tops = _TOPS if self.high in _TOPS else (self.high, *_TOPS)
        top, why = next((each for each in tops if most <= each), 0.0), "none is above it"
        if scale is not None:
            fits = is_number(scale) and scale > 0 and most <= scale
            require(fits, "scale", scale, f"the highest rating there is: {where}")
            top, why = float(scale), f"scale={scale:g}"
        elif self.file.top and most <= self.file.top:
            top, why = self.file.top, "as the file says"
        elif not top:
            raise MovieEmbedError(f"{where}: scale= names the highest rating of its scale")
        elif top < others:
            why = f"though {column!r} goes up to {others:g}"
            # In a service's own table, with its ids, all ratings have one scale.
            halves = any((row.stars or 0) % 1 for row in self.rows)
            if not halves and any(row.ids for row in self.rows):
                top, why = _TOPS[1], f"as {column!r}, which goes up to {others:g}"
        if top != self.high or "up to" in why:
            told = f"ratings out of {top:g} ({why}) count as stars out of {self.high:g}"
            self._note(f"{told}, the scale of the run; scale= gives another")
        return top

    def _nothing(self) -> MovieEmbedError:
        """Return why no row of the file may count."""
        told = [f"{self.file.name} has no {'ratings' if self.rated else 'movies'}"]
        told += [f"{self.unit} {line}: {fault}" for line, fault in self.file.faults.items()][:1]
        for reason, words in zip(self.out, self._left_out(), strict=True):
            ways = [f"columns.{m}=" for m in _LEAVES_OUT.get(reason, ()) if m in self.file.columns]
            told.append(f"{words} ({' '.join(ways)} takes them too)" if ways else words)
        return MovieEmbedError("; ".join(told))

    def _left_out(self) -> list[str]:
        """Return how many rows are left out for what reason, by the file's words."""
        told = []
        for reason, words in self.out.items():
            shown = [f'"{printable(word, 30)}" {n:,}' for word, n in words.most_common(5)]
            shown += [f"{len(words) - 5:,} other words"] if len(words) > 5 else []
            number = f"{words.total():,}" if reason == "not rated" else ", ".join(shown)
            told.append(f"left out as {reason}: {number}")
        return told

    def _said(self, row: Row) -> str:
        title = f"{row}: " if str(row) else ""
        return f"{self.unit} {row.place}: {title}{self.how[row.place]}"

    def _unknown(self, row: Row) -> str:
        lacking = self.how[row.place].startswith("not in") and row.title
        near = self.titles.near(row.title[0], 1, cutoff=75) if lacking else []
        told = f"; nearest: {self.name(self.titles.most_rated(near))}" if near else ""
        return self._said(row) + told

    def _note(self, text: str) -> None:
        self.notes.append(f"{self.file.name}: {text}")

    def id(self, place: int) -> MovieId:
        """Return the id of a place in the table of movies."""
        return MovieId(self.lookup.movies.ids.item(place))

    def read(self, stars: dict[int, float]) -> FileRead:
        """Return what each row was taken for, and the stars of those that count."""
        used, matches = {row.place for row in self.rows}, []
        for row in sorted(self.file.rows):
            how, place = self.how[row.place], self._find(row).place if row.place in used else None
            rating = "" if row.stars is None else f"{row.stars:g}"
            movie, name = (None, None) if place is None else (self.id(place).id, self.name(place))
            given = None if place is None or how.startswith("again") else stars.get(place)
            matches.append(Match(row.place, str(row), rating, movie, name, given, how))
        return FileRead(matches, self.notes, self.file.columns, self.file.unknown)


def _listed(items: list[Any], say: Callable[[Any], str]) -> str:
    """Return a number of items, and the first of them in lines; ``""`` for none."""
    lines = [*map(say, items[:_LISTED])]
    lines += [f"and {len(items) - _LISTED:,} more"] if len(items) > _LISTED else []
    return f" ({len(items):,}):" + "".join(f"\n  {line}" for line in lines) if items else ""
