"""Measure how far near on the map means high in the list, for a run.

    python scripts/map_agreement.py outputs/latest

It places the movies anew and prints the share of each movie's ten nearest on the map that are among
the first 50 of its list.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from movie_embed.embeddings.layout import nearest, place
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.embeddings.spaces import Spaces


def main() -> None:
    """Print the shares of all movies and of the most rated quarter, and the time."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path)
    saved = SavedEmbeddings.load(parser.parse_args().run)
    size, spaces = saved.movies.embedded, Spaces(saved)
    counts = saved.movies.rating_counts[:size]
    started = time.process_time()
    points = place(saved.vectors, counts, spaces.ease, seed=0)
    seconds = time.process_time() - started
    rows = np.arange(size)
    listed, _ = nearest(spaces.learned, spaces.ease, rows, rows, 50)
    shares = np.zeros(size)
    for row in rows:
        away = np.hypot(*(points - points[row]).T)
        away[row] = np.inf
        shares[row] = np.isin(np.argpartition(away, 10)[:10], listed[row]).mean()
    known = np.argsort(-counts, kind="stable")[: size // 4]
    print(
        f"{size:,} movies: {shares.mean():.2f} of all, {shares[known].mean():.2f} of the most "
        f"rated quarter, {50 / size:.2f} at random; {seconds:.1f} s of one core"
    )


if __name__ == "__main__":
    main()
