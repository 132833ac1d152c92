"""What is refused, by file and line, and what `data.on_bad_rows=skip` leaves out."""

from __future__ import annotations

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
from synthetic import (
    MOVIES,
    ROWS,
    Row,
    data_set,
    files_config,
    load,
    movies_csv,
    movies_of,
    ratings_bare,
    ratings_csv,
    ratings_kaggle,
    refusal,
    rows_of,
    tags_of,
    u_item,
    write_folder,
    write_zip,
)

from movie_embed.config import DataConfig
from movie_embed.data.loading import load_ratings
from movie_embed.errors import MovieEmbedError

EXPECTED = [row[:3] for row in ROWS]
HINT = "left out with data.on_bad_rows=skip"
BAD_LINES = {
    "1,2,3": "expected 4 fields, got 3",
    "1,2,3.0,4,5": "expected 4 fields, got 5",
    "1;2;3;4": "expected 4 fields, got 1",
    "   ": "expected 4 fields, got 1",
    ",2,3.0,4": "user id '' is not a whole number within 64 bits",
    "1,,3.0,4": "movie id '' is not a whole number within 64 bits",
    "+1,2,3.0,4": "user id '+1' is not a whole number within 64 bits",
    "0x1F,2,3.0,4": "user id '0x1F' is not a whole number within 64 bits",
    "1e3,2,3.0,4": "user id '1e3' is not a whole number within 64 bits",
    "1_0,2,3.0,4": "user id '1_0' is not a whole number within 64 bits",
    "1,1.5,3.0,4": "movie id '1.5' is not a whole number within 64 bits",
    "\u0661,2,3.0,4": "user id '\u0661' is not a whole number within 64 bits",
    "1,9223372036854775808,3.0,4": "movie id '9223372036854775808' is not a whole number",
    "1\0,2,3.0,4": r"user id '1\x00' is not a whole number within 64 bits",
    "1,2,,4": "rating '' is not a number",
    "1,2,good,4": "rating 'good' is not a number",
    "1,2,nan,4": "rating 'nan' is not a number",
    "1,2,inf,4": "rating 'inf' is not a number",
    "1,2,1e999,4": "rating 1e999 is not between 0.5 and 5",
    "1,2,-3.0,4": "rating -3.0 is not between 0.5 and 5",
    "1,2,5.5,4": "rating 5.5 is not between 0.5 and 5",
    "1,2,0,4": "rating 0 is not between 0.5 and 5",
}
BAD_QUOTES = {
    '1,"",3.0,4': "movie id '' is not a whole number within 64 bits",
    '1,"79,132",4,4': "movie id '79,132' is not a whole number within 64 bits",
    '1,2,3,"4': "a quoted field does not end on its line",
    '1,2,3,"2005-04-02 23:53:47': "a quoted field does not end on its line",
}
LAYOUTS: dict[str, tuple[str, bytes, str]] = {
    "csv": ("ratings.csv", ratings_csv(), ","),
    "windows": ("ratings.csv", ratings_csv(end="\r\n"), ","),
    "kaggle": ("rating.csv", ratings_kaggle(), ","),
    "dat": ("ratings.dat", ratings_bare(), "::"),
    "u.data": ("u.data", ratings_bare(delimiter="\t"), "\t"),
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_bad_line_is_named_or_left_out(
    layout: str, zipped: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name, content, delimiter = LAYOUTS[layout]
    lines = content.decode().splitlines(keepends=True)
    faults = [*(BAD_LINES | BAD_QUOTES if delimiter == "," else BAD_LINES).items()]
    faults = faults if (layout, zipped) == ("csv", False) else faults[zipped::4]
    for number, (line, problem) in enumerate(faults):
        at = number % len(lines) + (delimiter == ",")
        bad = f"{line.replace(',', delimiter)}{lines[0][len(lines[0].rstrip()) :]}"
        members = {name: "".join([*lines[:at], "\n", bad, *lines[at:]]).encode()}
        path = write_zip(tmp_path / "x.zip", members) if zipped else write_folder(tmp_path, members)
        assert refusal(path).startswith(f"{path / name}, line {at + 2}: {problem}")
        caplog.clear()
        triples = load(path, skip=True)
        assert (rows_of(triples), triples.bad_rows) == (EXPECTED, 1)
        assert f"{path / name}: 1 bad row left out\n{path / name}, line {at + 2}: " in caplog.text


def test_twenty_bad_lines_are_listed_and_more_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    for bad in (1, 20, 21, 1_234):
        data_set(tmp_path, ratings_csv() + b"1,2\n" * bad + b"1,2,3,4\n")
        told = [f"{path}, line {7 + i}: expected 4 fields, got 2" for i in range(min(bad, 20))]
        told += [f"and {bad - 20:,} more bad row{'s' * (bad > 21)}"] * (bad > 20)
        told = (
            [f"{told[0]}; 1 bad row, {HINT}"]
            if bad == 1
            else [f"{path}: {bad:,} bad rows, {HINT}", *told]
        )
        assert refusal(tmp_path) == "\n".join(told)


def test_lines_far_down_are_numbered_too(tmp_path: Path) -> None:
    rows: list[Row] = [(user, 7, 3.0, 10**9) for user in range(50_000)]
    plain = ratings_csv(rows)
    data_set(tmp_path, plain + b'1,8,"3.0",0\r\n')
    assert (1, 8, 3.0) in rows_of(load(tmp_path))
    data_set(tmp_path, plain + b'1,8,3.0,"0\n2,8,3.0,0"\n')
    assert "line 50002: a quoted field does not end on its line" in refusal(tmp_path)
    data_set(tmp_path, plain + b"1,10,6.0,5\n")
    assert refusal(tmp_path).endswith(
        f"line 50002: rating 6.0 is not between 0.5 and 5; 1 bad row, {HINT}"
    )


def test_a_headerless_file_has_the_width_of_most_lines(tmp_path: Path) -> None:
    for width, odd in ((3, b"1\t10\t4\t7\n"), (4, b"1\t10\t4\n")):
        good = ratings_bare(delimiter="\t", width=width)
        write_folder(tmp_path, {"u.data": odd + good})
        told = f"u.data, line 1: expected {width} fields, got {7 - width}"
        assert told in refusal(tmp_path)


def test_a_file_without_a_good_row_is_refused_all_the_same(tmp_path: Path) -> None:
    data_set(tmp_path, b"userId,movieId,rating\n1,2\n")
    with pytest.raises(MovieEmbedError, match=r"line 2: expected 3 fields.*it has no good row$"):
        load(tmp_path, skip=True)


def test_skipping_has_a_cache_of_its_own_that_knows_how_many(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data_set(folder, ratings_csv() + b"9,10\n" + b"1,10,0.5,2000000000\n")
    skip = files_config(folder, tmp_path / "cache", on_bad_rows="skip")
    for _ in range(2):
        triples = load_ratings(skip)
        assert (triples.bad_rows, triples.duplicates, len(triples.ratings)) == (1, 1, len(ROWS))
    assert caplog.text.count("1 bad row left out") == 1
    for _ in range(2):
        with pytest.raises(MovieEmbedError, match="line 7: expected 4 fields, got 2"):
            load_ratings(files_config(folder, tmp_path / "cache"))
    assert len(list((tmp_path / "cache" / "ratings").glob("files-*/"))) == 1
    with pytest.raises(MovieEmbedError, match=r"data\.on_bad_rows=warn: must be one of fail, skip"):
        DataConfig(on_bad_rows="warn")


TIMED, TOLD = b"userId,movieId,rating,timestamp\n", [(0, "5"), (1, "soon")]
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
    assert "the last in the file is kept: no times" in triples.notes[-1]


DATES: dict[str, tuple[str, str, str]] = {  # the later one, the earlier one, and their order
    "month first": ("08/31/2017", "12/01/2016", "month/day/year"),
    "day first": ("31.8.2017", "1.12.2016", "day/month/year"),
    "with a clock": ("8/31/2017 1:05:00 PM", "8/31/2017 11:05", "month/day/year"),
    "Amazon": ("09 13, 2009", "01 2, 2009", "month/day/year"),
    "months by name": ("Dec 13, 2009", "3 September 2009", ""),
}


@pytest.mark.parametrize("kind", DATES)
def test_dates_are_read_by_the_order_that_fits(kind: str, tmp_path: Path) -> None:
    late, early, order = DATES[kind]
    rows = f'1,1,5.0,"{late}"\n1,1,1.0,"{early}"\n1,2,3.0,"{early}"\n'
    triples = load(data_set(tmp_path, TIMED + rows.encode()))
    assert rows_of(triples) == [(1, 1, 5.0), (1, 2, 3.0)]
    assert (f"dates are read as {order}" in triples.notes) == bool(order)


def test_dates_of_either_order_are_refused_and_never_sorted_by_line(tmp_path: Path) -> None:
    data_set(tmp_path, TIMED + b"1,1,5.0,02/01/2017\n1,1,1.0,01/02/2017\n")
    for skip in (False, True):
        with pytest.raises(
            MovieEmbedError, match=r"csv: 2 timestamps.*\n.*tells its day from its m"
        ):
            load(tmp_path, skip=skip)
    data_set(tmp_path, b"userId,movieId,rating,seen_date\n1,1,5.0,2\n1,1,1.0,1\n")
    assert "no times (data.columns.timestamp=NAME names them; it has seen_date)" in str(
        load(tmp_path).notes
    )
    assert rows_of(load(tmp_path, timestamp="seen_date")) == [(1, 1, 5.0)]


def test_times_of_parts_with_bad_rows_are_named_by_their_own_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parts = {f"part-{n}.csv": TIMED + f"1,2\n1,10,{n + 3}.0,{t}\n".encode() for n, t in TOLD}
    assert rows_of(load(write_folder(tmp_path, parts), skip=True)) == [(1, 10, 3.0)]
    assert f"{tmp_path / 'part-1.csv'}, line 3: timestamp 'soon' is neither" in caplog.text


BAD_FRAME: dict[str, list[Any]] = {
    "userId": ["1", None, "3", "4", "5", str(2**64 - 1), "7"],
    "movieId": [1.0, 2.0, 3.5, 4.0, 5.0, 6.0, 7.0],
    "rating": [1.0, 2.0, 3.0, None, float("nan"), 4.0, 50],
    "timestamp": [*range(7)],
}
BAD_FRAME_TOLD = [
    "user id '' is not a whole number",
    "movie id '3.5' is not a whole number",
    "rating '' is not a number",
    "rating 'nan' is not a number",
    "user id '18446744073709551615' is",
    "rating 50.0 is not between 0.5 and 5",
]


def test_bad_rows_of_parquet_are_named_by_their_shard_or_left_out(tmp_path: Path) -> None:
    good = {name: column[:1] for name, column in BAD_FRAME.items()}
    pq.write_table(pa.table(good), tmp_path / "part-0.parquet")
    pq.write_table(pa.table(BAD_FRAME), tmp_path / "part-1.parquet")
    count, *told = refusal(tmp_path).splitlines()
    assert count == f"{tmp_path / 'part-1.parquet'}: 6 bad rows, {HINT}"
    for row, (line, problem) in enumerate(zip(told, BAD_FRAME_TOLD, strict=True), start=2):
        assert line.startswith(f"{tmp_path / 'part-1.parquet'}, row {row}: {problem}")
    assert rows_of(load(tmp_path, skip=True)) == [(1, 1, 1.0)]


def test_parquet_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ratings.parquet"
    pq.write_table(pa.table(BAD_FRAME), path)
    whole = path.read_bytes()
    for content in (b"", ratings_csv(), whole[:-20], whole[: len(whole) // 2]):
        path.write_bytes(content)
        assert "ratings.parquet cannot be read" in refusal(path)
    pq.write_table(pa.table(BAD_FRAME).slice(0, 0), path)
    assert refusal(path) == f"{path} has no ratings"


TAGGED = b"userId,movieId,tag,timestamp\n"
NAMED_FAULTS: dict[str, tuple[str, bytes, str]] = {
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
    "tag missing": ("tags.csv", TAGGED + b"1,10,a,5\n1,10,a\n", "line 3: expected 4 fields"),
    "tag's id": ("tags.csv", TAGGED + b"1,A,a,5\n", "line 2: movie id 'A' is not a whole"),
    "nul in a tag": ("tags.csv", TAGGED + b"1,10,a\0,5\n", "line 2: it holds a NUL byte"),
    "tag's quote": ("tags.csv", TAGGED + b'1,10,"a,5\n1,10,b,5\n', "line 2: a quoted field"),
    "tag.dat": ("tags.dat", b"1::10::a::5\n1::10::a\n", "line 2: expected 4 fields, got 3"),
}


@pytest.mark.parametrize("fault", NAMED_FAULTS)
def test_bad_movies_and_tags_are_refused(fault: str, tmp_path: Path) -> None:
    name, content, message = NAMED_FAULTS[fault]
    write_folder(tmp_path, {"ratings.csv": ratings_csv(), name: content})
    told = refusal(tmp_path)
    assert told.startswith(str(tmp_path / name))
    assert message in told


def test_bad_movies_and_tags_are_left_out(tmp_path: Path) -> None:
    movies = movies_csv() + b"10,Again,Drama\r\n50\r\n"
    tags = TAGGED + b"1,10,space,5\n1,10,a\0,5\n"
    write_folder(tmp_path, {"ratings.csv": ratings_csv(), "movies.csv": movies, "tags.csv": tags})
    triples = load(tmp_path, skip=True)
    assert movies_of(triples) == MOVIES
    assert tags_of(triples) == {10: "space"}
    assert triples.bad_rows == 3


REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", r"no column 'user', it has nothing"),
    "blank": (b"\n\n", r"no column 'user', it has nothing"),
    "header too low": (b"\n" + ratings_csv(), r"no column 'user', it has nothing"),
    "header with a quote": (b'userId,movieId,rating,"x\n1,2,3,4"\n', r"line 1: a quoted field"),
    "header only": (b"userId,movieId,rating,timestamp\n", r"ratings\.csv has no ratings"),
    "header without line end": (b"userId,movieId,rating", r"ratings\.csv has no ratings"),
    "another name": (b"usersId,movieId,rating\n1,2,3\n", r"did you mean usersId\?.*columns\.user"),
    "other names": (b"who,what,stars,when\n", "no column 'user', it has who, what, stars, when"),
    "utf-16": (ratings_csv().decode().encode("utf-16"), r"is in UTF-16: save it as UTF-8"),
    "a name twice": (b"userId,movieId,rating,rating\n1,2,3,3\n", r"2 columns 'rating'"),
    "binary": (random.Random(0).randbytes(300_000), r"ratings\.csv"),
    "binary, one line": (b"\x89PNG" * 100_000, r"no column 'user', it has"),
    "nul": (bytes(1_000), r"no column 'user', it has '"),
    "off MovieLens' scale": (b"userId,movieId,rating\n1,3,60\n", "line 2: rating 60 is not"),
    "off every scale": (b"who,movieId,rating\n1,3,1e39\n1,3,1\n", "line 2: rating 1e39 is not b"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_files_of_something_else_are_refused(name: str, tmp_path: Path) -> None:
    content, message = REFUSED[name]
    write_folder(tmp_path, {"ratings.csv": content})
    columns = {"user": "who"} if b"who,m" in content else {}
    assert re.search(message, refusal(tmp_path, None, **columns))


@pytest.mark.parametrize("name", ["ratings.dat", "u.data"])
def test_an_empty_file_without_header_has_no_ratings(name: str, tmp_path: Path) -> None:
    for content in (b"", b"\n", b"\xef\xbb\xbf"):
        write_folder(tmp_path, {name: content})
        assert refusal(tmp_path) == f"{tmp_path / name} has no ratings"


def test_paths_that_hold_no_data_set(tmp_path: Path) -> None:
    assert "no such file or folder" in refusal(tmp_path / "nowhere")
    assert "found no table with a user, a movie and a rating column" in refusal(tmp_path)
    (tmp_path / "notes.txt").touch()
    assert "notes.txt: no column 'user', it has nothing" in refusal(tmp_path / "notes.txt")
    (tmp_path / "ratings.csv").mkdir()
    assert "found no table" in refusal(tmp_path)
    (tmp_path / "ratings.xlsx").touch()
    assert "ratings.xlsx is not read as it is: save the sheet as CSV" in refusal(tmp_path)


BOTH = {"ratings.csv": ratings_csv(), "movies.csv": movies_csv()}
UNCLEAR: dict[str, dict[str, bytes]] = {
    r"several tables have ratings: .*rating\.csv, ": {**BOTH, "rating.csv": ratings_csv()},
    r"several folders have ratings: .*/a, ": {"a/ratings.csv": b"", "b/ratings.csv": b""},
    r"several folders have": dict.fromkeys(("a/u.data", "b/u.data"), ratings_bare(delimiter="\t")),
}


@pytest.mark.parametrize("told", UNCLEAR)
def test_what_is_not_clear_is_refused_by_name(told: str, tmp_path: Path) -> None:
    assert re.search(told, refusal(write_folder(tmp_path, UNCLEAR[told])))


def test_a_column_that_a_setting_names_must_exist(tmp_path: Path) -> None:
    told = refusal(write_folder(tmp_path, BOTH), timestamp="timestmp")
    assert re.search(r"no column 'timestmp'.*did you mean timestamp\?", told)
    told = refusal(tmp_path, title="titel")
    assert re.search(r"movies\.csv: no column 'titel'.*did you mean title", told)


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
    path = write_zip(tmp_path / "data.zip", BOTH)
    whole = path.read_bytes()
    damaged = [whole[:length] for length in range(0, len(whole), 29)]
    damaged += [
        whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :]
        for position in range(0, len(whole), 13)
    ]
    for content in damaged:
        path.write_bytes(content)
        try:
            triples = load(path)
        except MovieEmbedError as error:
            assert str(error).isprintable()
        else:
            assert (movies_of(triples) or MOVIES, rows_of(triples)) == (MOVIES, EXPECTED)


OUTSIDE = (
    "../ratings.csv", "/ratings.csv", "//ratings.csv", "a/../../ratings.csv", "..\\ratings.csv",
    "C:/ratings.csv", "C:\\ratings.csv", "a//ratings.csv",
)  # fmt: skip
HOSTILE = {
    **{name: ({name: b""}, f"has a member {name!r}: names must be relative") for name in OUTSIDE},
    "a bomb": ({"ratings.csv": bytes(2**26 + 1)}, "refused as a zip bomb"),
    "a bomb of titles": ({"movies.csv": bytes(2**26 + 1)}, "refused as a zip bomb"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_zips_are_refused(name: str, tmp_path: Path) -> None:
    members, told = HOSTILE[name]
    path = write_zip(tmp_path / "data.zip", {**BOTH, **members})
    assert told in refusal(path)
    assert sorted(tmp_path.rglob("*")) == [path]


def test_zips_with_links_lies_and_passwords_are_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "data.zip", BOTH)
    marked = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for match in re.finditer(re.escape(signature), bytes(marked)):
            marked[match.start() + flags] |= 1
    path.write_bytes(marked)
    assert "encrypted" in refusal(path)
    link = zipfile.ZipInfo("movies.csv")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(write_zip(path, {"ratings.csv": ratings_csv()}), "a") as archive:
        archive.writestr(link, "/etc/passwd")
    assert f"{path} has a member 'movies.csv': names must be relative" in refusal(path)
    for size, told in ((10 * 2**30, "refused as a zip bomb"), (100, "Bad CRC-32")):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("ratings.csv", ratings_csv() + b"\n" * 2**20)
            archive.infolist()[0].file_size = size
        assert told in refusal(path)
