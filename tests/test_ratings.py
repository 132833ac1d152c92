"""Raw files in every layout, good and bad."""

from __future__ import annotations

import csv
import errno
import random
import re
import stat
import zipfile
from pathlib import Path
from typing import Any

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
    write_folder,
    write_zip,
)

from movie_embed.data.titles import Movie
from movie_embed.errors import MovieEmbedError

GENRES_AND_FLAGS = {10: "Action|Adventure|Sci-Fi", 20: "Drama", 30: "Comedy|Drama", 40: "unknown"}
FLAG_ORDER = (
    "unknown|Action|Adventure|Animation|Children's|Comedy|Crime|Documentary|Drama|Fantasy|"
    "Film-Noir|Horror|Musical|Mystery|Romance|Sci-Fi|Thriller|War|Western"
)


def u_item() -> bytes:
    lines = []
    for movie_id, movie in MOVIES.items():
        flags = [
            str(int(g in GENRES_AND_FLAGS[movie_id].split("|"))) for g in FLAG_ORDER.split("|")
        ]
        lines.append("|".join([str(movie_id), movie.title, "01-Jan-1995", "", "http://x", *flags]))
    return "".join(f"{line}\n" for line in lines).encode("latin-1")


LAYOUTS: dict[str, dict[str, bytes]] = {
    "20m": {"ratings.csv": ratings_csv(), "movies.csv": movies_csv()},
    "windows": {"ratings.csv": ratings_csv(end="\r\n"), "movies.csv": movies_csv()},
    "no timestamps": {"ratings.csv": ratings_csv(timestamps=False), "movies.csv": movies_csv()},
    "kaggle": {"rating.csv": ratings_kaggle(), "movie.csv": movies_csv()},
    "10m": {"ratings.dat": ratings_bare(), "movies.dat": movies_dat("utf-8")},
    "1m": {"ratings.dat": ratings_bare(), "movies.dat": movies_dat("latin-1")},
    "dat, no timestamps": {
        "ratings.dat": ratings_bare(width=3),
        "movies.dat": movies_dat("utf-8"),
    },
    "100k": {"u.data": ratings_bare(delimiter="\t"), "u.item": u_item()},
    "100k, no timestamps": {"u.data": ratings_bare(delimiter="\t", width=3), "u.item": u_item()},
}
EXPECTED = [row[:3] for row in ROWS]


@pytest.mark.parametrize("place", ["folder", "nested", "zip", "nested zip"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_in_every_place(layout: str, place: str, tmp_path: Path) -> None:
    prefix = "ml-10M100K/" if "nested" in place else ""
    members = {prefix + name: content for name, content in LAYOUTS[layout].items()}
    path = tmp_path / "data.zip"
    path = write_zip(path, members) if "zip" in place else write_folder(tmp_path, members)
    before = sorted(tmp_path.rglob("*"))
    triples = load(path)
    movies = movies_of(triples)
    assert rows_of(triples) == EXPECTED
    assert {i: movie.title for i, movie in movies.items()} == {
        i: movie.title for i, movie in MOVIES.items()
    }
    if "100k" in layout:
        assert {i: movie.genres for i, movie in movies.items()} == GENRES_AND_FLAGS
    else:
        assert movies == MOVIES
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_may_be_named_itself(tmp_path: Path) -> None:
    own = data_set(tmp_path)
    (own / "ratings.csv").rename(own / "mine 2024.CSV")
    triples = load(own / "mine 2024.CSV")
    assert rows_of(triples) == EXPECTED
    assert movies_of(triples) == MOVIES


OWN = {"user": "who", "movie": "what", "rating": "stars", "timestamp": "when"}


def own_table(**changes: Any) -> pa.Table:
    who, what, stars, when = zip(*ROWS, strict=True)
    return pa.table(
        {"note": ["a,b"] * 5, "stars": stars, "what": what, "who": who, "when": when} | changes
    )


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_own_columns(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"log{suffix}"
    write_own(path, own_table())
    triples = load(path, **OWN)
    assert rows_of(triples) == EXPECTED
    assert movies_of(triples) == {}


def write_own(path: Path, table: pa.Table) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path)
        return
    with path.open("w", newline="") as file:
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerow(table.column_names)
        writer.writerows(row.values() for row in table.to_pylist())


TIMES = {
    "seconds": [5, None, 3],
    "floats": [5.5, None, 3.0],
    "text": ["1970-01-01 00:00:05", None, "1970-01-01T00:00:03Z"],
    "times": pa.array([5, None, 3], pa.timestamp("ns")),
    "dates": pa.array([5, None, 3], pa.date32()),
}


@pytest.mark.parametrize("kind", TIMES)
def test_the_latest_rating_is_kept_by_timestamps_of_every_kind(kind: str, tmp_path: Path) -> None:
    table = {"who": [1] * 3, "what": [1] * 3, "stars": [1.0, 2.0, 3.0], "when": TIMES[kind]}
    pq.write_table(pa.table(table), tmp_path / "log.parquet")
    triples = load(tmp_path / "log.parquet", **OWN)
    assert rows_of(triples) == [(1, 1, 1.0)]
    assert triples.duplicates == 2


AGAIN = ratings_csv() + b"7,30,1.0,5\n"


def test_timestamps_are_seconds_or_dates_or_refused(tmp_path: Path) -> None:
    for when, stars in (("1974-01-01", 5.0), ("1970-01-01 00:00:04", 1.0)):
        data_set(tmp_path, AGAIN.replace(b"964982703", when.encode()))
        assert rows_of(load(tmp_path))[3] == (7, 30, stars)
    for when in ("yesterday", "08/01/2017", "nan"):
        data_set(tmp_path, AGAIN.replace(b"964982703", when.encode()))
        assert f"ratings.csv, line 5: timestamp '{when}' is neither seconds" in refusal(tmp_path)
        assert rows_of(load(tmp_path, skip=True))[3] == (7, 30, 1.0)  # it counts as missing
    triples = load(tmp_path, timestamp="none")
    assert rows_of(triples)[3] == (7, 30, 1.0)
    assert "the last in the file is kept" in str(triples.notes)


HINT = "; data.on_bad_rows=skip leaves bad rows out"


def refusal(path: Path, scale: tuple[float, float] | None = HALVES, **columns: str) -> str:
    """Return the message with which the data set is refused, in readable lines."""
    with pytest.raises(MovieEmbedError) as caught:
        load(path, scale, **columns)
    lines = str(caught.value).splitlines()
    assert len(lines) <= 21
    for line in lines:
        assert line.isprintable()
        assert len(line) < 600
    return str(caught.value)


BAD_LINES = {
    "1,2,3": "expected 4 fields, got 3",
    "1,2,3.0,4,5": "expected 4 fields, got 5",
    "1;2;3;4": "expected 4 fields, got 1",
    "   ": "expected 4 fields, got 1",
    ",2,3.0,4": "user id '' is not a whole number within 64 bits",
    "1,,3.0,4": "movie id '' is not a whole number within 64 bits",
    '1,"",3.0,4': "movie id '' is not a whole number within 64 bits",
    "+1,2,3.0,4": "user id '+1' is not a whole number within 64 bits",
    "0x1F,2,3.0,4": "user id '0x1F' is not a whole number within 64 bits",
    "1e3,2,3.0,4": "user id '1e3' is not a whole number within 64 bits",
    "1_0,2,3.0,4": "user id '1_0' is not a whole number within 64 bits",
    "\u0661,2,3.0,4": "user id '\u0661' is not a whole number within 64 bits",
    "1,9223372036854775808,3.0,4": "movie id '9223372036854775808' is not a whole number",
    "1\0,2,3.0,4": r"user id '1\x00' is not a whole number within 64 bits",
    "1,2,,4": "rating '' is not a number",
    "1,2,good,4": "rating 'good' is not a number",
    "1,2,nan,4": "rating 'nan' is not a number",
    "1,2,NaN,4": "rating 'NaN' is not a number",
    "1,2,inf,4": "rating 'inf' is not a number",
    "1,2,1e999,4": "rating 1e999 is not between 0.5 and 5",
    "1,2,-3.0,4": "rating -3.0 is not between 0.5 and 5",
    "1,2,5.5,4": "rating 5.5 is not between 0.5 and 5",
    "1,2,0,4": "rating 0 is not between 0.5 and 5",
    '1,2,3,"4': "a quoted field does not end on its line",
}


@pytest.mark.parametrize("line", BAD_LINES)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_bad_line_is_named(line: str, end: str, tmp_path: Path) -> None:
    lines = ratings_csv(end=end).decode().split(end)
    text = end.join([*lines[:3], "", line, *lines[3:]])
    data_set(tmp_path, text.encode())
    assert refusal(tmp_path).startswith(f"{tmp_path / 'ratings.csv'}, line 5: {BAD_LINES[line]}")


@pytest.mark.parametrize("delimiter", ["::", "\t"])
def test_a_bad_line_without_header_is_named(delimiter: str, tmp_path: Path) -> None:
    name = "ratings.dat" if delimiter == "::" else "u.data"
    good = ratings_bare(delimiter=delimiter).decode().splitlines()
    for fields, problem in {
        "1 2 3": "expected 4 fields, got 3",
        "1 2 3 4 5": "expected 4 fields, got 5",
        '"1" 2 3 4': """user id '"1"' is not a whole number within 64 bits""",
        "1 2 9 4": "rating 9 is not between 0.5 and 5",
    }.items():
        for position in range(6):
            bad = delimiter.join(fields.split(" "))
            text = "\n".join([*good[:position], bad, *good[position:]])
            write_folder(tmp_path, {name: text.encode()})
            assert refusal(tmp_path) == f"{tmp_path / name}, line {position + 1}: {problem}{HINT}"


def test_twenty_bad_lines_are_listed_and_more_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    for bad in (1, 20, 21, 1_234):
        data_set(tmp_path, ratings_csv() + b"1,2\n" * bad + b"1,2,3,4\n")
        told = [f"{path}, line {7 + i}: expected 4 fields, got 2" for i in range(min(bad, 20))]
        told += [f"and {bad - 20:,} more bad rows"] * (bad > 20)
        assert refusal(tmp_path) == "\n".join(told) + HINT


def test_lines_are_counted_far_into_a_file(tmp_path: Path) -> None:
    rows: list[Row] = [(user, 10, 3.0, 5) for user in range(200_000)]
    data_set(tmp_path, ratings_csv(rows) + b"1,10,6.0,5\n")
    assert refusal(tmp_path).endswith(f"line 200002: rating 6.0 is not between 0.5 and 5{HINT}")


def test_without_a_scale_any_finite_star_will_do(tmp_path: Path) -> None:
    data_set(tmp_path, ratings_csv([(1, 2, -7.25, 0), (1, 3, 1e6, 0)]))
    names = {"user": "who", "movie": "what"}  # MovieLens' own would mean its scale
    write_folder(tmp_path, {"ratings.csv": b"who,what,rating\n1,2,-7.25\n1,3,1e6\n"})
    assert load(tmp_path, None, **names).levels.tolist() == [-7.25, 1e6]
    write_folder(tmp_path, {"ratings.csv": b"who,what,rating\n1,2,1\n1,3,1e39\n"})
    assert "line 3: rating 1e39 is not between" in refusal(tmp_path, None, **names)
    data_set(tmp_path, ratings_csv() + b"1,30,60,4\n")
    assert "line 7: rating 60 is not between 0.5 and 5" in refusal(tmp_path, None)


def test_a_headerless_file_has_the_width_of_most_lines(tmp_path: Path) -> None:
    for width, odd in ((3, b"1\t10\t4\t7\n"), (4, b"1\t10\t4\n")):
        good = ratings_bare(delimiter="\t", width=width)
        write_folder(tmp_path, {"u.data": odd + good})
        told = f"u.data, line 1: expected {width} fields, got {7 - width}"
        assert told in refusal(tmp_path)


def test_each_title_is_utf_8_or_else_cp1252(tmp_path: Path) -> None:
    lines = (
        "1::Am\u00e9lie::Comedy\n".encode(),
        "2::\u201cCaf\u00e9\u201d::Drama\n".encode("cp1252"),
    )
    write_folder(tmp_path, {"ratings.dat": ratings_bare(), "movies.dat": b"".join(lines)})
    titles = [movie.title for movie in movies_of(load(tmp_path)).values()]
    assert titles == ["Am\u00e9lie", "\u201cCaf\u00e9\u201d"]


ACCEPTED = {
    "no last line end": ratings_csv().rstrip(b"\n"),
    "byte-order mark": b"\xef\xbb\xbf" + ratings_csv(),
    "blank lines": ratings_csv().replace(b"\n", b"\n\n").rstrip(b"\n"),
    "old Mac": ratings_csv(end="\r"),
    "spaces": ratings_csv().replace(b",", b", ").replace(b", movieId, rating", b",movieId,rating"),
    "whole floats": ratings_csv().replace(b"\n1,", b"\n1.0,").replace(b",10,", b",10.00,"),
    "decimal commas": re.sub(rb"(\d)\.(\d)", rb'"\1,\2"', ratings_csv()),
    "semicolons": ratings_csv().replace(b",", b";").replace(b".", b","),
    "tabs": ratings_csv().replace(b",", b"\t"),
    "said by a spreadsheet": b"sep=;\n" + ratings_csv().replace(b",", b";"),
    "an empty last field": ratings_csv()
    .replace(b"\n", b",\n")
    .replace(b"timestamp,", b"timestamp"),
    "other names": ratings_csv().replace(b"userId,movieId,rating", b" User_ID ,item_id,Score"),
    "exponents": ratings_csv().replace(b",4.0,", b",0.4e1,"),
    "every field quoted": re.sub(rb"[^,\n]+", rb'"\g<0>"', ratings_csv()),
    "odd bytes where none reads": ratings_csv().replace(b"964982224", b'\xff\0x"'),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_harmless_oddities_are_read(name: str, tmp_path: Path) -> None:
    data_set(tmp_path, ACCEPTED[name])
    assert rows_of(load(tmp_path)) == EXPECTED


def test_ids_of_64_bits(tmp_path: Path) -> None:
    rows: list[Row] = [(-(2**63), 2**63 - 1, 3.0, 0), (2**40, -1, 4.0, 0)]
    data_set(tmp_path, ratings_csv(rows))
    assert rows_of(load(tmp_path)) == [row[:3] for row in rows]


REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", r"no column 'user', it has nothing"),
    "blank": (b"\n\n", r"no column 'user', it has nothing"),
    "header too low": (b"\n" + ratings_csv(), r"no column 'user', it has nothing"),
    "header with a quote": (b'userId,movieId,rating,"x\n1,2,3,4"\n', r"line 1: a quoted field"),
    "header only": (b"userId,movieId,rating,timestamp\n", r"ratings\.csv has no ratings"),
    "header without line end": (b"userId,movieId,rating", r"ratings\.csv has no ratings"),
    "another name": (b"usersId,movieId,rating\n1,2,3\n", r"did you mean usersId\?.*columns\.user"),
    "utf-16": (ratings_csv().decode().encode("utf-16"), r"is in UTF-16: save it as UTF-8"),
    "a name twice": (b"userId,movieId,rating,rating\n1,2,3,3\n", r"2 columns 'rating'"),
    "binary": (random.Random(0).randbytes(300_000), r"ratings\.csv"),
    "binary, one line": (b"\x89PNG" * 100_000, r"no column 'user', it has"),
    "nul": (bytes(1_000), r"no column 'user', it has '"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_of_something_else_are_refused(name: str, tmp_path: Path) -> None:
    content, message = REFUSED[name]
    write_folder(tmp_path, {"ratings.csv": content})
    assert re.search(message, refusal(tmp_path))


@pytest.mark.parametrize("name", ["ratings.dat", "u.data"])
def test_an_empty_file_without_header_has_no_ratings(name: str, tmp_path: Path) -> None:
    for content in (b"", b"\n", b"\xef\xbb\xbf"):
        write_folder(tmp_path, {name: content})
        assert refusal(tmp_path) == f"{tmp_path / name} has no ratings"


def test_a_quote_cannot_swallow_lines(tmp_path: Path) -> None:
    text = ratings_kaggle().decode().splitlines(keepends=True)
    for position in (1, 3, 5):
        damaged = [*text]
        damaged[position] = damaged[position].replace('47"', "47")
        write_folder(tmp_path, {"rating.csv": "".join(damaged).encode()})
        assert f"line {position + 1}: a quoted field does not end on its line" in refusal(tmp_path)


def test_quotes_and_line_ends_far_down(tmp_path: Path) -> None:
    rows: list[Row] = [(user, 7, 3.0, 10**9) for user in range(50_000)]
    plain = ratings_csv(rows)
    assert len(plain) > 2**20  # what PyArrow reads at once
    data_set(tmp_path, plain + b'1,8,"3.0",0\r\n')
    assert (1, 8, 3.0) in rows_of(load(tmp_path))
    data_set(tmp_path, plain + b'1,8,3.0,"0\n2,8,3.0,0"\n')
    assert "line 50002: a quoted field does not end on its line" in refusal(tmp_path)


def test_paths_that_hold_no_data_set(tmp_path: Path) -> None:
    assert "no such file or folder" in refusal(tmp_path / "nowhere")
    assert "found no table with a user, a movie and a rating column" in refusal(tmp_path)
    (tmp_path / "notes.txt").touch()
    assert "notes.txt: no column 'user', it has nothing" in refusal(tmp_path / "notes.txt")
    (tmp_path / "ratings.csv").mkdir()
    assert "found no table" in refusal(tmp_path)
    (tmp_path / "ratings.xlsx").touch()
    assert "ratings.xlsx is not read as it is: save the sheet as CSV" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["ratings.csv", "movies.csv"])
def test_a_file_without_permission(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def denied(path: Path, *arguments: Any, **settings: Any) -> Any:
        if path.name == name:
            raise PermissionError(errno.EACCES, "Permission denied")
        return opened(path, *arguments, **settings)

    monkeypatch.setattr(Path, "open", denied)  # chmod would not stop root
    assert f"{name} cannot be read: Permission denied" in refusal(folder)


def test_damaged_zips_are_refused_or_harmless(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "data.zip", LAYOUTS["20m"])
    whole = path.read_bytes()
    expected = movies_of(load(path))
    damaged = [whole[:length] for length in range(0, len(whole), 7)]
    damaged += [
        whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :]
        for position in range(0, len(whole), 3)
    ]
    for content in damaged:
        path.write_bytes(content)
        try:
            triples = load(path)
        except MovieEmbedError as error:
            assert str(error).isprintable()
        else:
            assert (movies_of(triples) or expected, rows_of(triples)) == (expected, EXPECTED)


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "data.zip", LAYOUTS["20m"])
    content = path.read_bytes()
    marked = bytearray(content)
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for match in re.finditer(re.escape(signature), content):
            marked[match.start() + flags] |= 1
    path.write_bytes(bytes(marked))
    assert "encrypted" in refusal(path)


@pytest.mark.parametrize("name", ["ratings.csv", "movies.csv"])
def test_a_zip_bomb_is_refused(name: str, tmp_path: Path) -> None:
    members = {**LAYOUTS["20m"], name: bytes(2**26 + 1)}
    assert "refused as a zip bomb" in refusal(write_zip(tmp_path / "data.zip", members))


@pytest.mark.parametrize(
    "name", ["../ratings.csv", "/ratings.csv", "//ratings.csv", "a/../../ratings.csv",
             "..\\ratings.csv", "C:/ratings.csv", "C:\\ratings.csv", "a//ratings.csv"]
)  # fmt: skip
def test_members_that_point_out_of_a_zip_are_refused(name: str, tmp_path: Path) -> None:
    path = write_zip(tmp_path / "data.zip", {**LAYOUTS["20m"], name: ratings_csv()})
    assert f"{path} has a member {name!r}: names must be relative" in refusal(path)
    assert sorted(tmp_path.rglob("*")) == [path]


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("movies.csv")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    path = write_zip(tmp_path / "data.zip", {"ratings.csv": ratings_csv()})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert f"{path} has a member 'movies.csv': names must be relative" in refusal(path)


def test_a_zip_that_lies_about_sizes_is_refused(tmp_path: Path) -> None:
    for size, told in ((10 * 2**30, "refused as a zip bomb"), (100, "Bad CRC-32")):
        path = tmp_path / "data.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("ratings.csv", ratings_csv() + b"\n" * 2**20)
            archive.infolist()[0].file_size = size
        assert told in refusal(path)
        assert sorted(tmp_path.rglob("*")) == [path]


PARQUET_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "null id": ({"who": [1, None, 3, 4, 5]}, r"row 2: user id '' is not a whole number"),
    "null star": ({"stars": [1.0, 2.0, None, 4, 5]}, r"row 3: rating '' is not a number"),
    "nan star": ({"stars": [1.0, 2.0, 3.0, float("nan"), 5]}, r"row 4: rating 'nan' is not a num"),
    "off the scale": ({"stars": [1, 2, 3, 4, 50]}, r"row 5: rating 50 is not between 0\.5 and 5"),
    "broken ids": ({"what": [1.0, 2, 3, 4, 5.5]}, r"row 5: movie id '5.5' is not a whole number"),
    "wide ids": ({"who": pa.array([1, 2, 3, 4, 2**64 - 1], pa.uint64())}, r"row 5: user id '1844"),
}


@pytest.mark.parametrize("fault", PARQUET_FAULTS)
def test_bad_parquet_is_refused(fault: str, tmp_path: Path) -> None:
    changes, message = PARQUET_FAULTS[fault]
    path = tmp_path / "log.parquet"
    pq.write_table(own_table(**changes), path)
    assert re.search(message, refusal(path, **OWN))


def test_parquet_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    pq.write_table(own_table(), path)
    whole = path.read_bytes()
    for content in (b"", ratings_csv(), whole[:-20], whole[: len(whole) // 2]):
        path.write_bytes(content)
        assert "log.parquet cannot be read" in refusal(path, **OWN)
    pq.write_table(own_table().slice(0, 0), path)
    assert refusal(path, **OWN) == f"{path} has no ratings"


MOVIE_FAULTS: dict[str, tuple[str, bytes, str]] = {
    "fields missing": ("movies.csv", b"movieId,title,genres\n\n1,A\n", "line 3: expected 3 f"),
    "fields too many": ("movies.csv", b"movieId,title,genres\r\n1,A, the,x\r\n", "got 4"),
    "id twice": (
        "movies.csv",
        b"movieId,title,genres\n1,A,x\n2,B,x\n1.0,C,x\n",
        "line 4: movie id 1.0 is given twice",
    ),
    "id is none": ("movies.csv", b"movieId,title\nA,1\n", "line 2: movie id 'A' is not a whole"),
    "quote open": ("movies.csv", b'movieId,title\n1,"A\n2,B\n3,C\n', "line 2: a quoted field"),
    "quote inside": ("movies.csv", b'movieId,title\n1,A\n2,"B" C\n', "line 3: a quoted field"),
    "nul": ("movies.csv", b"movieId,title\n1,A\0\n", "line 2: it holds a NUL byte"),
    "dat fields": ("movies.dat", b"1::A::x\n2::B\n", "line 2: expected 3 fields, got 2"),
    "dat separators": ("movies.dat", b"1:A:x\n", "line 1: expected 3 fields, got 1"),
    "u.item fields": ("u.item", b"1|A|x\n", "line 1: expected 24 fields, got 3"),
    "u.item flags": ("u.item", u_item().replace(b"|1", b"|2"), "genre flag is neither 0 nor 1"),
}


@pytest.mark.parametrize("fault", MOVIE_FAULTS)
def test_bad_tables_of_movies_are_refused(fault: str, tmp_path: Path) -> None:
    name, content, message = MOVIE_FAULTS[fault]
    write_folder(tmp_path, {"ratings.csv": ratings_csv(), name: content})
    refused = refusal(tmp_path)
    assert refused.startswith(str(tmp_path / name))
    assert message in refused


def test_a_table_of_something_else_is_left_aside(tmp_path: Path) -> None:
    for size in (100, 300_000):
        members = {"ratings.csv": ratings_csv(), "movies.csv": random.Random(1).randbytes(size)}
        notes = load(write_folder(tmp_path, members)).notes
        assert notes[0] == "read: ratings.csv; left aside: movies.csv"
        assert "no table of titles" in notes[1]


def test_movies_beside_own_ratings_keep_the_usual_name(tmp_path: Path) -> None:
    write_own(tmp_path / "log.csv", own_table())
    write_folder(tmp_path, {"movies.csv": movies_csv()})
    assert movies_of(load(tmp_path / "log.csv", **OWN)) == MOVIES


TITLES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)


@given(
    st.dictionaries(
        st.integers(-(2**63), 2**63 - 1),
        st.builds(Movie, TITLES, st.just("Drama"), st.just((0, 0))),
    )
)
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
    triples = load(shared / name, (1.0, 5.0) if name in ("ml-1m", "ml-100k") else HALVES)
    assert (len(triples), len(triples.user_ids), triples.counts.movies) == REAL[name]
    movies = movies_of(triples)
    assert set(triples.movies.ids[: triples.movies.embedded].tolist()) <= movies.keys()
    assert movies[1].title == "Toy Story (1995)"


@pytest.mark.shared
def test_both_tables_of_1m_are_the_same(shared: Path, tmp_path: Path) -> None:
    dat = (shared / "ml-1m" / "movies.dat").read_bytes()
    write_folder(tmp_path, {"ratings.csv": ratings_csv(), "movies.dat": dat})
    assert movies_of(load(tmp_path)) == movies_of(load(shared / "ml-1m"))
