"""The vectors that answers are computed from, read when a question first needs them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from movie_embed.embeddings.ease import Ease
from movie_embed.embeddings.saved import ContentVectors, SavedEmbeddings, UserEmbeddings
from movie_embed.errors import MovieEmbedError

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Space:
    """Vectors and biases of the table's first rows, as trained."""

    vectors: Vectors
    biases: Vectors
    learned: int  # how many of the rows, from the first, were learned from ratings

    @cached_property
    def unit(self) -> Vectors:
        return unit(self.vectors)

    @cached_property
    def whitened(self) -> Vectors:
        """The normalised vectors, half whitened by the learned ones, and normalised again."""
        whitened = unit(half_whitened(self.unit, self.unit[: self.learned]))
        return whitened * self.directed[:, None]

    @cached_property
    def directed(self) -> NDArray[np.bool_]:
        """Whether each vector has a direction, as all but zero vectors have; shape (rows,)."""
        return np.asarray(self.unit.any(axis=1))

    def require_direction(self, row: int, name: str) -> None:
        """Refuse a row, by its name, if training pulled its vector to 0."""
        if not self.directed[row]:
            raise MovieEmbedError(
                f"{name} cannot be compared: training pulled its vector to 0; train with a lower "
                "model.ridge or model.l2"
            )


class Spaces:
    def __init__(self, embeddings: SavedEmbeddings) -> None:
        self.embeddings = embeddings
        self.learned = Space(embeddings.vectors, embeddings.biases, len(embeddings.vectors))

    @cached_property
    def whole(self) -> Space:
        """Every movie of the table: learned ones, then those with a vector from content."""
        vectors = np.concatenate([self.embeddings.vectors, self.content.vectors])
        biases = np.concatenate([self.embeddings.biases, self.content.biases])
        return Space(vectors, biases, len(self.embeddings.vectors))

    @cached_property
    def content(self) -> ContentVectors:
        content = self.embeddings.content or self.embeddings.load_part("content", ContentVectors)
        if content is None:
            raise ValueError("embeddings without content and without the file they come from")
        return content

    @cached_property
    def users(self) -> UserEmbeddings:
        """The learned users; reading them fails where the run saved none."""
        users = self.embeddings.users or self.embeddings.load_part("user", UserEmbeddings)
        if users is None:
            source = self.embeddings.file.path if self.embeddings.file else "the model"
            raise MovieEmbedError(f"{source} has no users: it was trained with save.users=false")
        return users

    @cached_property
    def ease(self) -> Ease | None:
        """The implicit model; None where the run has none."""
        return self.embeddings.ease or self.embeddings.load_part("ease", Ease)

    @cached_property
    def of_users(self) -> Space:
        """The learned users."""
        return Space(self.users.vectors, self.users.biases, len(self.users.vectors))


def unit(vectors: NDArray[Any]) -> Vectors:
    """Return vectors divided by their norms, shape (..., dim); a zero vector stays zero."""
    # In float64: in float32 the square of 1e-24 is 0, and a tiny vector would stay unnormalised.
    squares = np.einsum("...i,...i->...", vectors, vectors, dtype=np.float64)[..., None]
    normalised = vectors / np.sqrt(np.where(squares > 0, squares, 1))
    return normalised.astype(np.float32)


def cosines(vectors: Vectors, queries: Vectors) -> Vectors:
    """Return the products of normalised vectors; rounding must not take one beyond 1."""
    return np.asarray(np.clip(vectors @ queries.T, -1, 1))


def half_whitened(vectors: Vectors, sample: Vectors) -> Vectors:
    """Return vectors less the mean, times the inverse fourth root of the covariance, of a sample.

    A few directions hold most of the variance between movies, and drown the others in a cosine.
    Half whitening takes the square root of each direction's weight: the eigenvalue weighting of
    0.5 of Levy, Goldberg and Dagan (2015, TACL 3, 211-225, section 3.3). Full whitening would give
    all directions one weight, and noise with them. Directions without variance are left out.
    """
    mean = sample.mean(axis=0, dtype=np.float64)
    centred = sample - mean
    variances, directions = np.linalg.eigh(centred.T @ centred / len(sample))
    rounding = np.finfo(np.float32).eps  # of vectors of norm 1: they may differ in nothing else
    kept = variances > rounding * max(variances[-1], rounding)
    root = directions[:, kept] * variances[kept] ** -0.25
    return np.asarray((vectors - mean) @ root, np.float32)
