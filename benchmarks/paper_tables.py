"""The paper's recommendation tables (section V) beside those of a finished run.

    python benchmarks/paper_tables.py RUN [--write]

For the paper's own data, with the archive at hand:

    python train.py experiment=paper data.path=ml-20m.zip
    python benchmarks/paper_tables.py outputs/latest
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from harness import ROOT, table, write_section

from movie_embed import MovieEmbedError, Recommender

DOCS = ROOT / "docs" / "paper.md"

TOY_STORY = {
    "Toy Story 2 (1999)": 0.97,
    "Bug's Life, A (1998)": 0.85,
    "Finding Nemo (2003)": 0.83,
    "Monsters, Inc. (2001)": 0.83,
    "Toy Story 3 (2010)": 0.82,
    "Incredibles, The (2004)": 0.79,
    "Aladdin (1992)": 0.77,
    "Beauty and the Beast (1991)": 0.75,
    "Tarzan (1999)": 0.73,
    "Babe (1995)": 0.72,
}
HARRY_POTTER = {
    "Harry Potter and the Chamber of Secrets (2002)": 0.98,
    "Harry Potter and the Goblet of Fire (2005)": 0.97,
    "Harry Potter and the Order of the Phoenix (2007)": 0.96,
    "Harry Potter and the Prisoner of Azkaban (2004)": 0.95,
    "Chronicles of Narnia: The Lion, the Witch and the Wardrobe, The (2005)": 0.84,
    "Pirates of the Caribbean: At World's End (2007)": 0.72,
    "Pirates of the Caribbean: The Curse of the Black Pearl (2003)": 0.70,
    "Pirates of the Caribbean: Dead Man's Chest (2006)": 0.69,
    "Ever After: A Cinderella Story (1998)": 0.67,
    "X-Men: The Last Stand (2006)": 0.65,
}
INCEPTION = {
    "Dark Knight, The (2008)": 0.79,
    "Prestige, The (2006)": 0.76,
    "Shutter Island (2010)": 0.71,
    "V for Vendetta (2006)": 0.69,
    "Batman Begins (2005)": 0.68,
    "Lucky Number Slevin (2006)": 0.65,
    "Departed, The (2006)": 0.63,
    "300 (2007)": 0.62,
    "Sherlock Holmes (2009)": 0.61,
    "Last Samurai, The (2003)": 0.61,
}
BOTH = {
    "Incredibles, The (2004)": 0.79,
    "Aladdin (1992)": 0.77,
    "Beauty and the Beast (1991)": 0.75,
    "Tarzan (1999)": 0.73,
    "Pirates of the Caribbean: At World's End (2007)": 0.72,
    "Babe (1995)": 0.72,
    "Pirates of the Caribbean: The Curse of the Black Pearl (2003)": 0.70,
    "Pirates of the Caribbean: Dead Man's Chest (2006)": 0.69,
    "Ever After: A Cinderella Story (1998)": 0.67,
    "X-Men: The Last Stand (2006)": 0.65,
}

Combine = Literal["mean", "max"]
QUESTIONS: dict[tuple[int, ...], tuple[dict[str, float], tuple[Combine, ...]]] = {
    (1,): (TOY_STORY, ("mean",)),
    (4896,): (HARRY_POTTER, ("mean",)),
    (79132,): (INCEPTION, ("mean",)),
    (1, 4896): (BOTH, ("mean", "max")),
}


class Ranking:
    """All movies of a run by their similarity to a query."""

    def __init__(self, recommender: Recommender, movies: tuple[int, ...], combine: Combine) -> None:
        self.recommender = recommender
        self.name = "ours" if len(movies) == 1 else f"ours, combine={combine}"
        everything = recommender.embeddings.movies.embedded
        self.answers = recommender.similar(movies, everything, combine)
        self.rank_of = {answer.movie_id: answer.rank for answer in self.answers}

    def place(self, title: str) -> str:
        """Return where one of the paper's movies is: its rank, or why it has none."""
        try:
            movie = self.recommender.movie_id(title)
        except MovieEmbedError:
            return "not in the data"
        if movie in self.rank_of:
            return str(self.rank_of[movie])
        movies = self.recommender.embeddings.movies
        row = movies.row_of(movie)
        return f"too few ratings: {movies.rating_counts[row]:,}"

    def answer(self, rank: int) -> str:
        """Return our movie of a rank with its similarity."""
        found = self.answers[rank - 1]
        return f"{found.title} ({found.year}) {found.similarity:.2f}"

    def summary(self, titles: Iterable[str]) -> str:
        """Return how many of the paper's ten are among our first ten, and how many cannot be."""
        places = [self.place(title) for title in titles]
        ranked = [int(place) for place in places if place.isdigit()]
        missing = len(places) - len(ranked)
        first = sum(rank <= len(places) for rank in ranked)
        return f"{self.name}: {first} of the paper's {len(places)} in the first {len(places)}" + (
            f", {missing} without a vector" if missing else ""
        )


def beside(recommender: Recommender, movies: tuple[int, ...]) -> str:
    """Return the paper's list beside ours, and where its movies are in ours."""
    listed, ways = QUESTIONS[movies]
    rankings = [Ranking(recommender, movies, combine) for combine in ways]
    names = [ranking.name for ranking in rankings]
    rows = [
        [rank, f"{title} {similarity:.2f}"]
        + [ranking.place(title) for ranking in rankings]
        + [ranking.answer(rank) for ranking in rankings]
        for rank, (title, similarity) in enumerate(listed.items(), start=1)
    ]
    heading = ["", "the paper", *(f"rank in {name}" for name in names), *names]
    query = " and ".join(recommender.title(movie) for movie in movies)
    found = "; ".join(ranking.summary(listed) for ranking in rankings)
    return f"**{query}.** {found}.\n\n{table(heading, rows)}"


def main() -> None:
    """Print the tables, or write them into the docs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--write", action="store_true", help=f"write {DOCS.name}")
    options = parser.parse_args()
    recommender = Recommender.load(options.run)
    saved = recommender.embeddings
    movies, least = saved.movies.embedded, saved.min_ratings
    note = f"data={saved.data_name}, {movies:,} movies of {least:,} ratings or more"
    text = "\n\n".join([note, *(beside(recommender, question) for question in QUESTIONS)])
    if options.write:
        write_section("paper_tables", text, DOCS)
    else:
        print(text)


if __name__ == "__main__":
    main()
