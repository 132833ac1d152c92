"""What a training run leaves behind and an answer starts from: the saved embeddings.

Training writes them, answering reads them, and neither knows the other. Nothing here needs
torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from movie_embed.errors import MovieEmbedError
from movie_embed.movies import TABLE_COLUMNS, MovieTable
from movie_embed.storage import read_columns, write_columns

FILE_NAME = "embeddings.safetensors"
LATEST = Path("outputs/latest")  # names the newest finished run


@dataclass(frozen=True)
class UserEmbeddings:
    """Learned users.

    Attributes
    ----------
    ids
        int64, shape (users,).
    vectors
        float32, shape (users, dim).
    biases
        float32, shape (users,).
    """

    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]
    biases: NDArray[np.float32]


@dataclass(frozen=True)
class SavedEmbeddings:
    """Learned movies with all that is needed to name them and to predict stars.

    Attributes
    ----------
    vectors
        As trained, not normalised, float32, shape (embedded movies, dim).
    biases
        float32, shape (embedded movies,).
    movies
        Every movie of the data set; the first ``movies.embedded`` have the vectors.
    rating_range
        The lowest and highest star of the scale.
    data_name
        The data set, e.g. ``"ml-20m"``.
    min_ratings
        The threshold that decided which movies were trained on.
    users
        The learned users, or None where they were not saved or not read.
    predicting
        With an implicit model, the vectors that predict stars, float32, of the shape of
        `vectors`; else None, and `vectors` predict. What a movie gains from its raters helps
        predict stars but blurs which movies are alike.
    """

    vectors: NDArray[np.float32]
    biases: NDArray[np.float32]
    movies: MovieTable
    rating_range: tuple[float, float]
    data_name: str
    min_ratings: int
    users: UserEmbeddings | None = None
    predicting: NDArray[np.float32] | None = None

    def save(self, run: Path) -> None:
        """Write the embeddings into a run folder, atomically."""
        columns = {
            "movie_vectors": self.vectors,
            "movie_biases": self.biases,
            **self.movies.to_columns(),
        }
        if self.predicting is not None:
            columns["predicting_vectors"] = self.predicting
        if self.users:
            columns |= {
                "user_ids": self.users.ids,
                "user_vectors": self.users.vectors,
                "user_biases": self.users.biases,
            }
        metadata = {
            "rating_range": self.rating_range,
            "data_name": self.data_name,
            "min_ratings": self.min_ratings,
            "users": self.users is not None,
        }
        write_columns(run / FILE_NAME, "embeddings", columns, metadata)

    @classmethod
    def load(cls, run: Path) -> SavedEmbeddings:
        """Read the embeddings of a run, without its users.

        Raises
        ------
        MovieEmbedError
            There are none, or the file is damaged.
        """
        names = ("movie_vectors", "movie_biases", *TABLE_COLUMNS)
        columns, metadata = read_columns(_file_of(run), "embeddings", names)
        low, high = metadata["rating_range"]
        return cls(
            vectors=columns["movie_vectors"],
            biases=columns["movie_biases"],
            movies=MovieTable.from_columns(columns, len(columns["movie_vectors"])),
            rating_range=(low, high),
            data_name=metadata["data_name"],
            min_ratings=metadata["min_ratings"],
        )

    @staticmethod
    def load_users(run: Path) -> UserEmbeddings:
        """Read the users of a run.

        Raises
        ------
        MovieEmbedError
            The run saved none (``save.users=false``), or the file is damaged.
        """
        file = _file_of(run)
        _, metadata = read_columns(file, "embeddings", ())
        if not metadata["users"]:
            raise MovieEmbedError(f"{file} has no users: it was trained with save.users=false")
        names = ("user_ids", "user_vectors", "user_biases")
        columns, _ = read_columns(file, "embeddings", names)
        return UserEmbeddings(*(columns[name] for name in names))


def _file_of(run: Path) -> Path:
    """Return the embeddings file of a run folder, or of the run a pointer file names."""
    if run.is_file() and run.name != FILE_NAME:
        run = Path(run.read_text(encoding="utf-8").strip())
    file = run if run.is_file() else run / FILE_NAME
    if not file.exists():
        raise MovieEmbedError(f"no trained model in {run}: make one with 'python train.py'")
    return file
