"""Every MovieLens release and Kaggle's copies: their files and true first lines, by train.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import train_here
from synthetic import write_folder, write_zip

from movie_embed.data.datasets import DATA_SETS
from movie_embed.embeddings.saved import SavedEmbeddings

HTML, README = b"<!DOCTYPE html>\n<html><body>MovieLens</body></html>\n", b"Summary\n=======\n"
JUMANJI, GRUMPIER = "2{0}Jumanji (1995){0}", "3{0}Grumpier Old Men (1995){0}Comedy|Romance\n"


def movies(separator: str, toys: str, jumanji: str, header: str = "") -> str:
    """Return the first three movies of a release and one whose title is not ASCII."""
    first = f"1{separator}Toy Story (1995){separator}{toys}\n"
    second = f"{JUMANJI.format(separator)}{jumanji}\n"
    return f"{header}{first}{second}{GRUMPIER.format(separator)}"


TOYS, JUNGLE = "Adventure|Animation|Children|Comedy|Fantasy", "Adventure|Children|Fantasy"
CHILDRENS = movies("::", "Animation|Children's|Comedy", "Adventure|Children's|Fantasy")
MISERABLES = "73::Mis\u00e9rables, Les (1995)::Drama|Musical\n".encode("latin-1")
MOVIES_CSV = movies(",", TOYS, JUNGLE, "movieId,title,genres\n").encode() + (
    b'11,"American President, The (1995)",Comedy|Drama|Romance\n'
)
LINKS_CSV = b"movieId,imdbId,tmdbId\n1,0114709,862\n2,0113497,8844\n3,0113228,15602\n"
GENOME = {
    "genome-scores.csv": b"movieId,tagId,relevance\n1,1,0.025000000000000022\n1,2,0.025\n",
    "genome-tags.csv": b"tagId,tag\n1,007\n2,007 (series)\n3,18th century\n",
}
U_ITEM = (
    "1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?Toy%20Story%20(1995)"
    "|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
    "2|GoldenEye (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?GoldenEye%20(1995)"
    "|0|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0|1|0|0\n"
    "543|Mis\u00e9rables, Les (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?"
    "Mis%E9rables%2C%20Les%20%281995%29|0|0|0|0|0|0|0|0|1|0|0|0|1|0|0|0|0|0|0\n"
).encode("latin-1")
U_DATA = (
    b"196\t242\t3\t881250949\n186\t302\t3\t891717742\n22\t377\t1\t878887116\n"
    b"244\t51\t2\t880606923\n166\t346\t1\t886397596\n"
)
METADATA = (
    b"adult,belongs_to_collection,budget,genres,homepage,id,imdb_id,original_language,"
    b"original_title,overview,popularity,poster_path,production_companies,production_countries,"
    b"release_date,revenue,runtime,spoken_languages,status,tagline,title,video,vote_average,"
    b"vote_count\n"
    b"False,\"{'id': 10194, 'name': 'Toy Story Collection', 'poster_path': "
    b"'/7G9915LfUQ2lVfwMEEhDsn3kT4B.jpg', 'backdrop_path': '/9FBwqcd9IRruEDUrTdcaafOMKUq.jpg'}\","
    b"30000000,\"[{'id': 16, 'name': 'Animation'}, {'id': 35, 'name': 'Comedy'}, {'id': 10751, "
    b"'name': 'Family'}]\",http://toystory.disney.com/toy-story,862,tt0114709,en,Toy Story,\"Led "
    b"by Woody, Andy's toys live happily in his room until Andy's birthday brings Buzz onto "
    b"the scene.\",21.946943,/rhIRbceoE9lR4veEXuwCC2wARtG.jpg,\"[{'name': 'Pixar Animation "
    b"Studios', 'id': 3}]\",\"[{'iso_3166_1': 'US', 'name': 'United States of America'}]\","
    b"1995-10-30,373554033,81.0,\"[{'iso_639_1': 'en', 'name': 'English'}]\",Released,,Toy Story,"
    b"False,7.7,5415\n"
)


def csv_release(ratings: str, tags: str, **more: bytes) -> dict[str, bytes]:
    """Return the files of a release since 20M."""
    return {
        "ratings.csv": f"userId,movieId,rating,timestamp\n{ratings}".encode(),
        "tags.csv": f"userId,movieId,tag,timestamp\n{tags}336,1,pixar,1139045764\n".encode(),
        "movies.csv": MOVIES_CSV,
        "links.csv": LINKS_CSV,
        "README.txt": README,
        **more,
    }


SMALL = "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n1,1029,3.0,1260759179\n"
# What is downloaded, the folder in it, and the files with their first lines.
RELEASES: dict[str, tuple[str, str, dict[str, bytes]]] = {
    "ml-100k": (
        "ml-100k.zip",
        "ml-100k/",
        {
            "u.data": U_DATA,
            "u.item": U_ITEM,
            "u.genre": b"unknown|0\nAction|1\nAdventure|2\n",
            "u.info": b"943 users\n1682 items\n100000 ratings\n",
            "u.occupation": b"administrator\nartist\n",
            "u.user": b"1|24|M|technician|85711\n2|53|F|other|94043\n",
            "u1.base": b"1\t1\t5\t874965758\n1\t2\t3\t876893171\n1\t3\t4\t878542960\n",
            "u1.test": b"1\t6\t5\t887431973\n1\t10\t3\t875693118\n1\t12\t5\t878542960\n",
            "ua.base": b"1\t1\t5\t874965758\n1\t2\t3\t876893171\n1\t3\t4\t878542960\n",
            "mku.sh": b"#!/bin/sh\n",
            "allbut.pl": b"#!/usr/local/bin/perl\n",
            "README": README,
        },
    ),
    "ml-1m": (
        "ml-1m.zip",
        "ml-1m/",
        {
            "ratings.dat": b"1::1193::5::978300760\n1::661::3::978302109\n1::914::3::978301968\n"
            b"1::3408::4::978300275\n1::2355::5::978824291\n",
            "movies.dat": CHILDRENS.encode() + MISERABLES,
            "users.dat": b"1::F::1::10::48067\n2::M::56::16::70072\n",
            "README": README,
        },
    ),
    "ml-10m": (
        "ml-10m.zip",
        "ml-10M100K/",
        {
            "ratings.dat": b"1::122::5::838985046\n1::185::5::838983525\n1::231::5::838983392\n"
            b"1::292::5::838983421\n1::316::5::838983392\n",
            "movies.dat": movies("::", TOYS, JUNGLE).encode(),
            "tags.dat": b"15::4973::excellent!::1215184630\n20::1747::politics::1188263867\n"
            b"20::1747::satire::1188263867\n20::2424::chick flick 212::1188263835\n"
            b"336::1::pixar::1139045764\n",
            "README.html": HTML,
            "allbut.pl": b"#!/usr/bin/perl\n",
            "split_ratings.sh": b"#!/usr/bin/env bash\n",
        },
    ),
    "ml-20m": (
        "ml-20m.zip",
        "ml-20m/",
        csv_release(
            "1,2,3.5,1112486027\n1,29,3.5,1112484676\n1,32,3.5,1112484819\n",
            "18,4141,Mark Waters,1240597180\n65,208,dark hero,1368150078\n",
            **GENOME,
        ),
    ),
    "ml-25m": (
        "ml-25m.zip",
        "ml-25m/",
        csv_release(
            "1,296,5.0,1147880044\n1,306,3.5,1147868817\n1,307,5.0,1147868828\n",
            "3,260,classic,1439472355\n3,260,sci-fi,1439472256\n",
            **GENOME,
        ),
    ),
    "ml-32m": (
        "ml-32m",
        "",
        csv_release(
            "1,17,4.0,944249077\n1,25,1.0,944250228\n1,29,2.0,943230976\n",
            "22,26479,Kevin Kline,1583038886\n22,79592,misogyny,1581476297\n",
            **{"checksums.txt": b"0a28b4d5a1f2bf5ae2c01a1fcb3f1a21  ratings.csv\n"},
        ),
    ),
    "ml-latest-small": (
        "ml-latest-small",
        "ml-latest-small/",
        csv_release(
            "1,1,4.0,964982703\n1,3,4.0,964981247\n1,6,4.0,964982224\n",
            "2,60756,funny,1445714994\n2,60756,Highly quotable,1445714996\n",
        ),
    ),
    "ml-latest": (
        "ml-latest.zip",
        "ml-latest/",
        csv_release(
            "1,307,3.5,1256677221\n1,481,3.5,1256677456\n1,1091,1.5,1256677471\n",
            "14,110,epic,1443148538\n14,110,Medieval,1443148532\n",
            **GENOME,
        ),
    ),
    "Kaggle's 20M": (
        "archive.zip",
        "",
        {
            "rating.csv": b'"userId","movieId","rating","timestamp"\n'
            b'1,2,3.5,"2005-04-02 23:53:47"\n1,29,3.5,"2005-04-02 23:31:16"\n'
            b'1,32,3.5,"2005-04-02 23:33:39"\n1,151,4.0,"2004-09-10 03:08:54"\n',
            "movie.csv": b'"movieId","title","genres"\n1,"Toy Story (1995)","'
            + TOYS.encode()
            + b'"\n'
            b'2,"Jumanji (1995)","' + JUNGLE.encode() + b'"\n',
            "tag.csv": b'"userId","movieId","tag","timestamp"\n'
            b'18,4141,"Mark Waters","2009-04-24 18:19:40"\n'
            b'65,208,"dark hero","2013-05-10 01:41:18"\n336,1,pixar,"2006-02-04 09:36:04"\n',
            "link.csv": b'"movieId","imdbId","tmdbId"\n1,"0114709",862\n2,"0113497",8844\n',
            "genome_scores.csv": b'"movieId","tagId","relevance"\n1,1,0.025\n1,2,0.025\n',
            "genome_tags.csv": b'"tagId","tag"\n1,"007"\n2,"007 (series)"\n',
        },
    ),
    "The Movies Dataset": (
        "archive.zip",
        "",
        {
            "ratings.csv": SMALL.replace("1,31,2.5,1260759144", "1,110,1.0,1425941529").encode(),
            "ratings_small.csv": SMALL.encode(),
            "movies_metadata.csv": METADATA,
            "links.csv": LINKS_CSV,
            "links_small.csv": LINKS_CSV,
            "keywords.csv": b"id,keywords\n862,\"[{'id': 931, 'name': 'jealousy'}]\"\n",
            "credits.csv": b"cast,crew,id\n\"[{'cast_id': 14, 'order': 0}]\",[],862\n",
        },
    ),
}


READ = {
    "ml-100k": "u.data, u.item; left aside: u1.base, u1.test, ua.base",
    "ml-1m": "ratings.dat, movies.dat; left aside: users.dat",
    "ml-10m": "ratings.dat, movies.dat, tags.dat",
    "Kaggle's 20M": "rating.csv, movie.csv, tag.csv, link.csv; "
    "left aside: genome_scores.csv, genome_tags.csv",
    "The Movies Dataset": "ratings.csv, movies_metadata.csv, links.csv; left aside: credits.csv, "
    "keywords.csv, links_small.csv, ratings_small.csv",
}


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_is_read_by_train(name: str, tmp_path: Path) -> None:
    place, inside, files = RELEASES[name]
    members = {inside + file: content for file, content in files.items()}
    write = write_zip if place.endswith(".zip") else write_folder
    path = write(tmp_path / place, members)
    shown = train_here(
        f"data={name if name in DATA_SETS else 'files'} 'data.path={path}' data.cache_dir=cache "
        "data.min_ratings=1 data.val_fraction=0 trainer.max_epochs=1 model.dim=2 "
        "save.figures=false trainer.enable_progress_bar=false hydra.run.dir=run",
        tmp_path,
    )
    aside = "; left aside: genome-scores.csv, genome-tags.csv" * ("genome-tags.csv" in files)
    usual = f"ratings.csv, movies.csv, tags.csv, links.csv{aside}"
    assert f"read: {READ.get(name, usual)}\n" in shown
    movies = SavedEmbeddings.load(tmp_path / "run").movies
    (ratings,) = files.keys() & {"u.data", "ratings.dat", "ratings.csv", "rating.csv"}
    assert movies.rating_counts.sum() == files[ratings].count(b"\n") - ratings.endswith(".csv")
    toys = movies.row_of(1)
    assert toys is not None
    assert movies.titles[toys] == "Toy Story (1995)"
    genres = {
        "The Movies Dataset": "Animation|Comedy|Family",
        "ml-100k": "Animation|Children's|Comedy",
    }
    genres |= {"ml-1m": genres["ml-100k"]}
    assert movies.genres[toys] == genres.get(name, TOYS)
    for accented in {73, 543} & {*movies.ids.tolist()}:
        assert movies.titles[movies.row_of(accented) or 0] == "Mis\u00e9rables, Les (1995)"
    assert movies.imdb_id(toys) == ("tt0114709" if {*files} & {"links.csv", "link.csv"} else None)
    tagged = {*files} & {"tags.csv", "tag.csv", "tags.dat"}
    assert movies.tags[toys] == ("pixar" if tagged else "")
