"""Embeddings to answers: movies most like one movie, or like several together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from movie_embed.embeddings import LATEST, SavedEmbeddings
from movie_embed.errors import MovieEmbedError
from movie_embed.movies import split_genres, split_year


@dataclass(frozen=True)
class Recommendation:
    """One answer.

    Attributes
    ----------
    rank
        From 1, the most similar.
    movie_id
        MovieLens id.
    title
        As in MovieLens, without the year.
    year
        Of release, None where the title has none.
    genres
        In MovieLens' order; empty where none is listed.
    similarity
        Cosine between -1 and 1.
    """

    rank: int
    movie_id: int
    title: str
    year: int | None
    genres: tuple[str, ...]
    similarity: float


class Recommender:
    """Answer from saved embeddings.

    Parameters
    ----------
    embeddings
        What a training run saved.
    """

    def __init__(self, embeddings: SavedEmbeddings) -> None:
        self.embeddings = embeddings
        norms = np.linalg.norm(embeddings.vectors, axis=1, keepdims=True)
        self._unit = embeddings.vectors / np.maximum(norms, np.finfo(np.float32).tiny)

    @classmethod
    def load(cls, run: str | Path = LATEST) -> Recommender:
        """Load a run.

        Parameters
        ----------
        run
            A run folder, or a file that names one; by default the newest finished run.

        Raises
        ------
        MovieEmbedError
            There is no such run, or its file is damaged.
        """
        return cls(SavedEmbeddings.load(Path(run)))

    def similar(
        self,
        movies: int | Sequence[int],
        k: int = 10,
        combine: Literal["mean", "max"] = "mean",
    ) -> list[Recommendation]:
        """Return the movies most similar to one movie, or to several together.

        Parameters
        ----------
        movies
            One MovieLens id or several; these are never among the answers.
        k
            How many answers, at most as many as there are other movies.
        combine
            ``"mean"``: cosine to the mean of the normalised query vectors.
            ``"max"``: cosine to the nearest query vector.

        Raises
        ------
        MovieEmbedError
            An id is unknown, or its movie has no vector.
        """
        rows = [self._row(movie) for movie in ([movies] if isinstance(movies, int) else movies)]
        queries = self._unit[rows]
        if combine == "mean":
            mean = queries.mean(axis=0)
            similarities = self._unit @ (
                mean / max(np.linalg.norm(mean), np.finfo(np.float32).tiny)
            )
        else:
            similarities = (self._unit @ queries.T).max(axis=1)
        similarities[rows] = -np.inf
        return self._top(similarities, min(k, len(similarities) - len(set(rows))))

    def title(self, movie: int) -> str:
        """Return the title, with its year, of an embedded movie by MovieLens id."""
        return self.embeddings.movies.titles[self._row(movie)] or f"movie {movie}"

    def _top(self, similarities: NDArray[np.float32], k: int) -> list[Recommendation]:
        if k < 1:
            return []
        least = np.partition(similarities, -k)[-k]
        best = np.flatnonzero(similarities >= least)
        best = best[np.argsort(-similarities[best], kind="stable")][:k]
        return [
            self._recommendation(rank, int(row), float(similarities[row]))
            for rank, row in enumerate(best, start=1)
        ]

    def _recommendation(self, rank: int, row: int, similarity: float) -> Recommendation:
        table = self.embeddings.movies
        title, year = split_year(table.titles[row])
        movie_id = int(table.ids[row])
        genres = split_genres(table.genres[row])
        return Recommendation(
            rank, movie_id, title or f"movie {movie_id}", year, genres, similarity
        )

    def _row(self, movie_id: int) -> int:
        table = self.embeddings.movies
        row = table.row_of(movie_id)
        if row is None:
            nearest = np.argsort(np.abs(table.ids[: table.embedded] - movie_id))[:3]
            near = ", ".join(f"{table.ids[row]} {table.titles[row]}" for row in nearest)
            raise MovieEmbedError(
                f"movie_id={movie_id} is not in {self.embeddings.data_name}; nearest ids: {near}"
            )
        if row >= table.embedded:
            raise MovieEmbedError(self._why_absent(row))
        return row

    def _why_absent(self, row: int) -> str:
        table, threshold = self.embeddings.movies, self.embeddings.min_ratings
        movie_id, count = int(table.ids[row]), int(table.rating_counts[row])
        known = f"movie_id={movie_id}, {table.titles[row]}, has no vector: "
        if count < threshold:
            return known + f"its {count:,} ratings are below data.min_ratings={threshold}"
        return known + f"all its {count:,} ratings were held out for validation"
