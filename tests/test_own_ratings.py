"""Somebody's own ratings and lists, in the forms in which services and people keep them."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedded import random_vectors, saved
from hypothesis import given, settings
from hypothesis import strategies as st
from own_files import IMDB, LETTERBOXD, MOVIES, RATED, READ, TABLE, zipped
from running import run_script

from movie_embed import MovieEmbedError, Recommender
from movie_embed.answers import questions
from movie_embed.answers.formats import matches_as
from movie_embed.answers.results import Match, OwnRatings
from movie_embed.config import OwnColumns, RecommendConfig


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    """Thirteen movies under their real names, on a scale from a half to five stars."""
    embeddings = saved(random_vectors(len(MOVIES) - 2))
    ids, titles, counts, *links = zip(*MOVIES, strict=True)
    table = replace(
        embeddings.movies,
        ids=np.array(ids),
        titles=list(titles),
        rating_counts=np.array(counts),
        links=np.array(links).T,
    )
    return Recommender(replace(embeddings, movies=table))


def on_scale(recommender: Recommender, low: float, high: float) -> Recommender:
    return Recommender(replace(recommender.embeddings, rating_range=(low, high)))


def read(folder: Path, recommender: Recommender, content: str | bytes, **how: Any) -> OwnRatings:
    path = folder / "my.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return recommender.read_ratings(path, **how)


def stars(own: OwnRatings) -> dict[Any, float]:
    return {movie.id: value for movie, value in own.items()}


@pytest.mark.parametrize("kind", READ)
def test_every_kind_of_file_is_read(kind: str, recommender: Recommender, tmp_path: Path) -> None:
    own = read(tmp_path, recommender, READ[kind])
    assert stars(own) == RATED
    assert recommender.for_ratings(own, k=3) == recommender.for_ratings(RATED, k=3)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "has no ratings"),
        ("title,stars\n", "has no ratings"),
        (b"PK\3\4 broken", "cannot be read"),
        (
            zipped({"xl/workbook.xml": "", "a.csv": TABLE}),
            "an Excel workbook: export or save its table as CSV",
        ),
        (
            zipped({"a.csv": TABLE, "b.csv": TABLE}),
            r"2 tables that may be meant, a\.csv, b\.csv: unpack",
        ),
        (b"\xd0\xcf\x11\xe0\xa1", "old Excel workbook"),
        (b"<!DOCTYPE html>", "a web page: export or save its table as CSV"),
        (b'\xef\xbb\xbf<?xml version="1.0"?>', "is XML: export or save"),
        (b"{\\rtf1 Heat}", "rich text: export or save"),
        ("Title,Thumbs Value,Star Value\nHeat,2,\n", "has thumbs and no stars: write a CSV"),
        (
            "Film,Geschmack\nHeat,5\n",
            r"no column of ratings .*columns are named Film, Geschmack .columns\.rating=",
        ),
        ("Seen,rating\nHeat,5\n", r"no column of movies .*columns\.title="),
        ("title,IMDb Rating\nHeat,8.3\n", "no column of ratings"),
        ("title,id,plays\nHeat,8,3\n", r"columns\.rating= names one\)$"),
        ("title,rating\nHeat,good\n", "line 2: 'good' is no number"),
        ('title,rating\n"Heat,5\n', "line 2: a quoted field does not end"),
        ("title,rating\nNo Such Movie,5\nThe Matrx,4\n", "known .2.:(.|\n)*nearest: Matrix"),
        ("title,rating\nHeat,5\nToy Story,900\n", "line 3 has 900: scale="),
        ("user,title,rating\nann,Heat,5\nbob,Heat,4\n", "2 users .ann, bob.*rated_by=ann"),
        ("title,rating\nHeat,\x00\n", "is no text"),
        ("title,rating\nToy Story,4,5\n", "line 2: it has 3 fields, the header 2"),
        ("title,rating\nHeat,4.5/5\n", "'4.5/5' is no number: write ratings as 4.5"),
        ("title,rating\nHeat,inf\n", "'inf' is no number: write ratings as 4.5"),
        ("title,kind\nHeat,Serie\n300,Film serie\n", "no column of ratings"),
        (
            "title,type,rating\nHeat,Serie\n300,Serie\n",
            '"Serie" 2; with columns.kind=none they count',
        ),
        ("Heat,5\nToy Story,4\n", "no column of movies .*columns are named Heat, 5"),
        ("title,rating\nHeat,0\n", "no ratings; left out as not rated: 1"),
        (
            "title,rating\n" + "Heat,5\n" * 100_001,
            "more than 100,000 rows or 1,000 columns: that is no",
        ),
        (
            json.dumps([{str(n): 1} for n in range(9_999)]),
            "more than 100,000 rows or 1,000 columns",
        ),
    ],
)
def test_other_files_are_refused_in_a_line_that_helps(
    content: str | bytes, told: str, recommender: Recommender, tmp_path: Path
) -> None:
    with pytest.raises(MovieEmbedError, match=told):
        read(tmp_path, recommender, content)


@pytest.mark.parametrize(
    ("row", "movie"),
    [
        ("Star Wars,1977", 30),
        ("Star Wars: A New Hope,1977", 30),
        ("The Avengers,2012", 100),
        ("Split,2016", 90),  # a year off
        ("Toy Story,2010", None),  # no guess across years
        ("Cinderella,2015", 80),
        ("Cinderella,", None),  # two, about as well known
        ("Guardians of the Galaxy,", None),  # its second part is no other movie
        ("Matrxi The,1999", None),  # too short to be sure of
        ("Guardians of teh Galaxy 2,2017", None),
        ("The Story of Cinderella,1950", None),
        ("Guardians of the Galaxy Vol. 2,2017", 110),
        ("300,", 603),
    ],
)
def test_a_title_leads_to_its_movie_or_to_none(
    row: str, movie: int | None, recommender: Recommender, tmp_path: Path
) -> None:
    own = read(tmp_path, recommender, f"title,year,rating\nHeat,1995,1\n{row},5\n")
    assert stars(own) == {862: 1.0, **({movie: 5.0} if movie else {})}
    assert [match.movie_id for match in own.matches] == [862, movie]


@pytest.mark.parametrize(
    ("scale", "content", "how", "expected"),
    [
        ((0.5, 5.0), "title,rating\nHeat,9\n300,4\n", {}, [4.5, 2.0]),
        ((0.5, 5.0), "title,rating\nHeat,5\n300,4\n", {"scale": 10}, [2.5, 2.0]),
        ((0.5, 5.0), IMDB.replace(",10,", ",5,").replace(",9,", ",4,"), {}, [2.0, 4.0, 2.5, 3.5]),
        ((0.5, 5.0), "title,rating\nHeat,85\n300,4\n", {}, [4.25, 0.5]),
        ((1.0, 10.0), "title,rating\nHeat,5\n300,0.5\n", {}, [10.0, 1.0]),
        ((1.0, 10.0), "title,rating\nHeat,5\n300,1\n", {"scale": 10}, [5.0, 1.0]),
        ((1.0, 5.0), "title,rating\nHeat,4.5\n300,0.5\n", {}, [4.5, 1.0]),
        ((1.0, 6.0), "title,rating\nHeat,6\n300,2\n", {}, [6.0, 2.0]),
        ((-10.0, 10.0), "title,rating\nHeat,5\n300,2.5\n", {}, [10.0, 0.0]),
    ],
)
def test_ratings_are_converted_to_the_scale_of_the_run(
    scale: tuple[float, float],
    content: str,
    how: dict[str, Any],
    expected: list[float],
    recommender: Recommender,
    tmp_path: Path,
) -> None:
    own = read(tmp_path, on_scale(recommender, *scale), content, **how)
    assert list(own.values()) == pytest.approx(expected)
    top = how.get("scale", scale[1])
    assert top == scale[1] or f"(scale={top})" in own.notes[0]


def test_what_was_left_out_is_listed_twenty_at_most(
    recommender: Recommender, tmp_path: Path
) -> None:
    unknown = "".join(f"No Movie {n} (2030),4\n" for n in range(25))
    own = read(tmp_path, recommender, f"title,stars\nStar Wars (1977),5\n{unknown}Matrxi,3\n")
    (told,) = own.notes
    assert "movies left out (26):" in told
    assert len(told.splitlines()) == 22
    assert "line 3: No Movie 0 (2030): not in 13 movies" in told
    assert told.endswith("and 6 more")
    assert [own.matches[0].taken_for, own.matches[0].how] == [
        "Star Wars: Episode IV - A New Hope (1977)",
        "a similar title and the year",
    ]


def test_of_two_ratings_the_later_counts_by_date_and_both_lines_are_told(
    recommender: Recommender, tmp_path: Path
) -> None:
    rows = "2024-04-01,Heat,5\n2024-03-01,Heat,1\n2024-01-01,Star Wars (1977),2\n"
    rows += "2024-01-01,Star Wars: Episode IV - A New Hope (1977),3\n"
    own = read(tmp_path, recommender, f"Watched Date,Name,Rating\n{rows}")
    assert stars(own) == {862: 5.0, 30: 3.0}
    assert "line 3: Heat: again in line 2" in own.notes[0]
    assert "line 4: Star Wars (1977): again in line 5" in own.notes[0]
    assert own.matches[1].how == "again in line 2"
    american = "date,title,rating\n12/31/2023,Heat,5\n01/02/2024,Heat,1\n"
    assert stars(read(tmp_path, recommender, american)) == {862: 1.0}


def test_the_title_decides_against_an_id_and_it_is_said(
    recommender: Recommender, tmp_path: Path
) -> None:
    own = read(tmp_path, recommender, "tmdbId,title,year,rating\n862,Heat,1995,5\n603,Ran,,4\n")
    assert stars(own) == {862: 5.0}
    assert "against its TMDB id: Toy Story (1995)" in own.notes[0]
    assert own.matches[1].how == "its TMDB id is that of Matrix, The (1999)"
    foreign = "imdbId,title,year,rating\ntt0113277,Sfida,1995,5\ntt0133093,The Matrix,2000,4\n"
    own = read(tmp_path, recommender, foreign)
    assert [match.how for match in own.matches] == ["IMDb id and year", "IMDb id"]
    another_year = foreign.replace("2000", "2003")
    assert stars(read(tmp_path, recommender, another_year)) == {862: 5.0}


def test_ids_alone_are_told_for_what_they_are_taken(
    recommender: Recommender, tmp_path: Path
) -> None:
    own = read(tmp_path, recommender, "movieId,rating\n10,5\n")
    assert own.notes[0].endswith("those of this run, the first is Toy Story (1995)")
    own = read(tmp_path, recommender, "movieId,rating\n862,5\n603,4\n194,3\n")
    assert own.notes[0].endswith("those of TMDB, the first is Toy Story (1995)")
    bare = replace(recommender.embeddings.movies, links=None)
    unlinked = Recommender(replace(recommender.embeddings, movies=bare))
    with pytest.raises(MovieEmbedError, match="line 2: tt0113277: it needs links"):
        read(tmp_path, unlinked, "imdbId,rating\ntt0113277,5\n")


def test_columns_and_users_can_be_named(recommender: Recommender, tmp_path: Path) -> None:
    text = "Seen,Points,user\nHeat,5,ann\n300,4,bob\n"
    named = {"title": "seen", "rating": "Points"}
    assert stars(read(tmp_path, recommender, text, columns=named, rated_by="bob")) == {603: 4.0}
    for wrong, told in (
        ({"columns": {**named, "title": "Sen"}}, r"columns\.title=Sen: .*did you mean Seen"),
        ({"columns": {"titel": "Seen"}}, "columns.titel: must be one of"),
        ({"columns": named, "rated_by": "cy"}, "2 users .ann, bob, .*: rated_by=ann reads"),
        (
            {"columns": named, "rated_by": "ann", "scale": 4},
            "scale=4: must be the highest .*line 2 has 5",
        ),
    ):
        with pytest.raises(MovieEmbedError, match=told):
            read(tmp_path, recommender, text, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "Toy Story\nMonsters, Inc. (2001)\nNo Such Movie\nStar Wars (1977)\n",
        "Toy Story\t1995\nMonsters, Inc.\t2001\nStar Wars\t1977\n",
        "title\nToy Story\nMonsters, Inc.\nhttps://www.imdb.com/title/tt0076759/\n",
        'Date,Name,Year,Letterboxd URI\nx,Toy Story,1995,u\nx,"Monsters, Inc.",2001,u\n'
        "x,Star Wars,1977,u\n",
        "Letterboxd list export v7\nDate,Name,Tags,URL,Description\n2022-11-20,Best,,u,\n\n"
        'Position,Name,Year,URL,Description\n1,Toy Story,1995,u,\n2,"Monsters, Inc.",2001,u,\n'
        "3,Star Wars,1977,u,\n",
        "Const,Title,Title Type,IMDb Rating,Year,Your Rating\ntt0114709,Toy Story,Movie,8.3,1995,\n"
        "tt0198781,,Movie,8,,\ntt0076759,Guerre stellari,Movie,8,1977,\n"
        "tt0113277,Heat,TV Series,8,1995,\n",
        '["Toy Story", "Monsters, Inc.", "Star Wars (1977)"]',
        "1. Toy Story\n2) Monsters, Inc.\n- Star Wars 1977\n",
    ],
)
def test_lists_of_movies_are_read(text: str, recommender: Recommender, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text(text, encoding="utf-8")
    movies = recommender.read_movies(tmp_path / "list.txt")
    assert [movie.id for movie in movies] == [10, 50, 30]
    assert recommender.similar(movies, k=1)


def test_an_unpacked_export_is_read(recommender: Recommender, tmp_path: Path) -> None:
    (tmp_path / "likes").mkdir()
    for name in ("ratings.csv", "diary.csv", "likes/films.csv"):
        (tmp_path / name).write_text(LETTERBOXD, encoding="utf-8")
    for name, title in (("watched.csv", "Heat"), ("watchlist.csv", "Split")):
        (tmp_path / name).write_text(f"Name,Year,Letterboxd URI\n{title},,u\n")
    assert stars(recommender.read_ratings(tmp_path)) == RATED
    assert [movie.id for movie in recommender.read_movies(tmp_path)] == [90]
    assert [movie.id for movie in recommender.read_movies(tmp_path, seen=True)] == [862]


def test_matches_and_importable_answers_are_written(
    recommender: Recommender, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my.csv").write_text(f"{TABLE}Casablanca,5\n", encoding="utf-8")
    recommender.embeddings.save(tmp_path)
    asked = {"ratings": str(tmp_path / "my.csv"), "run": str(tmp_path)}
    for form in ("table", "json", "csv"):
        text = questions.answer(RecommendConfig(show="matches", format=form, **asked))
        assert "Matrix, The (1999)" in text
        assert "not in 13 movies" in text
    assert "movies left out (1)" in capsys.readouterr().err
    rows = [
        *csv.DictReader(
            io.StringIO(questions.answer(RecommendConfig(format="letterboxd", **asked)))
        )
    ]
    assert {"Star Wars: Episode IV - A New Hope", "The Lion King"} <= {row["Title"] for row in rows}
    king = next(row for row in rows if row["Title"] == "The Lion King")
    assert [king[name] for name in ("Year", "Const", "imdbID", "tmdbID")] == [
        "1994", "tt0110357", "tt0110357", "8587",
    ]  # fmt: skip
    (tmp_path / "watched.csv").write_text("Name,Year,Letterboxd URI\nHeat,,u\n")
    (tmp_path / "watchlist.csv").write_text("Name,Year,Letterboxd URI\nHeat,,u\nSplit,,u\n")
    lists = {"among": str(tmp_path), "exclude": str(tmp_path), **asked}
    assert "Split" in (listed := questions.answer(RecommendConfig(**lists)))
    assert "Heat" not in listed
    answers = json.loads(questions.answer(RecommendConfig(format="json", **asked)))
    assert {answer["imdb_id"] for answer in answers} >= {"tt0110357"}


JELLYFIN = {
    "Items": [
        {"Name": "Heat", "ProductionYear": 1995, "Type": "Series", "UserData": {"Rating": 2}},
        {"Name": "The Matrix", "ProductionYear": 1999, "Type": "Movie", "UserData": {"Rating": 9}},
    ]
}
KODI = {
    "id": 1,
    "result": {
        "limits": {"end": 3},
        "movies": [
            {"movieid": 10, "title": "Heat", "year": 1995, "userrating": 9, "playcount": 1},
            {"movieid": 20, "title": "Toy Story", "year": 1995, "userrating": 4, "playcount": 0},
            {"movieid": 30, "title": "300", "year": 2007, "userrating": 0, "rating": 8.1},
        ],
    },
}
GUIDS = [
    {"title": "x", "userRating": 8, "Guid": [{"id": "imdb://tt0113277"}, {"id": "tmdb://949"}]},
    {"title": "y", "userRating": 7.199999809, "Guid": [{"id": "imdb://tt0416449"}]},
]
SAYS: dict[str, tuple[Any, dict[Any, float]]] = {
    "kinds in another language": (
        "Titel;Art;Jahr;Meine Bewertung\nHeat;Film;1995;9\nHeat;Serie;1996;2\n300;;2007;8\n",
        {862: 4.5},
    ),
    "an exact year before a later one that is off": (
        "title,year,date,rating\nHeat,1995,2024-01-01,5\nHeat,1996,2024-02-01,1\n",
        {862: 5.0},
    ),
    "a kind in JSON": (JELLYFIN, {20: 4.5}),
    "lists by kind": (
        {
            "ratedMovies": [{"title": "Heat", "rating": 4}],
            "Dramen": [{"title": "300", "rating": 4}],
        },
        {862: 4.0},
    ),
    "objects by kind": (
        [{"show": {"title": "Heat"}, "rating": 1}, {"film": {"title": "300"}, "rating": 4}],
        {603: 4.0},
    ),
    "a nested list, and an application's own ids": (KODI, {862: 4.5, 10: 2.0}),
    "addresses, and floats": (GUIDS, {862: 4.0, 603: 3.5999999045}),
    "ids in brackets": (
        "title,stars\nSfida (1995) {imdb-tt0113277} - 1080p,5\nX (1999) [tmdbid-603],4\n"
        "Toy Story (1995) [1080p],3\nMonsters [tmdbid-585],2\n",
        {862: 5.0, 20: 4.0, 10: 3.0},
    ),
    "a source": (
        "media_id,source,media_type,title,score\n949,tmdb,movie,Heat,9\n1,mal,movie,300,8\n"
        "603,igdb,movie,Toy Story,7\n12,tmdb,movie,Cinderella,6\n438631,tmdb,movie,Split,5\n",
        {862: 4.5, 603: 4.0, 10: 3.5},
    ),
    "not watched": (
        "title,is_watched,status,rating\nHeat,true,,5\n300,false,,4\nToy Story,yes,Dropped,3\n"
        "Split,1,Fertig,2\nThe Matrix,true,Completed,1\n",
        {862: 5.0, 20: 1.0},
    ),
    "episodes": (
        "title,season,episode,rating\nHeat,,,5\n300,0,0,4\nToy Story,1,,3\nSplit,,2,2\n",
        {862: 5.0, 603: 4.0},
    ),
    "another script": (
        "Название;Оригинальное название;Год;Моя оценка\nФильм;Heat;1995;9\n".encode("cp1251"),
        {862: 4.5},
    ),
    "an English title": ("原題,英題,年,評価\nTonari,Heat,1995,4\n".encode("cp932"), {862: 4.0}),
    "the scale in a name": ("Title,Rating10\nHeat,3\n", {862: 1.5}),
    "the scale in a name with blanks": ("Title,My rating (1-100)\nHeat,9\n", {862: 0.5}),
    "stars as stars": ("title,stars\nHeat,★★½\n300,★☆☆☆☆\n", {862: 2.5, 603: 1.0}),
    "a service whose scale is the person's": (
        "Film Name,Score\nHeat,10\n300,2\n",
        {862: 5.0, 603: 1.0},
    ),
    "low ratings beside the site's": (
        "const,rating,IMDb Rating\ntt0113277,4,8.3\ntt0416449,5,7.6\n",
        {862: 2.0, 603: 2.5},
    ),
    "a table of one's own beside the site's": (
        "title,my rating,IMDb Rating\nHeat,4,8.3\n300,5,7.6\n",
        {862: 4.0, 603: 5.0},
    ),
    "a title above the table": (f"My movies,\n\n{TABLE}", RATED),
    "UTF-16 without its mark": (TABLE.encode("utf-16-le"), RATED),
    "no header": ("Heat,5\n300,4\n", {}),
}


@pytest.mark.parametrize("case", SAYS)
def test_a_file_says_what_it_says(case: str, recommender: Recommender, tmp_path: Path) -> None:
    content, expected = SAYS[case]
    content = content if isinstance(content, str | bytes) else json.dumps(content)
    columns = {} if expected else {"title": "1", "rating": "2"}
    own = read(tmp_path, recommender, content, columns=columns)
    assert stars(own) == pytest.approx(expected or {862: 5.0, 603: 4.0})
    assert len(own.matches) == len({match.line for match in own.matches})


def test_what_is_left_out_is_told_by_its_words(recommender: Recommender, tmp_path: Path) -> None:
    text = "title,type,status,rating\nHeat,Film,,5\n300,tv,,4\nSplit,tv,,4\n300,Ova,,1\n"
    text += "300,movie,Geplant,\nSplit,movie,,\n"
    own = read(tmp_path, recommender, text)
    assert [note.partition(": ")[2] for note in own.notes] == [
        'left out as not movies: "tv" 2, "Ova" 1',
        'left out as not seen: "Geplant" 1',
        "left out as not rated: 1",
    ]
    assert [match.how for match in own.matches[1:]] == [
        "not movies: tv", "not movies: tv", "not movies: Ova", "not seen: Geplant", "not rated",
    ]  # fmt: skip
    watched = recommender.read_movies(tmp_path / "my.csv", seen=True)
    assert [movie.id for movie in watched] == [862, 90]
    assert [movie.id for movie in recommender.read_movies(tmp_path / "my.csv")] == [862, 603, 90]


UNKNOWN = {
    "ratings": "Kép;Filmcím;Pontszám;Átlag;Évszám\na;Heat;9;8.3;1995\na;300;4;7.6;2007\n",
    "exclude": "Profile;What I saw;Season Title;When\nme;Heat;;2026-01-02\nme;300;;2026-01-03\n",
    "among": "Heat,x\n300,y\nSplit,z\n",
}


@pytest.mark.parametrize("key", UNKNOWN)
def test_the_command_that_a_refusal_gives_works_as_it_is_pasted(
    key: str, recommender: Recommender, tmp_path: Path
) -> None:
    recommender.embeddings.save(tmp_path)
    (tmp_path / "a b.csv").write_text(UNKNOWN[key], encoding="utf-8")
    (tmp_path / "my.csv").write_text(TABLE, encoding="utf-8")
    given = [f"run={tmp_path}", f"{key}='{tmp_path}/a b.csv'", "format=json"]
    given += [] if key == "ratings" else [f"ratings={tmp_path}/my.csv"]
    refused = run_script("recommend.py", " ".join(given), tmp_path)
    assert refused.returncode == 1
    told, _, command = refused.stderr.partition(", for example: python recommend.py ")
    named = ", ".join(re.split("[;,]", UNKNOWN[key].splitlines()[0]))
    assert f"its columns are named {named}" in told
    answered = run_script("recommend.py", command, tmp_path)
    assert answered.returncode == 0, answered.stderr
    titles = {answer["title"] for answer in json.loads(answered.stdout)}
    three = {"Heat", "300", "Split"}
    assert titles == three if key == "among" else titles.isdisjoint({"Heat", "300"})


def test_each_of_the_three_takes_several_files(
    recommender: Recommender, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recommender.embeddings.save(tmp_path)
    files = {"a": "Gesehen,Wert\nHeat,8\n300,4\n", "b": TABLE, "c": "Program Title,x\n300,1\n"}
    files |= {"d": "Program Title\nSplit\n", "e": "Toy Story\nThe Matrix\n"}
    paths = {name: str(tmp_path / f"{name}.csv") for name in files}
    for name, text in files.items():
        Path(paths[name]).write_text(text, encoding="utf-8")
    columns = OwnColumns(title="Gesehen", rating="wert")
    asked = {"run": str(tmp_path), "ratings": [paths["a"], paths["b"]], "format": "json", "k": 9}
    config = RecommendConfig(columns=columns, scale=[10, 5], **asked)
    own, _ = questions._files(recommender, config)
    assert [stars(each) for each in own] == [{862: 4.0, 603: 2.0}, RATED]
    assert "ratings out of 10 (scale=10)" in capsys.readouterr().err
    lists = {"ratings": paths["b"], "exclude": [paths["c"], paths["d"]]}
    answers = json.loads(questions.answer(RecommendConfig(**{**asked, **lists})))
    assert {"300", "Split"}.isdisjoint(answer["title"] for answer in answers)
    config = RecommendConfig(**{**asked, "ratings": paths["b"], "among": [paths["d"], paths["e"]]})
    assert [each["title"] for each in json.loads(questions.answer(config))] == ["Split"]
    with pytest.raises(MovieEmbedError, match=r"columns\.kind=Art: .*a\.csv has no such column"):
        questions.answer(RecommendConfig(columns=replace(columns, kind="Art"), **asked))
    with pytest.raises(MovieEmbedError, match=r"scale=.*one for all files, or one for each of 2"):
        RecommendConfig(**{**asked, "scale": [10, 5, 5]})


def test_a_title_is_matched_once_and_matches_are_answered_by_page(
    recommender: Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    index = recommender.lookup.titles
    monkeypatch.setattr(
        index,
        "listed",
        lambda titles, year: asked.append(titles) or type(index).listed(index, titles, year),
    )
    content = ("title,rating\n" + "Heat,5\nNo Such Movie,4\n" * 2_000).encode()
    own = recommender.read_ratings(content, name="pasted.csv")
    assert asked == [("Heat",), ("No Such Movie",)]
    page = json.loads(json.dumps(own.read.to_dict(first=3_998, most=5)))
    assert [page["rows"], page["first"], len(page["matches"])] == [4_000, 3_998, 2]
    assert page["matches"][0] == {
        "line": 4_000, "title": "Heat", "rating": "5", "movie_id": 862, "taken_for": "Heat (1995)",
        "stars": 5.0, "how": "title",
    }  # fmt: skip
    assert page["columns"] == {"title": "title", "rating": "rating"}
    assert all(note.startswith("pasted.csv: ") for note in page["notes"])


FUZZ = int(os.environ.get("FUZZ", 0))
FIELDS = st.sampled_from(
    ["Toy Story", "Heat (1995)", "tt0114709", "862", "5", "4,5", "0", "nan", '"', "", "x,y", "★½",
     "1/2", "\ufeff", "(1995)"]
)  # fmt: skip
HEADERS = st.sampled_from(["title", "rating", "movieId", "imdbId", "year", "user", "type", "x", ""])


@settings(max_examples=FUZZ or 150, deadline=None)
@given(
    st.one_of(
        st.tuples(
            st.sampled_from(",;\t"),
            st.lists(HEADERS, min_size=1, max_size=4),
            st.lists(st.lists(FIELDS, max_size=5), max_size=4),
        ).map(lambda t: "\n".join(t[0].join(row) for row in [t[1], *t[2]]).encode()),
        st.recursive(
            st.none() | st.floats() | st.text(max_size=3) | FIELDS,
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(HEADERS | st.just("movies"), inner, max_size=3)
            ),
            max_leaves=8,
        ).map(lambda value: json.dumps(value).encode()),
        st.binary(max_size=60),
        st.binary(max_size=40).map(lambda tail: READ["Letterboxd zip"][:-40] + tail),  # type: ignore[operator]
    )
)
def test_any_file_gets_an_answer_or_is_refused_with_its_name(
    recommender: Recommender, tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    for reader in (recommender.read_ratings, recommender.read_movies):
        try:
            assert len(reader(path)) > 0  # type: ignore[operator]
        except MovieEmbedError as error:
            told = str(error).split("\n")
            assert str(path) in told[0]
            assert len(told) <= 21
            assert all(line.isprintable() for line in told)
            assert all(line.startswith("  ") for line in told[1:])


def test_a_cell_that_a_spreadsheet_would_run_is_text() -> None:
    row = Match(2, '=HYPERLINK("x")', "-5", -7, "@x", -0.5, "+1")
    line = matches_as("csv", [row]).splitlines()[1]
    assert next(csv.reader([line])) == [
        "2", "'=HYPERLINK(\"x\")", "'-5", "-7", "'@x", "-0.5", "'+1",
    ]  # fmt: skip
