"""How titles that people write are matched: python scripts/match_titles.py TITLES RUN.

TITLES has a title and its year a line, with a tab between; RUN is a trained run. Each title is
matched as in a file of ratings, with its year and alone. Alone it is right where it leads to the
movie that it leads to with the year. With the year, titles and years that are not those of the
movie are printed, to be read by eye.
"""

import sys
import tempfile
from argparse import ArgumentParser
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone need not be installed

from movie_embed import Recommender
from movie_embed.answers.results import Match


def main(titles: Path, run: str) -> None:
    """Print what titles with their years are taken for, then the numbers."""
    recommender = Recommender.load(run)
    lines = titles.read_text(encoding="utf-8").splitlines()
    with_year, alone = (
        matches(recommender, [line.split("\t")[:width] for line in lines]) for width in (2, 1)
    )
    for match in with_year:
        exact = match.how == "title and year" and match.title[-6:] == str(match.taken_for)[-6:]
        if match.taken_for and not exact and not match.how.startswith("again"):
            print(f"{match.title}: {match.taken_for}, by {match.how}")
    counts = Counter(map(verdict, with_year, alone))
    known = sum(match.movie_id is not None for match in with_year)
    print(f"with the year: {known} matched, {len(lines) - known} left out")
    print("title alone:", ", ".join(f"{number} {name}" for name, number in sorted(counts.items())))


def matches(recommender: Recommender, rows: list[list[str]]) -> list[Match]:
    """Return what rows of a title, and perhaps a year, are taken for, each in a file of its own."""
    header = "title\tyear"[: 5 * len(rows[0])]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "titles.tsv"
        text = "\n".join("\t".join(row) for row in rows)
        path.write_text(f"{header}\n{text}\n", encoding="utf-8")
        return recommender.read_movies(path).matches


def verdict(with_year: Match, alone: Match) -> str:
    """Say whether a title alone leads to the movie that it leads to with the year."""
    if alone.movie_id is None:
        return "left out"
    return "right" if alone.movie_id == with_year.movie_id else "wrong"


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("titles", type=Path)
    parser.add_argument("run")
    main(**vars(parser.parse_args()))
