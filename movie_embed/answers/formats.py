"""Answers as text: a table for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from movie_embed.answers.results import (
    NUMBERS,
    Match,
    MovieVector,
    Recommendations,
    because,
    table_cells,
)
from movie_embed.data.names import usual_title

_RIGHT = {"rank", "line", "year", *NUMBERS}  # columns that are set flush right


def answers_as(form: str, answers: Recommendations) -> str:
    """Return answers as ``"table"``, ``"json"``, ``"csv"`` or ``"letterboxd"``.

    The last is CSV as importers of Letterboxd and of IMDb's lists take it: names first, then ids.
    """
    if form == "table":
        return as_table(answers)
    if form == "letterboxd":
        heads = ["Position", "Const", "Title", "Year", "imdbID", "tmdbID"]
        return _csv(
            heads,
            [
                (a.rank, a.imdb_id, usual_title(a.title), a.year, a.imdb_id, a.tmdb_id)
                for a in answers
            ],
        )
    rows = [answer.to_dict() for answer in answers]
    if form == "json":
        return _json(rows)
    for row in rows:  # lists are joined as MovieLens joins genres
        row["genres"] = "|".join(row["genres"])
        if "reasons" in row:
            row["reasons"] = "|".join(reason["title"] for reason in row["reasons"])
    heads = list(dict.fromkeys(name for row in rows for name in row))
    return _csv(heads, ([row.get(head) for head in heads] for row in rows))


def as_table(answers: Recommendations) -> str:
    """Return lines as the paper prints them; a number's column says which number it is."""
    heads, *rows = _aligned(table_cells(answers))
    lines = [heads]
    for answer, row in zip(answers, rows, strict=True):
        lines.append(row)
        lines += (f"{'':>6}{because(reason)}" for reason in answer.reasons)
    return "\n".join(lines)


def matches_as(form: str, matches: Sequence[Match]) -> str:
    """Return a row for each movie of somebody's file: a table, JSON or CSV."""
    rows = [asdict(match) for match in matches]
    if form == "json":
        return _json(rows)
    if form == "csv":
        return _csv(list(rows[0]), (row.values() for row in rows))
    shown = [["" if each is None else str(each) for each in row.values()] for row in rows]
    return "\n".join(_aligned([[name.replace("_", " ") for name in rows[0]], *shown]))


def vectors_as(form: str, vectors: Sequence[MovieVector]) -> str:
    """Return vectors, raw and normalised: a table as the paper prints them, JSON or CSV.

    CSV has a row for each movie and dimension, which count from 1.
    """
    if form == "table":
        return "\n\n".join(map(_vector_table, vectors))
    if form == "json":
        return _json(map(_vector_object, vectors))
    rows = (
        (movie.movie_id, movie.title, number, *pair)
        for movie in vectors
        for number, pair in enumerate(
            zip(movie.vector.tolist(), movie.normalised.tolist(), strict=True), start=1
        )
    )
    return _csv(["movie_id", "title", "dimension", "vector", "normalised"], rows)


def norm(vector: NDArray[Any]) -> float:
    """Return a vector's length, summed in float64."""
    return float(np.linalg.norm(vector.astype(np.float64)))


def _vector_table(movie: MovieVector) -> str:
    unit = _block(movie.normalised) if movie.normalised.any() else "none: it has no direction"
    head = f"{movie.title}, vector of {len(movie.vector)} numbers"
    return f"{head}\n{_block(movie.vector)}\n\nnormalised\n{unit}"


def _vector_object(movie: MovieVector) -> dict[str, Any]:
    unit = movie.normalised.tolist() if movie.normalised.any() else None
    numbers = {"norm": norm(movie.vector), "vector": movie.vector.tolist(), "normalised": unit}
    return {"movie_id": movie.movie_id, "title": movie.title, **numbers}


def _block(vector: NDArray[Any]) -> str:
    numbers = np.array2string(vector, max_line_width=80, threshold=len(vector) + 1)
    return f"{numbers}\nnorm {norm(vector):.9f}"


def _json(rows: Iterable[dict[str, Any]]) -> str:
    return json.dumps(list(rows), indent=2, ensure_ascii=False)


def _csv(heads: list[str], rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    # A spreadsheet would run a text that begins so as a formula; the apostrophe makes it text.
    formula = re.compile(r"[=+@\t\r-]")
    for row in rows:
        writer.writerow(f"'{e}" if isinstance(e, str) and formula.match(e) else e for e in row)
    return text.getvalue().rstrip("\n")


def _aligned(table: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows as lines of columns; the first row has the heads."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    ends = [">" if head in _RIGHT else "<" for head in table[0]]
    line = "  ".join(f"{{:{end}{width}}}" for end, width in zip(ends, widths, strict=True))
    return [line.format(*cells).rstrip() for cells in table]
