"""Ratings whose neighbours are known: each user loves one group of movies and no other."""

from pathlib import Path

import numpy as np

USERS, MOVIES, GROUPS = 240, 40, 4


def group_of(movie_id: int) -> int:
    """Return the group of a movie id; ids start at 101."""
    return (movie_id - 101) % GROUPS


def write_checkerboard(folder: Path, share: float = 0.7) -> Path:
    """Write ``ratings.csv`` and ``movies.csv`` in MovieLens' layout.

    Parameters
    ----------
    folder
        Made if it is not there.
    share
        Chance that a user rated a movie.

    Returns
    -------
    Path
        The folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    ratings = ["userId,movieId,rating,timestamp"]
    for user in range(1, USERS + 1):
        for movie in range(101, 101 + MOVIES):
            if rng.random() < share:
                stars = 5.0 if group_of(movie) == user % GROUPS else rng.choice([0.5, 1.0, 1.5])
                ratings.append(f"{user},{movie},{stars},1112486027")
    movies = ["movieId,title,genres"]
    movies += [
        f'{movie},"Group {group_of(movie)}, The {movie} (1999)",Comedy|Drama'
        for movie in range(101, 101 + MOVIES)
    ]
    movies.append("999,Never Rated (2001),(no genres listed)")
    (folder / "ratings.csv").write_text("\n".join(ratings) + "\n", encoding="utf-8")
    (folder / "movies.csv").write_text("\n".join(movies) + "\n", encoding="utf-8")
    return folder
