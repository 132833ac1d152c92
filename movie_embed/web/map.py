"""The map of all movies, as JSON for the page and as one file that opens without a server."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from movie_embed.data.movies import split_genres, split_year
from movie_embed.embeddings.layout import Points, place, read_layout
from movie_embed.embeddings.saved import SavedEmbeddings, folder_of

STATIC = Path(__file__).parent / "static"


def map_columns(saved: SavedEmbeddings, points: Points) -> dict[str, list[Any]]:
    """Return the columns of `web.models.MovieMap`."""
    movies, size = saved.movies, len(points)
    named = [split_genres(text) for text in movies.genres[:size]]
    counts = Counter(genre for genres in named for genre in genres)
    order = {genre: place for place, (genre, _) in enumerate(counts.most_common())}
    titles = [split_year(title) for title in movies.titles[:size]]
    ids = movies.ids[:size].tolist()
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    spread = np.abs(points - middle).max() or 1
    x, y = np.round((points - middle) / spread, 4).astype(np.float64).T
    return {
        "movie_id": ids,
        "x": np.round(x, 4).tolist(),
        "y": np.round(y, 4).tolist(),
        "title": [title or f"movie {i}" for (title, _), i in zip(titles, ids, strict=True)],
        "year": [year for _, year in titles],
        "genres": [sorted(order[genre] for genre in genres) for genres in named],
        "ratings": movies.rating_counts[:size].tolist(),
        "genre_names": list(order),
    }


def map_json(saved: SavedEmbeddings, run: Path | None) -> bytes:
    """Return the map as JSON, from the run's folder or else computed now."""
    points = read_layout(folder_of(run), saved) if run else None
    if points is None:
        counts = saved.movies.rating_counts[: saved.movies.embedded]
        # In a process of its own: scikit-learn brings pandas, and t-SNE would stop other answers.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            points = pool.submit(place, saved.vectors, counts, 0).result()
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


def _compact(columns: dict[str, list[Any]]) -> str:
    return json.dumps(columns, separators=(",", ":"), ensure_ascii=False)
