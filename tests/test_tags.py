"""Raw tags in every layout, good and bad, and on their way to the table of movies."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic import (
    data_set,
    files_config,
    load,
    movies_dat,
    ratings_bare,
    ratings_csv,
    tags_of,
    write_folder,
    write_zip,
)

from movie_embed.data import loading
from movie_embed.data.loading import load_triples
from movie_embed.errors import MovieEmbedError

TAGS_CSV = (
    b"userId,movieId,tag,timestamp\r\n"
    b"1,10,Space Opera ,1112486027\r\n"
    b"7,10,space opera,1112486028\r\n"
    b"7,10,a|b,1112486028\r\n"
    b'9,20,"dark, ""odd""",1112486028\r\n'
    b"9,20, ,1112486028\r\n"
    b"9,40,Caf\xc3\xa9,1112486028\r\n"
)
TAGS_DAT = (
    b"1::10::Space Opera ::1112486027\n"
    b"7::10::space opera::1112486028\n"
    b"7::10::a|b::1112486028\n"
    b'9::20::dark, "odd"::1112486028\n'
    b"9::20:: ::1112486028\n"
    b"9::40::Caf\xc3\xa9::1112486028\n"
)
TAGS = {10: "a b|space opera", 20: 'dark, "odd"', 40: "caf\u00e9"}
HEADER = b"userId,movieId,tag,timestamp\n"
LAYOUTS = {
    "20m": {"ratings.csv": ratings_csv(), "tags.csv": TAGS_CSV},
    "kaggle": {"rating.csv": ratings_csv(), "tag.csv": TAGS_CSV},
    "10m": {"ratings.dat": ratings_bare(), "tags.dat": TAGS_DAT},
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(layout: str, zipped: bool, tmp_path: Path) -> None:
    members = {f"ml/{name}": content for name, content in LAYOUTS[layout].items()}
    path = write_zip(tmp_path / "ml.zip", members) if zipped else write_folder(tmp_path, members)
    assert tags_of(load(path)) == {10: TAGS[10], 20: TAGS[20]}  # nothing else tells of 40


def test_a_tag_may_hold_what_separates_fields(tmp_path: Path) -> None:
    tags = b"1::10::one :: two::1112486027\n"
    write_folder(tmp_path, {"ratings.dat": ratings_bare(), "tags.dat": tags})
    assert tags_of(load(tmp_path)) == {10: "one :: two"}


def test_a_tag_may_hold_a_line_end_where_all_quotes_close(tmp_path: Path) -> None:
    tags = HEADER + b'1,10,"two\nlines",5\n1,20,b,5\n'
    write_folder(tmp_path, {"ratings.csv": ratings_csv(), "tags.csv": tags})
    assert tags_of(load(tmp_path)) == {10: "two lines", 20: "b"}


def test_most_data_sets_have_none(tmp_path: Path) -> None:
    assert tags_of(load(data_set(tmp_path))) == {}


FAULTS: dict[str, tuple[str, bytes, str]] = {
    "fields missing": ("tags.csv", HEADER + b"1,10,a,5\n1,10,a\n", "line 3: expected 4 fields"),
    "fields too many": ("tags.csv", HEADER + b"1,10,a,b,5\n", "line 2: expected 4 fields, got 5"),
    "id is none": ("tags.csv", HEADER + b"1,A,a,5\n", "line 2: movie id 'A' is not a whole"),
    "nul": ("tags.csv", HEADER + b"1,10,a\0,5\n", "line 2: it holds a NUL byte"),
    "quote open": ("tags.csv", HEADER + b'1,10,"a,5\n1,10,b,5\n', "line 2: a quoted field"),
    "dat fields": ("tags.dat", b"1::10::a::5\n1::10::a\n", "line 2: expected 4 fields, got 3"),
    "dat separators": ("tags.dat", b"1:10:a:5\n", "line 1: expected 4 fields, got 1"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_tags_are_refused(fault: str, tmp_path: Path) -> None:
    name, content, message = FAULTS[fault]
    write_folder(tmp_path, {"ratings.csv": ratings_csv(), name: content})
    with pytest.raises(MovieEmbedError) as told:
        load(tmp_path)
    assert str(told.value).startswith(str(tmp_path / name))
    assert message in str(told.value)


@pytest.mark.parametrize("layout", ["20m", "10m"])
def test_tags_reach_the_table_through_the_cache(
    layout: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {**LAYOUTS[layout], "movies.dat": movies_dat("utf-8")}
    config = files_config(write_folder(tmp_path / "ml", members), tmp_path / "cache")
    load_triples(config)
    with monkeypatch.context() as patch:
        patch.delattr(loading, "sorted_ratings")  # hence what comes is the cache's
        table = load_triples(config).movies
    found = dict(zip(table.ids.tolist(), table.tags, strict=True))
    assert found == {10: TAGS[10], 20: TAGS[20], 30: "", 40: TAGS[40]}


def test_other_tags_have_another_cache(tmp_path: Path) -> None:
    folder = data_set(tmp_path / "ml")
    config = files_config(folder, tmp_path / "cache")
    assert set(load_triples(config).movies.tags) == {""}
    write_folder(folder, {"tags.csv": TAGS_CSV})
    table = load_triples(config).movies
    assert table.tags[table.ids.tolist().index(10)] == TAGS[10]
