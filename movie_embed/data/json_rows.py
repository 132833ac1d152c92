"""JSON documents to rows of text, wherever in them a list lies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

LIST_KEY = "key of the list"  # of the column with it


def flat_table(document: Any, most: int) -> tuple[list[str], list[dict[str, str]]]:
    """Return the columns and the rows of a document, at most so many.

    Rows are the objects of all lists; else the texts in lists, else what an object has by title or
    id. What is in other objects has their names before it, ``"movie.title"``, and comes later.
    """
    rows = list(islice(_rows(document), most))
    return sorted({key: 0 for row in rows for key in row}, key=lambda key: key.count(".")), rows


def _rows(document: Any) -> Iterator[dict[str, str]]:
    lists = list(_lists(document))
    if any(isinstance(each, dict) for _, part in lists for each in part):
        for key, part in lists:
            yield from ({LIST_KEY: key, **dict(_flat(e))} for e in part if isinstance(e, dict))
    elif isinstance(document, list) or all(isinstance(each, list) for each in document.values()):
        yield from ({LIST_KEY: key, "title": _text(each)} for key, part in lists for each in part)
    else:
        for key, each in document.items():
            rest = dict(_flat(each)) if isinstance(each, dict) else {"rating": _text(each)}
            yield {"movieid" if key.isdecimal() else "movie": key, **rest}


def _lists(value: Any, key: str = "", depth: int = 8) -> Iterator[tuple[str, list[Any]]]:
    if isinstance(value, list):
        yield key, value
    for name, each in value.items() if isinstance(value, dict) and depth else ():
        yield from _lists(each, name, depth - 1)


def _flat(value: dict[str, Any], within: str = "", depth: int = 4) -> Iterator[tuple[str, str]]:
    for key, each in value.items():
        if isinstance(each, dict) and depth:
            yield from _flat(each, f"{within}{key}.", depth - 1)
        else:
            yield within + key, _text(each)


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
