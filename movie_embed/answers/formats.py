"""Answers as text: a table for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from movie_embed.answers.results import MovieVector, Reason, Recommendation, Recommendations

_NUMBERS = ("similarity", "dot_product", "predicted_stars")


def as_table(answers: Recommendations) -> str:
    """Return lines as the paper prints them; the number's column says which number it is."""
    width = max(len(answer.title) for answer in answers)
    label = next(name for name in _NUMBERS if name in answers[0].to_dict())
    lines = [f"{'rank':>4}  {'title':<{width}}  year  {label.replace('_', ' ')}  genres"]
    for answer in answers:
        lines.append(_line(answer, width, label))
        lines += [_because(answer.reason)] if answer.reason else []
    return "\n".join(lines)


def as_json(answers: Recommendations) -> str:
    """Return a list of objects."""
    return json.dumps([answer.to_dict() for answer in answers], indent=2, ensure_ascii=False)


def as_csv(answers: Recommendations) -> str:
    """Return a header and a row per answer; genres are joined by ``|`` as in MovieLens."""
    rows = [answer.to_dict() for answer in answers]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow("|".join(v) if isinstance(v, tuple) else v for v in row.values())
    return text.getvalue().rstrip("\n")


def vectors_as_table(vectors: Sequence[MovieVector]) -> str:
    """Return each vector, raw and normalised, with its norm, as the paper prints them."""
    lines = []
    for movie in vectors:
        lines += [f"{movie.title}, vector of {len(movie.vector)} numbers"]
        unit = _block(movie.normalised) if movie.normalised.any() else "none: it has no direction"
        lines += [_block(movie.vector), "\nnormalised", unit, ""]
    return "\n".join(lines[:-1])


def vectors_as_json(vectors: Sequence[MovieVector]) -> str:
    """Return a list of objects."""
    objects = [
        {
            "movie_id": movie.movie_id,
            "title": movie.title,
            "norm": norm(movie.vector),
            "vector": movie.vector.tolist(),
            "normalised": movie.normalised.tolist() if movie.normalised.any() else None,
        }
        for movie in vectors
    ]
    return json.dumps(objects, indent=2, ensure_ascii=False)


def vectors_as_csv(vectors: Sequence[MovieVector]) -> str:
    """Return a header and a row per movie and dimension, which count from 1."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["movie_id", "title", "dimension", "vector", "normalised"])
    for movie in vectors:
        columns = zip(movie.vector.tolist(), movie.normalised.tolist(), strict=True)
        for dimension, numbers in enumerate(columns, start=1):
            writer.writerow([movie.movie_id, movie.title, dimension, *numbers])
    return text.getvalue().rstrip("\n")


def norm(vector: NDArray[Any]) -> float:
    """Return a vector's length, summed in float64."""
    return float(np.linalg.norm(vector.astype(np.float64)))


def _block(vector: NDArray[Any]) -> str:
    numbers = np.array2string(vector, max_line_width=80, threshold=len(vector) + 1)
    return f"{numbers}\nnorm {norm(vector):.9f}"


def _line(answer: Recommendation, width: int, label: str) -> str:
    number = f"{answer.to_dict()[label]:>{len(label)}.2f}"
    mark = "  (from content)" if answer.from_content else ""
    return (
        f"{answer.rank:>4}  {answer.title:<{width}}  {answer.year or '':>4}  {number}  "
        f"{', '.join(answer.genres)}{mark}"
    )


def _because(reason: Reason) -> str:
    stars = "" if reason.nearest_stars is None else f", given {reason.nearest_stars:g} stars"
    shared = ", ".join(reason.shared_genres) or "none"
    return (
        f"{'':>6}nearest to {reason.nearest}{stars}: similarity "
        f"{reason.nearest_similarity:.2f}, shared genres: {shared}"
    )
