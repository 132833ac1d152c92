"""The map: each movie's place in the plane, computed once and saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from movie_embed.embeddings.ease import Ease
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.embeddings.spaces import Space, Spaces
from movie_embed.storage import digest_of, read_columns, write_columns

FILE_NAME = "figures/map.safetensors"
MOST_FITTED = 8_000
_NEAREST = 150
_NEAR = 4
_BLOCK = 1_024
Points = NDArray[np.float32]
Rows = NDArray[np.intp]


def save_layout(folder: Path, saved: SavedEmbeddings, seed: int) -> Points:
    """Compute the map of a run's learned movies, write it into the run's folder, and return it."""
    counts = saved.movies.rating_counts[: saved.movies.embedded]
    points = place(saved.vectors, counts, Spaces(saved).ease, seed)
    of = digest_of(saved.vectors)  # figures may be left of an earlier run in the folder
    write_columns(folder / FILE_NAME, "map", {"points": points}, {"of": of, "layout": 2})
    return points


def read_layout(folder: Path, saved: SavedEmbeddings) -> Points | None:
    """Return the saved map, shape (movies, 2); None where there is none of these vectors."""
    if not (folder / FILE_NAME).exists():
        return None
    columns, metadata = read_columns(folder / FILE_NAME, "map")
    current = metadata.get("layout") == 2 and metadata["of"] == digest_of(saved.vectors)
    return columns["points"] if current else None


def place(vectors: Points, counts: NDArray[np.int64], ease: Ease | None, seed: int) -> Points:
    """Return a place in the plane for each movie, near the movies that a list would name.

    The most rated movies are placed by t-SNE of the lists' own similarity. Each of the others lies
    at the mean of the four of them that are most similar to it, a little beside.
    """
    if len(vectors) < 4:
        turns = np.arange(len(vectors)) * 2 * np.pi / max(len(vectors), 1)
        return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)
    space = Space(vectors, np.zeros(len(vectors), np.float32), len(vectors))
    order = np.argsort(-counts, kind="stable")
    fitted, rest = order[:MOST_FITTED], order[MOST_FITTED:]
    near, _ = nearest(space, ease, fitted, fitted, min(_NEAREST, len(fitted) - 1))
    points = np.zeros((len(vectors), 2), np.float32)
    points[fitted] = _embed(near, space.whitened[fitted], seed)
    if len(rest):
        near, scores = nearest(space, ease, rest, fitted, _NEAR)
        weights = np.exp(10 * (scores - scores.max(axis=1, keepdims=True)))
        weights /= weights.sum(axis=1, keepdims=True)
        aside = np.random.default_rng(seed).normal(0, points[fitted].std() / 60, (len(rest), 2))
        points[rest] = np.einsum("ij,ijk->ik", weights, points[fitted][near]) + aside
    return points


def nearest(
    space: Space, ease: Ease | None, movies: Rows, among: Rows, count: int
) -> tuple[Rows, NDArray[np.float32]]:
    """Return each movie's most similar ones, as places in `among`, and their similarity.

    The similarity is that of `Recommender.similar`. A movie is not similar to itself here.
    """
    size = len(space.vectors)
    table = space.unit if ease is None else space.whitened
    blocks = []
    for start in range(0, len(movies), _BLOCK):
        rows = movies[start : start + _BLOCK]
        scores = table[rows] @ table[among].T
        if ease is not None:
            together = np.stack([ease.similarities(row, size)[among] for row in rows.tolist()])
            known = together.any(axis=1)
            scores[known] = (scores[known] + together[known]) / 2
        scores[rows[:, None] == among] = -np.inf
        near = np.argpartition(-scores, count - 1, axis=1)[:, :count]
        found = np.take_along_axis(scores, near, axis=1)
        best = np.argsort(-found, axis=1, kind="stable")
        blocks.append([np.take_along_axis(each, best, axis=1) for each in (near, found)])
    near, scores = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return near, scores


def _embed(near: Rows, vectors: Points, seed: int) -> Points:
    """Return a t-SNE by each movie's nearest ones, the nearest first, shape (movies, 2).

    The distance of two movies is the root of the worse of their ranks among each other's nearest.
    By similarity itself, movies that are near to many would draw in all of them: of ten neighbours
    on the map 0.58 were in the list's top 50, and by ranks 0.63 are.
    """
    from scipy.sparse import csr_matrix
    from sklearn.manifold import TSNE  # loads pandas
    from threadpoolctl import threadpool_limits

    size, count = near.shape
    ranks = np.full((size, size), 2 * count, np.int16)
    np.put_along_axis(ranks, near, np.arange(1, count + 1, dtype=np.int16)[None], axis=1)
    own = np.arange(size)[:, None]
    distances = np.sqrt(np.maximum(ranks[own, near], ranks[near, own]).astype(np.float32))
    order = np.argsort(distances, axis=1, kind="stable")
    # A graph has each movie as its own first neighbour.
    columns = np.hstack([own, np.take_along_axis(near, order, axis=1)])
    data = np.hstack([np.zeros((size, 1)), np.take_along_axis(distances, order, axis=1)])
    starts = np.arange(size + 1) * (count + 1)
    graph = csr_matrix((data.ravel(), columns.ravel(), starts), (size, size))
    tsne = TSNE(
        metric="precomputed",
        perplexity=min(30, (count - 1) / 3),
        init=_first_places(vectors),
        max_iter=500,  # 1,000 lower the divergence by less than a hundredth in twice the time
        random_state=seed,
    )
    # On one thread: on several, the order of sums and hence the map differ from run to run.
    with threadpool_limits(1):
        points: Points = tsne.fit_transform(graph)
    return points


def _first_places(vectors: Points) -> Points:
    """Return the two principal components, so small that t-SNE can move every movie."""
    centred = np.pad(vectors - vectors.mean(axis=0), ((0, 0), (0, max(2 - vectors.shape[1], 0))))
    _, directions = np.linalg.eigh(centred.T @ centred)
    places = centred @ directions[:, :-3:-1]
    return np.asarray(places / max(places[:, 0].std(), 1e-12) * 1e-4, np.float32)
