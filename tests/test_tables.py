"""Rating tables as people have them: what is read without a setting, and what is said."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from embedded import random_vectors, saved
from synthetic import (
    files_config,
    load,
    movies_of,
    ratings_bare,
    refusal,
    rows_of,
    write_folder,
    write_zip,
)

from movie_embed.answers.recommender import Recommender
from movie_embed.config import ColumnNames, DataConfig
from movie_embed.data.loading import load_ratings
from movie_embed.data.movies import MovieId
from movie_embed.data.tables import look_at
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.errors import MovieEmbedError

DOCS = Path(__file__).parents[1] / "docs" / "data.md"
RATINGS = [(1, 10, 4.0, 50), (1, 20, 3.5, 60), (7, 10, 0.5, 70), (7, 30, 5.0, 80), (9, 20, 2.0, 90)]
EXPECTED = [row[:3] for row in RATINGS]


def table(
    header: str = "userId,movieId,rating,timestamp",
    rows: list[Any] = RATINGS,
    **ids: dict[int, str],
) -> bytes:
    """Return ratings as CSV, with other ids for some columns."""
    frame = pd.DataFrame(rows, columns=header.split(","), dtype=object)
    return frame.replace(ids).to_csv(index=False).encode()


TITLES = b"movieId,title,genres\n10,Toy Story (1995),Drama|War\n20,Heat (1995),War\n30,Big,Drama\n"
USERS = {1: "ann", 7: "bob", 9: "cy"}
TT = {10: "tt0111161", 20: "tt0068646", 30: "tt0120735"}
PADDED = {10: "0111161", 20: "0068646", 30: "1120735"}


@pytest.mark.parametrize("movies", [TT, PADDED], ids=["tt", "padded"])
def test_ids_are_text_where_the_files_have_text(
    movies: dict[int, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from movie_embed.config import SaveConfig, TrainConfig, TrainerConfig
    from movie_embed.training.run import train

    monkeypatch.chdir(tmp_path)
    titles = TITLES.decode()
    for number, movie_id in movies.items():
        titles = titles.replace(f"\n{number},", f"\n{movie_id},")
    write_folder(
        tmp_path / "data",
        {"ratings.csv": table(userId=USERS, movieId=movies), "movies.csv": titles.encode()},
    )
    data = files_config(tmp_path / "data", tmp_path / "cache", val_fraction=0.0)
    trainer = TrainerConfig(max_epochs=2, enable_progress_bar=False)
    save = SaveConfig(figures=False, min_ratings=1)
    train(TrainConfig(data=data, trainer=trainer, save=save), tmp_path / "run")
    recommender = Recommender.load(tmp_path / "run")
    assert recommender.movie_id("toy story") == movies[10]
    answers = recommender.similar(MovieId(movies[10]))
    assert {answer.movie_id for answer in answers} == {movies[20], movies[30]}
    assert recommender.for_user("cy", 1)[0].movie_id in movies.values()
    with pytest.raises(MovieEmbedError, match="user_id=an is not in files; nearest ids: ann"):
        recommender.for_user("an")
    with pytest.raises(MovieEmbedError, match=f"nearest ids: {movies[10]} Toy Story"):
        recommender.similar(MovieId(movies[10][:-1] + "x"))


def test_text_among_numbers_is_a_bad_row_unless_ids_are_text(tmp_path: Path) -> None:
    write_folder(tmp_path, {"ratings.csv": table(userId={9: "cy"})})
    with pytest.raises(MovieEmbedError, match="line 6: user id 'cy' is not a whole number"):
        load(tmp_path)
    config = files_config(tmp_path, tmp_path / "cache", text_ids=True)
    assert [row[0] for row in rows_of(load_ratings(config))] == ["1", "1", "7", "7", "cy"]


GENRES = {
    "Drama, War": "Drama|War",
    "['Drama', 'War']": "Drama|War",
    "[Drama, War]": "Drama|War",
    "[{'id': 1, 'name': 'Drama'}, {'id': 2, 'name': 'War'}]": "Drama|War",
    "Drama|War": "Drama|War",
}


@pytest.mark.parametrize("genres", GENRES)
def test_titles_with_a_year_column_and_genres_of_every_form(genres: str, tmp_path: Path) -> None:
    titles = f'id,name,release_year,genre\n10,Toy Story,1995.0,"{genres}"\n20,Heat (1995),,\n'
    write_folder(tmp_path, {"ratings.csv": table(), "movies.csv": titles.encode()})
    movies = movies_of(load(tmp_path))
    assert movies[10][:2] == ("Toy Story (1995)", GENRES[genres])
    assert movies[20].title == "Heat (1995)"


def test_titles_by_tmdb_id_are_joined_through_links(tmp_path: Path) -> None:
    metadata = (
        "adult,genres,id,imdb_id,title,overview\n"
        "False,\"[{'id': 1, 'name': 'Drama'}]\",862,tt0114709,Toy Story,"
        f'"Two\nlines {"x" * 200_000}"\n'
        "False,[],1997-08-20,0,broken,row\n"
        "False,[],949,tt0113277,Heat,x\n"
    )
    links = b"movieId,imdbId,tmdbId\n10,0114709,862.0\n20,0113277,949\n"
    files = {
        "ratings_small.csv": table(),
        "movies_metadata.csv": metadata.encode(),
        "links.csv": links,
    }
    triples = load(write_folder(tmp_path, files))
    assert {i: m.title for i, m in movies_of(triples).items()} == {10: "Toy Story", 20: "Heat"}
    assert movies_of(triples)[10].genres == "Drama"
    assert triples.movies.links is not None
    linked = dict(zip(triples.movies.ids.tolist(), triples.movies.links.tolist(), strict=True))
    assert linked == {10: [114709, 862], 20: [113277, 949], 30: [0, 0]}


def test_numbers_elsewhere_come_from_links_and_are_kept(tmp_path: Path) -> None:
    links = b"movieId,imdbId,tmdbId\n10,tt0114709,862.0\n20,x,\nsix,1,2\n"
    folder = write_folder(
        tmp_path / "data", {"ratings.csv": table(), "movies.csv": TITLES, "links.csv": links}
    )
    config = files_config(folder, tmp_path / "cache")
    for triples in (load_ratings(config), load_ratings(config)):  # read, then from the cache
        assert triples.movies.links is not None
        assert triples.movies.links[triples.movies.row_of(10)].tolist() == [114709, 862]
        assert triples.movies.links.sum() == 114709 + 862
    table_of = saved(random_vectors())
    links_of = np.arange(2 * len(table_of.movies)).reshape(-1, 2)
    replace(table_of, movies=replace(table_of.movies, links=links_of)).save(tmp_path)
    again = SavedEmbeddings.load(tmp_path).movies
    assert again.links is not None
    assert again.links.tolist() == links_of.tolist()
    assert again.take(np.array([3]), 1).links.tolist() == [[6, 7]]


def test_a_movie_that_goes_by_its_imdb_number_has_it(tmp_path: Path) -> None:
    titles = TITLES.decode().replace("10,", "tt0111161,").encode()
    triples = load(write_folder(tmp_path, {"ratings.csv": table(movieId=TT), "movies.csv": titles}))
    assert triples.movies.links is not None
    assert triples.movies.links[triples.movies.row_of("tt0111161")].tolist() == [111161, 0]


@pytest.mark.parametrize(
    ("stars", "told"),
    [
        ([1, 2, 3, 4, 5, 55], "1 rating of 55; if they are none: 'data.rating_range=[1,5]'"),
        ([0, 0, *range(1, 11)], "2 ratings of 0; if they are none: 'data.rating_range=[1,10]'"),
    ],
)
def test_a_doubtful_scale_is_said(stars: list[int], told: str, tmp_path: Path) -> None:
    rows = [(user, 10, star, 0) for user, star in enumerate(stars)]
    write_folder(tmp_path, {"ratings.csv": table("user,movie,rating,time", rows)})
    assert f"because of {told}" in str(load(tmp_path, None).notes)


def test_a_query_reads_what_no_layout_does(tmp_path: Path) -> None:
    config = DataConfig(
        name="files",
        query="SELECT u AS user, m AS movie, s AS rating FROM "
        "(VALUES (1, 'a', 4), (2, 'a', 2.5), (2, 'b', 1)) t(u, m, s)",
        min_ratings=1,
    )
    assert rows_of(load_ratings(config)) == [(1, "a", 4.0), (2, "a", 2.5), (2, "b", 1.0)]
    with pytest.raises(MovieEmbedError, match=r"data\.query cannot be read: Parser Error"):
        load_ratings(DataConfig(name="files", query="SELEC 1"))
    with pytest.raises(MovieEmbedError, match=r"data\.query: no column 'user', it has x"):
        load_ratings(DataConfig(name="files", query="SELECT 1 AS x"))


def test_a_table_in_memory_is_read_like_a_file(tmp_path: Path) -> None:
    frame = pd.DataFrame(RATINGS, columns=["userId", "movieId", "rating", "timestamp"])
    arrow = duckdb.connect().from_df(frame).to_arrow_table()
    for given in (frame, arrow):
        assert rows_of(load_ratings(DataConfig(name="files", min_ratings=1), given)) == EXPECTED
    renamed = frame.rename(columns={"rating": "liking"})
    config = DataConfig(name="files", min_ratings=1, columns=ColumnNames(rating="liking"))
    assert rows_of(load_ratings(config, renamed)) == EXPECTED


MERGED = pd.DataFrame(
    [
        (*row[:3], {10: "Toy Story (1995)", 20: "Heat", 30: ""}[row[1]], "Drama, War")
        for row in RATINGS
    ],
    columns=["userId", "movieId", "rating", "title", "genres"],
)


@pytest.mark.parametrize("kind", ["csv", "cp1252", "frame", "query"])
def test_titles_may_stand_with_the_ratings(kind: str, tmp_path: Path) -> None:
    frame, config = MERGED, DataConfig("files", str(tmp_path / "r.csv"), str(tmp_path))
    if kind == "cp1252":
        frame = MERGED.replace({"Heat": "H\u00eat"})
    frame.to_csv(tmp_path / "r.csv", index=False, encoding="cp1252")
    if kind == "query":
        config = DataConfig("files", query=f"SELECT * FROM '{tmp_path}/r.csv'", min_ratings=1)
    if kind == "frame":
        config = DataConfig("files", min_ratings=1)
    triples = load_ratings(config, MERGED if kind == "frame" else None)
    assert rows_of(triples) == EXPECTED
    assert movies_of(triples)[10][:2] == ("Toy Story (1995)", "Drama|War")
    assert movies_of(triples)[20].title == ("H\u00eat" if kind == "cp1252" else "Heat")
    assert movies_of(triples).keys() == {10, 20}
    assert "titles" not in str(triples.notes)


def test_a_title_column_that_is_named_in_the_ratings_goes_before_other_titles(
    tmp_path: Path,
) -> None:
    MERGED.rename(columns={"title": "film"}).to_csv(tmp_path / "ratings.csv", index=False)
    write_folder(tmp_path, {"movies.csv": TITLES.replace(b"Heat", b"Cold")})
    assert movies_of(load(tmp_path))[20].title == "Cold (1995)"
    assert movies_of(load(tmp_path, title="film"))[20].title == "Heat"


def test_headings_of_reviews_are_no_titles() -> None:
    reviews = MERGED.assign(
        title=[f"review {n}" for n in range(len(MERGED))], movieId=10, userId=range(5)
    )
    assert movies_of(load_ratings(DataConfig("files", min_ratings=1), reviews)) == {}
    chosen = DataConfig("files", min_ratings=1, columns=ColumnNames(title="title"))
    assert movies_of(load_ratings(chosen, reviews))[10].title == "review 4"


@pytest.mark.parametrize("place", ["", "movie_titles.csv", "x.zip"])
def test_a_query_may_have_titles_beside_it(place: str, tmp_path: Path) -> None:
    titles = "10,1995,Toy Story\n20,NULL,Caf\u00e9, the Sequel\n".encode("cp1252")
    write_folder(tmp_path, {"movie_titles.csv": titles, "combined_data_1.txt": b"10:\n1,4,5\n"})
    write_zip(tmp_path / "x.zip", {"download/movie_titles.csv": titles})
    query = "SELECT 1 AS user, 10 AS movie, 4 AS rating UNION ALL SELECT 2, 20, 5"
    config = DataConfig("files", query=query, path=str(tmp_path / place), min_ratings=1)
    movies = movies_of(load_ratings(config))
    assert {i: m.title for i, m in movies.items()} == {
        10: "Toy Story (1995)",
        20: "Caf\u00e9, the Sequel",
    }


SIX = "".join(
    f"{u},{m},{n},{n + 100},{s},2003-05-{n + 10}\n" for n, (u, m, s, _) in enumerate(RATINGS)
)
PLACES = {"user": "1", "movie": "2", "rating": "5", "timestamp": "6"}
UNUSED: dict[str, tuple[dict[str, bytes], dict[str, Any], str]] = {
    "a title that is not there": ({"r.csv": table()}, {"title": "name"}, "no column 'name'"),
    "a tag": ({"r.csv": table()}, {"tag": "rating"}, "no column 'rating'"),
    "a place with a header": ({"r.csv": table()}, {"user": "1"}, "no column '1'"),
    "a place that is not there": ({"r.csv": SIX.encode()}, PLACES | {"rating": "7"}, "1 to 6"),
    "a name without header": ({"r.csv": SIX.encode()}, {"user": "who"}, "r.csv has no header"),
}


@pytest.mark.parametrize("name", UNUSED)
def test_a_setting_that_nothing_reads_is_refused(name: str, tmp_path: Path) -> None:
    files, columns, told = UNUSED[name]
    assert told in refusal(write_folder(tmp_path, files), None, **columns)


def test_settings_beside_data_that_they_do_not_concern() -> None:
    query = "SELECT 1 AS user, 1 AS movie, 4 AS rating"
    for settings, told in (
        ({"delimiter": ";"}, "data.delimiter=';': left out, it is not in the first line"),
        ({"columns": ColumnNames(title="t")}, "no column 't'"),
        (
            {"path": str(DOCS)},
            "found no table with titles, tags or links, to stand beside data.query",
        ),
    ):
        with pytest.raises(MovieEmbedError, match=re.escape(told)):
            load_ratings(DataConfig("files", query=query, **settings))
    columns = ColumnNames(user="u")
    for settings in ({"delimiter": ";"}, {"columns": columns}, {"rating_range": [1, 5]}):
        with pytest.raises(MovieEmbedError, match="left out with data=demo"):
            DataConfig("demo", **settings)


def test_columns_without_names_go_by_their_places(tmp_path: Path) -> None:
    write_folder(tmp_path, {"movie-ratings.csv": SIX.encode()})
    told = refusal(tmp_path, None)
    assert "no header, and its first row is 1, 10, 0, 100, 4.0, 2003-05-10: data.col" in told
    triples = load(tmp_path, None, **PLACES)
    assert rows_of(triples) == EXPECTED
    assert "user, movie, rating, timestamp are its columns 1, 2, 5, 6" in str(triples.notes)


def test_files_without_header_are_told_apart(tmp_path: Path) -> None:
    titles = b"20::Big (1988)::x\n30::Up (2009)::y\n10::Heat :: a (1995)::War\n"
    files = {"log.dat": ratings_bare(), "films.dat": titles}
    triples = load(write_folder(tmp_path / "a", files))
    assert movies_of(triples)[10][:2] == ("Heat :: a (1995)", "War")
    text = b"0,1,2,3\n1,10,4.0,Heat\n1,20,3.5,Big\n"  # numbered by pandas
    triples = load(write_folder(tmp_path / "b", {"r.csv": text}), title="4")
    assert rows_of(triples) == EXPECTED[:2]
    assert movies_of(triples)[10].title == "Heat"


def test_a_refused_folder_shows_the_columns_of_each_file(tmp_path: Path) -> None:
    files = {"a.csv": b"who,asin,liking\n1,2,3\n1,3,4\n", "b.csv": b"1,2\n", "c.txt": b""}
    first, *told = refusal(write_folder(tmp_path, files), None).splitlines()
    assert "found no table with a user, a movie and a rating column" in first
    assert told == [
        "a.csv: who, asin, liking",
        "b.csv: no header, the first row is 1, 2",
        "not looked at: c.txt",
    ]
    columns = {"user": "who", "rating": "liking"}
    assert rows_of(load(tmp_path, None, **columns)) == [(1, 2, 3.0), (1, 3, 4.0)]


def ratings_of(*stars: object, header: str = "userId,movieId,rating", **more: str) -> bytes:
    """Return a row for each rating, all of different users; each may have more fields."""
    end = "".join(f",{text}" for text in more.values())
    names = ",".join([header, *more])
    return "\n".join([names, *(f"{n},7,{s}{end}" for n, s in enumerate(stars))]).encode()


PLAIN, AGAIN = ratings_of(1, 2, 5), ratings_of(1, 2) + b"\n0,7,5"
Files = dict[str, bytes]
# What is there, what its refusal or note advises, and the same followed: settings, or other files.
HINTS: dict[str, tuple[Files, str, dict[str, Any] | Files]] = {
    "another name": (
        {"r.csv": ratings_of(1, 2, 5, header="who,movieId,rating")},
        "data.columns.user=NAME",
        {"columns": ColumnNames(user="who")},
    ),
    "places": (
        {"r.csv": ratings_of(1, 2, 5, a="6", b="5").partition(b"\n")[2]},
        "data.columns.user=N",
        {"columns": ColumnNames(user="1", movie="2", rating="3")},
    ),
    "a separator": (
        {"r.csv": PLAIN.replace(b",", b"^")},
        "data.delimiter says what separates its fields",
        {"delimiter": "^"},
    ),
    "the scale": (
        {"r.csv": ratings_of(10, 20, 50)},
        "data.rating_range gives another",
        {"rating_range": [0, 100]},
    ),
    "one rating": (
        {"r.csv": ratings_of(3, 3, 3)},
        "'data.rating_range=[lowest,highest]'",
        {"rating_range": [1, 5]},
    ),
    "bad rows": (
        {"r.csv": ratings_of(1, 2, 5, "x", "y")},
        "r.csv: 2 bad rows, left out with data.on_bad_rows=skip",
        {"on_bad_rows": "skip"},
    ),
    "text": (
        {"r.csv": PLAIN.replace(b"\n2,", b"\ncy,")},
        "data.text_ids=true reads ids as text",
        {"text_ids": True},
    ),
    "times": (
        {"r.csv": ratings_of(1, 2, 4, timestamp="soon") + b"\n2,7,5,soon"},
        "data.columns.timestamp=none leaves times aside",
        {"columns": ColumnNames(timestamp="none")},
    ),
    "a time": (
        {"r.csv": ratings_of(1, 2, 4, timestamp="soon") + b"\n2,7,5,60"},
        "1 timestamp, taken as missing with data.on_bad_rows=skip",
        {"on_bad_rows": "skip"},
    ),
    "two columns": (
        {"r.csv": ratings_of(1, 2, 5, rating="9", score="8")},
        "rename one of them, or name another column: data.columns.rating=NAME",
        {"columns": ColumnNames(rating="score"), "rating_range": [0, 10]},
    ),
    "two columns, renamed": (
        {"r.csv": ratings_of(1, 2, 5, rating="9")},
        "rename one of them",
        {"r.csv": ratings_of(1, 2, 5, other="9")},
    ),
    "several": (
        {"a.csv": PLAIN, "b.csv": PLAIN},
        "name one of them",
        {"path": "a.csv"},
    ),
    "several folders": ({"a/r.csv": PLAIN, "b/r.csv": PLAIN}, "name one of them", {"path": "a"}),
    "utf-16": (
        {"r.csv": PLAIN.decode().encode("utf-16")},
        "save it as UTF-8",
        {"r.csv": PLAIN},
    ),
    "too many ratings": (
        {
            "r.csv": ratings_of(*range(2**16 + 1), header="u,movieId,rating").replace(
                b"u", b"user", 1
            )
        },
        "round them, for example with data.query",
        {"query": "SELECT user, movieId, rating % 3 AS rating FROM 'r.csv' WHERE user < 3"},
    ),
    "0 for none": (
        {"r.csv": ratings_of(0, 0, 3, 4, 5, header="user,movie,rating")},
        "'data.rating_range=[3,5]' data.on_bad_rows=skip",
        {"rating_range": [3, 5], "on_bad_rows": "skip"},
    ),
    "few": ({"r.csv": PLAIN}, "the most rated has 3; use at most that", {"min_ratings": 3}),
}


@pytest.mark.parametrize("name", HINTS)
def test_a_hint_helps_where_it_is_given(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, hint, way = HINTS[name]
    monkeypatch.chdir(write_folder(tmp_path, files))
    given: dict[str, Any] = {
        "min_ratings": 9 if name == "few" else 1,
        "cache_dir": "cache",
        "path": ".",
    }
    try:
        told = str(load_ratings(DataConfig("files", **given)).notes)
    except MovieEmbedError as error:
        told = str(error)
    assert hint in told
    if way.keys() & files.keys():
        write_folder(tmp_path, way)
        way = {}
    given |= ({"path": None} if "query" in way else {}) | way
    triples = load_ratings(DataConfig("files", **given))
    assert len(triples.ratings) == 3
    assert hint not in str(triples.notes)


SEPARATED = {  # most lines have as many fields as the first, and not the most separators
    "1::A (1995)::x|y|z|v|w\n2::B, the::x\n": "::",
    "1;10;4,0;9,5\n7;10;0,5;8,5\n": ";",
    "id|title|genres\n1|A, B, C, D, E|x\n": "|",
    "movieId,title,genres\n1,A,x|y|z|v|w\n": ",",
    "a b c\n1 2 3\n": " ",
}


@pytest.mark.parametrize("text", SEPARATED)
def test_a_separator_gives_most_lines_one_number_of_fields(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    assert look_at((path,), DataConfig("files")).delimiter == SEPARATED[text]


def test_the_engine_stays_off_the_network(tmp_path: Path) -> None:
    config = DataConfig(name="files", query="SELECT * FROM read_csv('https://127.0.0.1:1/x.csv')")
    with pytest.raises(MovieEmbedError, match=r"data\.query cannot be read"):
        load_ratings(config)


QUERIES = dict(re.findall(r"```sql\n-- (\w+)\.sql\n(.*?)```", DOCS.read_text(), re.DOTALL))
TABLES = {
    "netflix": (
        "combined_data_1.txt",
        "10:\n1,4,2005-01-01\n7,1,2005-01-02\n20:\n1,3,2005-01-03\n",
    ),
    "jester": ("jester-data-1.csv", "2,4.5,-1.25,99\n2,99,3.0,9.5\n"),
    "steam": ("steam-200k.csv", "1,Dota,purchase,1,0\n1,Dota,play,9.5,0\n2,Portal,play,1,0\n"),
}
ROWS = {
    "netflix": [(1, 10, 4.0), (1, 20, 3.0), (7, 10, 1.0)],
    "jester": [(1, 1, 4.5), (1, 2, -1.25), (2, 2, 3.0), (2, 3, 9.5)],
    "steam": [(1, "Dota", 1.0), (2, "Portal", 0.0)],
}


@pytest.mark.parametrize("name", QUERIES)
def test_the_queries_of_the_docs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert QUERIES.keys() == TABLES.keys() == ROWS.keys()
    file, content = TABLES[name]
    write_folder(tmp_path, {file: content.encode(), f"{name}.sql": QUERIES[name].encode()})
    monkeypatch.chdir(tmp_path)
    config = DataConfig(name="files", query=f"{name}.sql", min_ratings=1)
    assert rows_of(load_ratings(config)) == ROWS[name]
