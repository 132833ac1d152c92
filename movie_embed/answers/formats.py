"""Answers as text: a table for people, JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json

from movie_embed.answers.results import Reason, Recommendation, Recommendations

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
