"""Raw files to columns: every MovieLens layout, and a user's own CSV or Parquet.

A file either parses to exactly the rows it says or is refused with the file and line at
fault. PyArrow parses; only when it refuses is the file walked again, slowly, to say why.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from movie_embed.config import ColumnNames
from movie_embed.errors import MovieEmbedError, did_you_mean

AnyPath = Path | zipfile.Path

_RATINGS_FILES = ("ratings.csv", "rating.csv", "ratings.dat", "u.data", "ratings.parquet")
_MOVIES_FILES = ("movies.csv", "movie.csv", "movies.dat", "u.item")
_OWN_FILES = (".csv", ".parquet")
_MAX_ZIP_RATIO = 200
_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime",
    "Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance",
    "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip


@dataclass(frozen=True)
class Ratings:
    """Ratings in file order.

    Attributes
    ----------
    users, movies
        Ids as in the file, int64, shape (ratings,).
    values
        Stars, float32, shape (ratings,).
    """

    users: NDArray[np.int64]
    movies: NDArray[np.int64]
    values: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.values)


class Movie(NamedTuple):
    """Title and ``|``-joined genres of one movie, as in the raw file."""

    title: str
    genres: str


@dataclass(frozen=True)
class RatingsFiles:
    """Where a data set lies: its ratings, its movies if it has a table of them, its columns."""

    ratings: AnyPath
    movies: AnyPath | None
    columns: ColumnNames

    @property
    def on_disk(self) -> list[Path]:
        """The ordinary files whose bytes decide what is read."""
        paths = [self.ratings, self.movies] if self.movies else [self.ratings]
        return sorted(
            {Path(p.root.filename or "") if isinstance(p, zipfile.Path) else p for p in paths}
        )


def find_files(path: Path, columns: ColumnNames) -> RatingsFiles:
    """Recognise the layout under a path.

    Parameters
    ----------
    path
        A folder or zip with any MovieLens layout (one folder deep is fine), or a CSV or
        Parquet file of ratings; its movies are looked for beside it.
    columns
        Column names for CSV and Parquet.

    Raises
    ------
    MovieEmbedError
        Nothing there, or nothing recognisable.
    """
    if not path.exists():
        raise MovieEmbedError(f"data.path={path}: no such file or folder")
    if path.is_dir() or zipfile.is_zipfile(path):
        return _find_in_folder(path, columns)
    if path.suffix == ".zip":
        raise MovieEmbedError(f"{path} is not a whole zip file: fetch it again")
    if path.suffix in _OWN_FILES or path.name in _RATINGS_FILES:
        return RatingsFiles(path, _first_present(path.parent, _MOVIES_FILES), columns)
    raise MovieEmbedError(
        f"data.path={path}: expected a folder, a .zip, or ratings as .csv or .parquet"
    )


def _find_in_folder(path: Path, columns: ColumnNames) -> RatingsFiles:
    root: AnyPath = path if path.is_dir() else zipfile.Path(path)
    for folder in (root, *(child for child in root.iterdir() if child.is_dir())):
        ratings = _first_present(folder, _RATINGS_FILES)
        if ratings:
            return RatingsFiles(ratings, _first_present(folder, _MOVIES_FILES), columns)
    raise MovieEmbedError(f"data.path={path}: found none of {', '.join(_RATINGS_FILES)}")


def _first_present(folder: AnyPath, names: tuple[str, ...]) -> AnyPath | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def read_ratings(files: RatingsFiles, rating_range: tuple[float, float] | None) -> Ratings:
    """Read users, movies and stars.

    Parameters
    ----------
    files
        What `find_files` found.
    rating_range
        The lowest and highest star allowed; None allows any finite number.

    Raises
    ------
    MovieEmbedError
        The first row at fault by file and line, and how many more there are.
    """
    layout = _layout(files)
    try:
        table = layout.read(
            dict(zip(layout.required, (pa.int64(), pa.int64(), pa.float32()), strict=True))
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError, EOFError) as error:
        raise _bad_rows(layout, rating_range) or _unreadable(layout.path, error) from error
    except (OSError, zipfile.BadZipFile, pa.ArrowException) as error:
        raise _unreadable(layout.path, error) from error
    if any(column.null_count for column in table.columns):
        raise _bad_rows(layout, rating_range) or _unreadable(layout.path, "empty fields")
    users, movies, values = (table[name].to_numpy() for name in layout.required)
    if len(values) == 0:
        raise MovieEmbedError(f"{layout.path} has no ratings")
    low, high = rating_range or (np.finfo(np.float32).min, np.finfo(np.float32).max)
    if not (values.min() >= low and values.max() <= high):
        raise _bad_rows(layout, rating_range) or _unreadable(layout.path, "ratings off the scale")
    return Ratings(users, movies, values)


def read_timestamps(files: RatingsFiles) -> NDArray[np.int64] | None:
    """Read seconds since 1970 per rating, or None if the file has no such column.

    Whole seconds and date-times (``2005-04-02 23:53:47``) are understood; a missing one
    counts as older than any other.
    """
    layout = _layout(files)
    if layout.timestamp not in layout.names:
        return None
    column = layout.read({layout.timestamp: None})[layout.timestamp]
    try:
        if pa.types.is_string(column.type):
            column = pc.cast(column, pa.timestamp("s"))
        seconds = pc.cast(column, pa.int64(), safe=False)
    except pa.ArrowInvalid as error:
        raise _unreadable(layout.path, error) from error
    filled: NDArray[np.int64] = pc.fill_null(seconds, np.iinfo(np.int64).min).to_numpy()
    return filled


@dataclass(frozen=True)
class _Layout:
    """How one ratings file is read: its columns, by PyArrow or row by row."""

    path: AnyPath
    names: list[str]
    required: tuple[str, str, str]
    timestamp: str
    read: Callable[[dict[str, pa.DataType | None]], pa.Table]
    rows: Callable[[], Iterator[tuple[int, list[Any]]]]


def _layout(files: RatingsFiles) -> _Layout:
    path, columns = files.ratings, files.columns
    if path.suffix == ".parquet":
        return _parquet_layout(path, columns)
    if path.suffix == ".csv":
        return _csv_layout(path, columns)
    return _bare_layout(path, "::" if path.suffix == ".dat" else "\t")


def _csv_layout(path: AnyPath, columns: ColumnNames) -> _Layout:
    with _text(path) as file:
        names = next(csv.reader(file), [])
    required = (columns.user, columns.movie, columns.rating)
    _require_columns(path, names, required)

    def read(types: dict[str, pa.DataType | None]) -> pa.Table:
        return _read_csv(path, types, pa_csv.ReadOptions(), ",")

    def rows() -> Iterator[tuple[int, list[str]]]:
        with _text(path) as file:
            reader = csv.reader(file)
            next(reader)
            yield from ((reader.line_num, row) for row in reader if row)

    return _Layout(path, names, required, columns.timestamp, read, rows)


def _bare_layout(path: AnyPath, delimiter: str) -> _Layout:
    """Lay out a file without a header: ``::`` of 1M and 10M, tabs of 100K."""
    with _text(path) as file:
        width = len(file.readline().split(delimiter))
    names = ["user", "movie", "rating", "timestamp"][: max(width, 3)]
    # PyArrow splits at one character, so '::' is ':' with an empty column in each gap.
    gapped = [name for field in names for name in (field, f"{field} gap")][:-1]
    arrow_names = gapped if delimiter == "::" else names

    def read(types: dict[str, pa.DataType | None]) -> pa.Table:
        gaps = {name: pa.null() for name in arrow_names if name.endswith(" gap")}
        options = pa_csv.ReadOptions(column_names=arrow_names)
        return _read_csv(path, types | gaps, options, delimiter[0]).select(list(types))

    def rows() -> Iterator[tuple[int, list[str]]]:
        with _text(path) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.rstrip("\r\n").split(delimiter)

    return _Layout(path, names, ("user", "movie", "rating"), "timestamp", read, rows)


def _parquet_layout(path: AnyPath, columns: ColumnNames) -> _Layout:
    try:
        with path.open("rb") as file:
            names = pq.read_schema(file).names
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error
    required = (columns.user, columns.movie, columns.rating)
    _require_columns(path, names, required)

    def read(types: dict[str, pa.DataType | None]) -> pa.Table:
        with path.open("rb") as file:
            table = pq.read_table(file, columns=list(types))
        cast = {
            name: table[name].cast(kind) if kind else table[name] for name, kind in types.items()
        }
        return pa.table(cast)

    def rows() -> Iterator[tuple[int, list[Any]]]:
        with path.open("rb") as file:
            table = pq.read_table(file)
        for number, row in enumerate(table.to_pylist(), start=1):
            yield number, [row[name] for name in names]

    return _Layout(path, names, required, columns.timestamp, read, rows)


def _read_csv(
    path: AnyPath, types: dict[str, pa.DataType | None], options: pa_csv.ReadOptions, delimiter: str
) -> pa.Table:
    convert = pa_csv.ConvertOptions(
        include_columns=list(types),
        column_types={name: kind for name, kind in types.items() if kind is not None},
        null_values=[""],
        strings_can_be_null=True,
    )
    parse = pa_csv.ParseOptions(delimiter=delimiter)
    with _open(path) as file:
        return pa_csv.read_csv(
            file, read_options=options, parse_options=parse, convert_options=convert
        )


def _require_columns(path: AnyPath, names: list[str], required: tuple[str, ...]) -> None:
    for role, name in zip(("user", "movie", "rating"), required, strict=True):
        if name not in names:
            raise MovieEmbedError(
                f"{path}: no column {name!r}, it has {', '.join(names) or 'nothing'}"
                f"{did_you_mean(name, names)} Name yours with data.columns.{role}=..."
            )


def _bad_rows(layout: _Layout, rating_range: tuple[float, float] | None) -> MovieEmbedError | None:
    """Walk the file row by row and describe the first bad row, or return None if all are good."""
    where = [layout.names.index(name) for name in layout.required]
    first, count = "", 0
    for number, row in layout.rows():
        problem = _row_problem(row, len(layout.names), where, rating_range)
        if problem:
            first = first or f"{layout.path}, line {number}: {problem}"
            count += 1
    more = f" (and {count - 1:,} more bad rows)" if count > 1 else ""
    return MovieEmbedError(first + more) if first else None


def _row_problem(
    row: list[Any], width: int, where: list[int], rating_range: tuple[float, float] | None
) -> str:
    if len(row) != width:
        return f"expected {width} fields, got {len(row)}"
    user, movie, stars = (row[column] for column in where)
    for role, value in (("user", user), ("movie", movie)):
        if not _is_int64(value):
            return f"{role} id {value!r} is not a whole number of at most 64 bits"
    low, high = rating_range or (np.finfo(np.float32).min, np.finfo(np.float32).max)
    try:
        good = low <= float(stars) <= high
    except (TypeError, ValueError):
        return f"rating {stars!r} is not a number"
    return "" if good else f"rating {stars} is not between {low:g} and {high:g}"


def _is_int64(value: Any) -> bool:
    try:
        return -(2**63) <= int(value) < 2**63 and float(value) == int(value)
    except (TypeError, ValueError):
        return False


def read_movies(files: RatingsFiles) -> dict[int, Movie]:
    """Read the table of movies: id to title and genres; empty if the data set has none.

    Raises
    ------
    MovieEmbedError
        A row without a whole id or of the wrong width, by file and line; an id given twice.
    """
    if files.movies is None:
        return {}
    movies: dict[int, Movie] = {}
    try:
        for number, movie_id, movie in _movie_rows(files.movies, files.columns):
            if not _is_int64(movie_id) or int(movie_id) in movies:
                raise MovieEmbedError(
                    f"{files.movies}, line {number}: movie id {movie_id!r} is "
                    + ("given twice" if _is_int64(movie_id) else "not a whole number")
                )
            movies[int(movie_id)] = movie
    except (OSError, zipfile.BadZipFile, csv.Error) as error:
        raise _unreadable(files.movies, error) from error
    return movies


def _movie_rows(path: AnyPath, columns: ColumnNames) -> Iterator[tuple[int, str, Movie]]:
    with _titles_text(path) as file:
        if path.suffix == ".csv":
            yield from _csv_movies(path, file, columns)
            return
        parse = _parse_dat_movie if path.suffix == ".dat" else _parse_100k_movie
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, *parse(path, number, line.rstrip("\r\n"))


def _csv_movies(
    path: AnyPath, file: IO[str], columns: ColumnNames
) -> Iterator[tuple[int, str, Movie]]:
    reader = csv.DictReader(file)
    for name in (columns.movie, "title"):
        if name not in (reader.fieldnames or []):
            raise MovieEmbedError(f"{path}: no column {name!r}, it has {reader.fieldnames}")
    for row in reader:
        if None in row or None in row.values():
            raise MovieEmbedError(
                f"{path}, line {reader.line_num}: expected {len(reader.fieldnames or [])} fields"
            )
        yield reader.line_num, row[columns.movie], Movie(row["title"], row.get("genres", ""))


def _parse_dat_movie(path: AnyPath, number: int, line: str) -> tuple[str, Movie]:
    movie_id, _, rest = line.partition("::")
    title, separator, genres = rest.rpartition("::")
    if not separator:
        raise MovieEmbedError(f"{path}, line {number}: expected id::title::genres")
    return movie_id, Movie(title, genres)


def _parse_100k_movie(path: AnyPath, number: int, line: str) -> tuple[str, Movie]:
    movie_id, _, rest = line.partition("|")
    title, *rest_fields = rest.rsplit("|", 22)
    flags = rest_fields[3:]
    if len(flags) != len(_GENRES_100K) or not set(flags) <= {"0", "1"}:
        raise MovieEmbedError(f"{path}, line {number}: expected 5 fields and 19 genre flags by |")
    genres = [genre for genre, flag in zip(_GENRES_100K, flags, strict=True) if flag == "1"]
    return movie_id, Movie(title, "|".join(genres))


def _open(path: AnyPath) -> IO[bytes]:
    if isinstance(path, zipfile.Path):
        info = path.root.getinfo(path.at)
        if info.file_size > _MAX_ZIP_RATIO * max(info.compress_size, 1):
            raise MovieEmbedError(f"{path} unpacks to {info.file_size:,} bytes: refused as a bomb")
    return path.open("rb")


def _text(path: AnyPath) -> io.TextIOWrapper:
    """Open a file of numbers as text, line ends as they are; odd bytes show as replaced."""
    return io.TextIOWrapper(_open(path), "utf-8-sig", errors="replace", newline="")


def _titles_text(path: AnyPath) -> io.StringIO:
    """Read a table of titles: UTF-8 with or without a byte-order mark, else Latin-1."""
    with _open(path) as file:
        content = file.read()
    try:
        return io.StringIO(content.decode("utf-8-sig"), newline="")
    except UnicodeDecodeError:
        return io.StringIO(content.decode("latin-1"), newline="")


def _unreadable(path: AnyPath, reason: object) -> MovieEmbedError:
    return MovieEmbedError(f"{path} cannot be read: {' '.join(str(reason).split())}")
