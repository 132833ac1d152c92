"""Titles in the form in which they are compared."""

from __future__ import annotations

import re
import unicodedata

_ARTICLES = {"the", "a", "an", "le", "la", "les", "un", "une", "el", "los", "las", "il"}
_ARTICLES |= {"der", "die", "das", "ein", "eine", "det", "het"}


def title_key(name: str) -> str:
    """Return a title for comparison: small letters and digits, no accents, no article."""
    return without_article(simplified(without_moved_article(name)).strip())


def without_moved_article(name: str) -> str:
    """Return ``"Matrix"`` for ``"Matrix, The"``."""
    rest, comma, article = name.strip().rpartition(", ")
    return rest if comma and article.casefold() in _ARTICLES else name


def usual_title(name: str) -> str:
    """Return ``"The Matrix"`` for ``"Matrix, The"``, without other titles in brackets."""
    return with_article_first(re.sub(r"(?<=\S)\s+\([^()]*\)", "", name).strip())


def with_article_first(name: str) -> str:
    """Return ``"The Matrix"`` for ``"Matrix, The"``."""
    rest, comma, article = name.rpartition(", ")
    return f"{article} {rest}" if comma and article.casefold() in _ARTICLES else name


def without_article(key: str) -> str:
    """Return ``"matrix"`` for ``"the matrix"``, of a simplified name."""
    article, _, rest = key.partition(" ")
    return rest if rest and article in _ARTICLES else key


def simplified(text: str) -> str:
    """Return the text without case, accents and punctuation; lines stay lines."""
    text = text.casefold().replace("&", " and ")
    text = re.sub("['\u2019]", "", text)
    if not text.isascii():
        text = re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", text))
    return re.sub(r"[^\w\n]+", " ", text)


def titles_in(name: str) -> list[str]:
    """Return a title, the title outside its brackets, and each one that they give besides."""
    outside = re.sub(r"\s*\([^()]*\)", "", name)
    inside = re.findall(r"\(([^()]*)\)", name)
    bare = [re.sub(r"^(a\.?k\.?a\.?)\s+", "", each, flags=re.IGNORECASE) for each in inside]
    return list(dict.fromkeys(each.strip() for each in (name, outside, *bare)))
