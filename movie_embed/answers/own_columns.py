"""Tables of somebody's own movies: which column means what, and what a row says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from movie_embed.data.names import simplified
from movie_embed.errors import MovieEmbedError, did_you_mean

Columns = Mapping[str, str]  # the names of unusual columns by meaning, a key of `_NAMES`

IMDB_ID = re.compile(r"\btt(\d{5,12})\b")
YEAR = re.compile(r"(?<!\d)(1[89]|20)\d\d(?!\d)")
_SERIES = re.compile(
    r"^tv$|^ova$|episod|odcinek|seri[ea]|show|season|staffel|saison|sezon|temporada|podcast|game"
    r"|videospiel|videojuego|videogioco|^jeu"
)

# Common names of columns, in small letters without accents, blanks and punctuation; the first that
# is there is taken. An average is never somebody's own rating: "IMDb Rating" is none of them.
_NAMES = {
    "title": "title movietitle moviename titlename primarytitle filmtitle filmname movie film "
    "titel filmtitel titre titolo titulo pltitle tytul tytuł название 片名 标题 name",
    "original": "originaltitle originalname originaltitel titreoriginal titolooriginale "
    "titulooriginal tytuloryginalny tytułoryginalny",
    "year": "year releaseyear yearreleased startyear productionyear jahr annee anno ano rok "
    "rokprodukcji год 年份 releasedate released",
    "movie": "movieid movielensid mlid filmid itemid",
    "imdb": "const tconst imdbconst imdbid imdb imdbtitleid imdburl imdblink url link",
    "tmdb": "tmdbid tmdb themoviedbid moviedbid",
    "kind": "titletype type mediatype kind titlekind",
    "episode": "season seasonnumber episode episodenumber episodetitle",
    "user": "userid user username uid memberid profilename person viewer",
    "when": "watcheddate daterated ratedat timestamp lastwatchedat date created datum",
    "rating": "rating stars score star vote starvalue bewertung wertung sterne note voto nota "
    "accountrating puntuacion calificacion valoracion ocena gwiazdki оценка 评分",
}  # fmt: skip
_MINE = re.compile(
    r"(my|your|users?|personal|own)(rating|rated|score|stars?|vote|grade)s?"
    r"|mojaocena|minote|manote|meinebewertung|mivoto|minota|tunota|ilmiovoto|个人评分|我的评分"
)
_SCALED = re.compile(r"(.*?)(?:outof|of|[01]to|05to|[01])?(5|10|100)")
_THUMBS = re.compile(r"thumbs?(value|up|down)?s?|likes?|liked|reaction")


class Source(NamedTuple):
    """A service whose files are known by their columns, and the scale of its ratings.

    Attributes
    ----------
    name
        As people call it.
    columns
        It has all columns of one of these sets.
    top
        Its highest rating; None where the values tell it.
    whole
        Whether it has whole numbers only, so that halves tell another scale.
    zero
        Whether 0 is a rating.
    """

    name: str
    columns: tuple[str, ...] = ()
    top: float | None = None
    whole: bool = False
    zero: bool = False


_UNKNOWN = Source("")
_SOURCES = (
    Source("Letterboxd", ("letterboxduri",), 5),
    Source("Simkl", ("simklid", "simkl"), 10, whole=True),
    Source("Trakt", ("traktid", "trakt slug"), 10, whole=True),
    Source("IMDb", ("const",), 10, whole=True),
    Source("TMDB", ("tmdbid yourrating", "accountrating"), 10),
    Source("Filmweb", ("uservote pltitle", "uservote originaltitle"), 10, whole=True),
    Source("Criticker", ("filmname score",), 100, zero=True),
    Source("MovieLens", ("movieid averagerating", "userid movieid rating timestamp"), 5),
)


@dataclass(frozen=True)
class OwnRow:
    """What a file says of one movie; text is ``""`` and numbers are 0 where it says nothing."""

    line: int
    title: str = ""
    original: str = ""
    year: int = 0
    movie: str = ""
    imdb: int = 0
    tmdb: int = 0
    rating: str = ""
    user: str = ""
    when: str = ""
    series: bool = False
    fault: str = ""

    def __str__(self) -> str:
        year = f" ({self.year})" if self.year and str(self.year) not in self.title else ""
        imdb = f"tt{self.imdb:07}" if self.imdb else ""
        tmdb = f"TMDB {self.tmdb}" if self.tmdb else ""
        return f"{self.title}{year}" if self.title else self.movie or imdb or tmdb


@dataclass(frozen=True)
class OwnFile:
    """The rows of a file, and what is known of them all.

    Attributes
    ----------
    name
        Of the file, for messages.
    rows
        One a movie.
    source
        Who wrote it; without name where that is not known.
    rating, top
        The name of the column of ratings, ``""`` where there is none, and the scale that it names.
    unit
        What rows are counted by.
    notes
        What a reader should know of how the file was read.
    """

    name: str
    rows: list[OwnRow]
    source: Source = _UNKNOWN
    rating: str = ""
    top: float | None = None
    unit: str = "line"
    notes: tuple[str, ...] = ()


def own_file(
    name: str,
    header: list[str],
    table: Sequence[tuple[int, list[str] | str]],
    columns: Columns,
    rated: bool,
    unit: str = "line",
    notes: tuple[str, ...] = (),
) -> OwnFile:
    """Return the rows of a table with a header.

    Parameters
    ----------
    name
        Of the file.
    header
        The names of the columns.
    table
        The number of each row, and its fields or what is wrong with it.
    columns
        The names of columns that are not recognised.
    rated
        Whether ratings are wanted.
    unit, notes
        As in `OwnFile`.

    Raises
    ------
    MovieEmbedError
        No column has movies, or none ratings.
    """
    header = [column.strip() for column in header]
    plain = [plain_name(column) for column in header]
    roles = roles_in(name, header, columns)
    if not roles:
        raise _no_column(name, header, "title", "movies (title, movieId, imdbId, ...)")
    source = next(
        (s for s in _SOURCES if any({*each.split()} <= {*plain} for each in s.columns)), _UNKNOWN
    )
    place = _rating_column(name, header, table, columns) if rated else None
    rows = [_row(number, row, roles, place, len(header)) for number, row in table]
    ids = {role for role in ("movie", "title") if role in roles}
    if ids == {"title"} and plain[roles["title"]] in ("movie", "film"):
        rows = _numbered(rows)
    if place is None:
        return OwnFile(name, rows, source, unit=unit, notes=notes)
    scaled = _SCALED.fullmatch(plain[place])
    top = float(scaled[2]) if scaled else 5.0 if plain[place] == "starvalue" else None
    return OwnFile(name, rows, source, header[place], top, unit, notes)


def _numbered(rows: list[OwnRow]) -> list[OwnRow]:
    """Return rows whose column "movie" holds ids: whole numbers only."""
    if not all(re.fullmatch(r"\d+(\.0)?|", row.title) for row in rows):
        return rows
    return [replace(row, movie=row.title, title="") for row in rows]


def plain_name(column: str) -> str:
    """Return a column's name in the form in which names are compared."""
    return re.sub(r"[\W_]", "", simplified(column))


def roles_in(name: str, header: Sequence[str], columns: Columns) -> dict[str, int]:
    """Return the place of each column with a known meaning; none if no movie can be told."""
    plain = [plain_name(column) for column in header]
    roles = {}
    for role, common in _NAMES.items():
        places = (plain.index(each) for each in common.split() if each in plain)
        if (place := next(places, None)) is not None:
            roles[role] = place
    for role, given in columns.items():
        if role not in _NAMES:
            near = did_you_mean(str(role), _NAMES)
            raise MovieEmbedError(f"columns.{role}: must be one of {', '.join(_NAMES)}{near}")
        if given:
            if plain_name(given) not in plain:
                near = did_you_mean(given, header)
                raise MovieEmbedError(
                    f"columns.{role}={given}: {name} has no such column, it has "
                    f"{_shown(header)}{near}"
                )
            roles[role] = plain.index(plain_name(given))
    if "title" in roles and "movie" in roles and plain[roles["movie"]] in ("filmid", "itemid"):
        del roles["movie"]  # ids of a site that nobody else knows
    if "id" in plain and not {"title", "movie", "imdb", "tmdb"} & roles.keys():
        roles["movie"] = plain.index("id")
    return roles if {"title", "original", "movie", "imdb", "tmdb"} & roles.keys() else {}


def is_header(row: list[str] | str, columns: Columns, rated: bool) -> bool:
    """Whether a row names a column of movies and, where they are wanted, one of ratings."""
    if isinstance(row, str):
        return False
    try:
        roles = roles_in("", row, columns)
        return bool(roles) and (not rated or bool(_rating_places(row, columns)))
    except MovieEmbedError:
        return False


def _rating_places(header: Sequence[str], columns: Columns) -> list[int]:
    """Return where a person's own ratings may be: a column that says so goes before others."""
    plain = [plain_name(column) for column in header]
    if given := columns.get("rating"):
        return [plain.index(plain_name(given))]
    bases = [scaled[1] if (scaled := _SCALED.fullmatch(each)) else each for each in plain]
    mine = [n for n, each in enumerate(bases) if _MINE.fullmatch(each)]
    if "const" in plain:  # IMDb calls the column of somebody else "NAME rated"
        mine += [n for n, each in enumerate(plain) if re.fullmatch(r"(?!date).+rated", each)]
    return mine or [
        n for each in _NAMES["rating"].split() for n, b in enumerate(bases) if b == each
    ]


def _rating_column(
    name: str,
    header: list[str],
    table: Sequence[tuple[int, list[str] | str]],
    columns: Columns,
) -> int:
    """Return the place of the person's own ratings: of several columns the first with any."""
    places = _rating_places(header, columns)

    def filled(place: int) -> bool:
        return any(
            isinstance(row, list) and "".join(row[place : place + 1]).strip() for _, row in table
        )

    thumbs = [column for column in header if _THUMBS.fullmatch(plain_name(column))]
    chosen = next(filter(filled, places), None)
    if chosen is None and thumbs:
        raise MovieEmbedError(
            f"{name} has thumbs ({', '.join(thumbs)}) and no stars: write a CSV with the columns "
            "title and rating"
        )
    if not places:
        raise _no_column(name, header, "rating", "ratings (rating, stars, score, ...)")
    return places[0] if chosen is None else chosen


def _shown(header: Sequence[str]) -> str:
    shown = ", ".join(header)[:200]
    return shown if shown.isprintable() else ascii(shown)


def _no_column(name: str, header: Sequence[str], role: str, what: str) -> MovieEmbedError:
    near, shown = did_you_mean(role, header), _shown(header)
    list_way = "; among= and exclude= take movies without ratings" if role == "rating" else ""
    return MovieEmbedError(
        f"{name} has no column of {what}: it has {shown}{near} (columns.{role}= names it{list_way})"
    )


def _row(
    number: int, row: list[str] | str, roles: Mapping[str, int], rating: int | None, width: int
) -> OwnRow:
    if isinstance(row, str):
        return OwnRow(number, fault=row)
    place, more = roles.get("title", width), len(row) - width
    if more > 0 and all(re.match(r" .*[^\W\d]", part) for part in row[place + 1 :][:more]):
        row = [*row[:place], ",".join(row[place : place + more + 1]), *row[place + more + 1 :]]
    if any(value.strip() for value in row[width:]):
        return OwnRow(
            number,
            title=row[roles["title"]].strip() if "title" in roles else "",
            fault=f"it has {len(row)} fields, the header {width}: a comma inside needs quotes",
        )

    def value(role: str) -> str:
        place = roles.get(role, width)
        return row[place].strip() if place < len(row) else ""

    movie, url, tmdb = value("movie"), value("imdb"), value("tmdb")
    imdb = IMDB_ID.search(url) or IMDB_ID.search(movie) or IMDB_ID.search(value("title"))
    digits = re.fullmatch(r"(\d{5,12})(?:\.0)?", url)  # a column "imdb" may hold IMDb's stars
    year = YEAR.search(value("year"))
    return OwnRow(
        line=number,
        title="" if IMDB_ID.search(value("title")) else value("title"),
        original=value("original"),
        year=int(year[0]) if year else 0,
        movie=movie.removesuffix(".0"),
        imdb=int((imdb or digits)[1]) if imdb or digits else 0,  # type: ignore[index]
        tmdb=int(found[1]) if (found := re.fullmatch(r"(\d{1,12})(?:\.0)?", tmdb)) else 0,
        rating=row[rating].strip() if rating is not None and rating < len(row) else "",
        user=value("user"),
        when=_moment(value("when")),
        series=bool(_SERIES.search(plain_name(value("kind"))) or value("episode")),
    )


def _moment(text: str) -> str:
    """Return a date as text that can be compared; none of an order of its own, as 12/31/2024."""
    if re.fullmatch(r"[0-9]{1,20}", text):
        return f"{int(text):020}"
    return text if re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else ""


_NUMBER = r"([+-]?[0-9]{1,9}(?:[.,][0-9]{1,9})?)"
_OF = re.compile(rf"{_NUMBER}\s*(?:/|out of|of|von|sur|su|de)\s*{_NUMBER}(?:\s*stars?)?", re.I)
_PLAIN = re.compile(rf"{_NUMBER}\s*(?:stars?|points?|pts\.?|★|⭐)?", re.I)


def rating_of(text: str) -> tuple[float, float | None] | None:
    """Return a rating, and the scale that it names: ``4,5``, ``4.5/5``, ``90%``, ``★★★★½``."""
    text = text.replace("\ufe0f", "").strip()
    if found := _OF.fullmatch(text):
        value, top = _float(found[1]), _float(found[2])
        return (value, top) if top >= 3 else None
    if found := _PLAIN.fullmatch(text):
        return _float(found[1]), None
    if found := re.fullmatch(rf"{_NUMBER}\s*%", text):
        return _float(found[1]), 100.0
    if re.fullmatch(r"[★⭐☆✩]*½?☆*", text) and text:
        full = text.count("★") + text.count("⭐") + text.count("½") / 2
        return full, 5.0
    return None


def _float(text: str) -> float:
    return float(text.replace(",", "."))
