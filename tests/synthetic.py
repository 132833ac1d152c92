"""Small made-up data sets in every layout that the loader reads."""

from __future__ import annotations

import csv
import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from numpy.typing import NDArray

from movie_embed.config import ColumnNames, DataConfig
from movie_embed.data.loading import load_ratings
from movie_embed.data.movie_files import Movie
from movie_embed.data.ratings import DataSet, numbered
from movie_embed.data.reader import read_ratings
from movie_embed.data.tables import GENRE_FLAGS, given_table
from movie_embed.data.values import BadRows
from movie_embed.errors import MovieEmbedError

HALVES = (0.5, 5.0)

Row = tuple[int, int, float, int]

ROWS: list[Row] = [
    (1, 10, 4.0, 1_112_486_027),
    (1, 20, 3.5, 1_112_484_676),
    (7, 10, 0.5, 1_112_484_819),
    (7, 30, 5.0, 964_982_703),
    (9, 20, 2.0, 964_982_224),
]
MOVIES = {
    10: Movie("Star Wars: Episode IV - A New Hope (1977)", "Action|Adventure|Sci-Fi"),
    20: Movie('City of Lost Children, The (Cité des "enfants" perdus, La) (1995)', "Drama"),
    30: Movie("Odd :: Title, with 'marks' (2001)", "Comedy|Drama"),
    40: Movie("Never Rated", "(no genres listed)"),
}


def ratings_csv(rows: list[Row] = ROWS, *, end: str = "\n", timestamps: bool = True) -> bytes:
    """Return ratings as 20M and later ship them."""
    width = 4 if timestamps else 3
    lines = ["userId,movieId,rating,timestamp".rsplit(",", 4 - width)[0]]
    lines += [",".join(map(str, row[:width])) for row in rows]
    return (end.join(lines) + end).encode()


def ratings_kaggle(rows: list[Row] = ROWS) -> bytes:
    """Return ratings as Kaggle's copy of 20M has them: quoted names and date-times."""
    lines = ['"userId","movieId","rating","timestamp"']
    lines += [f'{u},{m},{stars},"2005-04-02 23:{time % 60:02}:47"' for u, m, stars, time in rows]
    return ("\n".join(lines) + "\n").encode()


def ratings_bare(rows: list[Row] = ROWS, delimiter: str = "::", width: int = 4) -> bytes:
    """Return ratings without header, as 100K, 1M and 10M ship them."""
    return "".join(delimiter.join(map(str, row[:width])) + "\n" for row in rows).encode()


def movies_csv(movies: dict[int, Movie] = MOVIES) -> bytes:
    """Return the table of movies as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows(
        [("movieId", "title", "genres"), *((i, *movie[:2]) for i, movie in movies.items())]
    )
    return text.getvalue().encode()


def movies_dat(encoding: str, movies: dict[int, Movie] = MOVIES) -> bytes:
    """Return the table of movies as 1M (Latin-1) and 10M (UTF-8) have it."""
    lines = [f"{i}::{movie.title}::{movie.genres}\n" for i, movie in movies.items()]
    return "".join(lines).encode(encoding)


def u_item() -> bytes:
    """Return the table of movies as 100K has it: a column of 0 or 1 a genre."""
    lines = []
    for movie_id, movie in MOVIES.items():
        genres = movie.genres.replace("(no genres listed)", "unknown").split("|")
        flags = [str(int(genre in genres)) for genre in GENRE_FLAGS]
        lines.append("|".join([str(movie_id), movie.title, "01-Jan-1995", "", "http://x", *flags]))
    return "".join(f"{line}\n" for line in lines).encode("latin-1")


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    """Write a zip with these members."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write_folder(folder: Path, members: dict[str, bytes]) -> Path:
    """Write these files under a folder."""
    for name, content in members.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def data_set(folder: Path, content: bytes | None = None) -> Path:
    """Write a data set in the layout of the recent releases and return its folder."""
    return write_folder(
        folder, {"ratings.csv": content or ratings_csv(), "movies.csv": movies_csv()}
    )


def files_config(path: Path, cache: Path, **changes: object) -> DataConfig:
    """Return the settings to load a data set under `path`."""
    settings: dict[str, object] = {"rating_range": [0.5, 5.0], **changes}
    return DataConfig(name="files", path=str(path), cache_dir=str(cache), **settings)  # type: ignore[arg-type]


def load(
    path: Path, scale: tuple[float, float] | None = HALVES, skip: bool = False, **columns: str
) -> DataSet:
    """Read all ratings, titles and tags under a path."""
    with tempfile.TemporaryDirectory() as cache:
        return load_ratings(
            DataConfig(
                name="files",
                path=str(path),
                cache_dir=cache,
                rating_range=list(scale) if scale else None,
                on_bad_rows="skip" if skip else "fail",
                columns=ColumnNames(**columns),
            )
        )


def refusal(path: Path, scale: tuple[float, float] | None = HALVES, **columns: str) -> str:
    """Return the message with which the data set is refused, in readable lines."""
    with pytest.raises(MovieEmbedError) as caught:
        load(path, scale, **columns)
    lines = str(caught.value).splitlines()
    assert len(lines) <= 22
    assert all(line.isprintable() and len(line) < 600 for line in lines)
    return str(caught.value)


def rated(
    *columns: NDArray[Any],
    movies: dict[Any, Movie] | None = None,
    min_ratings: int = 1,
    scale: tuple[float, float] = HALVES,
) -> DataSet:
    """Make a data set of columns of ratings."""
    frame = pd.DataFrame(dict(zip(("user", "movie", "rating"), columns, strict=True)))
    table = given_table("frame", frame, DataConfig())
    with tempfile.TemporaryDirectory() as scratch:
        read = read_ratings(table, DataConfig(), None, BadRows(), Path(scratch))
    ratings, table_of, before = numbered(
        read.ratings, read.movie_ids, (movies or {}, {}), min_ratings
    )
    return DataSet(ratings, table_of, scale, before, int(read.rows.sum()) - before.ratings)


def rows_of(data: DataSet) -> list[tuple[Any, Any, float]]:
    """Return ratings as plain rows, by user, then movie."""
    users, movies, stars = data.ratings.columns(data.trained)
    columns = data.ratings.user_ids[users], data.movies.ids[movies], stars
    return list(zip(*(column.tolist() for column in columns), strict=True))


def movies_of(data: DataSet) -> dict[Any, Movie]:
    """Return title and genres by id, of the movies that have a title."""
    table = data.movies
    named = zip(table.ids.tolist(), table.titles, table.genres, strict=True)
    return {movie_id: Movie(title, genres) for movie_id, title, genres in named if title}


def tags_of(data: DataSet) -> dict[Any, str]:
    """Return tags by movie id, of the movies that have any."""
    tagged = zip(data.movies.ids.tolist(), data.movies.tags, strict=True)
    return {movie_id: tags for movie_id, tags in tagged if tags}
