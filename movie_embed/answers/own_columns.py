"""The columns of tables of somebody's own movies, and their rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from movie_embed.data.lines import Fields
from movie_embed.data.names import simplified
from movie_embed.errors import MovieEmbedError, did_you_mean, printable

Columns = Mapping[str, str]  # names of unusual columns by meaning, a key of `_NAMES`

_IMDB_ID = re.compile(r"\btt(\d{5,12})\b")
_YEAR = re.compile(r"(?<!\d)(1[89]|20)\d\d(?!\d)")
_SERIES = re.compile(
    r"^tv$|^ova$|episod|odcinek|seri[ea]|show|season|staffel|saison|sezon|temporada|podcast|game"
    r"|videospiel|videojuego|videogioco|^jeu"
)

# Common names of columns, in small letters without accents, blanks and punctuation. The first one
# that is there is taken. An average is never somebody's own rating, so "IMDb Rating" is not here.
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
_MOVIE_ROLES = {"title", "original", "movie", "imdb", "tmdb"}
_MINE = re.compile(
    r"(my|your|users?|personal|own)(rating|rated|score|stars?|vote|grade)s?"
    r"|mojaocena|minote|manote|meinebewertung|mivoto|minota|tunota|ilmiovoto|个人评分|我的评分"
)
_THUMBS = re.compile(r"thumbs?(value|up|down)?s?|likes?|liked|reaction")


class Source(NamedTuple):
    """A service: its name, the columns that tell it, and its highest rating.

    Each text in `columns` is a set of columns, of which all must be there.
    """

    name: str = ""
    columns: tuple[str, ...] = ()
    top: float | None = None


_UNKNOWN = Source()
_SOURCES = (
    Source("Letterboxd", ("letterboxduri",), 5),
    Source("Simkl", ("simklid", "simkl"), 10),
    Source("Trakt", ("traktid", "trakt slug"), 10),
    Source("IMDb", ("const",), 10),
    Source("TMDB", ("tmdbid yourrating", "accountrating"), 10),
    Source("Filmweb", ("uservote pltitle", "uservote originaltitle"), 10),
    Source("Criticker", ("filmname score",), 100),
    Source("MovieLens", ("movieid averagerating", "userid movieid rating timestamp"), 5),
)


@dataclass
class OwnRow:
    """One row of a file, and, in its last fields, the movie and stars found for it.

    Text is ``""`` and numbers are 0 if the file has none. A row has no `state` as long as it may
    count. In the end it ``"counts"``, or a later row of its movie does (``"again"``), its movie is
    ``"unknown"``, or it is ``"bad"``, a ``"series"`` or ``"not rated"``. `how` says by what the
    movie was found, or why the row does not count.
    """

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
    state: str = ""
    how: str = ""
    place: int | None = None  # in the table of movies
    guessed: bool = False  # among namesakes
    against: bool = False  # whether the title decided against an id
    stars: float = 0.0  # as the file has it, then on the scale of the run

    def __str__(self) -> str:
        year = f" ({self.year})" if self.year and str(self.year) not in self.title else ""
        imdb = f"tt{self.imdb:07}" if self.imdb else ""
        tmdb = f"TMDB {self.tmdb}" if self.tmdb else ""
        return printable(f"{self.title}{year}" if self.title else self.movie or imdb or tmdb)


@dataclass(frozen=True)
class OwnFile:
    """The rows of a file, and facts about the file.

    Attributes
    ----------
    name, rows
        The file's name, for messages, and its movies.
    source
        The service that wrote it; without a name if that is not known.
    rating
        The name of the column of ratings, ``""`` if there is none.
    unit
        The word for a row: ``"line"``, or ``"entry"`` in JSON.
    """

    name: str
    rows: list[OwnRow]
    source: Source = _UNKNOWN
    rating: str = ""
    unit: str = "line"


def own_file(
    name: str,
    header: Sequence[str],
    table: Sequence[tuple[int, Fields]],
    columns: Columns,
    rated: bool,
    unit: str = "line",
) -> OwnFile:
    """Return the numbered rows of a table below its header; `rated` if it must have ratings.

    Raises
    ------
    MovieEmbedError
        No column has movies, or none has ratings, or a column that is named is not there.
    """
    header = [column.strip() for column in header]
    plain = [plain_name(column) for column in header]
    _check_named(name, header, columns)
    roles = roles_in(header, columns)
    if not roles:
        raise _no_column(name, header, "title", "movies (title, movieId, imdbId, ...)")
    if rated:
        roles["rating"] = _rating_place(name, header, table, columns)
    else:
        roles.pop("rating", None)
    rows = [_row(number, fields, roles, len(header)) for number, fields in table]
    found = (s for s in _SOURCES if any({*each.split()} <= {*plain} for each in s.columns))
    rating = header[roles["rating"]] if rated else ""
    return OwnFile(name, rows, next(found, _UNKNOWN), rating, unit)


def plain_name(column: str) -> str:
    """Return a column's name in the form in which names are compared."""
    return re.sub(r"[\W_]", "", simplified(column))


def roles_in(header: Sequence[str], columns: Columns) -> dict[str, int]:
    """Return the place of each column with a known meaning; none if no movie can be told."""
    plain = [plain_name(column) for column in header]
    roles = {}
    for role, common in _NAMES.items():
        given = columns.get(role)
        known = [plain_name(given)] if given else common.split()
        if there := [plain.index(each) for each in known if each in plain]:
            roles[role] = there[0]
    if "title" in roles and "movie" in roles and plain[roles["movie"]] in ("filmid", "itemid"):
        del roles["movie"]  # ids of a site that nobody else knows
    if "id" in plain and not {"title", "movie", "imdb", "tmdb"} & roles.keys():
        roles["movie"] = plain.index("id")
    return roles if _MOVIE_ROLES & roles.keys() else {}


def _check_named(name: str, header: Sequence[str], columns: Columns) -> None:
    """Refuse a given column name that the file lacks, and a meaning that does not exist."""
    plain = [plain_name(column) for column in header]
    for role, given in columns.items():
        if role not in _NAMES:
            near = did_you_mean(str(role), _NAMES)
            raise MovieEmbedError(f"columns.{role}: must be one of {', '.join(_NAMES)}{near}")
        if given and plain_name(given) not in plain:
            told = f"columns.{role}={given}: {name} has no such column, it has {_shown(header)}"
            raise MovieEmbedError(told + did_you_mean(given, header))


def _rating_place(
    name: str, header: Sequence[str], table: Sequence[tuple[int, Fields]], columns: Columns
) -> int:
    """Return the place of the person's own ratings: a column that says so goes before others."""
    plain = [plain_name(column) for column in header]
    if given := columns.get("rating"):
        return plain.index(plain_name(given))
    places = [n for n, each in enumerate(plain) if _MINE.fullmatch(each)]
    if "const" in plain:  # IMDb calls the column of somebody else "NAME rated"
        places += [n for n, each in enumerate(plain) if re.fullmatch(r"(?!date).+rated", each)]
    places += [plain.index(each) for each in _NAMES["rating"].split() if each in plain]
    rows = [fields for _, fields in table if isinstance(fields, list)]
    filled = any("".join(row[place : place + 1]).strip() for place in places[:1] for row in rows)
    thumbs = [column for column in header if _THUMBS.fullmatch(plain_name(column))]
    if thumbs and not filled:
        raise MovieEmbedError(
            f"{name} has thumbs ({', '.join(thumbs)}) and no stars: write a CSV with the columns "
            "title and rating"
        )
    if not places:
        raise _no_column(name, header, "rating", "ratings (rating, stars, score, ...)")
    return places[0]


def _shown(header: Sequence[str]) -> str:
    return printable(", ".join(header))


def _no_column(name: str, header: Sequence[str], role: str, what: str) -> MovieEmbedError:
    near, shown = did_you_mean(role, header), _shown(header)
    list_way = "; among= and exclude= take movies without ratings" if role == "rating" else ""
    return MovieEmbedError(
        f"{name} has no column of {what}: its columns are named {shown}{near} "
        f"(columns.{role}= names one{list_way})"
    )


def _row(number: int, row: Fields, roles: Mapping[str, int], width: int) -> OwnRow:
    if isinstance(row, str):
        return OwnRow(number, state="bad", how=row)

    def value(role: str) -> str:
        place = roles.get(role, width)
        return row[place].strip() if place < min(len(row), width) else ""

    if any(each.strip() for each in row[width:]):
        fault = f"it has {len(row)} fields, the header {width}: a comma inside needs quotes"
        return OwnRow(number, value("title"), state="bad", how=fault)
    movie, url, title = value("movie"), value("imdb"), value("title")
    imdb = next(filter(None, map(_IMDB_ID.search, (url, movie, title))), None)
    imdb = imdb or re.fullmatch(r"(\d{5,12})(?:\.0)?", url)  # "imdb" may hold IMDb's stars
    tmdb = re.fullmatch(r"(\d{1,12})(?:\.0)?", value("tmdb"))
    year = _YEAR.search(value("year"))
    series = _SERIES.search(plain_name(value("kind"))) or value("episode")
    return OwnRow(
        line=number,
        title="" if _IMDB_ID.search(title) else title,
        original=value("original"),
        year=int(year[0]) if year else 0,
        movie=movie.removesuffix(".0"),
        imdb=int(imdb[1]) if imdb else 0,
        tmdb=int(tmdb[1]) if tmdb else 0,
        rating=value("rating"),
        user=value("user"),
        when=_moment(value("when")),
        state="series" if series else "",
        how="a series or an episode" if series else "",
    )


def _moment(text: str) -> str:
    """Return a date as text that can be compared; none of an order of its own, as 12/31/2024."""
    if re.fullmatch(r"[0-9]{1,20}", text):
        return f"{int(text):020}"
    return text if re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else ""


def rating_of(text: str) -> float | None:
    """Return a rating, ``4.5`` or ``4,5``; None if the text is no number."""
    number = re.fullmatch(r"[+-]?[0-9]{1,9}([.,][0-9]{1,9})?", text)
    return float(text.replace(",", ".")) if number else None
