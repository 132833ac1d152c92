"""Files of somebody's own ratings, in the forms in which services and people keep them."""

from __future__ import annotations

import io
import json

from synthetic import write_zip

# id, title, number of ratings, IMDb, TMDB
MOVIES = [
    (10, "Toy Story (1995)", 900, 114709, 862),
    (20, "Matrix, The (1999)", 800, 133093, 603),
    (30, "Star Wars: Episode IV - A New Hope (1977)", 700, 76759, 11),
    (40, "Amelie (Fabuleux destin d'Amélie Poulain, Le) (2001)", 600, 211915, 194),
    (50, "Monsters, Inc. (2001)", 500, 198781, 585),
    (60, "Lion King, The (1994)", 400, 110357, 8587),
    (70, "Cinderella (1950)", 90, 42332, 11224),
    (80, "Cinderella (2015)", 80, 1661199, 150689),
    (862, "Heat (1995)", 300, 113277, 949),
    (603, "300 (2007)", 200, 416449, 1271),
    (90, "Split (2017)", 150, 4972582, 381288),
    (100, "Marvel's The Avengers (2012)", 140, 848228, 24428),
    (110, "Guardians of the Galaxy 2 (2017)", 130, 3896198, 283995),
]  # fmt: skip
RATED = {10: 4.5, 20: 4.0, 40: 5.0, 50: 3.5}
LETTERBOXD = """Date,Name,Year,Letterboxd URI,Rating
2024-03-01,Toy Story,1995,https://boxd.it/0aX0,4.5
2024-03-02,The Matrix,1999,https://boxd.it/1aX1,4
2024-03-09,"Monsters, Inc.",2001,https://boxd.it/8aX8,3.5
2024-03-10,Amélie,2001,https://boxd.it/9aX9,5
"""
IMDB = """Const,Your Rating,Date Rated,Title,URL,Title Type,IMDb Rating,Year,Genres
tt0114709,9,2024-03-01,Toy Story,https://imdb.com/title/tt0114709/,Movie,8.3,1995,"Drama, War"
tt0133093,8,2024-03-02,Matrix,https://imdb.com/title/tt0133093/,Movie,8.7,1999,Drama
tt0211915,10,2024-03-03,Il favoloso mondo di Amélie,https://imdb.com,Movie,8.3,2001,Drama
tt0198781,7,2024-03-04,"Monsters, Inc.",https://imdb.com,Movie,8.1,2001,Drama
tt0903747,10,2024-03-05,Breaking Bad,https://imdb.com,TV Series,9.5,2008,Drama
"""
OLD_IMDB = (
    '"position","const","created","Title","Title type","You rated","IMDb Rating","Year","URL"\n'
    '"1","tt0114709","x","Toy Story","Feature Film","9","8.3","1995","u"\n'
    '"2","tt0133093","x","The Matrix","Feature Film","8","8.7","1999","u"\n'
    '"3","tt0211915","x","Amelie","Feature Film","10","8.3","2001","u"\n'
    '"4","tt0198781","x","Monsters, Inc.","Feature Film","7","8.1","2001","u"\n'
    '"5","tt0903747","x","Breaking Bad","Serie TV","7","8.1","2008","u"\n'
)
TRAKT = """rated_at,type,title,year,trakt_rating,trakt_id,imdb_id,tmdb_id,season_number,rating
2024-03-01T10:00:00Z,movie,Toy Story,1995,8.3,1,tt0114709,862,,9
2024-03-01T10:00:00Z,movie,The Matrix,1999,8.3,2,tt0133093,603,,8
2024-03-01T10:00:00Z,movie,Amélie,2001,8.3,3,tt0211915,194,,10
2024-03-01T10:00:00Z,movie,"Monsters, Inc.",2001,8.3,4,tt0198781,585,,7
2024-03-01T10:00:00Z,episode,Star Wars: The Clone Wars,2008,8.3,5,,,7,9
"""
TMDB = """TMDb ID,IMDb ID,Type,Name,Release Date,Season Number,Rating,Your Rating
862,tt0114709,movie,Toy Story,1995-06-01T00:00:00Z,,8.1,9.0
603,tt0133093,movie,The Matrix,1999-06-01T00:00:00Z,,8.1,8.0
194,tt0211915,movie,Amélie,2001-06-01T00:00:00Z,,8.1,10.0
585,tt0198781,movie,"Monsters, Inc.",2001-06-01T00:00:00Z,,8.1,7.0
1396,tt0903747,tv,Breaking Bad,2008-06-01T00:00:00Z,1,8.1,7.0
"""
SIMKL = """SIMKL_ID,Title,Type,Year,Watchlist,LastEpWatched,WatchedDate,Rating,Memo,TVDB,TMDB,IMDB
1,Toy Story,movie,1995,completed,,,9,,,862,tt0114709
2,The Matrix,movie,1999,completed,,,8,,,603,
3,Amélie,movie,2001,completed,,,10,,,,tt0211915
4,"Monsters, Inc.",movie,2001,completed,,,7,,,585,
5,Breaking Bad,tv,2008,watching,s1e2,,9,,,,
6,Heat,movie,1995,plan to watch,,,,,,,
"""
FILMWEB = """timestamp,user_comment,user_vote,global_rating,original_title,pl_title,year
1,x,9,7.9,Toy Story,Toy Story,1995
2,,8,7.9,The Matrix,Matrix,1999
3,,10,7.9,Le fabuleux destin d'Amélie Poulain,Amelia,2001
4,,7,7.9,"Monsters, Inc.",Potwory i spółka,2001
"""
SITE = """movie_id,imdb_id,tmdb_id,rating,average_rating,title
10,0114709,862,4.5,4.1,Toy Story (1995)
20,0133093,603,4.0,4.1,"Matrix, The (1999)"
40,0211915,194,5.0,4.1,Amélie (2001)
50,0198781,585,3.5,4.1,"Monsters, Inc. (2001)"
999999,0000001,1,3.5,4.1,Brand New (2030)
"""
TRAKT_JSON = [
    {
        "rated_at": "2024-03-01T10:00:00Z",
        "rating": stars * 2,
        "type": "movie",
        "movie": {"title": title, "year": year, "ids": {"trakt": 1, "slug": "x", "imdb": imdb}},
    }
    for title, year, imdb, stars in (
        ("Toy Story", 1995, "tt0114709", 4.5),
        ("The Matrix", 1999, None, 4),
        ("Amélie", 2001, "tt0211915", 5),
        ("Monsters, Inc.", 2001, None, 3.5),
    )
]
SIMKL_JSON = {
    "movies": [
        {"user_rating": each["rating"], "movie": {**each["movie"], "ids": {"simkl": 1}}}  # type: ignore[dict-item]
        for each in TRAKT_JSON
    ],
    "shows": [{"user_rating": 9, "show": {"title": "Heat", "year": 1995, "ids": {"simkl": 2}}}],
}
TABLE = """title,stars
Toy Story,4.5
The Matrix,4
Amélie,5
"Monsters, Inc.",3.5
"""
YEARS = """Movie Title,Release Year,My Rating
Toy Story,1995,4.5
The Matrix,1998,4
amelie,2001,5
Monsters Inc,2001,3.5
"""


def changed(text: str, *pairs: tuple[str, str]) -> str:
    for old, new in pairs:
        text = text.replace(old, new)
    return text


def zipped(members: dict[str, str]) -> bytes:
    path = io.BytesIO()
    write_zip(path, {name: text.encode() for name, text in members.items()})  # type: ignore[arg-type]
    return path.getvalue()


PEOPLE = "".join(f"Ann,{row.replace(',', ',862,', 1)}\n" for row in YEARS.splitlines()[1:4])
PEOPLE = changed(PEOPLE, (",1995", ""), (",1998", ""), (",2001", "")) + "Ann,Monsters Inc,7,3.5\n"
GERMAN = changed(TABLE, ('"', ""), (",", ";"), (".5", ",5"), ("Monsters;", "Monsters,"))
READ: dict[str, str | bytes] = {
    "Letterboxd": LETTERBOXD,
    "Letterboxd zip": zipped(
        {
            "ratings.csv": LETTERBOXD,
            "diary.csv": LETTERBOXD,
            "watchlist.csv": "Date,Name,Year,Letterboxd URI\n",
            "deleted/ratings.csv": "",
        }
    ),
    "Letterboxd renamed": changed(LETTERBOXD, ("Name", "title"), ("Rating", "rating")),
    "IMDb": IMDB,
    "IMDb renamed": changed(
        IMDB, ("Const", "const"), ("Your Rating", "rating"), ("Title,", "title,")
    ),
    "IMDb before 2017": OLD_IMDB,
    "Trakt": TRAKT,
    "Trakt JSON": json.dumps(TRAKT_JSON),
    "TMDB": TMDB,
    "Simkl": SIMKL,
    "Simkl JSON": json.dumps(SIMKL_JSON),
    "Filmweb": FILMWEB,
    "MovieLens site": SITE,
    "titles": TABLE,
    "years apart, column names of a person": YEARS,
    "capitals": changed(TABLE, ("title,stars", "Title , RATING")),
    "semicolons and decimal commas": GERMAN,
    "a line that names the separator": f"sep=;\n{GERMAN}",
    "decimal commas in quotes": changed(TABLE, ("4.5", '"4,5"'), ("3.5", '"3,5"')),
    "tabs": "title\tstars\nToy Story\t4.5\nThe Matrix\t4\nAmélie\t5\nMonsters, Inc.\t3.5\n",
    "Windows": changed(TABLE, ("\n", "\r\n")).encode("cp1252"),
    "UTF-8 with its mark": TABLE.encode("utf-8-sig"),
    "UTF-16": TABLE.encode("utf-16"),
    "a blank and a zero": f"{TABLE}Heat,\n300,0\n",
    "a pandas index": "\n".join(f"{n or ''},{row}" for n, row in enumerate(TABLE.splitlines())),
    "JSON": json.dumps({"Toy Story": 4.5, "The Matrix": 4, "Amélie": 5, "Monsters, Inc.": 3.5}),
    "MovieLens ids": "userId,movieId,rating\n1,10,4.5\n1,20,4\n1,40,5\n1,50,3.5\n",
    "names of people, ids of a site": f"Name,Movie,Film ID,Rating\n{PEOPLE}",
    "floats as ids": "movieId,rating\n10.0,4.5\n20.0,4\n40.0,5\n50.0,3.5\n",
    "IMDb ids": "imdbId,rating\ntt0114709,4.5\n0133093,4\ntt0211915,5\ntt0198781,3.5\n",
    "TMDB ids called movie_id": "movie_id,rating\n862,4.5\n603,4\n194,5\n585,3.5\n",
    "TMDB ids called movie_id beside titles": (
        "movie_id,title,rating\n862,Toy Story,4.5\n603,The Matrix,4\n194,Amélie,5\n"
        '585,"Monsters, Inc.",3.5\n'
    ),
    "a later rating": f"{TABLE.replace('Toy Story,4.5', 'Toy Story,1')}Toy Story (1995),4.5\n",
    "an unknown movie and a series": f"{TABLE}Dune: Part Two (2024),4\nBand of Brothers,5\n",
}
