"""The map of all movies, as JSON for the page and as one file that opens without a server."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from movie_embed.data.movies import series_of, split_genres, split_year
from movie_embed.embeddings.genres import OTHER, by_telling, style_of
from movie_embed.embeddings.layout import Points, place, read_layout
from movie_embed.embeddings.saved import SavedEmbeddings, folder_of
from movie_embed.embeddings.spaces import Spaces

STATIC = Path(__file__).parent / "static"
_GRID = 128  # cells a side, to count movies in
_RADII = (0.3, 0.14, 0.07, 0.03)  # of regions; the map is 2 wide
_FEWEST, _SHARE, _SURE = 2.5, 0.3, 5.0


class Region(NamedTuple):
    """The name of a part of the map."""

    name: str
    x: float
    y: float
    level: int


def map_columns(saved: SavedEmbeddings, points: Points) -> dict[str, Any]:
    """Return the content of `web.models.MovieMap`."""
    movies, size = saved.movies, len(points)
    named = [split_genres(text) for text in movies.genres[:size]]
    order = by_telling({genre for genres in named for genre in genres})
    rank = {genre: place for place, genre in enumerate(order)}
    styles = [*map(style_of, order), OTHER]
    titles = [split_year(title) for title in movies.titles[:size]]
    ids = movies.ids[:size].tolist()
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    places = (points - middle) / (np.abs(points - middle).max() or 1)
    x, y = places.astype(np.float64).round(4).T.tolist()
    return {
        "movie_id": ids,
        "x": x,
        "y": y,
        "title": [title or f"movie {i}" for (title, _), i in zip(titles, ids, strict=True)],
        "year": [year for _, year in titles],
        "genres": [sorted(rank[genre] for genre in genres) for genres in named],
        "ratings": movies.rating_counts[:size].tolist(),
        "genre_names": order,
        "colors": [style.light for style in styles],
        "dark_colors": [style.dark for style in styles],
        "shapes": [style.shape for style in styles],
        "regions": [each._asdict() for each in regions(places, movies.titles[:size], named)],
    }


def regions(places: Points, titles: Sequence[str], genres: Sequence[Sequence[str]]) -> list[Region]:
    """Return the names of the parts of a map whose places lie between -1 and 1.

    A part is named by the genre, decade, both, or series that has most more movies there than it
    would have anywhere, in standard errors. Level 0 has the largest parts.
    """
    labels = _labels(titles, genres)
    cells = np.clip(((places + 1) / 2 * _GRID).astype(int), 0, _GRID - 1)
    counts = np.zeros((len(labels) + 1, _GRID, _GRID), np.float32)
    for movies, count in zip([slice(None), *labels.values()], counts, strict=True):
        np.add.at(count, tuple(cells[movies].T), 1)
    middles = (np.arange(_GRID) + 0.5) / _GRID * 2 - 1
    away = np.abs(middles[:, None] - middles)
    shares = np.array([len(movies) for movies in labels.values()]) / max(len(titles), 1)
    found: list[Region] = []
    for level, radius in enumerate(_RADII):
        kernel = np.exp(-2 * (away / radius) ** 2).astype(np.float32)
        rows = (counts.reshape(-1, _GRID) @ kernel).reshape(counts.shape)  # one large product
        smooth = (rows.swapaxes(1, 2).reshape(-1, _GRID) @ kernel).reshape(counts.shape)
        everything, own = smooth[0], smooth[1:]
        expected = everything * shares[:, None, None].astype(np.float32)
        more = (own - expected) / np.sqrt(expected + 0.5)
        more[(own < _FEWEST) | (own < _SHARE * everything)] = 0
        likely = np.flatnonzero(more > _SURE)
        best = likely[np.argsort(-more.ravel()[likely], kind="stable")]
        free = np.ones((len(labels), _GRID, _GRID), np.bool_)
        for label, j, i in zip(*np.unravel_index(best, more.shape), strict=True):
            if free[label, j, i]:
                name = [*labels][label]
                found.append(Region(name, float(middles[i]), float(middles[j]), level))
                apart = np.hypot(away[j][:, None], away[i])
                free[:, apart < 1.7 * radius] = False
                free[label, apart < 4 * radius] = False  # no name twice side by side
    return found


def _labels(titles: Sequence[str], genres: Sequence[Sequence[str]]) -> dict[str, list[int]]:
    """Return the rows of each genre, decade, genre of a decade, and series of three or more."""
    labels: dict[str, list[int]] = defaultdict(list)
    series: dict[str, list[int]] = defaultdict(list)
    for row, (title, own) in enumerate(zip(titles, genres, strict=True)):
        plain, year = split_year(title)
        decade = f"{year // 10 * 10}s" if year else ""
        for label in [*own, decade, *(f"{genre}, {decade}" for genre in own if decade)]:
            labels[label].append(row)
        name = series_of(title)
        start = max(plain.lower().find(name), 0)
        if name and decade:
            series[plain[start : start + len(name)]].append(row)
    labels.pop("", None)
    return {name: rows for name, rows in (labels | series).items() if len(rows) > 2}


def map_json(saved: SavedEmbeddings, run: Path | None) -> bytes:
    """Return the map as JSON, from the run's folder or else computed now."""
    points = read_layout(folder_of(run), saved) if run else None
    if points is None:
        counts = saved.movies.rating_counts[: saved.movies.embedded]
        # In a process of its own: scikit-learn brings pandas, and t-SNE would stop other answers.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            asked = (saved.vectors, counts, Spaces(saved).ease, 0)
            points = pool.submit(place, *asked).result()
    return _compact(map_columns(saved, points)).encode()


def map_page(saved: SavedEmbeddings, points: Points) -> str:
    """Return the map as an HTML file that needs nothing else."""
    parts = {
        "style": (STATIC / "style.css").read_text("utf-8"),
        "map": (STATIC / "map.js").read_text("utf-8").replace("export ", ""),
        # A title with "</script>" must not end the element.
        "data": _compact(map_columns(saved, points)).replace("<", "\\u003c"),
    }
    page = (STATIC / "map.html").read_text("utf-8")
    for name, text in parts.items():
        page = page.replace(f"/*{name}*/", text, 1)
    return page


def _compact(columns: dict[str, Any]) -> str:
    return json.dumps(columns, separators=(",", ":"), ensure_ascii=False)
