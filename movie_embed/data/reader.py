"""From a table of text to `Ratings` in order, with every bad row refused or left out.

DuckDB turns each row into one integer, ``user | movie | value``, and hands the integers over in
order. No text of a row is kept, so memory does not grow with the file. Where ids are small whole
numbers, as in MovieLens, one pass is enough: the ids serve as indices. At the first row that is not
so plain, this pass stops, and two other passes read the table. One collects the distinct texts of
users, movies and stars. They are few, and each row is judged by them. Their order gives each text
an index, whether ids are whole numbers, names or UUIDs. The other pass makes the integers of these.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import count, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from movie_embed.config import DataConfig
from movie_embed.data.files import connect, reading
from movie_embed.data.ratings import Ratings, bit_width, smallest
from movie_embed.data.relation import holds_quotes, source_of, walk
from movie_embed.data.tables import RATING_ROLES, Table, listed
from movie_embed.data.values import (
    BadRows,
    Limits,
    as_id,
    as_stars,
    check_stars,
    faults,
    holds_whole_ids,
)
from movie_embed.errors import MovieEmbedError

MAX_LEVELS = 2**16
_VALUES = ("user", "movie", "rating")
_CLEANED = (*RATING_ROLES, "path", "number")  # columns of good rows, and where they were
_PLAIN_BITS = 22, 8  # of an id and of a star in one pass; tables of 2**22 counts stay small
_MAX_BITS = 63  # NumPy takes signed integers as they are for indices
_SAMPLE = 200_000  # rows; their distinct stars are expected to be all that there are
_ODD = (duckdb.InvalidInputException, duckdb.ConversionException)  # a value, or a malformed line
_FETCHED = 2**7  # vectors of 2,048 rows that are fetched together
_VALUE = "enum_code(rating::ratings)"  # once `_enumerate` has numbered the ratings
_STRIPPED = "trim({0}, ' ' || chr(9))"
_SPELLING = {True: rf"regexp_replace({_STRIPPED}, '\.0+$', '')", False: _STRIPPED}

_TEXT_IDS = " (data.text_ids=true reads ids as text)"

# Seconds since 1970, or dates.
_SECONDS = (
    "coalesce(try_cast(time AS DOUBLE), epoch_ns(try_cast(time AS TIMESTAMP_NS)) / 1e9, "
    "epoch(try_strptime(time, ['%b %d, %Y', '%B %d, %Y', '%d %b %Y', '%d %B %Y'])))"
)
# Dates of which it is not known at first whether the month or the day comes first.
_DATED = r"regexp_replace(time, '^([0-9]+)[/. -]([0-9]+)[/., -]+([0-9]{4})', '\1/\2/\3')"
_CLOCKS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_ORDERS = {
    order: f"epoch(try_strptime({_DATED}, {[date + clock for clock in _CLOCKS]}))"
    for order, date in (("month/day/year", "%m/%d/%Y"), ("day/month/year", "%d/%m/%Y"))
}
_NO_TIME = (
    "is neither seconds nor YYYY-MM-DD HH:MM:SS nor a date that tells its day from its month; "
    "data.columns.timestamp=none leaves times aside"
)

Texts = dict[str, int]  # how many rows have each


class Read(NamedTuple):
    """Ratings with users and movies numbered in the order of their ids; some may have none.

    `rows` has the number of rows with each of the levels, repeated ratings included; `notes` say
    how repeated ratings were told apart.
    """

    ratings: Ratings
    movie_ids: NDArray[Any]
    rows: NDArray[np.int64]
    notes: tuple[str, ...]


class _Codes(NamedTuple):
    """SQL of a row's three numbers, how many bits the last two take, and what they stand for."""

    user: str
    movie: str
    value: str
    bits: tuple[int, int]
    user_ids: NDArray[Any]
    movie_ids: NDArray[Any]
    levels: NDArray[np.float32]

    fit: str = "true"  # whether these are the numbers of a row

    @property
    def key(self) -> str:
        return f"((u << {self.bits[0]} | m) << {self.bits[1]} | s)"

    def of(self, source: str) -> str:
        codes = f"{self.user} AS u, {self.movie} AS m, {self.value}::UBIGINT AS s"
        return f"(SELECT *, {codes} FROM {source})"


class _Gathered(NamedTuple):
    """Ratings with the first of each pair of user and movie, and which pairs have several."""

    ratings: Ratings
    movie_ids: NDArray[Any]
    rows: NDArray[np.int64]
    pairs: NDArray[np.int64]  # ``user | movie``, ascending
    places: NDArray[np.int64]


def read_ratings(
    table: Table, config: DataConfig, limits: Limits, bad_rows: BadRows, scratch: Path
) -> Read:
    """Read a table of ratings; DuckDB sorts in `scratch` what its memory does not hold."""
    with reading(table.paths[0]), connect(scratch, table.given) as engine:
        quotes = table.quotes and any(map(holds_quotes, table.local))
        good = replace(table, quotes=quotes)  # the bad rows are taken out of it below
        plain = None if config.text_ids else _read_plain(engine, good, limits)
        if plain is None:
            texts = _texts(engine, good)
            counts = texts or _count_rows(good)
            whole = [not config.text_ids and holds_whole_ids(ids) for ids in counts[:2]]
            assumed = limits and not config.rating_range
            hint = ", MovieLens' scale; data.rating_range gives another" if assumed else ""
            bad = _faults(counts, whole, limits, hint)
            if texts is None or any(bad):
                counts, good = _cleaned(good, bad, bad_rows, scratch / "cleaned.csv")
            if not counts[0]:
                raise MovieEmbedError(f"{table.paths[0]} has no ratings")
            codes = _codes_of(engine, good, counts, whole)
            plain = codes, _gathered(engine, good, codes)
        codes, found = plain
        values = found.ratings.values, 2 ** codes.bits[1] - 1
        notes: tuple[str, ...] = ()
        ratings, pairs, places = found.ratings, found.pairs, found.places
        if config.needs_times:
            users = ratings.users(slice(0, len(ratings))).astype(np.int64)
            pairs, places = users << codes.bits[0] | ratings.movies, np.arange(len(ratings))
        if len(pairs):
            last, seconds, note = _latest(engine, good, codes, pairs, table, config)
            values[0][places] = last & values[1]
            notes = (note,) if note and len(found.pairs) else ()
            ratings = replace(ratings, times=seconds if config.needs_times else None)
        return Read(ratings, found.movie_ids, found.rows, notes)


def _swallowed(table: Table) -> str:
    """Return SQL of whether a quote stays open and swallows the next line, and so its end."""
    ends = "(contains(everything, chr(10)) OR contains(everything, chr(13)))"
    return ends if table.quotes else "false"


def _read_plain(
    engine: duckdb.DuckDBPyConnection, table: Table, limits: Limits
) -> tuple[_Codes, _Gathered] | None:
    """Read all rows in one pass; None if they need a closer look."""
    source, parameters = source_of(table, _VALUES)
    sample = f"SELECT DISTINCT rating FROM (SELECT rating FROM {source} LIMIT {_SAMPLE})"
    id_bits, value_bits = _PLAIN_BITS
    try:
        found = engine.execute(sample, parameters).fetchall()
        spellings = sorted((text or "" for (text,) in found), key=as_stars)
        levels = np.unique([as_stars(text) for text in spellings])
        odd = faults(spellings, lambda text: check_stars(text, limits))
        if odd or not 0 < len(spellings) == len(levels) <= 2**value_bits:
            return None
        _enumerate(engine, "rating", spellings)
        # DuckDB casts 1.5 to 2, 1e3 to 1000 and 007 to 7: as text again they differ.
        small = f"u < {2**id_bits} AND m < {2**id_bits} AND s < {2**value_bits}"  # none NULL
        fit = f"u::VARCHAR = user AND m::VARCHAR = movie AND {small} AND NOT {_swallowed(table)}"
        every = np.arange(2**id_bits)
        names = every, every, levels
        codes = _Codes("user::UBIGINT", "movie::UBIGINT", _VALUE, _PLAIN_BITS, *names, fit)
        return codes, _gathered(engine, table, codes)
    except _ODD:
        return None


def _texts(engine: duckdb.DuckDBPyConnection, table: Table) -> list[Texts] | None:
    """Return the distinct users, movies and ratings; None if a line is malformed."""
    source, parameters = source_of(table, _VALUES)
    # All three columns are grouped in one pass. `grouping` has a bit for each column that a row
    # of the result is not about, the last column lowest.
    texts: dict[int, Texts] = {0b011: {}, 0b101: {}, 0b110: {}}
    try:
        found = engine.execute(
            f"""
            SELECT grouping(user, movie, rating), coalesce(user, movie, rating, ''), count(*),
                bool_or({_swallowed(table)})
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
        if table.kind != "text":
            raise
        return None
    return [*texts.values()]


def _count_rows(table: Table) -> list[Texts]:
    """Return the distinct texts of well-formed lines."""
    counts: list[Texts] = [Counter(), Counter(), Counter()]
    for _, _, row in walk(table, _VALUES):
        for counter, text in zip(counts, row, strict=True):
            counter[text] += 1
    return counts


def _faults(
    texts: list[Texts], whole: list[bool], limits: Limits, hint: str
) -> list[dict[str, str]]:
    """Return the errors of users, movies and ratings by text."""
    return [
        faults(texts[0], lambda text: as_id(text, whole[0], "user", _TEXT_IDS)),
        faults(texts[1], lambda text: as_id(text, whole[1], "movie", _TEXT_IDS)),
        faults(texts[2], lambda text: check_stars(text, limits, hint)),
    ]


def _cleaned(
    table: Table, bad: list[dict[str, str]], bad_rows: BadRows, target: Path
) -> tuple[list[Texts], Table]:
    """Settle the bad rows; return the texts of the good ones, and a copy of these as a table."""
    texts = [Counter[str]() for _ in _VALUES]
    with target.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for path, number, row in walk(table, RATING_ROLES, bad_rows):
            found = (fault.get(text, "") for fault, text in zip(bad, row, strict=False))
            if problem := next(filter(None, found), ""):
                bad_rows.note(path, number, problem, table.unit)
                continue
            writer.writerow([*row, path, number])
            for counter, text in zip(texts, row, strict=False):
                counter[text] += 1
    for path in table.paths:
        bad_rows.settle(path, texts[0].total())
    copy = replace(
        table, paths=table.paths[:1], kind="text", names=_CLEANED, delimiter=",", first=0,
        quotes=True, roles={name: name for name in _CLEANED}, local=(target,),
    )  # fmt: skip
    return [*texts], copy


def _codes_of(
    engine: duckdb.DuckDBPyConnection, table: Table, texts: list[Texts], whole: list[bool]
) -> _Codes:
    """Give texts numbers by their order."""
    columns = zip(_VALUES, texts, whole, strict=False)
    (user_ids, user), (movie_ids, movie) = (_numbered_ids(engine, *column) for column in columns)
    spellings = sorted(texts[2], key=as_stars)
    stars = np.array([as_stars(text) for text in spellings], np.float32)
    levels, ranks = np.unique(stars, return_inverse=True)
    if len(levels) > MAX_LEVELS:
        raise MovieEmbedError(
            f"{table.paths[0]} has {len(levels):,} distinct ratings, and at most "
            f"{MAX_LEVELS:,} fit: round them, for example with data.query"
        )
    bits = bit_width(len(movie_ids)), bit_width(len(levels))
    if bit_width(len(user_ids)) + sum(bits) > _MAX_BITS:
        raise MovieEmbedError(f"{table.paths[0]} has too many users and movies")
    _enumerate(engine, "rating", spellings)
    value = _VALUE
    if len(levels) < len(stars):  # 4 and 4.0 are one; a look-up takes as long as all else
        value = f"list_extract({ranks.tolist()}, {_VALUE} + 1)"
    return _Codes(user, movie, value, bits, user_ids, movie_ids, levels)


def _numbered_ids(
    engine: duckdb.DuckDBPyConnection, column: str, texts: Texts, whole: bool
) -> tuple[NDArray[Any], str]:
    """Return the ids of a column, ascending, and the place of a row's id among them as SQL."""
    ids = sorted({as_id(text, whole) for text in texts})
    plain = {*map(str, ids)} == texts.keys()
    _enumerate(engine, column, map(str, ids))
    label = column if plain else _SPELLING[whole].format(column)
    # A cast to an ENUM fails for a text that it lacks. With `try_cast` the key would be NULL,
    # which NumPy would show as any number.
    code = f"enum_code(({label})::{column}s)::UBIGINT"
    return np.array(ids, np.int64 if whole else object), code


def _enumerate(engine: duckdb.DuckDBPyConnection, column: str, labels: Iterable[str]) -> None:
    """Have the engine number labels by their order: an ENUM is a hash table of them."""
    engine.register("labels", pd.DataFrame({"label": [*labels]}, dtype=object))
    engine.execute(f"DROP TYPE IF EXISTS {column}s")
    engine.execute(f"CREATE TYPE {column}s AS ENUM (SELECT label FROM labels)")
    engine.unregister("labels")


def _gathered(engine: duckdb.DuckDBPyConnection, table: Table, codes: _Codes) -> _Gathered:
    """Return the ratings of all rows."""
    source, parameters = source_of(table, _VALUES)
    key = f"CASE WHEN {codes.fit} THEN {codes.key} ELSE error('not plain') END"
    query = f"SELECT {key} AS key FROM {codes.of(source)}"
    # Most tables are in order. The first chunks show it where one is not, and then it is sorted.
    for order in ("", " ORDER BY key"):
        rows = engine.execute(query + order, parameters)
        chunks = (rows.fetch_df_chunk(_FETCHED)["key"].to_numpy() for _ in count())
        if found := _in_order(takewhile(len, chunks), codes):
            return found
    raise AssertionError("sorted keys are in order")


def _in_order(chunks: Iterable[NDArray[np.uint64]], codes: _Codes) -> _Gathered | None:
    """Take ascending keys apart; None if they do not ascend."""
    movie_bits, value_bits = codes.bits
    sizes, rows = np.zeros(len(codes.user_ids), np.int64), np.zeros(len(codes.levels), np.int64)
    movies, values, pairs, places = [], [], [], []
    size, last, most = 0, np.int64(-1), 0
    for chunk in chunks:
        keys = chunk.view(np.int64)
        before = np.append(last, keys[:-1])
        if np.any(before > keys):
            return None
        pair, value, last = keys >> value_bits, keys & (2**value_bits - 1), keys[-1]
        rows += np.bincount(value, minlength=len(rows))
        again = pair == before >> value_bits
        if again.any():
            pairs.append(pair[again])
            places.append(size - 1 + np.cumsum(~again)[again])
            pair, value = pair[~again], value[~again]
        users, movie = pair >> movie_bits, pair & (2**movie_bits - 1)
        if len(users):
            sizes[users[0] : users[-1] + 1] += np.bincount(users - users[0])
            most = max(most, int(movie.max()))
        movies.append(movie.astype(smallest(2**movie_bits, least=16)))
        values.append(value.astype(smallest(len(rows))))
        size += len(pair)
    user_count = (int(last) >> (movie_bits + value_bits)) + 1
    ratings = Ratings(
        starts=np.append(0, np.cumsum(sizes[:user_count])),
        movies=np.concatenate(movies),
        values=np.concatenate(values),
        levels=codes.levels,
        user_ids=codes.user_ids[:user_count],
    )
    repeated = (np.unique(np.concatenate([[], *each])).astype(np.int64) for each in (pairs, places))
    return _Gathered(ratings, codes.movie_ids[: most + 1], rows, *repeated)


def _latest(
    engine: duckdb.DuckDBPyConnection,
    table: Table,
    codes: _Codes,
    pairs: NDArray[np.int64],
    given: Table,
    config: DataConfig,
) -> tuple[NDArray[np.int64], NDArray[np.float64], str]:
    """Return the key of the latest rating of each pair, else of the last in the file.

    And its time, and what is to be said of times. Messages are about the table as it was given.
    """
    source, parameters = source_of(table, RATING_ROLES)
    engine.register("wanted", pd.DataFrame({"pair": pairs}))
    engine.execute(
        f"""
        CREATE TEMP TABLE again AS
        SELECT *, coalesce({_SECONDS}, '-inf') AS seconds FROM (
            SELECT {codes.key} AS key, key >> {codes.bits[1]} AS pair,
                trim(coalesce(timestamp, '')) AS time, row_number() OVER () AS place
            FROM {codes.of(source)}
        ) SEMI JOIN wanted USING (pair)
        """,
        parameters,
    )
    order = _read_dates(engine, source, parameters)
    _settle_times(engine, table, given, config.on_bad_rows == "skip")
    last = engine.sql(
        "SELECT arg_max(key, {'seconds': seconds, 'place': place}) AS key, max(seconds) AS seconds "
        "FROM again GROUP BY pair ORDER BY pair"
    ).fetchnumpy()
    note = f"dates are read as {order}" if order else ""
    if (
        "timestamp" not in given.roles
        or not engine.sql("FROM again WHERE time <> ''").limit(1).fetchall()
    ):
        note = "of repeated ratings the last in the file is kept: no times"
        near = [name for name in given.names if re.search("date|time", name.lower())]
        if near and not config.columns.timestamp:
            note += f" (data.columns.timestamp=NAME names them; it has {listed(near)})"
    key, seconds = (np.asarray(last[name]) for name in ("key", "seconds"))
    return key.astype(np.int64), seconds.astype(np.float64), note


def _read_dates(engine: duckdb.DuckDBPyConnection, source: str, parameters: dict[str, Any]) -> str:
    """Read dates like 08/31/2017 by the order of day and month that fits more of all rows.

    Return the order, and ``""`` if there are no such dates or both orders fit.
    """
    odd = "time <> '' AND NOT isfinite(seconds)"
    if not engine.sql(f"FROM again WHERE {odd}").limit(1).fetchall():
        return ""
    fits = ", ".join(f"count({seconds})" for seconds in _ORDERS.values())
    times = f"(SELECT trim(coalesce(timestamp, '')) AS time FROM {source})"
    first, second = engine.execute(f"SELECT {fits} FROM {times}", parameters).fetchall()[0]
    if first == second:
        return ""
    order: str = [*_ORDERS][second > first]
    engine.execute(f"UPDATE again SET seconds = coalesce({_ORDERS[order]}, seconds) WHERE {odd}")
    return order


def _settle_times(
    engine: duckdb.DuckDBPyConnection, table: Table, given: Table, skip: bool
) -> None:
    """Refuse times that are none, or let them count as missing, which is older than any."""
    odd = "FROM again WHERE time <> '' AND NOT isfinite(seconds)"
    texts = dict(engine.sql(f"SELECT place, time {odd}").fetchall())
    # The rows themselves are good. Without any time they would go by their lines, so none is left.
    timed = bool(engine.sql("FROM again WHERE isfinite(seconds)").limit(1).fetchall())
    bad_times = BadRows(skip)
    # A copy of the good rows knows where each was; of other tables the row is where it is.
    rows = walk(table, _CLEANED[-2:]) if texts else ()
    for place, (path, number, was) in enumerate(rows, start=1):
        if place in texts:
            where, line = (was[0], int(was[1])) if was[0] else (str(path), number)
            bad_times.note(where, line, f"timestamp {texts[place]!r} {_NO_TIME}", given.unit)
    for path in given.paths:
        bad_times.settle(path, int(timed), "timestamp", "taken as missing")
    engine.execute("UPDATE again SET seconds = '-inf' WHERE NOT isfinite(seconds)")
