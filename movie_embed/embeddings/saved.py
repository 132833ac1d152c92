"""The saved embeddings: training writes them, and answering reads them without torch."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from movie_embed.data.movies import TABLE_COLUMNS, MovieTable, ids_of
from movie_embed.embeddings.ease import Ease
from movie_embed.errors import MovieEmbedError, program
from movie_embed.storage import ColumnFile, remove_leftovers, write_columns, write_text

FILE_NAME = "embeddings.safetensors"
_MIN_RIDGE = 1.0
_LAYOUT = 3  # raise it when the columns change, and go on reading the files in tests/golden
_READABLE = (2, 3)

Part = TypeVar("Part", "UserEmbeddings", "ContentVectors", Ease)


@dataclass(frozen=True)
class UserEmbeddings:
    """Learned users; user `i` rated the table's rows ``rated[starts[i]:starts[i + 1]]``."""

    ids: NDArray[Any]  # int64, or `str` where the data has text
    vectors: NDArray[np.float32]  # shape (users, dim)
    biases: NDArray[np.float32]
    starts: NDArray[np.int64]  # shape (users + 1,)
    rated: NDArray[np.unsignedinteger[Any]]  # ascending within a user
    stars: NDArray[np.unsignedinteger[Any]]  # of each rating, as an index in `levels`
    levels: NDArray[np.float32]  # the distinct stars, ascending

    def ratings_of(self, user: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Return the table rows that a user rated, and the stars, each of shape (ratings,)."""
        part = slice(self.starts[user], self.starts[user + 1])
        return self.rated[part].astype(np.intp), self.levels[self.stars[part]]


@dataclass(frozen=True)
class ContentVectors:
    """Estimates for the rare movies, in the order of the table's rows, and their `ContentMap`."""

    vectors: NDArray[np.float32]  # shape (rare movies, dim)
    biases: NDArray[np.float32]
    features: list[str]  # the columns of the map
    weights: NDArray[np.float32]


@dataclass(frozen=True)
class SavedEmbeddings:
    """Learned movies, with their titles and all numbers that predictions need.

    Vectors are as trained, not normalised; those of an implicit model include its implicit
    feedback. Users, content and ease are None where they are not held: `load_part` reads them.
    """

    vectors: NDArray[np.float32]  # shape (embedded movies, dim)
    biases: NDArray[np.float32]
    movies: MovieTable  # all of the data set; the first `movies.embedded` have the vectors
    rating_range: tuple[float, float]
    data_name: str
    min_ratings: int  # the threshold that decided which movies were trained on
    ridge: float  # L2 strength of the training: `model.l2` times the number of its ratings
    average_user: NDArray[np.float32]  # mean vector, then mean bias; shape (dim + 1,)
    users: UserEmbeddings | None = None
    content: ContentVectors | None = None
    star_counts: dict[float, int] = field(default_factory=dict)  # empty in older runs
    min_learned: int = 1  # trained movies with fewer ratings have no learned vector either
    ease: Ease | None = None
    file: ColumnFile | None = field(default=None, repr=False, compare=False)

    @property
    def fold_in_ridge(self) -> float:
        """L2 strength for `fold_in`: the training's, or 1 where that is less: a fit needs some."""
        return max(self.ridge, _MIN_RIDGE)

    @property
    def ranks(self) -> bool:
        """Whether the run has an implicit model."""
        return self.ease is not None or (self.file is not None and "ease_rows" in self.file)

    def save(self, run: Path) -> None:
        """Write the embeddings into a run folder, atomically."""
        columns = {
            "movie_vectors": self.vectors,
            "movie_biases": self.biases,
            "average_user": self.average_user,
            **self.movies.to_columns(),
        }
        for prefix, part in (("user", self.users), ("content", self.content), ("ease", self.ease)):
            if part:
                held = {f"{prefix}_{c.name}": getattr(part, c.name) for c in fields(part)}
                columns |= {name: column for name, column in held.items() if column is not None}
        metadata = {
            "layout": _LAYOUT,
            "rating_range": self.rating_range,
            "data_name": self.data_name,
            "min_ratings": self.min_ratings,
            "ridge": self.ridge,
            "users": self.users is not None,
            "star_counts": list(self.star_counts.items()),
            "min_learned": self.min_learned,
            "ranks": self.ease is not None,
            "links": self.movies.links is not None,
        }
        write_columns(run / FILE_NAME, "embeddings", columns, metadata)

    @classmethod
    def load(cls, run: Path) -> SavedEmbeddings:
        """Read the embeddings of a run, and keep its file open for `load_part`."""
        path = _file_of(run)
        file = ColumnFile(path, "embeddings")
        metadata = file.metadata
        if metadata.get("layout") not in _READABLE:
            raise MovieEmbedError(f"{path} was made by another version of movie_embed: train again")
        # In layout 2, the vectors with implicit feedback lay beside the bare ones.
        vectors = "predicting_vectors" if metadata.get("predicting") else "movie_vectors"
        links = ["links"] if "links" in file else []
        columns = file.read([vectors, "movie_biases", "average_user", *TABLE_COLUMNS, *links])
        low, high = metadata["rating_range"]
        return cls(
            vectors=columns[vectors],
            biases=columns["movie_biases"],
            movies=MovieTable.from_columns(columns, len(columns[vectors])),
            rating_range=(low, high),
            data_name=metadata["data_name"],
            min_ratings=metadata["min_ratings"],
            ridge=metadata["ridge"],
            average_user=columns["average_user"],
            star_counts=dict(metadata.get("star_counts", [])),
            min_learned=metadata.get("min_learned", 1),
            file=file,
        )

    def is_at(self, run: Path) -> bool:
        """Return whether a run's file is still the one that these embeddings were loaded from."""
        return self.file is not None and self.file.is_at(_file_of(run))

    def load_part(self, name: str, kind: type[Part]) -> Part | None:
        """Read a part, ``"user"``, ``"content"`` or ``"ease"``; None where the run has none.

        It is of the file that was loaded, although another run may lie in its place now.
        """
        if self.file is None or f"{name}_{fields(kind)[0].name}" not in self.file:
            return None
        names = {f"{name}_{column.name}": column.name for column in fields(kind)}
        columns = self.file.read([each for each in names if each in self.file])
        if name == "user":
            columns["user_ids"] = ids_of(columns["user_ids"])
        return kind(**{names[each]: column for each, column in columns.items()})


def folder_of(run: Path) -> Path:
    """Return a run's folder: `run`, or the folder that a file like ``outputs/latest`` names."""
    return _file_of(run).parent


def name_latest(latest: Path, run: Path) -> None:
    """Make a file name a run, by a relative path where both lie in one folder that may move."""
    run, outputs = run.resolve(), latest.parent.resolve()
    remove_leftovers(latest.parent, latest.name, older=60)
    write_text(latest, f"{run.relative_to(outputs) if run.is_relative_to(outputs) else run}\n")


def _file_of(run: Path) -> Path:
    """Return the embeddings file of a run folder, or of the run a pointer file names."""
    run = run.expanduser()
    if run.is_file() and run.name != FILE_NAME:
        try:
            run = run.parent / run.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise MovieEmbedError(f"{run} names no run folder: give the folder itself") from error
    file = run if run.is_file() else run / FILE_NAME
    if not file.exists():
        way = f"make one with: {program('train')}"
        if (run / "config.yaml").exists():
            from movie_embed.cli import setting  # loads Hydra

            resume = setting("resume", str(run))
            way = f"its run has not finished; go on with: {program('train')} {resume}"
        raise MovieEmbedError(f"no trained model in {run}: {way}")
    return file
