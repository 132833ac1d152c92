"""How near the vectors of rare movies come to learned ones; writes the table in docs/cold_start.md.

Every tenth of a run's movies is hidden in turn, as if it were rare: the map from content is fitted
to the other movies, and the users' vectors are fitted anew without the hidden movies' ratings, so
that these tell nothing of them. Each hidden movie is then estimated in several ways from content
and from a few of its ratings, and compared with the vector it had learned.

    python benchmarks/cold_start.py outputs/latest
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from movie_embed.answers.filters import Catalogue
from movie_embed.embeddings.content import MAP_RIDGE, ContentMap
from movie_embed.embeddings.fold_in import fold_in
from movie_embed.embeddings.saved import SavedEmbeddings, UserEmbeddings
from movie_embed.embeddings.spaces import unit
from movie_embed.storage import write_text

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]

DOCS = Path(__file__).resolve().parents[1] / "docs" / "cold_start.md"
MARKS = ("<!-- table -->", "<!-- end -->")
COUNTS = (0, 1, 3, 10, 30, 100)
FOLDS, NEIGHBOURS, SEED = 10, 10, 0


class Hidden:
    """One fold: what is known without the hidden movies."""

    def __init__(
        self, saved: SavedEmbeddings, users: UserEmbeddings, hidden: Rows, map_ridge: float
    ) -> None:
        self.saved, self.users, self.hidden = saved, users, hidden
        self.targets = np.column_stack([saved.vectors, saved.biases]).astype(np.float64)
        self.kept = np.setdiff1d(np.arange(len(saved.vectors)), hidden)
        table = saved.movies.take(np.concatenate([self.kept, hidden]), len(self.kept))
        content = ContentMap.fit(table, self.targets[self.kept], map_ridge)
        self.content = content(table, range(len(self.kept), len(table)))
        self.mean = np.tile(self.targets[self.kept].mean(axis=0), (len(hidden), 1))
        self.refitted = self._refit_users()

    def _refit_users(self) -> Floats:
        """Return the users as fitted to their ratings of kept movies only."""
        prior = self.saved.average_user.astype(np.float64)
        return np.array([self._refit(user, prior) for user in range(len(self.users.ids))])

    def _refit(self, user: int, prior: Floats) -> Floats:
        rows, stars = self.users.ratings_of(user)
        known = np.isin(rows, self.kept)
        targets, low_high = self.targets[rows[known]], self.saved.rating_range
        ridge = self.saved.fold_in_ridge
        return fold_in(targets[:, :-1], targets[:, -1], stars[known], low_high, ridge, prior)

    def drawn(self, priors: Floats, count: int, shrinkage: float) -> Floats:
        """Return priors drawn by `count` ratings of each movie, as many as it has at most."""
        return np.array(
            [self._drawn(*pair, count, shrinkage) for pair in zip(self.hidden, priors, strict=True)]
        )

    def _drawn(self, movie: int, prior: Floats, count: int, shrinkage: float) -> Floats:
        ratings = np.flatnonzero(self.users.rated == movie)
        rng = np.random.default_rng([SEED, int(movie)])
        chosen = rng.permutation(ratings)[:count]
        raters = np.searchsorted(self.users.starts, chosen, side="right") - 1
        users, stars = self.refitted[raters], self.users.levels[self.users.stars[chosen]]
        ridge = shrinkage * self.saved.fold_in_ridge
        low_high = self.saved.rating_range
        return fold_in(users[:, :-1], users[:, -1], stars, low_high, ridge, prior)

    def by_genres(self, flags: Floats) -> Floats:
        """Return the mean of the kept movies whose genres are most alike (Jaccard)."""
        ours, theirs = flags[self.hidden], flags[self.kept]
        shared = ours @ theirs.T
        either = ours.sum(1)[:, None] + theirs.sum(1) - shared
        alike = shared / np.maximum(either, 1)
        nearest = alike == alike.max(axis=1, keepdims=True)
        return (nearest / nearest.sum(axis=1, keepdims=True)) @ self.targets[self.kept]

    def at_random(self) -> Floats:
        """Return the vector of a kept movie drawn at random for each."""
        rng = np.random.default_rng([SEED, int(self.hidden[0])])
        return self.targets[rng.choice(self.kept, len(self.hidden))]

    def score(self, estimates: Floats) -> Floats:
        """Return cosine to the learned vector and recall of its neighbours, shape (movies, 2)."""
        learned, kept = unit(self.targets[self.hidden, :-1]), unit(self.targets[self.kept, :-1])
        guessed = unit(estimates[:, :-1])
        true, found = (_nearest(queries @ kept.T) for queries in (learned, guessed))
        recall = [len(set(t) & set(f)) / NEIGHBOURS for t, f in zip(true, found, strict=True)]
        return np.column_stack([(learned * guessed).sum(axis=1), recall])


def _nearest(cosines: Floats) -> list[list[int]]:
    nearest: list[list[int]] = np.argsort(-cosines, axis=1, kind="stable")[:, :NEIGHBOURS].tolist()
    return nearest


def folds(run: Path, map_ridge: float, tags: bool) -> Iterator[Hidden]:
    """Yield each tenth of a run's movies, hidden."""
    saved, users = SavedEmbeddings.load(run), SavedEmbeddings.load_users(run)
    if not tags:
        saved = replace(saved, movies=replace(saved.movies, tags=[""] * len(saved.movies)))
    order = np.random.default_rng(SEED).permutation(len(saved.vectors))
    for hidden in np.array_split(order, FOLDS):
        yield Hidden(saved, users, np.sort(hidden), map_ridge)


def measure(
    run: Path, shrinkage: float, map_ridge: float, tags: bool
) -> dict[str, dict[int, Floats]]:
    """Return mean cosine and recall by way of estimating and number of ratings."""
    scores: dict[str, dict[int, list[Floats]]] = {}
    for fold in folds(run, map_ridge, tags):
        flags = np.column_stack(list(Catalogue(fold.saved.movies).masks.values())).astype(float)
        for count in COUNTS:
            estimates = {
                "random movie": fold.at_random(),
                "genres, nearest": fold.by_genres(flags),
                "ratings alone": fold.drawn(fold.mean, count, shrinkage),
                "content alone": fold.content,
                "content and ratings": fold.drawn(fold.content, count, shrinkage),
            }
            for name, estimate in estimates.items():
                scores.setdefault(name, {}).setdefault(count, []).append(fold.score(estimate))
    return {
        name: {count: np.concatenate(parts).mean(axis=0) for count, parts in by_count.items()}
        for name, by_count in scores.items()
    }


def as_table(means: dict[str, dict[int, Floats]]) -> str:
    """Return a Markdown table: ways of estimating by number of ratings."""
    heading = "| mean cosine / recall@10 | " + " | ".join(f"{n} ratings" for n in COUNTS) + " |"
    rule = "| --- |" + " --- |" * len(COUNTS)
    rows = [
        f"| {name} | " + " | ".join(f"{by[n][0]:.2f} / {by[n][1]:.2f}" for n in COUNTS) + " |"
        for name, by in means.items()
    ]
    return "\n".join([heading, rule, *rows])


def write_between_marks(path: Path, table: str) -> None:
    """Replace what stands between the marks of a page."""
    before, _, rest = path.read_text(encoding="utf-8").partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    write_text(path, f"{before}{MARKS[0]}\n{table}\n{MARKS[1]}{after}")


def main() -> None:
    """Measure a run and print the table, or write it into the docs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--shrinkage", type=float, default=1.0)
    parser.add_argument("--map-ridge", type=float, default=MAP_RIDGE)
    parser.add_argument("--no-tags", action="store_true", help="as if nobody had given any")
    parser.add_argument("--write", action="store_true", help=f"write {DOCS.name}")
    arguments = parser.parse_args()
    settings = arguments.shrinkage, arguments.map_ridge, not arguments.no_tags
    table = as_table(measure(arguments.run, *settings))
    print(table)
    if arguments.write:
        write_between_marks(DOCS, table)


if __name__ == "__main__":
    main()
