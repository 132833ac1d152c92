"""From a file of somebody's own movies to stars by movie, with a note on each row."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from movie_embed.answers.lookup import Lookup
from movie_embed.answers.matching import Matcher
from movie_embed.answers.own_columns import OwnFile, OwnRow, rating_of
from movie_embed.answers.results import Match, OwnMovies, OwnRatings
from movie_embed.checks import is_number, require
from movie_embed.data.movies import MovieId
from movie_embed.errors import MovieEmbedError

_LISTED = 20
_TOPS = (5.0, 10.0, 100.0)
_NOT_RATED = {
    "", "-", "\u2013", "\u2014", "?", "n/a", "na", "nan", "none", "null", "not rated", "unrated",
}  # fmt: skip


def of_one(file: OwnFile, rated_by: object) -> OwnFile:
    """Return the ratings of one person, where a file has those of several."""
    users = Counter(row.user for row in file.rows if row.user)
    if rated_by is None and len(users) < 2:
        return file
    if str(rated_by) in users:
        return replace(file, rows=[row for row in file.rows if row.user == str(rated_by)])
    some = ", ".join(list(users)[:5]) or "none"
    if rated_by is None:
        raise MovieEmbedError(
            f"{file.name} has the ratings of {len(users):,} users ({some}, ...): "
            f"rated_by={next(iter(users))} reads those of the first"
        )
    raise MovieEmbedError(f"rated_by={rated_by}: {file.name} has no such user; it has {some}")


class Reading:
    """One file on its way to movies and stars; the rows themselves hold the outcome."""

    def __init__(self, lookup: Lookup, matcher: Matcher, file: OwnFile) -> None:
        self.lookup, self.matcher, self.file = lookup, matcher, file
        self.low, self.high = lookup.embeddings.rating_range
        self.notes: list[str] = []

    def ratings(self, scale: float | None) -> OwnRatings:
        """Return stars by movie, on the scale of the run."""
        rated = [row for row in self.file.rows if self._is_rated(row)]
        if not rated:
            raise self._without_ratings()
        self._convert(rated, scale)
        stars = {self._id(row): row.stars for row in self._match()}
        return OwnRatings(stars, self._matches(rated=True), self.notes)

    def listed(self) -> OwnMovies:
        """Return the movies, rated or not."""
        return OwnMovies(map(self._id, self._match()), self._matches(rated=False), self.notes)

    def _is_rated(self, row: OwnRow) -> bool:
        """Return whether a row has a rating, and keep it, or else the reason, in the row."""
        if row.state:
            return False
        value = rating_of(row.rating)
        if row.rating.casefold() in _NOT_RATED or (value is not None and value <= 0 <= self.low):
            row.state = row.how = "not rated"
        elif value is None:
            row.state, row.how = "bad", f"{row.rating[:40]!r} is no number: write ratings as 4.5"
        else:
            row.stars = value
        return not row.state

    def _convert(self, rated: list[OwnRow], scale: float | None) -> None:
        """Bring ratings to the scale of the run; note how."""
        top, why = self._top(rated, scale)
        low, below = min(self.low, 0), 0
        for row in rated:
            # Three stars of five stay three of five, also where the run has no half a star.
            stars = low + row.stars / top * (self.high - low)
            row.stars = max(stars, self.low)
            below += stars < self.low
        if top != self.high:
            self._note(
                f"ratings out of {top:g} ({why}) count as stars out of {self.high:g}, the scale of "
                "the run; scale= gives another"
            )
        if below:
            self._note(f"ratings raised to the lowest of the run, {self.low:g}: {below:,}")

    def _top(self, rated: list[OwnRow], scale: float | None) -> tuple[float, str]:
        """Return the highest rating of the file's scale, and how that is known."""
        file, source = self.file, self.file.source
        highest = max(rated, key=lambda row: row.stars)
        most, where = highest.stars, f"{file.name}, {file.unit} {highest.line} has {highest.rating}"
        if scale is not None:
            fits = is_number(scale) and scale > 0 and most <= scale
            require(fits, "scale", scale, f"the highest rating there is: {where}")
            return scale, f"scale={scale:g}"
        if source.top and most <= source.top:
            return source.top, source.name
        tops = _TOPS if self.high in _TOPS else (self.high, *_TOPS)
        top = next((each for each in tops if most <= each), None)
        if top is None:
            raise MovieEmbedError(f"{where}: scale= names the highest rating of its scale")
        return top, f"none is above {top:g}"

    def _without_ratings(self) -> MovieEmbedError:
        name, column, rows = self.file.name, f"column {self.file.rating!r}", self.file.rows
        if bad := next((row for row in rows if row.state == "bad"), None):
            where = f"{self.file.unit} {bad.line}: {bad.how}"
            return MovieEmbedError(f"{name} has no ratings in {column}: {where}")
        series = sum(row.state == "series" for row in rows)
        return MovieEmbedError(
            f"{name} has no ratings of movies in {column}; not rated: {len(rows) - series:,}, "
            f"series or episodes: {series:,}"
        )

    def _match(self) -> list[OwnRow]:
        """Find the movies of the rows that may count, and return the rows that do count.

        Guesses, rows left out and movies that occur twice are noted.
        """
        self.notes += self.matcher.match(self.file)
        counted: dict[int, OwnRow] = {}
        twice: list[str] = []
        for row in self.file.rows:
            if row.state:
                continue
            row.state = "unknown" if row.place is None else "counts"
            if row.place is not None:
                counted[row.place] = self._later(counted.get(row.place), row, twice)
        unknown = self._unknown()
        if not counted:
            raise MovieEmbedError(f"no movie in {self.file.name} is known{unknown}")
        self._note_list("rows left out", self._said_of("bad"))
        for state, what in (("not rated", "not rated"), ("series", "series or episodes")):
            if number := len(self._said_of(state)):
                self._note(f"left out as {what}: {number:,}")
        self._note_list("listed twice, the later row is kept", twice)
        rows = sorted(counted.values(), key=lambda row: row.line)
        self._note_list("the title decides", [self._said(row) for row in rows if row.against])
        if guessed := sum(row.guessed for row in rows):
            self._note(f"titles without a year, taken for the best known of them: {guessed:,}")
        if unknown:
            self._note(f"movies left out{unknown}")
        return list(counted.values())

    def _later(self, before: OwnRow | None, row: OwnRow, twice: list[str]) -> OwnRow:
        """Return the later of two rows of a movie: by date or, without dates, by line."""
        if before is None:
            return row
        later, earlier = (before, row) if before.when > row.when > "" else (row, before)
        earlier.state, earlier.how = "again", f"again in {self.file.unit} {later.line}"
        lines = f"{self.file.unit}s {before.line} and {row.line}; {later.line} is kept"
        twice.append(f"{self.lookup.name(row.place or 0)}: {lines}")
        return later

    def _unknown(self) -> str:
        """Return how many movies are not known, and the first with the nearest title."""
        rows = [row for row in self.file.rows if row.state == "unknown"]
        lines = []
        for row in rows[:_LISTED]:
            near = "" if row.how.startswith("it") else self.matcher.nearest(row.title)
            lines.append(self._said(row) + (f"; nearest: {near}" if near else ""))
        return _listed(lines, len(rows)) if rows else ""

    def _said(self, row: OwnRow) -> str:
        """Return a row's line, its movie, and how that was found or why it is left out."""
        return f"{self.file.unit} {row.line}: {f'{row}: ' if str(row) else ''}{row.how}"

    def _said_of(self, state: str) -> list[str]:
        return [self._said(row) for row in self.file.rows if row.state == state]

    def _note(self, text: str) -> None:
        self.notes.append(f"{self.file.name}: {text}")

    def _note_list(self, what: str, lines: list[str]) -> None:
        if lines:
            self._note(what + _listed(lines[:_LISTED], len(lines)))

    def _id(self, row: OwnRow) -> MovieId:
        return MovieId(self.lookup.movies.ids.item(row.place or 0))

    def _matches(self, rated: bool) -> list[Match]:
        return [
            Match(
                line=row.line,
                title=str(row),
                rating=row.rating,
                movie_id=None if row.place is None else self._id(row).id,
                taken_for=None if row.place is None else self.lookup.name(row.place),
                stars=row.stars if rated and row.state == "counts" else None,
                how=row.how,
            )
            for row in self.file.rows
        ]


def _listed(lines: list[str], count: int) -> str:
    more = [f"and {count - len(lines):,} more"] if count > len(lines) else []
    return f" ({count:,}):" + "".join(f"\n  {line}" for line in [*lines, *more])
