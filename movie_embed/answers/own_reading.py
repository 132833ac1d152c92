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
    """One file on its way to movies and stars.

    Each row gets a state: it ``"counts"``, a later row of the movie counts (``"again"``), its movie
    is ``"unknown"``, it is ``"bad"``, a ``"series"`` or ``"not rated"``; and a word on how or why.
    """

    def __init__(self, lookup: Lookup, file: OwnFile) -> None:
        self.lookup, self.file, self.matcher = lookup, file, lookup.matcher
        self.low, self.high = lookup.embeddings.rating_range
        self.notes = list(file.notes)
        self.states, self.hows = [""] * len(file.rows), [""] * len(file.rows)
        self.counted: dict[int, int] = {}  # the place in the file by row of the table
        for place, row in enumerate(file.rows):
            if row.fault:
                self._set(place, "bad", row.fault)
            elif row.series:
                self._set(place, "series", "a series or an episode")

    def ratings(self, scale: float | None) -> OwnRatings:
        """Return stars by movie, on the scale of the run."""
        ratings = [self._rating(place, row) for place, row in enumerate(self.file.rows)]
        if not any(ratings):
            raise self._without_ratings()
        stars = self._stars(ratings, scale)
        self._match()
        counted = {place: stars[place] for place in self.counted.values()}
        by_movie = {self._id(row): counted[place] for row, place in self.counted.items()}
        return OwnRatings(by_movie, self._matches(counted), self.notes)

    def listed(self) -> OwnMovies:
        """Return the movies, rated or not."""
        self._match()
        return OwnMovies(map(self._id, self.counted), self._matches({}), self.notes)

    def _set(self, place: int, state: str, how: str) -> None:
        self.states[place], self.hows[place] = state, how

    def _rating(self, place: int, row: OwnRow) -> tuple[float, float | None] | None:
        """Return the rating of a row and the scale that it names; None where it has none."""
        if self.states[place]:
            return None
        found = rating_of(row.rating)
        zero = self.file.source.zero or self.low < 0
        if row.rating.casefold() in _NOT_RATED or (found and found[0] <= 0 and not zero):
            self._set(place, "not rated", "not rated")
            return None
        if found is None or (found[1] and found[0] > found[1]):
            no_rating = f"{row.rating[:40]!r} is no rating as 4.5, 4/5, 90% and ★★★★ are"
            self._set(place, "bad", no_rating)
            return None
        return found

    def _stars(
        self, ratings: list[tuple[float, float | None] | None], scale: float | None
    ) -> dict[int, float]:
        """Return stars on the scale of the run by place in the file; note how they came about."""
        given = {place: each for place, each in enumerate(ratings) if each}
        top, why = self._top(
            {place: each[0] for place, each in given.items() if not each[1]}, scale
        )
        stars = {place: self._converted(each[0], each[1] or top) for place, each in given.items()}
        tops = {each[1] or top for each in given.values()}
        if tops != {self.high}:
            whose = "/".join(f"{each:g}" for each in sorted(tops))
            self._note(
                f"ratings out of {whose} ({why}) count as stars out of {self.high:g}, the scale of "
                "the run; scale= gives another"
            )
        if below := sum(value < self.low for value in stars.values()):
            self._note(f"ratings below the run's lowest, {self.low:g}, count as that: {below:,}")
        return {place: max(value, self.low) for place, value in stars.items()}

    def _top(self, values: dict[int, float], scale: float | None) -> tuple[float, str]:
        """Return the highest rating of the file's scale, and how that is known."""
        most, source, file = max(values.values(), default=0), self.file.source, self.file
        highest = next((file.rows[place] for place in values if values[place] == most), None)
        where = f"{file.name}, {file.unit} {highest.line} has {highest.rating}" if highest else ""
        if scale is not None:
            fits = is_number(scale) and scale > 0 and most <= scale
            require(fits, "scale", scale, f"the highest rating there is: {where}")
            return scale, f"scale={scale:g}"
        if not values:
            return self.high, "as they say"
        if file.top and most <= file.top:
            return file.top, f"by the name of {file.rating}"
        halved = source.whole and most <= 5 and any(value % 1 for value in values.values())
        if source.top and most <= source.top and not halved:
            return source.top, source.name
        tops = _TOPS if self.high in _TOPS else (self.high, *_TOPS)
        top = next((each for each in tops if most <= each), None)
        if top is None:
            raise MovieEmbedError(f"{where}: scale= names the highest rating of its scale")
        return top, f"none is above {top:g}"

    def _converted(self, value: float, top: float) -> float:
        # Three stars of five stay three of five, also where the run has no half a star.
        share = value / top
        return share * self.high if self.low >= 0 else self.low + share * (self.high - self.low)

    def _without_ratings(self) -> MovieEmbedError:
        name, column = self.file.name, f"column {self.file.rating!r}"
        if "bad" in self.states:
            place = self.states.index("bad")
            line = f"{self.file.unit} {self.file.rows[place].line}: {self.hows[place]}"
            return MovieEmbedError(f"{name} has no ratings in {column}: {line}")
        series = self.states.count("series")
        return MovieEmbedError(
            f"{name} has no ratings of movies in {column}: {len(self.states) - series:,} rows are "
            f"not rated, {series:,} are series or episodes"
        )

    def _match(self) -> None:
        """Find the movies of the rows that may count; note what is guessed, left out or twice."""
        self.found, notes = self.matcher.match(self.file)
        self.notes += notes
        twice: list[str] = []
        for place, found in enumerate(self.found):
            if not self.states[place]:
                self._set(place, "unknown" if found.row is None else "counts", found.how)
                if found.row is not None:
                    self._count(place, found.row, twice)
        if not self.counted:
            raise MovieEmbedError(f"no movie in {self.file.name} is known{self._unknown()}")
        bad = [self._said(place) for place, state in enumerate(self.states) if state == "bad"]
        self._note_list("rows left out", bad)
        for state, what in (("not rated", "not rated"), ("series", "series or episodes")):
            if number := self.states.count(state):
                self._note(f"left out as {what}: {number:,}")
        self._note_list("there twice, the later counts", twice)
        counted = sorted(self.counted.values())
        against = [self._said(place) for place in counted if self.found[place].against]
        self._note_list("the title decides", against)
        if guessed := sum(self.found[place].guessed for place in counted):
            self._note(f"titles without a year, taken for the best known of them: {guessed:,}")
        if "unknown" in self.states:
            self._note(f"movies left out{self._unknown()}")

    def _count(self, place: int, row: int, twice: list[str]) -> None:
        before = self.counted.get(row)
        if before is not None:
            old, new = self.file.rows[before], self.file.rows[place]
            later = before if old.when and new.when and old.when > new.when else place
            line = self.file.rows[later].line
            self._set(before + place - later, "again", f"again in {self.file.unit} {line}")
            lines = f"{self.file.unit}s {old.line} and {new.line}"
            twice.append(f"{self.lookup.name(row)}: {lines}, of which {line} counts")
            place = later
        self.counted[row] = place

    def _unknown(self) -> str:
        """Return how many movies are not known, and the first with the nearest title."""
        places = [place for place, state in enumerate(self.states) if state == "unknown"]
        lines = []
        for place in places[:_LISTED]:
            row, near = self.file.rows[place], ""
            if row.title and not self.found[place].how.startswith("it"):
                near = self.matcher.nearest(row)
            lines.append(self._said(place) + (f"; nearest: {near}" if near else ""))
        return _listed(lines, len(places))

    def _said(self, place: int) -> str:
        """Return where a row is, what it says, and how it was found or why it is left out."""
        row = self.file.rows[place]
        said = f"{row}: " if str(row) else ""
        return f"{self.file.unit} {row.line}: {said}{self.hows[place]}"

    def _note(self, text: str) -> None:
        self.notes.append(f"{self.file.name}: {text}")

    def _note_list(self, what: str, lines: list[str]) -> None:
        if lines:
            self._note(what + _listed(lines[:_LISTED], len(lines)))

    def _id(self, row: int) -> MovieId:
        return MovieId(self.lookup.movies.ids.item(row))

    def _matches(self, stars: dict[int, float]) -> list[Match]:
        matches = []
        for place, (row, found) in enumerate(zip(self.file.rows, self.found, strict=True)):
            known = found.row if self.states[place] in ("counts", "again") else None
            matches.append(
                Match(
                    line=row.line,
                    title=str(row),
                    rating=row.rating,
                    movie_id=None if known is None else self._id(known).id,
                    taken_for=None if known is None else self.lookup.name(known),
                    stars=stars.get(place),
                    how=self.hows[place],
                )
            )
        return matches


def _listed(lines: list[str], count: int) -> str:
    more = [f"and {count - len(lines):,} more"] if count > len(lines) else []
    return f" ({count:,}):" + "".join(f"\n  {line}" for line in [*lines, *more])
