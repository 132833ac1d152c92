"""From how many ratings a movie's own vector is worth more; writes tables in docs/cold_start.md.

python train.py data=files data.path=FOLDER save.min_ratings=1 hydra.run.dir=outputs/all
python benchmarks/few_ratings.py outputs/all
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from harness import ROOT, table, write_section
from neighbours import K, sequel_pairs
from numpy.typing import NDArray

from movie_embed.data.movies import MovieTable, split_genres
from movie_embed.embeddings.content import ContentMap, estimate_rare
from movie_embed.embeddings.saved import SavedEmbeddings, UserEmbeddings
from movie_embed.embeddings.spaces import unit

Floats = NDArray[np.float32]
Rows = NDArray[np.intp]
Row = tuple[object, ...]

THRESHOLDS = (1, 2, 5, 10, 20, 50, 100)
BINS = ((1, 1), (2, 4), (5, 9), (10, 19))
LEARNED, SEED = 20, 0


def nearest(similarities: Floats, queries: Rows) -> Rows:
    """Return the ten nearest of each query, but for itself."""
    similarities[np.arange(len(queries)), queries] = -np.inf
    return np.argpartition(-similarities, K, axis=1)[:, :K]


def worth(movies: MovieTable, queries: Rows, top: Rows, known: int) -> tuple[str, str]:
    """Return sequel recall, of sequels with so many ratings, and genre precision."""
    rows = dict(zip(queries.tolist(), top, strict=True))
    pairs = [(a, b) for a, b in sequel_pairs(movies) if a in rows]
    found = [b in rows[a] for a, b in pairs if movies.rating_counts[b] >= known]
    genres = [set(split_genres(text)) for text in movies.genres]
    shared = [bool(genres[a] & genres[b]) for a, others in rows.items() for b in others]
    return f"{np.mean(found):.3f}", f"{np.mean(shared):.3f}"


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
    movies = saved.movies.take(order, len(learned))
    fewer = replace(
        saved, vectors=saved.vectors[learned], biases=saved.biases[learned], movies=movies
    )
    rest = estimate_rare(fewer, replace(users, rated=np.argsort(order)[users.rated]))
    estimates = np.vstack([fewer.vectors, rest.vectors])
    own = np.zeros_like(estimates)
    own[np.argsort(order)[: len(saved.vectors)]] = saved.vectors
    every = replace(movies, embedded=len(movies))  # all have one vector or the other
    for low, high in BINS:
        few = (movies.rating_counts >= low) & (movies.rating_counts <= high) & own.any(axis=1)
        queries = np.flatnonzero(few)
        cells: list[str] = []
        for vectors in (own, estimates):
            products = unit(vectors[queries]) @ unit(fewer.vectors).T
            top = np.argpartition(-products, K, axis=1)[:, :K]
            cells += worth(every, queries, top, LEARNED)
        yield (f"{low} to {high}", f"{len(queries):,}", *cells)


def by_weight(saved: SavedEmbeddings, weights: Sequence[float]) -> Iterator[Row]:
    """Yield the share of true neighbours found where a part of the movies is only estimated."""
    counts = saved.movies.rating_counts
    known = np.flatnonzero(counts[: len(saved.vectors)] >= LEARNED)
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
        for weight in weights:
            similarities = guessed[queries] @ guessed.T
            similarities[:, shown:] *= weight
            found = nearest(similarities, queries)
            both = [
                len(set(a) & set(b)) / K
                for a, b in zip(wanted.tolist(), found.tolist(), strict=True)
            ]
            cells.append(f"{np.mean(both):.3f} / {np.mean(found >= shown):.2f}")
        yield (f"{share:.0%}", *cells)


def main() -> None:
    """Measure a run and write the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="trained with save.min_ratings=1")
    parser.add_argument("--known", type=int, default=300, help="ratings of a well-known movie")
    options = parser.parse_args()
    saved, users = SavedEmbeddings.load(options.run), SavedEmbeddings.load_users(options.run)
    pair = ("sequel recall@10", "genre precision@10")
    heading: Row = ("answers have", "neighbours with 1 to 4 ratings", *pair)
    parts = [table(heading, list(by_threshold(saved, options.known)))]
    heading = ("ratings", "movies", *(f"{k}, {m}" for k in ("own", "estimate") for m in pair))
    parts.append(table(heading, list(by_ratings(saved, users))))
    weights = (1, 0.9, 0.85, 0.8, 0.75, 0.7, 0.5)
    heading = ("estimated / an estimate counts", *weights)
    parts.append(table(heading, list(by_weight(saved, weights))))
    write_section("few_ratings", "\n\n".join(parts), ROOT / "docs" / "cold_start.md")


if __name__ == "__main__":
    main()
