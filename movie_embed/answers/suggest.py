"""Titles while they are typed."""

from __future__ import annotations

from bisect import bisect_right

import numpy as np

from movie_embed.answers.search import TitleSearch, numbered
from movie_embed.data.movies import split_year
from movie_embed.data.names import simplified, title_key


class Suggestions:
    """Movies whose titles have words that begin as those typed, the most rated first."""

    def __init__(self, search: TitleSearch) -> None:
        self._search, movies = search, search.movies
        counts = movies.rating_counts
        named = [(row, key) for key in search.keys for row in search.named(key)]
        named.sort(key=lambda each: (-counts[each[0]], each[0]))
        self._rows = [row for row, _ in named]
        # One text for all, as a loop over titles in Python would take longer than a key press.
        lines = [f" {key} {split_year(movies.titles[row])[1] or ''}\n" for row, key in named]
        self._text = "".join(lines)
        self._starts = np.cumsum([0, *map(len, lines)]).tolist()

    def rows(self, typed: str, most: int = 10) -> list[int]:
        """Return the rows of at most so many movies; where no word fits, of titles like it."""
        key = title_key(typed) or simplified(typed)
        for words in (numbered(key).split(), key.split(), key.split()[:-1]):
            if words and (rows := self._with_words(words, most)):
                return rows
        return self._search.rows(typed)[:most] if len(key) > 3 else []

    def _with_words(self, words: list[str], most: int) -> list[int]:
        longest = max(words, key=len)
        rows: dict[int, None] = {}
        at = self._text.find(f" {longest}")
        while at >= 0 and len(rows) < most:
            line = bisect_right(self._starts, at) - 1
            start, end = self._starts[line], self._starts[line + 1]
            if all(f" {word}" in self._text[start:end] for word in words):
                rows[self._rows[line]] = None
            at = self._text.find(f" {longest}", end - 1)
        return list(rows)
