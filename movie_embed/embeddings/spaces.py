"""The vectors that answers compute with, read from a run when a question first needs them."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from movie_embed.embeddings.saved import ContentVectors, SavedEmbeddings, UserEmbeddings, no_users

Vectors = NDArray[np.float32]


class Space(NamedTuple):
    """What is known of the table's first rows.

    Attributes
    ----------
    vectors, unit
        By which movies are alike, as they are and normalised, shape (rows, dim).
    predictors, biases
        By which stars are predicted, shapes (rows, dim) and (rows,).
    """

    vectors: Vectors
    unit: Vectors
    predictors: Vectors
    biases: Vectors


class Spaces:
    """Learned movies, all movies, and users.

    Parameters
    ----------
    embeddings
        The saved embeddings.
    run
        Where they come from, for what they do not hold yet.
    """

    def __init__(self, embeddings: SavedEmbeddings, run: Path | None) -> None:
        self.embeddings = embeddings
        self.run = run
        self.learned = _space(embeddings.vectors, embeddings.predictors, embeddings.biases)

    @cached_property
    def whole(self) -> Space:
        """Every movie of the table: learned ones, then those with a vector from content.

        What is estimated from content are vectors that predict, so here these also tell which
        movies are alike.
        """
        vectors = np.concatenate([self.embeddings.predictors, self.content.vectors])
        biases = np.concatenate([self.embeddings.biases, self.content.biases])
        return _space(vectors, vectors, biases)

    @cached_property
    def content(self) -> ContentVectors:
        """What was estimated from content."""
        if self.embeddings.content is not None:
            return self.embeddings.content
        if self.run is None:
            raise ValueError("embeddings without content and without the run they come from")
        return SavedEmbeddings.load_content(self.run)

    @cached_property
    def users(self) -> UserEmbeddings:
        """The learned users; reading them fails where the run saved none."""
        if self.embeddings.users is not None:
            return self.embeddings.users
        if self.run is None:
            raise no_users("the model")
        return SavedEmbeddings.load_users(self.run)

    @cached_property
    def unit_users(self) -> Vectors:
        """The users' vectors, normalised, shape (users, dim)."""
        return unit(self.users.vectors)


def unit(vectors: NDArray[Any]) -> Vectors:
    """Return vectors divided by their norms, shape (..., dim); a zero vector stays zero."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    normalised: Vectors = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    return normalised


def _space(vectors: Vectors, predictors: Vectors, biases: Vectors) -> Space:
    return Space(vectors, unit(vectors), predictors, biases)
