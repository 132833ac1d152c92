"""How well users and movies are served that the model knows little of.

    python benchmarks/newcomers.py users outputs/latest
    python benchmarks/newcomers.py movies outputs/latest [--no-tags] [--write]
    python benchmarks/newcomers.py few outputs/all [--known 300]

`users`: users of a run are taken for new: fitted to some of their training ratings with the movies
frozen, then tested on the ratings that the run held out. Run it with the run's data where it was.

`movies`: every tenth of a run's movies is hidden in turn, as if it were rare: the map from content
is fitted to the other movies, and the users' vectors are fitted anew without the hidden movies'
ratings, so that these tell nothing of them. Each hidden movie is then estimated in several ways
from content and from a few of its ratings, and compared with the vector it had learned.

`few`: from how many ratings a movie's own vector is worth more, of a run with save.min_ratings=1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from harness import DOCS, command_line, table, write_section
from numpy.typing import NDArray
from omegaconf import OmegaConf
from sequels import genre_precision, sequel_pairs, sequel_recall

from movie_embed.answers.filters import Catalogue
from movie_embed.cli import read_settings
from movie_embed.config import TrainConfig
from movie_embed.data.loading import load_ratings
from movie_embed.data.movies import MovieTable
from movie_embed.data.splits import TRAIN, VAL, split
from movie_embed.embeddings.content import ContentMap, estimate_rare
from movie_embed.embeddings.fold_in import fold_in, predict_stars
from movie_embed.embeddings.saved import SavedEmbeddings, UserEmbeddings
from movie_embed.embeddings.spaces import Spaces, unit
from movie_embed.evaluation import errors, recall, top_rows

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Row = tuple[object, ...]

PAGE = DOCS / "cold_start.md"
GIVEN, USERS = (1, 5, 20, None), 3_000
COUNTS, FOLDS = (0, 1, 3, 10, 30, 100), 10
THRESHOLDS, BINS, LEARNED = (1, 2, 5, 10, 20, 50, 100), ((1, 1), (2, 4), (5, 9), (10, 19)), 20
WEIGHTS = (1, 0.9, 0.85, 0.8, 0.75, 0.7, 0.5)
SEED, K = 0, 10


def users(run: Path) -> None:
    """Predict somebody new, by number of ratings given."""
    config = read_settings(OmegaConf.merge(TrainConfig, OmegaConf.load(run / "config.yaml")))
    data = load_ratings(config.data)
    parts = split(data, config.data.val_fraction, config.seed)
    train, held_out = (data.ratings.columns(parts == part) for part in (TRAIN, VAL))
    saved = SavedEmbeddings.load(run)
    known = Spaces(saved).users
    if not np.array_equal(data.movies.ids, saved.movies.ids):
        raise SystemExit("some movies were met only in validation: raise data.min_ratings")
    means = np.bincount(train[1], train[2]) / np.bincount(train[1])
    trained = np.column_stack([known.vectors, known.biases])
    chosen = np.random.default_rng(SEED).permutation(len(known.ids))[:USERS].tolist()
    average = saved.average_user.astype(np.float64)

    def predictions(user: int, given: int | None) -> tuple[list[Floats], Floats]:
        mine, rest = (slice(*np.searchsorted(c[0], [user, user + 1])) for c in (train, held_out))
        asked = np.random.default_rng([SEED, user]).permutation(np.arange(mine.start, mine.stop))
        movies, stars = (column[asked[:given]] for column in train[1:])
        taste = fitted(saved, (saved.vectors[movies], saved.biases[movies]), stars, average)
        rows, tastes = held_out[1][rest], np.stack([taste, trained[user]])
        scores = tastes[:, :-1] @ saved.vectors[rows].T + tastes[:, -1:] + saved.biases[rows]
        new, old = predict_stars(scores, saved.rating_range)
        return [new, means[rows], old], held_out[2][rest]

    sizes, rows = np.bincount(train[0], minlength=len(known.ids)), []
    for given in GIVEN:
        found = [predictions(user, given) for user in chosen if sizes[user] >= (given or 0)]
        ways = ([(each[way], stars) for each, stars in found] for way in range(3))
        rows.append((given or "all", *(f"{errors(way).rmse:.3f}" for way in ways)))
    heading = ("ratings given", "folded in", "movie mean", "trained on all")
    write_section("fold_in", table(heading, rows), PAGE)


def fitted(
    saved: SavedEmbeddings, frozen: tuple[Any, Any], stars: Any, prior: Floats, pull: float = 1.0
) -> Floats:
    """Return a vector and bias fitted to ratings, those of the other side frozen."""
    return fold_in(*frozen, stars, saved.rating_range, pull * saved.fold_in_ridge, prior)


class Hidden:
    """One fold: what is known without the hidden movies."""

    def __init__(self, saved: SavedEmbeddings, users: UserEmbeddings, hidden: Rows) -> None:
        self.saved, self.users, self.hidden = saved, users, hidden
        self.targets = np.column_stack([saved.vectors, saved.biases]).astype(np.float64)
        self.kept = np.setdiff1d(np.arange(len(saved.vectors)), hidden)
        movies = saved.movies.take(np.concatenate([self.kept, hidden]), len(self.kept))
        content = ContentMap.fit(movies, self.targets[self.kept])
        self.content = content(movies, range(len(self.kept), len(movies)))
        self.mean = np.tile(self.targets[self.kept].mean(axis=0), (len(hidden), 1))
        prior = saved.average_user.astype(np.float64)
        self.refitted = np.array([self._refit(user, prior) for user in range(len(users.ids))])

    def _refit(self, user: int, prior: Floats) -> Floats:
        """Return a user as fitted to the ratings of kept movies only."""
        rows, stars = self.users.ratings_of(user)
        known = np.isin(rows, self.kept)
        movies = self.targets[rows[known]]
        return fitted(self.saved, (movies[:, :-1], movies[:, -1]), stars[known], prior)

    def drawn(self, priors: Floats, count: int, strength: float) -> Floats:
        """Return priors drawn by `count` ratings of each movie, as many as it has at most."""
        estimates = []
        for movie, prior in zip(self.hidden.tolist(), priors, strict=True):
            ratings = np.flatnonzero(self.users.rated == movie)
            chosen = np.random.default_rng([SEED, movie]).permutation(ratings)[:count]
            raters = np.searchsorted(self.users.starts, chosen, side="right") - 1
            users, stars = self.refitted[raters], self.users.levels[self.users.stars[chosen]]
            frozen = users[:, :-1], users[:, -1]
            estimates.append(fitted(self.saved, frozen, stars, prior, strength))
        return np.array(estimates)

    def by_genres(self) -> Floats:
        """Return the mean of the kept movies whose genres are most alike (Jaccard)."""
        flags = np.column_stack(list(Catalogue(self.saved.movies).masks.values())).astype(float)
        ours, theirs = flags[self.hidden], flags[self.kept]
        shared = ours @ theirs.T
        either = ours.sum(1)[:, None] + theirs.sum(1) - shared
        alike = shared / np.maximum(either, 1)
        nearest = alike == alike.max(axis=1, keepdims=True)
        return (nearest / nearest.sum(axis=1, keepdims=True)) @ self.targets[self.kept]

    def estimates(self, count: int, strength: float) -> dict[str, Floats]:
        """Return the hidden movies as estimated in several ways."""
        rng = np.random.default_rng([SEED, int(self.hidden[0])])
        return {
            "random movie": self.targets[rng.choice(self.kept, len(self.hidden))],
            "genres, nearest": self.by_genres(),
            "ratings alone": self.drawn(self.mean, count, strength),
            "content alone": self.content,
            "content and ratings": self.drawn(self.content, count, strength),
        }

    def score(self, estimates: Floats) -> Floats:
        """Return cosine to the learned vector and recall of its neighbours, shape (movies, 2)."""
        learned, kept = unit(self.targets[self.hidden, :-1]), unit(self.targets[self.kept, :-1])
        guessed = unit(estimates[:, :-1])
        true, found = (top_rows(queries @ kept.T, K) for queries in (learned, guessed))
        return np.column_stack([(learned * guessed).sum(axis=1), shared(true, found)])


def shared(true: Rows, found: Rows) -> Floats:
    """Return the share of each list of true neighbours that was found."""
    hits = (found[:, :, None] == true[:, None]).any(axis=2)
    return np.asarray(recall(hits, np.full(len(hits), K)))


def movies(run: Path, strength: float = 1.0, no_tags: bool = False, write: bool = False) -> None:
    """Compare estimates of hidden movies with what they had learned."""
    saved = SavedEmbeddings.load(run)
    users = Spaces(saved).users
    if no_tags:
        saved = replace(saved, movies=replace(saved.movies, tags=[""] * len(saved.movies)))
    order = np.random.default_rng(SEED).permutation(len(saved.vectors))
    folds = [Hidden(saved, users, np.sort(part)) for part in np.array_split(order, FOLDS)]
    cells: dict[str, list[str]] = {}
    for count in COUNTS:
        estimates = [fold.estimates(count, strength) for fold in folds]
        for name in estimates[0]:
            scores = [fold.score(each[name]) for fold, each in zip(folds, estimates, strict=True)]
            cosine, found = np.concatenate(scores).mean(axis=0)
            cells.setdefault(name, []).append(f"{cosine:.2f} / {found:.2f}")
    heading = ("mean cosine / recall@10", *(f"{count} ratings" for count in COUNTS))
    text = table(heading, [(name, *row) for name, row in cells.items()])
    if write:
        write_section("cold_start", text, PAGE)
    else:
        print(text)


def few(run: Path, known: int = 300) -> None:
    """Compare neighbours by own vectors and by estimates, for movies with few ratings."""
    saved = SavedEmbeddings.load(run)
    users = Spaces(saved).users
    pair = ("sequel recall@10", "genre precision@10")
    heading: Row = ("answers have", "neighbours with 1 to 4 ratings", *pair)
    parts = [table(heading, list(by_threshold(saved, known)))]
    heading = ("ratings", "movies", *(f"{k}, {m}" for k in ("own", "estimate") for m in pair))
    parts.append(table(heading, list(by_ratings(saved, users))))
    heading = ("estimated / an estimate counts", *WEIGHTS)
    parts.append(table(heading, list(by_weight(saved))))
    write_section("few_ratings", "\n\n".join(parts), PAGE)


def nearest(similarities: NDArray[np.float32], queries: Rows) -> Rows:
    """Return the ten nearest of each query, but for itself."""
    similarities[np.arange(len(queries)), queries] = -np.inf
    return top_rows(similarities, K)


def worth(movies: MovieTable, queries: Rows, top: Rows, known: int) -> tuple[str, str]:
    """Return sequel recall, of sequels with so many ratings, and genre precision."""
    rows = dict(zip(queries.tolist(), top, strict=True))
    pairs = sequel_pairs(movies.titles[: movies.embedded])
    asked = [(a, b) for a, b in pairs if a in rows and movies.rating_counts[b] >= known]
    return f"{sequel_recall(rows, asked):.3f}", f"{genre_precision(rows, movies.genres):.3f}"


def by_threshold(saved: SavedEmbeddings, known: int) -> Iterator[Row]:
    """Yield what the neighbours of well-known movies are worth, of movies with so many ratings."""
    counts = saved.movies.rating_counts[: len(saved.vectors)]
    queries, normalised = np.flatnonzero(counts >= known), unit(saved.vectors)
    similarities = normalised[queries] @ normalised.T
    for threshold in THRESHOLDS:
        top = nearest(np.where(counts >= threshold, similarities, -2), queries)
        obscure = f"{np.mean(counts[top] < 5):.3f}"
        yield (threshold, obscure, *worth(saved.movies, queries, top, known))


def by_ratings(saved: SavedEmbeddings, users: UserEmbeddings) -> Iterator[Row]:
    """Yield what the neighbours of movies with few ratings are worth, by both kinds of vectors."""
    counts = saved.movies.rating_counts
    learned = np.flatnonzero(counts[: len(saved.vectors)] >= LEARNED)
    order = np.concatenate([learned, np.setdiff1d(np.arange(len(counts)), learned)])
    movies, back = saved.movies.take(order, len(learned)), np.argsort(order)
    fewer = replace(
        saved, vectors=saved.vectors[learned], biases=saved.biases[learned], movies=movies
    )
    rest = estimate_rare(fewer, replace(users, rated=back[users.rated]))
    estimates = np.vstack([fewer.vectors, rest.vectors])
    own = np.zeros_like(estimates)
    own[back[: len(saved.vectors)]] = saved.vectors
    every = replace(movies, embedded=len(movies))  # all have one vector or the other
    for low, high in BINS:
        few = (movies.rating_counts >= low) & (movies.rating_counts <= high) & own.any(axis=1)
        queries = np.flatnonzero(few)
        cells: list[str] = []
        for vectors in (own, estimates):
            top = top_rows(unit(vectors[queries]) @ unit(fewer.vectors).T, K)
            cells += worth(every, queries, top, LEARNED)
        yield (f"{low} to {high}", f"{len(queries):,}", *cells)


def by_weight(saved: SavedEmbeddings) -> Iterator[Row]:
    """Yield the share of true neighbours found where a part of the movies is only estimated."""
    known = np.flatnonzero(saved.movies.rating_counts[: len(saved.vectors)] >= LEARNED)
    for share in (0.2, 0.75):
        order = np.random.default_rng(SEED).permutation(known)
        shown = int(len(order) * (1 - share))
        movies, true = saved.movies.take(order, shown), unit(saved.vectors[order])
        targets = np.column_stack([saved.vectors, saved.biases])[order[:shown]]
        content = ContentMap.fit(movies, targets)(movies, range(shown, len(order)))
        guessed = np.vstack([true[:shown], unit(content[:, :-1])])
        queries = np.argsort(-movies.rating_counts[:shown])[:500]
        wanted = nearest(true[queries] @ true.T, queries)
        cells = []
        for weight in WEIGHTS:
            similarities = guessed[queries] @ guessed.T
            similarities[:, shown:] *= weight
            found = nearest(similarities, queries)
            cells.append(f"{shared(wanted, found).mean():.3f} / {np.mean(found >= shown):.2f}")
        yield (f"{share:.0%}", *cells)


if __name__ == "__main__":
    command_line(__doc__, users, movies, few)
