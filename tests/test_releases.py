"""Every MovieLens release and Kaggle's copies: true first lines, by train.py's settings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from running import QUICK, composed, train_here
from synthetic import write_folder, write_zip

from movie_embed.cli import read_settings
from movie_embed.data.datasets import DATA_SETS
from movie_embed.data.loading import load_ratings
from movie_embed.embeddings.saved import SavedEmbeddings

# A release begins with its archive, the folder in it and what a run reads and leaves aside. The
# last tag and, of 100K and 1M, the last title stand further down in the files.
RELEASES = """
# ml-100k.zip ml-100k/ u.data, u.item; left aside: u1.base, u1.test
> u.data
196\t242\t3\t881250949
186\t302\t3\t891717742
22\t377\t1\t878887116
> u.item
1|Toy Story (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?Toy%20Story%20(1995)|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0
2|GoldenEye (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?GoldenEye%20(1995)|0|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0|1|0|0
543|Misérables, Les (1995)|01-Jan-1995||http://us.imdb.com/M/title-exact?Mis%E9rables%2C%20Les%20%281995%29|0|0|0|0|0|0|0|0|1|0|0|0|1|0|0|0|0|0|0
> u.genre
unknown|0
Action|1
> u.info
943 users
> u.user
1|24|M|technician|85711
> u1.base
1\t1\t5\t874965758
1\t2\t3\t876893171
> u1.test
1\t6\t5\t887431973
1\t10\t3\t875693118
> mku.sh
#!/bin/sh
# ml-1m.zip ml-1m/ ratings.dat, movies.dat; left aside: users.dat
> ratings.dat
1::1193::5::978300760
1::661::3::978302109
1::914::3::978301968
> movies.dat
1::Toy Story (1995)::Animation|Children's|Comedy
2::Jumanji (1995)::Adventure|Children's|Fantasy
3::Grumpier Old Men (1995)::Comedy|Romance
73::Misérables, Les (1995)::Drama|Musical
> users.dat
1::F::1::10::48067
2::M::56::16::70072
# ml-10m.zip ml-10M100K/ ratings.dat, movies.dat, tags.dat
> ratings.dat
1::122::5::838985046
1::185::5::838983525
1::231::5::838983392
> movies.dat
1::Toy Story (1995)::Adventure|Animation|Children|Comedy|Fantasy
2::Jumanji (1995)::Adventure|Children|Fantasy
3::Grumpier Old Men (1995)::Comedy|Romance
> tags.dat
15::4973::excellent!::1215184630
20::1747::politics::1188263867
20::2424::chick flick 212::1188263835
336::1::pixar::1139045764
> README.html
<!DOCTYPE html>
> split_ratings.sh
#!/usr/bin/env bash
# ml-20m.zip ml-20m/ ratings.csv, movies.csv, tags.csv, links.csv; left aside: genome-scores.csv, genome-tags.csv
1,2,3.5,1112486027
1,29,3.5,1112484676
> tags.csv
18,4141,Mark Waters,1240597180
# ml-25m.zip ml-25m/ ratings.csv, movies.csv, tags.csv, links.csv; left aside: genome-scores.csv, genome-tags.csv
1,296,5.0,1147880044
1,306,3.5,1147868817
> tags.csv
3,260,classic,1439472355
# ml-32m ml-32m/ ratings.csv, movies.csv, tags.csv, links.csv
1,17,4.0,944249077
1,25,1.0,944250228
> tags.csv
22,26479,Kevin Kline,1583038886
# ml-latest-small ml-latest-small/ ratings.csv, movies.csv, tags.csv, links.csv
1,1,4.0,964982703
1,3,4.0,964981247
1,6,4.0,964982224
> tags.csv
2,60756,funny,1445714994
# ml-latest.zip ml-latest/ ratings.csv, movies.csv, tags.csv, links.csv; left aside: genome-scores.csv, genome-tags.csv
1,307,3.5,1256677221
1,1091,1.5,1256677471
> tags.csv
14,110,epic,1443148538
# kaggle-20m.zip / rating.csv, movie.csv, tag.csv, link.csv; left aside: genome_scores.csv, genome_tags.csv
> rating.csv
"userId","movieId","rating","timestamp"
1,2,3.5,"2005-04-02 23:53:47"
1,29,3.5,"2005-04-02 23:31:16"
1,151,4.0,"2004-09-10 03:08:54"
> movie.csv
"movieId","title","genres"
1,"Toy Story (1995)","Adventure|Animation|Children|Comedy|Fantasy"
2,"Jumanji (1995)","Adventure|Children|Fantasy"
> tag.csv
"userId","movieId","tag","timestamp"
18,4141,"Mark Waters","2009-04-24 18:19:40"
336,1,"pixar","2006-02-04 09:36:04"
> link.csv
"movieId","imdbId","tmdbId"
1,"0114709",862
2,"0113497",8844
> genome_scores.csv
"movieId","tagId","relevance"
1,1,0.025
> genome_tags.csv
"tagId","tag"
1,"007"
# the-movies-dataset / ratings.csv, movies_metadata.csv, links.csv; left aside: credits.csv, keywords.csv, links_small.csv, ratings_small.csv
> ratings.csv
userId,movieId,rating,timestamp
1,110,1.0,1425941529
1,147,4.5,1425942435
> ratings_small.csv
userId,movieId,rating,timestamp
1,31,2.5,1260759144
1,1029,3.0,1260759179
> movies_metadata.csv
adult,belongs_to_collection,budget,genres,homepage,id,imdb_id,original_language,original_title,overview,popularity,poster_path,production_companies,production_countries,release_date,revenue,runtime,spoken_languages,status,tagline,title,video,vote_average,vote_count
False,"{'id': 10194, 'name': 'Toy Story Collection', 'poster_path': '/7G9915LfUQ2lVfwMEEhDsn3kT4B.jpg', 'backdrop_path': '/9FBwqcd9IRruEDUrTdcaafOMKUq.jpg'}",30000000,"[{'id': 16, 'name': 'Animation'}, {'id': 35, 'name': 'Comedy'}, {'id': 10751, 'name': 'Family'}]",http://toystory.disney.com/toy-story,862,tt0114709,en,Toy Story,"Led by Woody, Andy's toys live happily in his room until Andy's birthday brings Buzz Lightyear onto the scene.",21.946943,/rhIRbceoE9lR4veEXuwCC2wARtG.jpg,"[{'name': 'Pixar Animation Studios', 'id': 3}]","[{'iso_3166_1': 'US', 'name': 'United States of America'}]",1995-10-30,373554033,81.0,"[{'iso_639_1': 'en', 'name': 'English'}]",Released,,Toy Story,False,7.7,5415
> links.csv
movieId,imdbId,tmdbId
1,0114709,862
> links_small.csv
movieId,imdbId,tmdbId
1,0114709,862
> keywords.csv
id,keywords
862,"[{'id': 931, 'name': 'jealousy'}, {'id': 4290, 'name': 'toy'}]"
> credits.csv
cast,crew,id
"[{'cast_id': 14, 'character': 'Woody (voice)', 'order': 0}]",[],862
"""  # noqa: E501
SINCE_20M = """
> movies.csv
movieId,title,genres
1,Toy Story (1995),Adventure|Animation|Children|Comedy|Fantasy
2,Jumanji (1995),Adventure|Children|Fantasy
11,"American President, The (1995)",Comedy|Drama|Romance
> links.csv
movieId,imdbId,tmdbId
1,0114709,862
2,0113497,8844
> README.txt
Summary
"""
GENOME = """
> genome-scores.csv
movieId,tagId,relevance
1,1,0.025000000000000022
> genome-tags.csv
tagId,tag
1,007
2,007 (series)
"""
GENRES = {
    "ml-100k.zip": "Animation|Children's|Comedy",
    "ml-1m.zip": "Animation|Children's|Comedy",
    "the-movies-dataset": "Animation|Comedy|Family",
}


@pytest.mark.parametrize("release", RELEASES.split("\n# ")[1:], ids=lambda text: text.split()[0])
def test_a_release_is_read_by_train(release: str, tmp_path: Path) -> None:
    head, text = release.split("\n", 1)
    archive, folder, read = head.split(" ", 2)
    if not text.startswith(">"):
        names = "> ratings.csv\nuserId,movieId,rating,timestamp\n"
        tags = "> tags.csv\nuserId,movieId,tag,timestamp\n336,1,pixar,1139045764"
        text = names + text.replace("> tags.csv", tags) + SINCE_20M + GENOME * ("genome" in read)
    code = "latin-1" if archive in ("ml-100k.zip", "ml-1m.zip") else "utf-8"
    parts = re.findall(r"^> (\S+)\n((?:(?!>).*\n?)*)", text, re.MULTILINE)
    files = {
        folder.strip("/") + "/" * (len(folder) > 1) + name: f"{lines.strip()}\n".encode(code)
        for name, lines in parts
    }
    path = (write_zip if archive.endswith("zip") else write_folder)(tmp_path / archive, files)
    name = archive.removesuffix(".zip")
    given = [f"data={name if name in DATA_SETS else 'files'}", f"data.path={path}"]
    given += [f"data.cache_dir={tmp_path / 'cache'}", "data.min_ratings=1"]
    if name in ("ml-10m", "the-movies-dataset"):  # two to the end, of the others the settings
        quick = f"{QUICK.partition('data.cache_dir=cache ')[2]} data.val_fraction=0"
        shown = train_here(f"{' '.join(given)} {quick} hydra.run.dir=run", tmp_path)
        assert f"read: {read}\n" in shown
        movies = SavedEmbeddings.load(tmp_path / "run").movies
    else:
        data = load_ratings(read_settings(composed("train", given)).data)
        assert f"read: {read}" in data.notes
        movies = data.movies
    ratings = parts[0][1].strip().splitlines()
    assert movies.rating_counts.sum() == len(ratings) - parts[0][0].endswith(".csv")
    toys = movies.row_of(1)
    assert toys is not None
    usual = "Adventure|Animation|Children|Comedy|Fantasy"
    assert (movies.titles[toys][:9], movies.genres[toys]) == (
        "Toy Story",
        GENRES.get(archive, usual),
    )
    assert movies.tags[toys] == ("pixar" if "tag" in read.partition(";")[0] else "")
    assert movies.imdb_id(toys) == ("tt0114709" if "link" in read else None)
    assert ("Misérables, Les (1995)" in movies.titles) == (code == "latin-1")
