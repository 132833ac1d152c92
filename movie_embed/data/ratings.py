"""Raw files to columns: every MovieLens layout, and a user's own CSV or Parquet.

A file either parses to exactly the rows it says or is refused with the file and line at
fault. PyArrow parses; only when it refuses, or the file holds something that PyArrow could
take for something else, is the file walked again, slowly, by the rules written down here.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray
from tqdm import tqdm

from movie_embed.config import ColumnNames
from movie_embed.data.files import (
    AnyPath,
    RatingsFiles,
    WatchedFile,
    listed,
    open_bytes,
    open_text,
    open_without,
    printable,
    reading,
    unreadable,
)
from movie_embed.data.rows import (
    BadRows,
    Limits,
    Row,
    numbered_rows,
    rating_problem,
    split_lines,
    time_kind,
)
from movie_embed.errors import MovieEmbedError, did_you_mean

_OLDEST = np.iinfo(np.int64).min
_BAD_TIME = "is not like the others: all must be seconds or all YYYY-MM-DD HH:MM:SS"
_ROWS = 2**20

_Types = dict[str, Any]


@dataclass(frozen=True)
class Ratings:
    """Ratings in file order.

    Attributes
    ----------
    users, movies
        Ids as in the file, int32 or int64, shape (ratings,).
    values
        Stars, float32, shape (ratings,).
    """

    users: NDArray[np.integer[Any]]
    movies: NDArray[np.integer[Any]]
    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.values)


class _Parsed(NamedTuple):
    """What PyArrow made of a file, and whether it may have read it in a way of its own."""

    table: pa.Table
    doubtful: bool


@dataclass(frozen=True)
class _Layout:
    """How one ratings file is read: its columns, by PyArrow or row by row."""

    path: AnyPath
    names: list[str]
    required: tuple[str, str, str]
    timestamp: str
    read: Callable[[_Types], _Parsed]
    rows: Callable[[], Iterator[tuple[int, Row]]]
    unit: str = "line"


def read_ratings(
    files: RatingsFiles,
    rating_range: tuple[float, float] | None,
    bad_rows: BadRows | None = None,
) -> Ratings:
    """Read users, movies and stars.

    Parameters
    ----------
    files
        What `find_files` found.
    rating_range
        The lowest and highest star allowed; None allows any finite number.
    bad_rows
        Whether bad rows are left out, and where they are noted; by default they are refused.

    Raises
    ------
    MovieEmbedError
        The file cannot be read, has no ratings, or has bad rows: the first by file and line, and
        how many more there are.
    """
    bad_rows = bad_rows or BadRows()
    with reading(files.ratings):
        layout, limits = _layout(files), _limits(rating_range)
        ratings = _trusted(layout, limits)
        if ratings is None:
            rows = _walk(layout, limits, bad_rows)
            layout = _layout(files, bad_rows.numbers(files.ratings))
            ratings = _to_ratings(_read_required(layout).table)
            if rows != len(ratings):
                raise unreadable(layout.path, f"it has {rows:,} rows or {len(ratings):,}")
    pa.default_memory_pool().release_unused()  # by itself it keeps what was the table's
    return ratings


def _trusted(layout: _Layout, limits: Limits) -> Ratings | None:
    """Return what PyArrow reads, unless there may be more to say about it."""
    try:
        table, doubtful = _read_required(layout)
    except pa.ArrowInvalid:
        return None
    return None if doubtful else _plain(table, limits)


def _plain(table: pa.Table, limits: Limits) -> Ratings | None:
    """Return the ratings of a table, unless one is missing or off the scale."""
    if len(table) == 0 or any(column.null_count for column in table.columns):
        return None
    ratings = _to_ratings(table)
    good = ratings.values.min() >= limits[0] and ratings.values.max() <= limits[1]
    return ratings if good else None


def _to_ratings(table: pa.Table) -> Ratings:
    return Ratings(*(column.combine_chunks().to_numpy() for column in table.columns[:3]))


def read_timestamps(
    files: RatingsFiles, bad_rows: BadRows | None = None
) -> NDArray[np.int64] | None:
    """Read when each rating was given, as numbers to compare, or None without such a column.

    Whole seconds and date-times (``2005-04-02 23:53:47``) are understood; a missing one
    counts as older than any other.

    Parameters
    ----------
    files
        What `find_files` found.
    bad_rows
        Which rows `read_ratings` left out. If it leaves out bad rows, a timestamp that is none
        counts as missing.

    Raises
    ------
    MovieEmbedError
        The column holds something else.
    """
    bad_rows = bad_rows or BadRows()
    with reading(files.ratings):
        layout = _layout(files, bad_rows.numbers(files.ratings))
        if layout.timestamp not in layout.names:
            return None
        try:
            return _seconds(layout.read({layout.timestamp: None}).table[layout.timestamp])
        except pa.ArrowInvalid:
            return _seconds(_judged_times(layout, bad_rows.skip))


def stream_ratings(
    files: RatingsFiles, rating_range: tuple[float, float] | None
) -> Iterator[tuple[Ratings, NDArray[np.int64]]]:
    """Read the shards of a data set in little memory.

    Parameters
    ----------
    files
        What `find_files` found.
    rating_range
        The lowest and highest star allowed; None allows any finite number.

    Yields
    ------
    Ratings
        Some of one shard; ids are int64.
    array
        When each was given, as `read_timestamps` has it; all equal without such a column.

    Raises
    ------
    MovieEmbedError
        A shard cannot be read or has a bad row: the first one by file and row, and how many more
        there are.
    """
    limits = _limits(rating_range)
    for shard in tqdm(files.shards, "reading shards", unit="file", leave=False, disable=None):
        with reading(shard), shard.open("rb") as file:
            layout = _layout(replace(files, ratings=shard))
            timed = [layout.timestamp] if layout.timestamp in layout.names else []
            batches = pq.ParquetFile(file).iter_batches(_ROWS, columns=[*layout.required, *timed])
            for batch in filter(len, batches):
                yield _block(layout, pa.table(batch), limits), _block_times(layout, batch, timed)


def _block(layout: _Layout, table: pa.Table, limits: Limits) -> Ratings:
    try:
        columns = [table[name].cast(kind) for name, kind in _types(layout, pa.int64()).items()]
    except pa.ArrowInvalid:
        _walk(layout, limits, BadRows())
        raise
    ratings = _plain(pa.table(columns, names=[*layout.required]), limits)
    if ratings is None:
        _walk(layout, limits, BadRows())
        raise unreadable(layout.path, "it changed while it was read")
    return ratings


def _block_times(layout: _Layout, batch: pa.RecordBatch, timed: list[str]) -> NDArray[np.int64]:
    if not timed:
        return np.full(len(batch), _OLDEST)
    try:
        return _seconds(pa.chunked_array([batch[layout.timestamp]]))
    except pa.ArrowInvalid:
        _judged_times(layout, skip=False)
        raise


def _seconds(column: pa.ChunkedArray) -> NDArray[np.int64]:
    if not pa.types.is_integer(column.type) and not pa.types.is_floating(column.type):
        column = pc.cast(column, pa.timestamp("s"), safe=False)
    seconds = pc.fill_null(pc.cast(column, pa.int64(), safe=False), _OLDEST)
    filled: NDArray[np.int64] = seconds.to_numpy()
    return filled


def _judged_times(layout: _Layout, skip: bool) -> pa.ChunkedArray:
    """Walk the file and refuse, or empty, each time that is not of the kind of those before."""
    where, known = layout.names.index(layout.timestamp), {"missing"}
    times, bad = [], BadRows(skip)
    for number, row in layout.rows():
        kind = time_kind(row[where])
        good = kind != "unknown" and (kind in known or len(known) == 1)
        times.append(row[where] if good and row[where] else None)
        if good:
            known.add(kind)
        else:
            problem = f"timestamp {reprlib.repr(row[where])} {_BAD_TIME}"
            bad.note(layout.path, number, problem, layout.unit)
    bad.settle(layout.path, 1, "timestamps that count as missing")
    column = pa.chunked_array([pa.array(times, pa.string())])
    return column.cast(pa.float64()) if "seconds" in known else column


def _limits(rating_range: tuple[float, float] | None) -> Limits:
    finite = np.finfo(np.float32)
    low, high = rating_range or (finite.min, finite.max)
    return np.float32(low), np.float32(high)


def _read_required(layout: _Layout) -> _Parsed:
    """Read ids as 32 bits, which nearly all are, else as 64."""
    try:
        return layout.read(_types(layout, pa.int32()))
    except pa.ArrowInvalid:
        return layout.read(_types(layout, pa.int64()))


def _types(layout: _Layout, id_type: pa.DataType) -> _Types:
    return dict(zip(layout.required, (id_type, id_type, pa.float32()), strict=True))


def _layout(files: RatingsFiles, left_out: Set[int] = frozenset()) -> _Layout:
    """Lay out a file without the rows of these numbers."""
    path, columns = files.ratings, files.columns
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet_layout(path, columns, left_out)
    if suffix == ".csv":
        return _csv_layout(path, columns, left_out)
    return _bare_layout(path, "::" if suffix == ".dat" else "\t", left_out)


def _csv_layout(path: AnyPath, columns: ColumnNames, left_out: Set[int]) -> _Layout:
    names = _header(path)
    required = _required(path, names, columns)

    def read(types: _Types) -> _Parsed:
        with open_without(path, left_out) as file:
            return _read_csv(file, types, names, pa_csv.ParseOptions(), header_lines=1)

    def rows() -> Iterator[tuple[int, Row]]:
        with open_text(path) as file:
            yield from _without(left_out, numbered_rows(file, skip=1))

    return _Layout(path, names, required, columns.timestamp, read, rows)


def _without(left_out: Set[int], rows: Iterable[tuple[int, Row]]) -> Iterator[tuple[int, Row]]:
    return ((number, row) for number, row in rows if number not in left_out)


def _header(path: AnyPath) -> list[str]:
    with open_text(path) as file:
        number, names = next(numbered_rows(file), (1, []))
    if number > 1:
        names = "blank, where the names of the columns belong"
    if isinstance(names, str):
        raise MovieEmbedError(f"{path}, line 1: {names}")
    return names


def _bare_layout(path: AnyPath, delimiter: str, left_out: Set[int]) -> _Layout:
    """Lay out a file without a header: ``::`` of 1M and 10M, tabs of 100K."""
    with open_text(path) as file:
        lines = islice((line for line in file if line.strip("\r\n")), 99)
        widths = [len(line.split(delimiter)) for line in lines]
    names = ["user", "movie", "rating", "timestamp"]
    names = names[:3] if widths.count(3) > widths.count(4) else names
    # PyArrow splits at one character, so '::' is ':' with an empty column in each gap.
    gapped = [name for field in names for name in (field, f"{field} gap")][:-1]
    arrow_names = gapped if delimiter == "::" else names
    gaps = {name: pa.null() for name in arrow_names if name.endswith(" gap")}
    options = pa_csv.ParseOptions(delimiter=delimiter[0], quote_char=False)

    def read(types: _Types) -> _Parsed:
        with open_without(path, left_out) as file:
            return _read_csv(file, types | gaps, arrow_names, options)

    def rows() -> Iterator[tuple[int, Row]]:
        with open_text(path) as file:
            split = partial(_split, delimiter=delimiter)
            yield from _without(left_out, split_lines(file, split))

    return _Layout(path, names, ("user", "movie", "rating"), "timestamp", read, rows)


def _split(line: str, delimiter: str) -> Row:
    fields = line.split(delimiter)
    stray = delimiter == "::" and any(":" in field for field in fields)
    return "a ':' that is not one of '::'" if stray else fields


def _parquet_layout(path: AnyPath, columns: ColumnNames, left_out: Set[int]) -> _Layout:
    with open_bytes(path) as file:
        schema = pq.read_schema(file)
    required = _required(path, schema.names, columns)
    for name, numeric in zip(required, (_is_whole, _is_whole, _is_number), strict=True):
        if not numeric(schema.field(name).type):
            raise MovieEmbedError(f"{path}: column {name!r} holds {schema.field(name).type}")

    def load(names: list[str]) -> pa.Table:
        with open_bytes(path) as file:
            table = pq.read_table(file, columns=names)
        if not left_out:
            return table
        return table.take([row for row in range(len(table)) if row + 1 not in left_out])

    def read(types: _Types) -> _Parsed:
        table = load(list(types))
        cast = {name: table[name].cast(kind or table[name].type) for name, kind in types.items()}
        return _Parsed(pa.table(cast), doubtful=False)

    def rows() -> Iterator[tuple[int, Row]]:
        with open_bytes(path) as file:
            batches = pq.ParquetFile(file).iter_batches()
            rows = (row for batch in batches for row in batch.to_pylist())
            yield from ((number, list(row.values())) for number, row in enumerate(rows, start=1))

    return _Layout(path, schema.names, required, columns.timestamp, read, rows, unit="row")


def _is_whole(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind))


def _is_number(kind: pa.DataType) -> bool:
    return _is_whole(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _required(path: AnyPath, names: list[str], columns: ColumnNames) -> tuple[str, str, str]:
    """Return the names of the columns that must be there, once each."""
    required = (columns.user, columns.movie, columns.rating)
    for role, name in zip(("user", "movie", "rating"), required, strict=True):
        if names.count(name) != 1:
            fault = f"{names.count(name)} columns" if name in names else "no column"
            near = did_you_mean(name, map(printable, names))
            raise MovieEmbedError(
                f"{path}: {fault} {name!r}, it has {listed(names)}{near} "
                f"(data.columns.{role} names it; fields are separated by commas)"
            )
    return required


def _read_csv(
    file: IO[bytes],
    types: _Types,
    names: list[str],
    parse: pa_csv.ParseOptions,
    header_lines: int = 0,
) -> _Parsed:
    convert = pa_csv.ConvertOptions(
        include_columns=list(types),
        column_types={name: kind for name, kind in types.items() if kind is not None},
        null_values=[""],
        strings_can_be_null=True,
    )
    read = pa_csv.ReadOptions(column_names=names, skip_rows=header_lines)
    watched = WatchedFile(file)
    table = pa_csv.read_csv(
        watched, read_options=read, parse_options=parse, convert_options=convert
    )
    return _Parsed(table, watched.doubtful(len(table) + header_lines))


def _walk(layout: _Layout, limits: Limits, bad_rows: BadRows) -> int:
    """Check a file row by row, settle its bad rows and return how many good ones it has."""
    good = 0
    where = [layout.names.index(name) for name in layout.required]
    with np.errstate(over="ignore"):
        for number, row in layout.rows():
            if problem := rating_problem(row, len(layout.names), where, limits):
                bad_rows.note(layout.path, number, problem, layout.unit)
            else:
                good += 1
    bad_rows.settle(layout.path, good)
    if good == 0:
        raise MovieEmbedError(f"{layout.path} has no ratings")
    return good
