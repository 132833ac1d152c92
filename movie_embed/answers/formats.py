"""Answers as text: a table for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from movie_embed.answers.own_ratings import Match
from movie_embed.answers.results import MovieVector, Reason, Recommendation, Recommendations
from movie_embed.data.names import usual_title

_NUMBERS = ("similarity", "dot_product", "match", "predicted_stars")


def as_table(answers: Recommendations) -> str:
    """Return lines as the paper prints them; a number's column says which number it is."""
    width = max(len(answer.title) for answer in answers)
    labels = [name for name in _NUMBERS if name in answers[0].to_dict()]
    heads = "".join(f"{label.replace('_', ' ')}  " for label in labels)
    lines = [f"{'rank':>4}  {'title':<{width}}  year  {heads}genres"]
    for answer in answers:
        lines.append(_line(answer, width, labels))
        lines += map(_because, answer.reasons)
    return "\n".join(lines)


def as_json(answers: Recommendations) -> str:
    """Return a list of objects."""
    return json.dumps([answer.to_dict() for answer in answers], indent=2, ensure_ascii=False)


def as_csv(answers: Recommendations) -> str:
    """Return a header and a row per answer; genres are joined by ``|`` as in MovieLens."""
    rows: list[dict[str, Any]] = []
    for answer in answers:
        row = answer.to_dict()
        rows.append(row | {"genres": "|".join(answer.genres)})
        if answer.reasons:
            rows[-1]["reasons"] = "|".join(reason.title for reason in answer.reasons)
    names = list(dict.fromkeys(name for row in rows for name in row))
    return _csv(names, [[row.get(name) for name in names] for row in rows])


def as_letterboxd(answers: Recommendations) -> str:
    """Return CSV as importers of Letterboxd and of IMDb's lists take it: names first, then ids."""
    rows = [
        (a.rank, a.imdb_id, usual_title(a.title), a.year, a.imdb_id, a.tmdb_id) for a in answers
    ]
    return _csv(["Position", "Const", "Title", "Year", "imdbID", "tmdbID"], rows)


def matches_as(form: str, matches: Sequence[Match]) -> str:
    """Return a row for each movie of somebody's file: a table, JSON or CSV."""
    rows = [asdict(match) for match in matches]
    if form == "json":
        return json.dumps(rows, indent=2, ensure_ascii=False)
    if form == "csv":
        return _csv(list(rows[0]), [row.values() for row in rows])
    shown = [["" if each is None else str(each) for each in row.values()] for row in rows]
    table = [[name.replace("_", " ") for name in rows[0]], *shown]
    widths = [min(max(map(len, column)), 50) for column in zip(*table, strict=True)]
    lines = (
        "  ".join(f"{each:<{width}}" for each, width in zip(row, widths, strict=True))
        for row in table
    )
    return "\n".join(line.rstrip() for line in lines)


def _csv(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
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
    rows = [
        [movie.movie_id, movie.title, dimension, *numbers]
        for movie in vectors
        for dimension, numbers in enumerate(
            zip(movie.vector.tolist(), movie.normalised.tolist(), strict=True), start=1
        )
    ]
    return _csv(["movie_id", "title", "dimension", "vector", "normalised"], rows)


def norm(vector: NDArray[Any]) -> float:
    """Return a vector's length, summed in float64."""
    return float(np.linalg.norm(vector.astype(np.float64)))


def _block(vector: NDArray[Any]) -> str:
    numbers = np.array2string(vector, max_line_width=80, threshold=len(vector) + 1)
    return f"{numbers}\nnorm {norm(vector):.9f}"


def _line(answer: Recommendation, width: int, labels: Sequence[str]) -> str:
    numbers = "".join(f"{answer.to_dict()[label]:>{len(label)}.2f}  " for label in labels)
    mark = "  (from content)" if answer.from_content else ""
    return (
        f"{answer.rank:>4}  {answer.title:<{width}}  {answer.year or '':>4}  {numbers}"
        f"{', '.join(answer.genres)}{mark}"
    )


def _because(reason: Reason) -> str:
    shared = f"shared genres: {', '.join(reason.shared_genres) or 'none'}"
    if reason.similarity is not None:
        return f"{'':>6}nearest to {reason.title}: similarity {reason.similarity:.2f}, {shared}"
    return (
        f"{'':>6}{reason.share:>4.0%} from {reason.title}, given {reason.stars:g} stars; {shared}"
    )
