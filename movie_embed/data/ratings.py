"""A relation of ratings as sorted integers, with every bad row refused or left out.

DuckDB turns each row into one integer, ``user | movie | star``. No text of a row is kept, so memory
does not grow with the file. Where ids are small whole numbers, as in MovieLens, one pass is enough:
the ids serve as indices. At the first row that is not so plain, this pass stops, and two other
passes read the table. One collects the distinct texts of users, movies and stars. They are few, and
each row is judged by them. Their order gives each text an index, whether ids are whole numbers,
names or UUIDs. The other pass makes the integers of these indices.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import count, takewhile
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from movie_embed.config import DataConfig
from movie_embed.data.files import connect, reading
from movie_embed.data.packing import (
    MAX_LEVELS,
    bit_width,
    blocks,
    checked_bits,
    in_threads,
    joined,
    unpacked,
)
from movie_embed.data.relation import holds_quotes, source_of, walk
from movie_embed.data.tables import RATING_ROLES, Table
from movie_embed.data.values import (
    BadRows,
    Limits,
    as_id,
    as_stars,
    holds_whole_ids,
    id_problem,
    stars_problem,
)
from movie_embed.errors import MovieEmbedError
from movie_embed.storage import drop_pages

_VALUES = ("user", "movie", "rating")
_CLEANED = (*RATING_ROLES, "path", "number")  # columns of good rows, and where they were
_PLAIN_BITS = 22, 8  # of an id and of a star in one pass; tables of 2**22 counts stay small
_SAMPLE = 200_000  # rows; their distinct stars are expected to be all that there are
_ODD = (duckdb.InvalidInputException, duckdb.ConversionException)  # a value, or a malformed line
_FETCHED = 2**7  # vectors of 2,048 rows that are fetched together
_IN_MEMORY = 2**27  # keys at most, whatever the window: their address space is taken at once
_STAR = "enum_code(rating::ratings)"  # once `_enumerate` has numbered the ratings
_STRIPPED = "trim({0}, ' ' || chr(9))"
_SPELLING = {True: rf"regexp_replace({_STRIPPED}, '\.0+$', '')", False: _STRIPPED}

# Seconds since 1970, or dates.
_SECONDS = "coalesce(try_cast(time AS DOUBLE), epoch_ns(try_cast(time AS TIMESTAMP_NS)) / 1e9)"
_NO_TIME = (
    "is neither seconds nor YYYY-MM-DD HH:MM:SS; data.columns.timestamp=none leaves times aside"
)

Texts = dict[str, int]  # how many rows have each


@dataclass(frozen=True)
class SortedRatings:
    """Ratings as integers ``user | movie | star`` of ranks, each pair of user and movie once.

    Attributes
    ----------
    keys
        uint64, ascending, shape (ratings,).
    user_ids, movie_ids
        The ids by rank, ascending; int64, or `str` where the files have text. Some may have no
        rating.
    levels
        The distinct stars by rank, ascending, float32.
    level_counts
        How many rows have each level, repeated ratings included.
    bits
        How many bits of a key the movie and, lowest, the star take.
    notes
        What a user should know of how repeated ratings were told apart.
    """

    keys: NDArray[np.uint64]
    user_ids: NDArray[Any]
    movie_ids: NDArray[Any]
    levels: NDArray[np.float32]
    level_counts: NDArray[np.int64]
    bits: tuple[int, int]
    notes: tuple[str, ...] = ()


def sorted_ratings(
    table: Table, config: DataConfig, limits: Limits, bad_rows: BadRows, scratch: Path
) -> SortedRatings:
    """Read a table of ratings; more than ``data.window`` stay in a file in `scratch`.

    Raises
    ------
    MovieEmbedError
        The files cannot be read, have no ratings, or have bad rows, by file and line.
    """
    with reading(table.path), connect(scratch, table.given) as engine:
        reader = _Reader(table, config, bad_rows, scratch, engine)
        if not config.text_ids and (ratings := reader.plain(limits)):
            return reader.latest(ratings)
        texts = reader.texts()
        faults = reader.faults(texts or reader.count_rows(), limits)
        if texts is None or any(faults):
            texts = reader.clean(faults)
        if not texts[0]:
            raise MovieEmbedError(f"{table.path} has no ratings")
        return reader.latest(reader.sorted(texts))


class _Reader:
    """The passes over one table of ratings; see `sorted_ratings`."""

    def __init__(
        self,
        table: Table,
        config: DataConfig,
        bad_rows: BadRows,
        scratch: Path,
        engine: duckdb.DuckDBPyConnection,
    ) -> None:
        quotes = table.quotes and any(map(holds_quotes, table.local))
        self.table = replace(table, quotes=quotes)
        self.paths, self.unit = table.paths, table.unit
        self.config, self.bad_rows, self.scratch, self.engine = config, bad_rows, scratch, engine
        self._codes = self._key = ""  # SQL of a row's three numbers, and of one integer of them
        self._whole = [False, False]  # whether ids of users and of movies are numbers

    @property
    def _swallowed(self) -> str:
        """Whether a quote stays open and swallows the next line: a field has a line end in it."""
        ends = "(contains(everything, chr(10)) OR contains(everything, chr(13)))"
        return ends if self.table.quotes else "false"

    def plain(self, limits: Limits) -> SortedRatings | None:
        """Return every row as a key, in order, after one pass; None if it needs a closer look."""
        source, parameters = source_of(self.table, _VALUES)
        sample = f"SELECT DISTINCT rating FROM (SELECT rating FROM {source} LIMIT {_SAMPLE})"
        id_bits, star_bits = _PLAIN_BITS
        try:
            found = self.engine.execute(sample, parameters).fetchall()
            spellings = sorted((text or "" for (text,) in found), key=as_stars)
            levels = np.unique([as_stars(text) for text in spellings])
            odd = any(stars_problem(text, limits, "") for text in spellings)
            if odd or not 0 < len(spellings) == len(levels) <= 2**star_bits:
                return None
            self._enumerate("rating", spellings)
            # DuckDB casts 1.5 to 2, 1e3 to 1000 and 007 to 7: as text again they differ.
            small = f"u < {2**id_bits} AND m < {2**id_bits} AND s < {2**star_bits}"  # none NULL
            fit = f"u::VARCHAR = user AND m::VARCHAR = movie AND {small} AND NOT {self._swallowed}"
            self._set_key("user::UBIGINT", "movie::UBIGINT", _STAR, *_PLAIN_BITS)
            keys = self._keys(f"CASE WHEN {fit} THEN {self._key} ELSE error('not plain') END")
        except _ODD:
            return None

        def counted(part: slice) -> tuple[NDArray[np.intp], int]:
            _, movies, stars = unpacked(keys[part], *_PLAIN_BITS)
            return np.bincount(stars, minlength=len(levels)), int(movies.max())

        counts, movies = zip(*in_threads(counted, keys), strict=True)
        users = int(keys[-1]) >> (id_bits + star_bits)
        ids = np.arange(users + 1), np.arange(max(movies) + 1)
        return SortedRatings(keys, *ids, levels, sum(counts), _PLAIN_BITS)

    def texts(self) -> list[Texts] | None:
        """Return the distinct users, movies and ratings; None if a line is malformed."""
        source, parameters = source_of(self.table, _VALUES)
        # All three columns are grouped in one pass. `grouping` has a bit for each column that a row
        # of the result is not about, the last column lowest.
        texts: dict[int, Texts] = {0b011: {}, 0b101: {}, 0b110: {}}
        try:
            found = self.engine.execute(
                f"""
                SELECT grouping(user, movie, rating), coalesce(user, movie, rating, ''), count(*),
                    bool_or({self._swallowed})
                FROM {source} GROUP BY GROUPING SETS ((user), (movie), (rating))
                """,
                parameters,
            )
            while rows := found.fetchmany(_FETCHED):
                for column, text, number, open_quote in rows:
                    if open_quote:
                        return None
                    texts[column][text] = number
        except _ODD:
            if self.table.kind != "text":
                raise
            return None
        return [*texts.values()]

    def count_rows(self) -> list[Texts]:
        """Return the distinct texts of well-formed lines."""
        counts: list[Texts] = [Counter(), Counter(), Counter()]
        for _, _, row in walk(self.table, _VALUES):
            if not isinstance(row, str):
                for counter, text in zip(counts, row, strict=True):
                    counter[text] += 1
        return counts

    def faults(self, texts: list[Texts], limits: Limits) -> list[dict[str, str]]:
        """Return the errors of users, movies and ratings by text; decide on the kinds of ids."""
        self._whole = [not self.config.text_ids and holds_whole_ids(ids) for ids in texts[:2]]
        assumed = limits and not self.config.rating_range
        hint = ", MovieLens' scale; data.rating_range gives another" if assumed else ""
        found = [
            {text: fault for text in ids if (fault := id_problem(role, text, whole))}
            for role, ids, whole in zip(_VALUES, texts, self._whole, strict=False)
        ]
        off = {text: fault for text in texts[2] if (fault := stars_problem(text, limits, hint))}
        return [*found, off]

    def clean(self, faults: list[dict[str, str]]) -> list[Texts]:
        """Settle the bad rows, and read a copy of the good ones from here on."""
        target, texts = self.scratch / "cleaned.csv", [Counter[str]() for _ in _VALUES]
        with target.open("w", encoding="utf-8", errors="replace", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            for path, number, row in walk(self.table, RATING_ROLES):
                found = (fault.get(text, "") for fault, text in zip(faults, row, strict=False))
                if problem := row if isinstance(row, str) else next(filter(None, found), ""):
                    self.bad_rows.note(path, number, problem, self.unit)
                    continue
                writer.writerow([*row, path, number])
                for counter, text in zip(texts, row, strict=False):
                    counter[text] += 1
        for path in self.paths:
            self.bad_rows.settle(path, texts[0].total())
        self.table = replace(
            self.table, paths=self.paths[:1], kind="text", names=_CLEANED, delimiter=",", first=0,
            quotes=True, roles={name: name for name in _CLEANED}, unpacked=(target,),
        )  # fmt: skip
        return [*texts]

    def sorted(self, texts: list[Texts]) -> SortedRatings:
        """Return every row as a key, in order, once the texts are numbered."""
        columns = zip(_VALUES, texts, self._whole, strict=False)
        (user_ids, user), (movie_ids, movie) = (self._number(*column) for column in columns)
        spellings = sorted(texts[2], key=as_stars)
        stars = np.array([as_stars(text) for text in spellings], np.float32)
        levels, ranks = np.unique(stars, return_inverse=True)
        if len(levels) > MAX_LEVELS:
            raise MovieEmbedError(
                f"{self.table.path} has {len(levels):,} distinct ratings, and at most "
                f"{MAX_LEVELS:,} fit: round them, for example with data.query"
            )
        checked_bits(len(user_ids), len(movie_ids), len(levels), max_bits=63)
        movie_bits, star_bits = bit_width(len(movie_ids)), bit_width(len(levels))
        self._enumerate("rating", spellings)
        star = _STAR
        if len(levels) < len(stars):  # 4 and 4.0 are one; a look-up takes as long as all else
            star = f"list_extract({ranks.tolist()}, {_STAR} + 1)"
        bits = movie_bits, star_bits
        self._set_key(user, movie, star, *bits)
        counts = np.bincount(ranks, [texts[2][text] for text in spellings]).astype(np.int64)
        return SortedRatings(self._keys(self._key), user_ids, movie_ids, levels, counts, bits)

    def _number(self, column: str, texts: Texts, whole: bool) -> tuple[NDArray[Any], str]:
        """Return the ids of a column, ascending, and the place of a row's id among them as SQL."""
        ids = sorted({as_id(text, whole) for text in texts})
        plain = {*map(str, ids)} == texts.keys()
        self._enumerate(column, map(str, ids))
        label = column if plain else _SPELLING[whole].format(column)
        # A cast to an ENUM fails for a text that it lacks. With `try_cast` the key would be NULL,
        # which NumPy would show as any number.
        code = f"enum_code(({label})::{column}s)::UBIGINT"
        return np.array(ids, np.int64 if whole else object), code

    def _set_key(self, user: str, movie: str, star: str, movie_bits: int, star_bits: int) -> None:
        """Make one integer of the numbers of a row, given as SQL."""
        self._codes = f"{user} AS u, {movie} AS m, {star}::UBIGINT AS s"
        self._key = f"((u << {movie_bits} | m) << {star_bits} | s)"

    def _enumerate(self, column: str, labels: Iterable[str]) -> None:
        """Have the engine number labels by their order: an ENUM is a hash table of them."""
        self.engine.register("labels", pd.DataFrame({"label": [*labels]}, dtype=object))
        self.engine.execute(f"DROP TYPE IF EXISTS {column}s")
        self.engine.execute(f"CREATE TYPE {column}s AS ENUM (SELECT label FROM labels)")
        self.engine.unregister("labels")

    def _keys(self, key: str) -> NDArray[np.uint64]:
        """Return the keys of all rows, ascending."""
        source, parameters = source_of(self.table, _VALUES)
        codes = f"(SELECT *, {self._codes} FROM {source})"
        rows = self.engine.execute(f"SELECT {key} AS key FROM {codes}", parameters)
        chunks = (rows.fetch_df_chunk(_FETCHED)["key"].to_numpy() for _ in count())
        most = min(self.config.window, _IN_MEMORY)
        keys = joined(takewhile(len, chunks), np.uint64, most, self.scratch)
        if not all(in_threads(lambda part: _ascends(keys, part), keys)):
            keys.sort()
        return keys

    def latest(self, ratings: SortedRatings) -> SortedRatings:
        """Return the ratings with the latest of each pair only, else the last in the file."""
        pairs = _repeated_pairs(ratings)
        if not len(pairs):
            return ratings
        drop_pages(ratings.keys)  # they would count beside the engine's memory
        source, parameters = source_of(self.table, RATING_ROLES)
        self.engine.register("wanted", pd.DataFrame({"pair": pairs}))
        self.engine.execute(
            f"""
            CREATE TEMP TABLE again AS
            SELECT *, coalesce({_SECONDS}, '-inf') AS seconds FROM (
                SELECT {self._key} AS key, key >> {ratings.bits[1]} AS pair,
                    trim(coalesce(timestamp, '')) AS time, row_number() OVER () AS place
                FROM (SELECT *, {self._codes} FROM {source})
            ) SEMI JOIN wanted USING (pair)
            """,
            parameters,
        )
        self._settle_times()
        last = self.engine.sql(
            "SELECT arg_max(key, {'seconds': seconds, 'place': place}) AS key FROM again "
            "GROUP BY pair ORDER BY pair"
        ).fetchnumpy()["key"]
        timed = self.engine.sql("SELECT bool_or(isfinite(seconds)) FROM again").fetchall()[0][0]
        self.engine.execute("DROP TABLE again")
        notes = () if timed else ("of repeated ratings the last in the file is kept: no times",)
        return replace(ratings, keys=_without_repeats(ratings, np.asarray(last)), notes=notes)

    def _settle_times(self) -> None:
        """Refuse times that are none, or let them count as missing, which is older than any."""
        odd = "FROM again WHERE time <> '' AND NOT isfinite(seconds)"
        texts = dict(self.engine.sql(f"SELECT place, time {odd}").fetchall())
        bad_times = BadRows(self.bad_rows.skip)  # the rows themselves are good
        # A copy of the good rows knows where each was; of other tables the row is where it is.
        rows = walk(self.table, _CLEANED[-2:]) if texts else ()
        for place, (path, number, was) in enumerate(rows, start=1):
            if place in texts:
                where, line = (was[0], int(was[1])) if was[0] else (str(path), number)
                problem = f"timestamp {texts[place]!r} {_NO_TIME}"
                bad_times.note(where, line, problem, self.unit)
        for path in self.paths:
            bad_times.settle(path, 1, "timestamp", "taken as missing")
        self.engine.execute("UPDATE again SET seconds = '-inf' WHERE NOT isfinite(seconds)")


def _ascends(keys: NDArray[np.uint64], part: slice) -> bool:
    block = keys[part.start : part.stop + 1]  # and the first of the next block
    return bool(np.all(block[1:] >= block[:-1]))


def _repeated_pairs(ratings: SortedRatings) -> NDArray[np.uint64]:
    """Return the pairs, ``user | movie``, that have several ratings."""
    star_bits = np.uint64(ratings.bits[1])

    def repeated(part: slice) -> NDArray[np.uint64]:
        pairs = ratings.keys[part.start : part.stop + 1] >> star_bits
        again: NDArray[np.uint64] = pairs[1:][pairs[1:] == pairs[:-1]]
        return again

    found = [*in_threads(repeated, ratings.keys)]
    pairs: NDArray[np.uint64] = np.unique(np.concatenate(found))
    return pairs


def _without_repeats(ratings: SortedRatings, chosen: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the keys with one for each pair: of repeated pairs the chosen ones, ascending.

    They are written over the keys given, so that no second copy of all ratings is needed.
    """
    keys, star_bits, end, previous = ratings.keys, np.uint64(ratings.bits[1]), 0, None
    # The first key of each repeated pair becomes the chosen one, then only first keys stay.
    keys[np.searchsorted(keys, chosen >> star_bits << star_bits)] = chosen
    for part in blocks(len(keys)):
        pairs = keys[part] >> star_bits
        first = np.append(previous != pairs[0], pairs[1:] != pairs[:-1])
        kept, previous = keys[part][first], pairs[-1]
        keys[end : end + len(kept)] = kept
        end += len(kept)
        drop_pages(keys)
    return keys[:end]
