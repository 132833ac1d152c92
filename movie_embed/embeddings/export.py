"""Export of learned vectors and titles: the projector, Parquet, word2vec text, FAISS."""

from __future__ import annotations

import errno
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from movie_embed.data.movies import split_genres, split_year
from movie_embed.embeddings.saved import SavedEmbeddings, UserEmbeddings
from movie_embed.embeddings.spaces import unit
from movie_embed.errors import MovieEmbedError
from movie_embed.storage import atomic_path, write_text

if TYPE_CHECKING:
    import pandas as pd


def export_tsv(saved: SavedEmbeddings, folder: Path) -> list[Path]:
    """Write ``vectors.tsv`` and ``metadata.tsv`` as https://projector.tensorflow.org loads them.

    Vectors are as trained, a movie a line; the metadata has a header.
    """
    vectors, metadata = folder / "vectors.tsv", folder / "metadata.tsv"
    write_text(vectors, "".join("\t".join(map(repr, v)) + "\n" for v in saved.vectors.tolist()))
    header, *rows = _metadata(saved)
    lines = ["\t".join(" ".join(str(field).split()) for field in row) for row in (header, *rows)]
    write_text(metadata, "\n".join(lines) + "\n")
    return [vectors, metadata]


def export_parquet(saved: SavedEmbeddings, folder: Path) -> list[Path]:
    """Write ``movies.parquet`` and, if the run saved users, ``users.parquet``.

    Both have ``bias`` and ``vector``, a list of float32: movies beside the metadata, and users
    beside ``user_id``.
    """
    import pandas as pd

    header, *rows = _metadata(saved)
    movies = pd.DataFrame(rows, columns=list(map(str, header)))
    movies["year"] = movies["year"].replace("", pd.NA).astype("Int64")
    parts = [("movies", movies, saved.biases, saved.vectors)]
    if users := saved.users or saved.load_part("user", UserEmbeddings):
        parts.append(("users", pd.DataFrame({"user_id": users.ids}), users.biases, users.vectors))
    for name, table, biases, vectors in parts:
        table["bias"], table["vector"] = biases, vectors.tolist()
        typed = f"select * replace (vector::float[{vectors.shape[1]}] as vector) from frame"  # noqa: S608
        write_parquet(table, folder / f"{name}.parquet", typed)
    return [folder / f"{name}.parquet" for name, *_ in parts]


def write_parquet(frame: pd.DataFrame, path: Path, query: str = "from frame") -> None:
    """Write a data frame, or what a query makes of it."""
    import duckdb

    from movie_embed.data.files import connect

    with atomic_path(path) as temporary, connect() as database:
        database.register("frame", frame)
        try:
            database.from_query(query).write_parquet(str(temporary))
        except duckdb.IOException as error:  # a full disk, most likely
            found = re.search(r'"errno":"(\d+)"', str(error))
            number = int(found[1]) if found else errno.EIO
            raise OSError(number, os.strerror(number)) from error


def export_word2vec(saved: SavedEmbeddings, folder: Path) -> list[Path]:
    """Write ``vectors.txt`` as gensim's ``load_word2vec_format`` reads it.

    A word is a title with ``_`` for spaces, e.g. ``Toy_Story_(1995)``, and ``_id`` behind it where
    two movies have the same.
    """
    table, (size, dim) = saved.movies, saved.vectors.shape
    words = ["_".join(title.split()) or "movie" for title in table.titles[:size]]
    counts = Counter(words)
    lines = [f"{size} {dim}"]
    for word, movie_id, vector in zip(words, table.ids, saved.vectors.tolist(), strict=False):
        unique = word if counts[word] == 1 and word != "movie" else f"{word}_{movie_id}"
        lines.append(" ".join([unique, *map(repr, vector)]))
    path = folder / "vectors.txt"
    write_text(path, "\n".join(lines) + "\n")
    return [path]


def export_faiss(saved: SavedEmbeddings, folder: Path) -> list[Path]:
    """Write ``movies.faiss``: an exact index of the normalised vectors under MovieLens ids.

    Its inner products are cosines, and its neighbours those of `Recommender.similar` by
    ``metric="cosine"``, after the movie itself. A vector that training pulled to 0 has no direction
    and is left out.
    """
    try:
        import faiss
    except ImportError as error:
        raise MovieEmbedError("to=faiss needs faiss: pip install faiss-cpu") from error
    if saved.movies.ids.dtype == object:
        raise MovieEmbedError("to=faiss holds whole numbers only, and ids are text: to=parquet")
    index = faiss.IndexIDMap(faiss.IndexFlatIP(saved.vectors.shape[1]))
    normalised = unit(saved.vectors)
    directed = np.flatnonzero(normalised.any(axis=1))
    if not len(directed):
        raise MovieEmbedError(
            "to=faiss has nothing to index: training pulled every vector to 0; train with a lower "
            "model.ridge or model.l2"
        )
    index.add_with_ids(normalised[directed], saved.movies.ids[directed])
    path = folder / "movies.faiss"
    with atomic_path(path) as temporary:
        # Writing the file itself, faiss would call a full disk an internal failure.
        temporary.write_bytes(faiss.serialize_index(index).tobytes())
    return [path]


EXPORTS: dict[str, Callable[[SavedEmbeddings, Path], list[Path]]] = {
    "tsv": export_tsv,
    "parquet": export_parquet,
    "word2vec": export_word2vec,
    "faiss": export_faiss,
}


def _metadata(saved: SavedEmbeddings) -> list[tuple[object, ...]]:
    """Return a header and a row a learned movie; the year is ``""`` where there is none."""
    table = saved.movies
    rows: list[tuple[object, ...]] = [("movie_id", "title", "year", "genres", "rating_count")]
    for row in range(table.embedded):
        title, year = split_year(table.titles[row])
        genres = "|".join(split_genres(table.genres[row]))
        counts = int(table.rating_counts[row])
        rows.append((table.ids.item(row), title, year or "", genres, counts))
    return rows


def export(saved: SavedEmbeddings, kinds: list[str], folder: Path) -> list[Path]:
    """Write some of the `EXPORTS` into a folder and return the files."""
    return [path for kind in kinds for path in EXPORTS[kind](saved, folder)]
