"""Somebody's own ratings, or lists of movies, from a service's export or a table of theirs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from movie_embed.answers.lookup import Lookup, MovieId
from movie_embed.answers.own_columns import Columns, OwnFile, OwnRow, rating_of
from movie_embed.answers.own_files import read_own_file
from movie_embed.data.movies import Id
from movie_embed.errors import MovieEmbedError

_LISTED = 20
_TOPS = (5.0, 10.0, 100.0)
_NOT_RATED = {
    "",
    "-",
    "\u2013",
    "\u2014",
    "?",
    "n/a",
    "na",
    "nan",
    "none",
    "null",
    "not rated",
    "unrated",
}


@dataclass(frozen=True)
class Match:
    """What one row of a file was taken for.

    Attributes
    ----------
    line
        Where it is in the file; in JSON the entry.
    title
        What the file says: the title with its year, or else an id.
    rating
        What the file says.
    movie_id, taken_for
        The movie that is meant; None where the row was left out.
    stars
        The rating on the scale of the run; None where it does not count.
    how
        By what the movie was found, or why the row does not count.
    """

    line: int
    title: str
    rating: str
    movie_id: Id | None
    taken_for: str | None
    stars: float | None
    how: str


class OwnRatings(dict[MovieId, float]):
    """Stars by movie, as `Recommender.for_ratings` takes them.

    Attributes
    ----------
    matches
        Every row of the file.
    notes
        What was converted, guessed and left out, a line each.
    """

    def __init__(
        self, stars: Mapping[MovieId, float], matches: list[Match], notes: list[str]
    ) -> None:
        super().__init__(stars)
        self.matches, self.notes = matches, notes


class OwnMovies(list[MovieId]):
    """Movies, as `Recommender.similar` takes them; `matches` and `notes` as in `OwnRatings`."""

    def __init__(self, ids: Iterable[MovieId], matches: list[Match], notes: list[str]) -> None:
        super().__init__(ids)
        self.matches, self.notes = matches, notes


class ReadsFiles:
    """The part of `Recommender` that reads somebody's files."""

    _lookup: Lookup

    def read_ratings(
        self,
        path: str | Path,
        *,
        scale: float | None = None,
        columns: Columns | None = None,
        rated_by: object = None,
    ) -> OwnRatings:
        """Read somebody's ratings, from a service's export or a table of one's own.

        Movies that the run does not have are left out and listed in the `notes`.

        Parameters
        ----------
        path
            An export of Letterboxd, IMDb, Trakt, TMDB, Simkl, Filmweb or MovieLens, or CSV or JSON
            with a title or an id and a rating.
        scale
            The highest rating of the scale; by default what the service uses, or the values tell.
        columns
            The names of unusual columns by meaning: ``{"title": "Film seen"}``.
        rated_by
            Whose ratings, where the file has several users.

        Raises
        ------
        MovieEmbedError
            The file cannot be read, or no movie in it is known.
        """
        file = read_own_file(Path(path), columns or {}, rated=True)
        return _Reading(self._lookup, _of_one(file, rated_by)).ratings(scale)

    def read_movies(self, path: str | Path, *, columns: Columns | None = None) -> OwnMovies:
        """Read a list of movies: a watchlist, an IMDb list, or plain titles one a line.

        Parameters
        ----------
        path, columns
            As in `read_ratings`.

        Raises
        ------
        MovieEmbedError
            The file cannot be read, or no movie in it is known.
        """
        file = read_own_file(Path(path), columns or {}, rated=False)
        return _Reading(self._lookup, file).listed()


def _of_one(file: OwnFile, rated_by: object) -> OwnFile:
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


class _Reading:
    """One file on its way to movies and stars."""

    def __init__(self, lookup: Lookup, file: OwnFile) -> None:
        self.lookup, self.file = lookup, file
        self.matcher = lookup.matcher
        self.low, self.high = lookup.embeddings.rating_range
        self.notes = list(file.notes)
        self.hows: list[str] = [""] * len(file.rows)
        self.counted: dict[int, int] = {}  # places in the file by row of the table

    def ratings(self, scale: float | None) -> OwnRatings:
        stars, notes = self._stars(scale)
        self._match([value is not None for value in stars], notes)
        rated = {place: stars[place] for place in self.counted.values()}
        by_movie = {
            self._id(row): value
            for row, place in self.counted.items()
            if (value := rated[place]) is not None
        }
        return OwnRatings(by_movie, self._matches(rated), self.notes)

    def listed(self) -> OwnMovies:
        self._match([not row.fault for row in self.file.rows], [])
        return OwnMovies(map(self._id, self.counted), self._matches({}), self.notes)

    def _stars(self, scale: float | None) -> tuple[list[float | None], list[str]]:
        """Return each row's stars on the scale of the run, None where it has none to count."""
        given = [self._given(place, row) for place, row in enumerate(self.file.rows)]
        values = [each[0] for each in given if each and each[1] is None]
        if not any(given):
            raise self._without_ratings()
        top, why = self._top(values, scale)
        if scale is not None and max(values, default=0) > scale:
            row = next(r for r, g in zip(self.file.rows, given, strict=True) if g and g[0] > scale)
            raise MovieEmbedError(
                f"scale={scale:g}: {self.file.name}, {self.file.unit} {row.line} has {row.rating}"
            )
        stars: list[float | None] = []
        below = 0
        for each in given:
            value = each and self._converted(each[0], each[1] or top)
            below += value is not None and value < self.low
            stars.append(None if value is None else max(value, self.low))
        tops = {each[1] or top for each in given if each}
        notes = []
        if tops != {self.high}:
            whose = "/".join(f"{each:g}" for each in sorted(tops))
            notes.append(
                f"ratings out of {whose} ({why}) count as stars out of {self.high:g}, the scale of "
                "the run; scale= gives another"
            )
        if below:
            notes.append(f"ratings that make less than {self.low:g}, the run's lowest: {below:,}")
        return stars, notes

    def _given(self, place: int, row: OwnRow) -> tuple[float, float | None] | None:
        """Return the rating of a row and the scale that it names; None where it has none."""
        if row.fault or row.series:
            return None
        if row.rating.casefold() in _NOT_RATED:
            self.hows[place] = "not rated"
            return None
        found = rating_of(row.rating)
        if found is None or (found[1] and found[0] > found[1]):
            self.hows[place] = f"{row.rating[:40]!r} is no rating"
            return None
        zero = self.file.source.zero or self.low < 0
        if found[0] <= 0 and not zero:
            self.hows[place] = "not rated"
            return None
        return found

    def _top(self, values: list[float], scale: float | None) -> tuple[float, str]:
        """Return the highest rating of the file's scale, and how that is known."""
        if scale is not None:
            return scale, f"scale={scale:g}"
        most, source = max(values, default=0), self.file.source
        if not values:
            return self.high, "as they say"
        if self.file.top and most <= self.file.top:
            return self.file.top, f"by the name of {self.file.rating}"
        halved = source.whole and most <= 5 and any(value % 1 for value in values)
        if source.top and most <= source.top and not halved:
            return source.top, source.name
        tops = _TOPS if self.high in _TOPS else (self.high, *_TOPS)
        top = next((each for each in tops if most <= each), None)
        if top is None:
            raise MovieEmbedError(
                f"{self.file.name} has ratings up to {most:g}: scale= names the highest there is"
            )
        return top, f"none is above {top:g}"

    def _converted(self, value: float, top: float) -> float:
        # Three stars of five stay three of five, also where the run has no half a star.
        share = value / top
        return share * self.high if self.low >= 0 else self.low + share * (self.high - self.low)

    def _without_ratings(self) -> MovieEmbedError:
        name = self.file.name
        bad = next((p for p, how in enumerate(self.hows) if how.endswith("no rating")), None)
        if bad is not None:
            line = f"{self.file.unit} {self.file.rows[bad].line}: {self.hows[bad]}"
            return MovieEmbedError(
                f"{name} has no ratings in column {self.file.rating!r}: {line} (4.5, 4/5, 90% and "
                "★★★★ are)"
            )
        if fault := next((row for row in self.file.rows if row.fault), None):
            return MovieEmbedError(f"{name}, {self.file.unit} {fault.line}: {fault.fault}")
        series = sum(row.series for row in self.file.rows)
        return MovieEmbedError(
            f"{name} has no ratings of movies in column {self.file.rating!r}: "
            f"{len(self.hows) - series:,} rows are not rated, {series:,} are series or episodes"
        )

    def _match(self, counts: list[bool], notes: list[str]) -> None:
        """Find the movies of the rows that count; say what was guessed, left out or twice there."""
        found, said = self.matcher.match(self.file)
        self.notes += [*said, *(f"{self.file.name}: {note}" for note in notes)]
        self.found = found
        twice: list[str] = []
        for place, row in enumerate(self.file.rows):
            if row.fault or row.series:
                self.hows[place] = row.fault or "a series or an episode"
            elif counts[place]:
                self.hows[place] = found[place].how
                self._count(place, twice)
        if not self.counted:
            raise self._unknown("no movie in {name} is known")
        self._say("bad rows left out", [p for p, r in enumerate(self.file.rows) if r.fault])
        unread = [p for p, how in enumerate(self.hows) if how.endswith(" is no rating")]
        self._say("left out", unread)
        for how in ("not rated", "a series or an episode"):
            if number := sum(each == how for each in self.hows):
                self.notes.append(f"{self.file.name}: left out as {how}: {number:,}")
        self._listed("there twice, the later counts", twice)
        against = [p for p, how in enumerate(self.hows) if "against its" in how]
        self._say("the title decides", against)
        guessed = [p for p in self.counted.values() if found[p].guessed]
        if guessed:
            self.notes.append(
                f"{self.file.name}: titles without a year, taken for the most rated of that name: "
                f"{len(guessed):,}"
            )
        if any(counts[p] and found[p].row is None for p in range(len(counts))):
            self.notes.append(str(self._unknown("{name}: movies left out")))

    def _count(self, place: int, twice: list[str]) -> None:
        row = self.found[place].row
        if row is None:
            return
        before = self.counted.get(row)
        if before is not None:
            rows = self.file.rows
            old, new = rows[before], rows[place]
            later = before if old.when and new.when and old.when > new.when else place
            earlier = place if later == before else before
            line = rows[later].line
            self.hows[earlier] = f"again in {self.file.unit} {line}, which counts"
            twice.append(
                f"{self.lookup.name(row)}: {self.file.unit}s {old.line} and {new.line}, of which "
                f"{line} counts"
            )
            place = later
        self.counted[row] = place

    def _unknown(self, what: str) -> MovieEmbedError:
        """Return what is said of the movies that were not found, the nearest title beside."""
        lines = []
        places = [
            place
            for place, row in enumerate(self.file.rows)
            if self.found[place].row is None and self.hows[place] == self.found[place].how
        ]
        for place in places[:_LISTED]:
            row = self.file.rows[place]
            why = self.hows[place]
            if row.title and why.startswith("not in") and (near := self.matcher.nearest(row)):
                why += f"; nearest: {near}"
            lines.append(f"\n  {self.file.unit} {row.line}: {row}: {why}")
        more = f"\n  and {len(places) - _LISTED:,} more" if len(places) > _LISTED else ""
        text = what.format(name=self.file.name)
        return MovieEmbedError(f"{text} ({len(places):,}):" + "".join(lines) + more)

    def _say(self, what: str, places: list[int]) -> None:
        rows = self.file.rows
        lines = [f"{self.file.unit} {rows[p].line}: {rows[p]}: {self.hows[p]}" for p in places]
        self._listed(what, [line.replace(": : ", ": ") for line in lines])

    def _listed(self, what: str, lines: list[str]) -> None:
        if lines:
            more = [f"and {len(lines) - _LISTED:,} more"] if len(lines) > _LISTED else []
            told = "".join(f"\n  {line}" for line in [*lines[:_LISTED], *more])
            self.notes.append(f"{self.file.name}: {what} ({len(lines):,}):{told}")

    def _id(self, row: int) -> MovieId:
        return MovieId(self.lookup.movies.ids.item(row))

    def _matches(self, stars: dict[int, float | None]) -> list[Match]:
        return [self._match_of(place, stars.get(place)) for place in range(len(self.file.rows))]

    def _match_of(self, place: int, stars: float | None) -> Match:
        row, found = self.file.rows[place], self.found[place].row
        known = self.hows[place] == self.found[place].how or " which counts" in self.hows[place]
        return Match(
            line=row.line,
            title=str(row),
            rating=row.rating,
            movie_id=self._id(found).id if known and found is not None else None,
            taken_for=self.lookup.name(found) if known and found is not None else None,
            stars=stars,
            how=self.hows[place],
        )
