"""The parts of an answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from movie_embed.data.movies import Id, MovieId

if TYPE_CHECKING:
    import pandas as pd


NUMBERS = ("similarity", "dot product", "match", "predicted stars")


@dataclass(frozen=True)
class Reason:
    """A movie asked about, or rated, that speaks for an answer.

    Attributes
    ----------
    movie_id
        Its id.
    title
        Its title with the year.
    similarity
        Cosine of the vectors of both, -1 to 1; None where the question was about a person.
    stars
        What the person gave it; None where the question was about movies.
    share
        How much of all that speaks for the answer is due to this rating, 0 to 1; None where the
        question was about movies.
    shared_genres
        Genres that both have.
    """

    movie_id: Id
    title: str
    similarity: float | None
    stars: float | None
    share: float | None
    shared_genres: tuple[str, ...]


class Recommendation(NamedTuple):
    """One answer; numbers that it does not have are None.

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
        By the metric of the question, -1 to 1.
    dot_product
        Of the vectors as trained; it grows with their lengths and has no bounds.
    match
        The score as a share of the person's best among all movies not rated yet, 0 to 1.
    predicted_stars
        Within the rating scale.
    from_content
        Whether the movie's vector was estimated from genres, tags, year and title, and the few
        ratings it has, because it has too few to learn one.
    reasons
        What speaks most for the answer; empty unless asked for.
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
    match: float | None = None
    predicted_stars: float | None = None
    from_content: bool = False
    reasons: tuple[Reason, ...] = ()
    imdb_id: str | None = None
    tmdb_id: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the answer by column name, without numbers and reasons that it does not have."""
        columns = self._asdict()
        for name in ("similarity", "dot_product", "match", "predicted_stars"):
            if columns[name] is None:
                del columns[name]
        reasons = [
            {name: value for name, value in vars(reason).items() if value is not None}
            for reason in columns.pop("reasons")
        ]
        return columns | ({"reasons": reasons} if reasons else {})


class Recommendations(list[Recommendation]):
    """Answers, best first; a notebook shows them as a table."""

    def to_pandas(self) -> pd.DataFrame:
        """Return a DataFrame with a row an answer and the columns of `Recommendation.to_dict`."""
        import pandas as pd

        return pd.DataFrame([answer.to_dict() for answer in self])

    def _repr_html_(self) -> str:
        heads, *rows = ([escape(cell) for cell in cells] for cells in table_cells(self))
        lines = [f"<tr><th>{'</th><th>'.join(heads)}</th></tr>"]
        for answer, row in zip(self, rows, strict=True):
            lines.append(f"<tr><td>{'</td><td>'.join(row)}</td></tr>")
            for reason in answer.reasons:
                text = escape(because(reason).strip())
                lines.append(f'<tr><td></td><td colspan="{len(heads) - 1}">{text}</td></tr>')
        return f"<table>{''.join(lines)}</table>"


def table_cells(answers: Recommendations) -> list[list[str]]:
    """Return the heads of a table's columns, then each answer's cells."""
    columns = [answer.to_dict() for answer in answers]
    labels = [name for name in NUMBERS if columns and name.replace(" ", "_") in columns[0]]
    table = [["rank", "title", "year", *labels, "genres"]]
    for answer, row in zip(answers, columns, strict=True):
        genres = ", ".join(answer.genres) + "  (from content)" * answer.from_content
        numbers = (f"{row[label.replace(' ', '_')]:.2f}" for label in labels)
        table.append([str(answer.rank), answer.title, str(answer.year or ""), *numbers, genres])
    return table


def because(reason: Reason) -> str:
    """Return a reason in words."""
    shared = f"shared genres: {', '.join(reason.shared_genres) or 'none'}"
    if reason.similarity is not None:
        return f"nearest to {reason.title}: similarity {reason.similarity:.2f}, {shared}"
    stars = "1 star" if reason.stars == 1 else f"{reason.stars:g} stars"
    return f"{reason.share:>4.0%} from {reason.title}, given {stars}; {shared}"


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


@dataclass(frozen=True)
class Match:
    """One row of a file, and the movie that it was taken for.

    Attributes
    ----------
    line
        The line in the file; in JSON the entry.
    title, rating
        As in the file: the title with its year, or else an id; the rating.
    movie_id, taken_for
        The movie; None if the row was left out.
    stars
        The rating on the scale of the run; None if the row does not count.
    how
        By what the movie was found, or why the row does not count.
    """

    line: int
    title: str
    rating: str
    movie_id: Id | None
    taken_for: str | None
    stars: float | None
    how: str


@dataclass(frozen=True)
class FileRead:
    """What a file was taken for.

    Attributes
    ----------
    matches
        Every row of the file.
    notes
        What was converted, guessed and left out.
    columns
        The names of the columns that were read, by meaning.
    unknown
        Why columns that were named cannot be read, by meaning.
    """

    matches: list[Match]
    notes: list[str]
    columns: dict[str, str]
    unknown: dict[str, str]

    def to_dict(self, first: int = 0, most: int = 1_000) -> dict[str, Any]:
        """Return everything as JSON has it, with so many matches from the `first`."""
        matches = [vars(match) for match in self.matches[first : first + most]]
        told = {"notes": self.notes, "columns": self.columns}
        return {**told, "rows": len(self.matches), "first": first, "matches": matches}


class OwnRatings(dict[MovieId, float]):
    """Stars by movie, as `Recommender.for_ratings` takes them; `read` has what the file said."""

    def __init__(self, stars: Mapping[MovieId, float], read: FileRead) -> None:
        super().__init__(stars)
        self.read, self.matches, self.notes = read, read.matches, read.notes


class OwnMovies(list[MovieId]):
    """Movies, as `Recommender.similar` takes them; `read` has what the file said."""

    def __init__(self, ids: Iterable[MovieId], read: FileRead) -> None:
        super().__init__(ids)
        self.read, self.matches, self.notes = read, read.matches, read.notes
