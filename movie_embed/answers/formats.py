"""Answers as text: a table for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from movie_embed.answers.own_ratings import Match
from movie_embed.answers.results import MovieVector, Reason, Recommendations
from movie_embed.data.names import usual_title

_NUMBERS = ("similarity", "dot_product", "match", "predicted_stars")


def as_table(answers: Recommendations) -> str:
    """Return lines as the paper prints them; a number's column says which number it is."""
    width = max(len(answer.title) for answer in answers)
    heads, *rows = _cells(answers)
    numbers = "".join(f"{{:>{len(head)}}}  " for head in heads[3:-1])
    line = f"{{:>4}}  {{:<{width}}}  {{:>4}}  {numbers}{{}}"
    lines = [line.format(*heads)]
    for answer, row in zip(answers, rows, strict=True):
        lines.append(line.format(*row))
        lines += (f"{'':>6}{_because(reason)}" for reason in answer.reasons)
    return "\n".join(lines)


def as_html(answers: Recommendations) -> str:
    """Return the same table for a notebook, with every text escaped."""
    heads, *rows = ([escape(cell) for cell in cells] for cells in _cells(answers))
    lines = [f"<tr><th>{'</th><th>'.join(heads)}</th></tr>"]
    for answer, row in zip(answers, rows, strict=True):
        lines.append(f"<tr><td>{'</td><td>'.join(row)}</td></tr>")
        for reason in answer.reasons:
            text = escape(_because(reason).strip())
            lines.append(f'<tr><td></td><td colspan="{len(heads) - 1}">{text}</td></tr>')
    return f"<table>{''.join(lines)}</table>"


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


def _cells(answers: Recommendations) -> list[list[str]]:
    """Return the heads of a table's columns, then each answer's cells."""
    columns = [answer.to_dict() for answer in answers]
    labels = [name for name in _NUMBERS if columns and name in columns[0]]
    table = [["rank", "title", "year", *(label.replace("_", " ") for label in labels), "genres"]]
    for answer, row in zip(answers, columns, strict=True):
        genres = ", ".join(answer.genres) + "  (from content)" * answer.from_content
        numbers = (f"{row[label]:.2f}" for label in labels)
        table.append([str(answer.rank), answer.title, str(answer.year or ""), *numbers, genres])
    return table


def _because(reason: Reason) -> str:
    shared = f"shared genres: {', '.join(reason.shared_genres) or 'none'}"
    if reason.similarity is not None:
        return f"nearest to {reason.title}: similarity {reason.similarity:.2f}, {shared}"
    return f"{reason.share:>4.0%} from {reason.title}, given {reason.stars:g} stars; {shared}"
