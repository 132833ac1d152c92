"""Vectors for rare movies: from content, and from the few ratings that they have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from movie_embed.data.movies import MovieTable, split_genres, split_tags, split_year
from movie_embed.data.names import title_key
from movie_embed.embeddings.fold_in import fold_in
from movie_embed.embeddings.saved import ContentVectors, SavedEmbeddings, UserEmbeddings
from movie_embed.threads import blas_threads

Floats = NDArray[np.float64]

Progress = Callable[[Sequence[int]], Iterable[int]]

MAP_RIDGE = 5.0  # L2 strength; between 3 and 10 benchmarks/newcomers.py finds no difference
_FEATURES = 2_000
_BLOCK = 4_096


@dataclass(frozen=True)
class ContentMap:
    """A ridge map from genres, tags, decade and title words to vector and bias."""

    columns: dict[str, int]  # of features such as "genre Drama", "decade 1990" or "word potter"
    weights: Floats  # shape (features + 1, dim + 1); the last row is added to every movie

    @classmethod
    def fit(
        cls, movies: MovieTable, targets: NDArray[np.floating[Any]], ridge: float = MAP_RIDGE
    ) -> ContentMap:
        """Fit to the table's first movies, whose targets are vectors with the bias last."""
        size = len(targets)
        named = [_features(movies, row) for row in range(size)]
        counts = Counter(name for names in named for name in names)
        shared = [name for name, count in counts.most_common(_FEATURES) if count > 1]
        columns = {name: column for column, name in enumerate(sorted(shared))}
        center = targets.mean(axis=0, dtype=np.float64)
        gram = ridge * np.eye(len(columns))
        moments = np.zeros((len(columns), targets.shape[1]))
        for start in range(0, size, _BLOCK):
            part = slice(start, start + _BLOCK)
            design = _design(named[part], columns)
            gram += design.T @ design
            moments += design.T @ (targets[part] - center)
        return cls(columns, np.vstack([np.linalg.solve(gram, moments), center]))

    def __call__(self, movies: MovieTable, rows: Sequence[int]) -> Floats:
        """Return vectors with the bias last, float64, shape (rows, dim + 1)."""
        design = _design([_features(movies, row) for row in rows], self.columns)
        return np.asarray(design @ self.weights[:-1] + self.weights[-1])


def estimate_rare(
    embeddings: SavedEmbeddings, users: UserEmbeddings, progress: Progress = iter
) -> ContentVectors:
    """Estimate the rare movies: from content, then by a fold-in of the ratings they have.

    The fold-in has the training's loss and L2 strength, but its prior is the estimate from content
    instead of 0: without ratings the estimate stays, and with many it no longer matters. As tqdm
    does, `progress` wraps the numbers of the movies that have ratings.
    """
    movies = embeddings.movies
    content = ContentMap.fit(movies, np.column_stack([embeddings.vectors, embeddings.biases]))
    estimates = np.empty((len(movies) - movies.embedded, embeddings.vectors.shape[1] + 1))
    for start in range(movies.embedded, len(movies), _BLOCK):
        rows = range(start, min(start + _BLOCK, len(movies)))
        estimates[start - movies.embedded :][: len(rows)] = content(movies, rows)
    # One movie's sums are small: threads that wait for one another would take most of the time.
    with blas_threads(1):
        _fold_in_ratings(estimates, embeddings, users, progress)
    return ContentVectors(
        vectors=estimates[:, :-1].astype(np.float32),
        biases=estimates[:, -1].astype(np.float32),
        features=list(content.columns),
        weights=content.weights.astype(np.float32),
    )


def with_movie(
    embeddings: SavedEmbeddings, content: ContentVectors, title: str, genres: Sequence[str]
) -> SavedEmbeddings:
    """Return the embeddings with one movie more, at the table's end, with a vector from content."""
    table = embeddings.movies
    movies = MovieTable(
        ids=np.append(table.ids, title if table.ids.dtype == object else table.ids.max() + 1),
        titles=[*table.titles, title],
        genres=[*table.genres, "|".join(genres)],
        tags=[*table.tags, ""],
        rating_counts=np.append(table.rating_counts, 0),
        embedded=table.embedded,
        links=None if table.links is None else np.vstack([table.links, np.zeros(2, np.int64)]),
    )
    columns = {name: column for column, name in enumerate(content.features)}
    (estimate,) = ContentMap(columns, content.weights.astype(np.float64))(movies, [len(table)])
    longer = replace(
        content,
        vectors=np.vstack([content.vectors, estimate[:-1].astype(np.float32)]),
        biases=np.append(content.biases, estimate[-1].astype(np.float32)),
    )
    return replace(embeddings, movies=movies, content=longer)


def _fold_in_ratings(
    estimates: Floats, embeddings: SavedEmbeddings, users: UserEmbeddings, progress: Progress
) -> None:
    """Move each estimate to fit the ratings that its movie has."""
    rare = np.flatnonzero(users.rated >= embeddings.movies.embedded)
    movies = users.rated[rare].astype(np.intp) - embeddings.movies.embedded
    raters = np.searchsorted(users.starts, rare, side="right") - 1
    order = np.argsort(movies, kind="stable")
    raters, stars = raters[order], users.levels[users.stars[rare[order]]]
    starts = np.searchsorted(movies[order], np.arange(len(estimates) + 1))
    for movie in progress(np.flatnonzero(np.diff(starts)).tolist()):
        part = slice(starts[movie], starts[movie + 1])
        estimates[movie] = fold_in(
            users.vectors[raters[part]],
            users.biases[raters[part]],
            stars[part],
            embeddings.rating_range,
            embeddings.fold_in_ridge,
            estimates[movie],
        )


def _features(movies: MovieTable, row: int) -> set[str]:
    title, year = split_year(movies.titles[row])
    words = re.findall(r"\w+", title_key(title))
    return {
        *(f"genre {genre}" for genre in split_genres(movies.genres[row])),
        *(f"tag {tag}" for tag in split_tags(movies.tags[row])),
        *(f"word {word}" for word in words),
        *([] if year is None else [f"decade {year // 10 * 10}"]),
    }


def _design(named: Sequence[set[str]], columns: dict[str, int]) -> Floats:
    design = np.zeros((len(named), len(columns)))
    for row, names in enumerate(named):
        design[row, [columns[name] for name in names if name in columns]] = 1
    return design
