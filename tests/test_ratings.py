"""Raw files in every layout and place, as they are read."""

from __future__ import annotations

import bz2
import gzip
import io
import random
import re
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import (
    HALVES,
    MOVIES,
    ROWS,
    Row,
    data_set,
    load,
    movies_csv,
    movies_dat,
    movies_of,
    ratings_bare,
    ratings_csv,
    ratings_kaggle,
    rows_of,
    tags_of,
    u_item,
    write_folder,
    write_zip,
)

from movie_embed.data import reader
from movie_embed.data.movie_files import Movie
from movie_embed.errors import MovieEmbedError

TAGS_CSV = (
    b"userId,movieId,tag,timestamp\r\n"
    b"1,10,Space Opera ,1112486027\r\n"
    b"7,10,space opera,1112486028\r\n"
    b"7,10,a|b,1112486028\r\n"
    b'9,20,"dark, ""odd""\nand more",1112486028\r\n'
    b"9,20, ,1112486028\r\n"
    b"9,40,Caf\xc3\xa9,1112486028\r\n"
)
TAGS_DAT = (
    b"1::10::Space Opera ::1112486027\n"
    b"7::10::space opera::1112486028\n"
    b"7::10::a|b::1112486028\n"
    b'9::20::dark, "odd" :: and more::1112486028\n'
    b"9::20:: ::1112486028\n"
    b"9::40::Caf\xc3\xa9::1112486028\n"
)
MOVIES_DAT = {"movies.dat": movies_dat("utf-8")}
LAYOUTS: dict[str, dict[str, bytes]] = {
    "20m": {"ratings.csv": ratings_csv(), "movies.csv": movies_csv(), "tags.csv": TAGS_CSV},
    "windows": {"ratings.csv": ratings_csv(end="\r\n"), "movies.csv": movies_csv()},
    "no timestamps": {"ratings.csv": ratings_csv(timestamps=False), "movies.csv": movies_csv()},
    "kaggle": {"rating.csv": ratings_kaggle(), "movie.csv": movies_csv(), "tag.csv": TAGS_CSV},
    "10m": {"ratings.dat": ratings_bare(), "tags.dat": TAGS_DAT, **MOVIES_DAT},
    "1m": {"ratings.dat": ratings_bare(), "movies.dat": movies_dat("latin-1")},
    "dat, no timestamps": {"ratings.dat": ratings_bare(width=3), **MOVIES_DAT},
    "100k": {"u.data": ratings_bare(delimiter="\t"), "u.item": u_item()},
    "100k, no timestamps": {"u.data": ratings_bare(delimiter="\t", width=3), "u.item": u_item()},
}
EXPECTED = [row[:3] for row in ROWS]


@pytest.mark.parametrize("place", ["folder", "nested", "zip", "nested zip", "zip in a folder"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_in_every_place(layout: str, place: str, tmp_path: Path) -> None:
    prefix = "ml-10M100K/" if "nested" in place else ""
    members = {prefix + name: content for name, content in LAYOUTS[layout].items()}
    path = tmp_path / "data.zip"
    path = write_zip(path, members) if "zip" in place else write_folder(tmp_path, members)
    before = sorted(tmp_path.rglob("*"))
    data = load(path.parent if "zip in" in place else path)
    genres = {**MOVIES, 40: Movie("Never Rated", "unknown")} if "100k" in layout else MOVIES
    assert rows_of(data) == EXPECTED
    assert movies_of(data) == genres
    odd = 'dark, "odd" :: and more' if layout == "10m" else 'dark, "odd" and more'
    tagged = any("tag" in name for name in members)
    tags = {10: "a b|space opera", 20: odd, 40: "caf\u00e9"} if tagged else {}
    assert tags_of(data) == tags
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_may_be_named_itself(tmp_path: Path) -> None:
    own = data_set(tmp_path)
    (own / "ratings.csv").rename(own / "mine 2024.CSV")
    data = load(own / "mine 2024.CSV")
    assert (rows_of(data), movies_of(data)) == (EXPECTED, MOVIES)


CSV = ratings_csv()
HEADER, BODY = CSV.split(b"\n", 1)
FIRST, SECOND = BODY[: BODY.index(b"7,10")], BODY[BODY.index(b"7,10") :]
JSON_LINES = "".join(
    f'{{"userId": {u}, "movieId": {m}, "rating": {s}}}\n' for u, m, s, _ in ROWS
).encode()
INDEXED = "".join(f"{n},{u},{m},{s}\n" for n, (u, m, s, _) in enumerate(ROWS)).encode()
with io.BytesIO() as file:
    pd.DataFrame(ROWS, columns=["userId", "movieId", "rating", "timestamp"]).to_parquet(file)
    PARQUET = file.getvalue()
READ: dict[str, bytes | dict[str, bytes]] = {
    "no last line end": CSV.rstrip(b"\n"),
    "byte-order mark": b"\xef\xbb\xbf" + CSV,
    "blank lines": CSV.replace(b"\n", b"\n\n").rstrip(b"\n"),
    "old Mac": ratings_csv(end="\r"),
    "spaces": HEADER + b"\n" + BODY.replace(b",", b", "),
    "whole floats": CSV.replace(b"\n1,", b"\n1.0,").replace(b",10,", b",10.00,"),
    "decimal commas": re.sub(rb"(\d)\.(\d)", rb'"\1,\2"', CSV),
    "semicolons and decimal commas": CSV.replace(b",", b";").replace(b".", b","),
    "tabs": CSV.replace(b",", b"\t"),
    "tabs under their name": {"ratings.tsv": CSV.replace(b",", b"\t")},
    "said by a spreadsheet": b"sep=;\n" + CSV.replace(b",", b";"),
    "an empty last field": HEADER + b"\n" + BODY.replace(b"\n", b",\n"),
    "other names": CSV.replace(b"userId,movieId,rating", b" User_ID ,item_id,Score"),
    "exponents": CSV.replace(b",4.0,", b",0.4e1,"),
    "every field quoted": re.sub(rb"[^,\n]+", rb'"\g<0>"', CSV),
    "odd bytes where none reads": CSV.replace(b"964982224", b'\xff\0x"'),
    "an index column": b",userId,movieId,rating\n" + INDEXED,
    "gzip": {"ratings.csv.gz": gzip.compress(CSV)},
    "bzip2": {"ratings.csv.bz2": bz2.compress(CSV)},
    "JSON lines": {"ratings.jsonl": JSON_LINES},
    "a list in JSON": {"ratings.json": b"[" + JSON_LINES.strip().replace(b"\n", b",") + b"]"},
    "RecBole": {
        "ml.inter": b"user_id:token\titem_id:token\trating:float\tt:float\n"
        + BODY.replace(b",", b"\t")
    },
    "no header": BODY,
    "no header, u1.base": {"u1.base": BODY.replace(b",", b"\t")},
    "no header, spaces": {"ratings.txt": ratings_bare(delimiter=" ", width=3)},
    "parts": {"part-0.csv": HEADER + b"\n" + FIRST, "part-1.csv": HEADER + b"\n" + SECOND},
    "years": {
        "ratings_2016.csv": HEADER + b"\n" + SECOND,
        "ratings_2017.csv": HEADER + b"\n" + FIRST,
    },
    "shards": {"ratings/x.parquet": PARQUET, "ratings/movies.txt": b""},
    "shards of a tool": {"ratings.parquet/part-0.parquet": PARQUET},
    "Spark": {"ratings.csv/part-0.csv": CSV, "ratings.csv/_SUCCESS": b""},
    "a Mac's leftovers": {"ratings.csv": CSV, "._ratings.csv": b"\0", "__MACOSX/ratings.csv": b""},
    "two deep": {"a/b/ratings.csv": CSV},
}


@pytest.mark.parametrize("name", READ)
def test_tables_that_need_no_setting(name: str, tmp_path: Path) -> None:
    files = READ[name]
    files = files if isinstance(files, dict) else {"ratings.csv": files}
    data = load(write_folder(tmp_path / "it's [a] *folder*", files), None)
    assert rows_of(data) == EXPECTED
    assert data.notes[0].startswith("read: ")
    assert ("has no header" in str(data.notes)) == ("no header" in name)
    assert "no table of titles" in str(data.notes)


@pytest.mark.parametrize("kind", ["zstd", "hive", "text ids", "decimal", "float ids", "dictionary"])
def test_parquet_and_zstd_as_tools_write_them(kind: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=["userId", "movieId", "rating", "timestamp"])
    casts = {
        "text ids": "userId::VARCHAR AS userId",
        "float ids": "userId::DOUBLE AS userId",
        "decimal": "rating::DECIMAL(3, 1) AS rating",
        "dictionary": "userId::VARCHAR::ENUM('1', '7', '9') AS userId",
    }
    options = {"hive": "FORMAT parquet, PARTITION_BY (userId), WRITE_PARTITION_COLUMNS true"}
    target = tmp_path / {"zstd": "ratings.csv.zst", "hive": "ratings"}.get(kind, "r.parquet")
    with duckdb.connect() as engine:
        engine.register("frame", frame)
        columns = f"* REPLACE ({casts[kind]})" if kind in casts else "*"
        form = options.get(kind, "COMPRESSION zstd" if kind == "zstd" else "FORMAT parquet")
        engine.execute(f"COPY (SELECT {columns} FROM frame) TO '{target}' ({form})")
    assert rows_of(load(tmp_path)) == EXPECTED


OWN = {"user": "who", "movie": "what", "rating": "stars", "timestamp": "when"}


@pytest.mark.parametrize("name", ["log.csv", "log.parquet"])
def test_own_columns_beside_usual_titles(name: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=[*OWN.values()]).assign(note="a,b")[["note", *OWN.values()]]
    frame.to_csv(tmp_path / name, index=False) if "csv" in name else frame.to_parquet(
        tmp_path / name
    )
    write_folder(tmp_path, {"movies.csv": movies_csv()})
    data = load(tmp_path / name, **OWN)
    assert (rows_of(data), movies_of(data)) == (EXPECTED, MOVIES)


TIMES: dict[str, Any] = {
    "seconds": [5, None, 3],
    "floats": [5.5, None, 3.0],
    "text": ["1970-01-01 00:00:05", None, "1970-01-01T00:00:03Z"],
    "times": pa.array([5, None, 3], pa.timestamp("ns")),
    "dates": pa.array([5, None, 3], pa.date32()),
    "before 1970": [-5, None, -7],
}


@pytest.mark.parametrize("kind", TIMES)
def test_the_latest_rating_is_kept_by_timestamps_of_every_kind(kind: str, tmp_path: Path) -> None:
    table = {"who": [1] * 3, "what": [1] * 3, "stars": [1.0, 2.0, 3.0], "when": TIMES[kind]}
    pq.write_table(pa.table(table), tmp_path / "log.parquet")
    data = load(tmp_path / "log.parquet", **OWN)
    assert rows_of(data) == [(1, 1, 1.0)]
    assert data.duplicates == 2


@pytest.mark.parametrize("name", ["ratings.csv", "rating.csv", "ratings.dat"])
def test_the_latest_of_repeated_ratings_counts(name: str, tmp_path: Path) -> None:
    write = {"ratings.csv": ratings_csv, "rating.csv": ratings_kaggle, "ratings.dat": ratings_bare}
    rows: list[Row] = [
        (1, 10, 1.0, 50), (2, 10, 2.0, 30), (1, 10, 3.0, 59), (1, 10, 4.0, 55), (2, 10, 5.0, 30),
        (1, 20, 0.5, 1),
    ]  # fmt: skip
    data = load(write_folder(tmp_path, {name: write[name](rows)}))
    assert rows_of(data) == [(1, 10, 3.0), (1, 20, 0.5), (2, 10, 5.0)]
    assert (data.duplicates, data.before.ratings) == (3, 3)
    write_folder(tmp_path, {name: ratings_csv(rows, timestamps=False)})
    if name == "ratings.csv":
        assert rows_of(load(tmp_path)) == [(1, 10, 4.0), (1, 20, 0.5), (2, 10, 5.0)]


ODD_ROWS = (
    "1.0,10,4.0", "1.5,10,4.0", "1e2,10,4.0", "0x1F,10,4.0", "1_0,10,4.0", "+1,10,4.0", "-1,10,4.0",
    "007,10,4.0", " 7,10,4.0", "7 ,10,4.0", "7,1.0,4.0", "7,1e1,4.0", "anna,10,4.0", ",10,4.0",
    "7,,4.0", "7,10,", "7,10,nan", "7,10,1e0", "7,10,2.75", "7,10,4", "7,10,9", "7,10,x", "7,10",
    "7,10,4.0,1,2", '"7","10","4.0"', '7,"10,4.0', "4194303,10,4.0", "4194304,10,4.0",
    "7,4194304,4.0", "7,99999999999999999999,4.0", "nan,10,4.0", '7,10,4.0,"5\n8,10,4.0,5"', "",
)  # fmt: skip


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("odd", ODD_ROWS)
def test_one_pass_reads_what_two_passes_read(
    odd: str, skip: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["userId,movieId,rating", "1,10,4.0", "2,10,3.5", "2,20,3.5", odd, "3,20,4.0"]
    if "\n" in odd:  # in the timestamp, a column that no pass reads
        lines = [line if line == odd else f"{line},5" for line in lines]
    write_folder(tmp_path, {"ratings.csv": "\n".join(lines).encode()})

    def outcome() -> object:
        try:
            data = load(tmp_path, skip=skip)
        except MovieEmbedError as error:
            return str(error)
        return rows_of(data), data.ratings.levels.tolist(), data.before, data.bad_rows

    ran = []

    def plain(*arguments: Any) -> Any:
        ran.append(found := real(*arguments))
        return found

    real = reader._read_plain
    monkeypatch.setattr(reader, "_SAMPLE", 2)  # the odd row is not among the rows looked at first
    monkeypatch.setattr(reader, "_read_plain", plain)
    in_one = outcome()
    assert (ran[0] is not None) == (odd in ('"7","10","4.0"', "4194303,10,4.0", ""))
    monkeypatch.setattr(reader, "_read_plain", lambda *_: None)
    assert in_one == outcome()


def test_ids_of_64_bits_and_any_finite_stars(tmp_path: Path) -> None:
    rows: list[Row] = [(-(2**63), 2**63 - 1, -7.25, 0), (2**40, -1, 1e6, 0)]
    text = ratings_csv(rows).replace(b"userId", b"user")  # MovieLens' own names mean its scale
    write_folder(tmp_path, {"ratings.csv": text})
    assert rows_of(load(tmp_path, None)) == [row[:3] for row in rows]


def test_each_title_is_utf_8_or_else_cp1252(tmp_path: Path) -> None:
    lines = (
        "1::Am\u00e9lie::Comedy\n".encode(),
        "2::\u201cCaf\u00e9\u201d::Drama\n".encode("cp1252"),
    )
    write_folder(tmp_path, {"ratings.dat": ratings_bare(), "movies.dat": b"".join(lines)})
    titles = [movie.title for movie in movies_of(load(tmp_path)).values()]
    assert titles == ["Am\u00e9lie", "\u201cCaf\u00e9\u201d"]


def test_a_table_of_something_else_is_left_aside(tmp_path: Path) -> None:
    for size in (100, 300_000):
        members = {"ratings.csv": ratings_csv(), "movies.csv": random.Random(1).randbytes(size)}
        notes = load(write_folder(tmp_path, members)).notes
        assert notes[0] == "read: ratings.csv; left aside: movies.csv"
        assert "no table of titles" in notes[1]


TITLES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)
NAMED = st.builds(Movie, TITLES, st.just("Drama"), st.just((0, 0)))


@given(st.dictionaries(st.integers(-(2**63), 2**63 - 1), NAMED))
@settings(max_examples=25, deadline=None)
def test_any_title_survives_csv(
    tmp_path_factory: pytest.TempPathFactory, movies: dict[int, Movie]
) -> None:
    folder = tmp_path_factory.mktemp("titles")
    write_folder(folder, {"ratings.csv": ratings_csv(), "movies.csv": movies_csv(movies)})
    assert movies_of(load(folder)) == {i: movie for i, movie in movies.items() if movie.title}


REAL = {
    "ml-latest-small": (100_836, 610, 9_724),
    "ml-1m": (1_000_209, 6_040, 3_706),
    "ml-100k": (100_000, 943, 1_682),
    "pooled": (872_221, 7_468, 19_495),
}


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_real_releases(name: str, shared: Path) -> None:
    data = load(shared / name, (1.0, 5.0) if name in ("ml-1m", "ml-100k") else HALVES)
    assert (len(data.ratings), len(data.ratings.user_ids), data.counts.movies) == REAL[name]
    movies = movies_of(data)
    assert set(data.movies.ids[: data.movies.embedded].tolist()) <= movies.keys()
    assert movies[1].title == "Toy Story (1995)"
