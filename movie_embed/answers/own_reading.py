"""What a file of somebody's own movies makes: stars by movie, and a word on each row."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from movie_embed.answers.lookup import Lookup, MovieId
from movie_embed.answers.own_columns import OwnFile, OwnRow, rating_of
from movie_embed.answers.own_ratings import Match, OwnMovies, OwnRatings
from movie_embed.checks import is_number, require
from movie_embed.errors import MovieEmbedError

_LISTED = 20
_TOPS = (5.0, 10.0, 100.0)
_NOT_RATED = {
    "", "-", "\u2013", "\u2014", "?", "n/a", "na", "nan", "none", "null", "not rated", "unrated",
}  # fmt: skip

Rated = tuple[OwnRow, float, float | None]  # a row, its rating and the scale that the rating names


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
    """One file on its way to movies and stars; what becomes of a row is noted in the row."""

    def __init__(self, lookup: Lookup, file: OwnFile) -> None:
        self.lookup, self.file = lookup, file
        self.low, self.high = lookup.embeddings.rating_range
        self.notes = list(file.notes)

    def ratings(self, scale: float | None) -> OwnRatings:
        """Return stars by movie, on the scale of the run."""
        given = [found for row in self.file.rows if (found := self._rated(row))]
        if not given:
            raise self._without_ratings()
        self._convert(given, scale)
        counted = self._match()
        stars = {self._id(row): row.stars or 0.0 for row in counted}
        return OwnRatings(stars, self._matches(), self.notes)

    def listed(self) -> OwnMovies:
        """Return the movies, rated or not."""
        return OwnMovies(map(self._id, self._match()), self._matches(), self.notes)

    def _rated(self, row: OwnRow) -> Rated | None:
        """Return a row with its rating; None where it has none, which is noted."""
        if row.state:
            return None
        found = rating_of(row.rating)
        if row.rating.casefold() in _NOT_RATED or (found and found[0] <= 0 <= self.low):
            row.state = row.how = "not rated"
            return None
        if found is None or (found[1] and found[0] > found[1]):
            row.state = "bad"
            row.how = f"{row.rating[:40]!r} is no rating as 4.5, 4/5, 90% and ★★★★ are"
            return None
        return row, *found

    def _convert(self, given: list[Rated], scale: float | None) -> None:
        """Give rows their stars on the scale of the run; note how they came about."""
        top, why = self._top([(value, row) for row, value, named in given if not named], scale)
        for row, value, named in given:
            # Three stars of five stay three of five, also where the run has no half a star.
            low, share = min(self.low, 0), value / (named or top)
            row.stars = low + share * (self.high - low)
        tops = {named or top for _, _, named in given}
        if tops != {self.high}:
            whose = "/".join(f"{each:g}" for each in sorted(tops))
            self._note(
                f"ratings out of {whose} ({why}) count as stars out of {self.high:g}, the scale of "
                "the run; scale= gives another"
            )
        below = [row for row, _, _ in given if row.stars is not None and row.stars < self.low]
        for row in below:
            row.stars = self.low
        if below:
            lowest = f"{self.low:g}, the lowest of the run"
            self._note(f"ratings that are raised to {lowest}: {len(below):,}")

    def _top(self, values: list[tuple[float, OwnRow]], scale: float | None) -> tuple[float, str]:
        """Return the highest rating of the file's scale, and how that is known."""
        file, source = self.file, self.file.source
        most, highest = max(values, key=lambda each: each[0], default=(0.0, OwnRow(0)))
        where = f"{file.name}, {file.unit} {highest.line} has {highest.rating}"
        if scale is not None:
            fits = is_number(scale) and scale > 0 and most <= scale
            require(fits, "scale", scale, f"the highest rating there is: {where}")
            return scale, f"scale={scale:g}"
        if not values:
            return self.high, "as they say"
        if file.top and most <= file.top:
            return file.top, f"by the name of {file.rating}"
        # A file of a ten-point service with halves up to 5 has been halved by its owner.
        halved = source.whole and most <= 5 and any(value % 1 for value, _ in values)
        if source.top and most <= source.top and not halved:
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

        What is guessed, left out or there twice is noted.
        """
        self.notes += self.lookup.matcher.match(self.file)
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
        self._note_list("there twice, the later row is kept", twice)
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
        lines = f"{self.file.unit}s {before.line} and {row.line}, of which {later.line} counts"
        twice.append(f"{self.lookup.name(row.place or 0)}: {lines}")
        return later

    def _unknown(self) -> str:
        """Return how many movies are not known, and the first with the nearest title."""
        rows = [row for row in self.file.rows if row.state == "unknown"]
        lines = []
        for row in rows[:_LISTED]:
            near = "" if row.how.startswith("it") else self.lookup.matcher.nearest(row.title)
            lines.append(self._said(row) + (f"; nearest: {near}" if near else ""))
        return _listed(lines, len(rows)) if rows else ""

    def _said(self, row: OwnRow) -> str:
        """Return where a row is, what it says, and how it was found or why it is left out."""
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

    def _matches(self) -> list[Match]:
        return [
            Match(
                line=row.line,
                title=str(row),
                rating=row.rating,
                movie_id=None if row.place is None else self._id(row).id,
                taken_for=None if row.place is None else self.lookup.name(row.place),
                stars=row.stars if row.state == "counts" else None,
                how=row.how,
            )
            for row in self.file.rows
        ]


def _listed(lines: list[str], count: int) -> str:
    more = [f"and {count - len(lines):,} more"] if count > len(lines) else []
    return f" ({count:,}):" + "".join(f"\n  {line}" for line in [*lines, *more])
