"""What an answer holds, and its form as a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from movie_embed.data.movies import Id

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Reason:
    """Which of the movies asked about, or rated, an answer is nearest to.

    Attributes
    ----------
    nearest_id
        Its MovieLens id.
    nearest
        Its title with the year.
    nearest_similarity
        Cosine of the two movies' vectors, between -1 and 1.
    nearest_stars
        What the user gave it; None where the question was not about a user.
    shared_genres
        Genres that both have.
    """

    nearest_id: Id
    nearest: str
    nearest_similarity: float
    nearest_stars: float | None
    shared_genres: tuple[str, ...]


class Recommendation(NamedTuple):
    """One answer; it has one of three numbers, and the other two are None.

    Attributes
    ----------
    rank
        From 1, the best.
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
    dot_product
        Of the vectors as trained; it grows with their lengths and has no bounds.
    predicted_stars
        Within the rating scale.
    from_content
        Whether the movie's vector was estimated from genres, tags, year and title, and the few
        ratings it has, because it has too few to learn one.
    reason
        None unless asked for.
    imdb_id
        ``"tt0111161"``, None where the data has no ``links.csv``.
    tmdb_id
        Likewise.
    """

    rank: int
    movie_id: Id
    title: str
    year: int | None
    genres: tuple[str, ...]
    similarity: float | None = None
    dot_product: float | None = None
    predicted_stars: float | None = None
    from_content: bool = False
    reason: Reason | None = None
    imdb_id: str | None = None
    tmdb_id: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the answer by column name, flat, without numbers that it does not have."""
        columns = self._asdict()
        reason = columns.pop("reason")
        for name in ("similarity", "dot_product", "predicted_stars"):
            if columns[name] is None:
                del columns[name]
        columns |= vars(reason) if reason else {}
        if columns.get("nearest_stars", 0) is None:
            del columns["nearest_stars"]
        return columns


class Recommendations(list[Recommendation]):
    """Answers, best first."""

    def to_pandas(self) -> pd.DataFrame:
        """Return a DataFrame with a row an answer and the columns of `Recommendation.to_dict`."""
        import pandas as pd

        return pd.DataFrame([answer.to_dict() for answer in self])


@dataclass(frozen=True)
class MovieVector:
    """One movie's vector.

    Attributes
    ----------
    movie_id
        MovieLens id.
    title
        With the year, and whether the vector is from content.
    vector
        As trained, float32, shape (dim,).
    normalised
        Divided by its norm, so that a dot product with another is the cosine; float32. All 0
        where training pulled the vector to 0, which then has no direction.
    """

    movie_id: Id
    title: str
    vector: NDArray[np.float32]
    normalised: NDArray[np.float32]


@dataclass(frozen=True)
class SimilarUser:
    """One user with a taste like another's.

    Attributes
    ----------
    rank
        From 1, the most similar.
    user_id
        As in the ratings.
    similarity
        Cosine of the two users' vectors, between -1 and 1.
    """

    rank: int
    user_id: Id
    similarity: float
