"""The map: each movie's place in the plane, computed once and saved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.embeddings.spaces import unit
from movie_embed.errors import MovieEmbedError
from movie_embed.storage import digest_of, read_columns, write_columns

FILE_NAME = "figures/map.safetensors"
MOST_FITTED = 2_000
_NEAR = 4
_BLOCK = 4_096
Points = NDArray[np.float32]


def save_layout(folder: Path, saved: SavedEmbeddings, seed: int) -> Points:
    """Compute the map of a run's learned movies, write it into the run's folder, and return it."""
    points = place(saved.vectors, saved.movies.rating_counts[: saved.movies.embedded], seed)
    of = digest_of(saved.vectors)  # figures may be left of an earlier run in the folder
    write_columns(folder / FILE_NAME, "map", {"points": points}, {"of": of})
    return points


def read_layout(folder: Path, saved: SavedEmbeddings) -> Points | None:
    """Return the saved map, shape (movies, 2); None where there is none of these vectors.

    Raises
    ------
    MovieEmbedError
        The file is damaged.
    """
    if not (folder / FILE_NAME).exists():
        return None
    columns, metadata = read_columns(folder / FILE_NAME, "map")
    points: Points = columns["points"]
    return points if metadata["of"] == digest_of(saved.vectors) else None


def place(vectors: Points, counts: NDArray[np.int64], seed: int) -> Points:
    """Return a place in the plane for each vector, near the places of similar vectors.

    The most rated movies are placed by t-SNE, which takes minutes for tens of thousands. Each of
    the others lies at the mean of the four of them that are nearest by cosine, a little beside.

    Parameters
    ----------
    vectors
        As trained, shape (movies, dim).
    counts
        Ratings of each movie, shape (movies,).
    seed
        Of t-SNE.
    """
    if len(vectors) < 4:
        turns = np.arange(len(vectors)) * 2 * np.pi / max(len(vectors), 1)
        return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)
    directions = unit(vectors)
    order = np.argsort(-counts, kind="stable")
    fitted, rest = order[:MOST_FITTED], order[MOST_FITTED:]
    points = np.zeros((len(vectors), 2), np.float32)
    points[fitted] = embed_in_plane(directions[fitted], seed)
    aside = np.random.default_rng(seed).normal(0, points[fitted].std() / 60, (len(rest), 2))
    for start in range(0, len(rest), _BLOCK):
        block = rest[start : start + _BLOCK]
        cosines = directions[block] @ directions[fitted].T
        near = np.argpartition(-cosines, _NEAR, axis=1)[:, :_NEAR]
        weights = np.exp(10 * np.take_along_axis(cosines, near, axis=1))
        weights /= weights.sum(axis=1, keepdims=True)
        means = np.einsum("ij,ijk->ik", weights, points[fitted][near])
        points[block] = means + aside[start : start + _BLOCK]
    return points


def embed_in_plane(vectors: NDArray[Any], seed: int) -> Points:
    """Return a t-SNE of normalised vectors, of shape (movies, 2).

    t-SNE uses the squared Euclidean distance, which between vectors of length 1 is 2 - 2 cosine.

    Raises
    ------
    MovieEmbedError
        There are fewer than four vectors.
    """
    if len(vectors) < 4:
        raise MovieEmbedError(f"a map of {len(vectors)} movies shows nothing: 4 are needed")
    from sklearn.manifold import TSNE  # loads pandas
    from threadpoolctl import threadpool_limits

    tsne = TSNE(
        perplexity=min(30, (len(vectors) - 1) / 3),
        init="pca" if vectors.shape[1] > 1 else "random",
        max_iter=500,  # 1,000 lower the divergence by less than a hundredth in twice the time
        random_state=seed,
    )
    # On one thread: on several, the order of sums and hence the map differ from run to run.
    with threadpool_limits(1):
        points: Points = tsne.fit_transform(vectors)
    return points
