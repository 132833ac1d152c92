"""`data.on_bad_rows=skip`: what is left out, what is kept, and how it is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import (
    HALVES,
    MOVIES,
    ROWS,
    data_set,
    files_config,
    locate,
    movies_csv,
    ratings_bare,
    ratings_csv,
    ratings_kaggle,
    rows_of,
    write_folder,
    write_zip,
)

from movie_embed.config import DataConfig
from movie_embed.data.ratings import read_ratings, read_timestamps
from movie_embed.data.rows import BadRows
from movie_embed.data.tags import read_tags
from movie_embed.data.titles import read_movies
from movie_embed.data.triples import load_triples
from movie_embed.errors import MovieEmbedError

EXPECTED = [row[:3] for row in ROWS]
BAD = {
    "rating.csv": (ratings_kaggle(), b'1,2,3,"2005-04-02 23:53:47\n1,2\n'),
    "ratings.csv": (ratings_csv(), b"1,2,nan,4\n1.0,2,3.0,4\n"),
    "ratings.dat": (ratings_bare(), b"1::2::3\n1::2::99::4\n"),
    "u.data": (ratings_bare(delimiter="\t"), b"1\t2\t\t4\n1 2 3 4\n"),
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("place", [1, 3, -1])
def test_bad_ratings_are_left_out(
    name: str, place: int, zipped: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content, bad = BAD[name]
    lines = content.splitlines(keepends=True)
    lines.insert(place % (len(lines) + 1), bad)
    members = {name: b"".join(lines)}
    path = write_zip(tmp_path / "x.zip", members) if zipped else write_folder(tmp_path, members)
    files, bad_rows = locate(path), BadRows(skip=True)
    assert rows_of(read_ratings(files, HALVES, bad_rows)) == EXPECTED
    assert bad_rows.count == 2
    assert f"{files.ratings}: 2 bad rows left out\n{files.ratings}, line " in caplog.text
    times = read_timestamps(files, bad_rows)
    assert times is not None
    assert len(times) == len(EXPECTED)


def test_bad_rows_of_parquet_are_left_out(tmp_path: Path) -> None:
    table = pa.table(
        {
            "userId": pa.array([1, None, 3, 2**64 - 1], pa.uint64()),
            "movieId": [5, 6, 7, 8],
            "rating": [1.0, 2.0, 3.0, 4.0],
            "timestamp": [9, 8, 7, 6],
        }
    )
    pq.write_table(table, tmp_path / "ratings.parquet")
    files, bad_rows = locate(tmp_path / "ratings.parquet"), BadRows(skip=True)
    assert rows_of(read_ratings(files, HALVES, bad_rows)) == [(1, 5, 1.0), (3, 7, 3.0)]
    assert bad_rows.numbers(files.ratings) == {2, 4}
    times = read_timestamps(files, bad_rows)
    assert times is not None
    assert times.tolist() == [9, 7]


def test_bad_movies_and_tags_are_left_out(tmp_path: Path) -> None:
    movies = movies_csv() + b"10,Again,Drama\r\n50\r\n"
    tags = b"userId,movieId,tag,timestamp\n1,10,space,5\n1,10,a\0,5\n"
    write_folder(tmp_path, {"ratings.csv": ratings_csv(), "movies.csv": movies, "tags.csv": tags})
    bad_rows = BadRows(skip=True)
    assert read_movies(locate(tmp_path), bad_rows) == MOVIES
    assert read_tags(locate(tmp_path), bad_rows) == {10: "space"}
    assert bad_rows.count == 3


def test_a_file_without_a_good_row_is_refused_all_the_same(tmp_path: Path) -> None:
    data_set(tmp_path, b"userId,movieId,rating\n1,2\n")
    with pytest.raises(MovieEmbedError, match=r"line 2: expected 3 fields.*it has no good row$"):
        read_ratings(locate(tmp_path), HALVES, BadRows(skip=True))


def test_a_timestamp_that_is_none_counts_as_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    oldest = np.iinfo(np.int64).min
    for good, expected in ((b"5", 5), (b"1970-01-01 00:00:05", 5)):
        rows = b"1,10,4.0," + good + b"\n1,20,4.0,soon\n1,30,4.0,\n"
        data_set(tmp_path, b"userId,movieId,rating,timestamp\n" + rows)
        with pytest.raises(MovieEmbedError, match=r"line 3: timestamp 'soon' is not like"):
            read_timestamps(locate(tmp_path))
        times = read_timestamps(locate(tmp_path), BadRows(skip=True))
        assert times is not None
        assert times.tolist() == [expected, oldest, oldest]
        assert "ratings.csv: 1 timestamps that count as missing" in caplog.text


def test_skipping_has_a_cache_of_its_own_that_knows_how_many(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data_set(folder, ratings_csv() + b"9,10\n" + b"1,10,0.5,2000000000\n")
    skip = files_config(folder, tmp_path / "cache", on_bad_rows="skip")
    for _ in range(2):
        triples = load_triples(skip)
        assert (triples.bad_rows, triples.duplicates, len(triples)) == (1, 1, len(ROWS))
    assert caplog.text.count("1 bad rows left out") == 1
    with pytest.raises(MovieEmbedError, match="line 7: expected 4 fields, got 2"):
        load_triples(files_config(folder, tmp_path / "cache"))


def test_the_choice_is_checked() -> None:
    with pytest.raises(MovieEmbedError, match=r"data\.on_bad_rows=warn: must be one of fail, skip"):
        DataConfig(on_bad_rows="warn")
