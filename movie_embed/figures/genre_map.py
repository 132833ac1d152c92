"""The movies' vectors in two dimensions, by genre (paper, section IV)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from movie_embed.data.movies import split_genres
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.embeddings.spaces import unit
from movie_embed.errors import MovieEmbedError
from movie_embed.figures import canvas
from movie_embed.figures.canvas import new_figure

MOST_MOVIES = 2_000
_PERPLEXITY = 30
_STEPS = 500  # 1,000 lower the divergence by less than a hundredth, and take twice as long
_STYLES = (
    (canvas.BLUE, "o"),
    (canvas.ORANGE, "s"),
    (canvas.GREEN, "^"),
    (canvas.RED, "D"),
    (canvas.SKY, "v"),
    (canvas.PURPLE, "P"),
    (canvas.BLACK, "X"),
    (canvas.YELLOW, "*"),
)

Points = NDArray[np.float32]


def plot_genre_map(saved: SavedEmbeddings, seed: int, movies: int = MOST_MOVIES) -> Figure:
    """Draw the t-SNE of the normalised vectors, coloured by genre.

    Parameters
    ----------
    saved
        The embeddings.
    seed
        Of t-SNE.
    movies
        How many of the learned movies to draw at most; the most rated.

    Raises
    ------
    MovieEmbedError
        There are fewer than four movies.
    """
    learned = saved.movies.embedded
    rows = np.argsort(-saved.movies.rating_counts[:learned], kind="stable")[:movies]
    named = [split_genres(saved.movies.genres[row]) for row in rows]
    largest, genres = largest_genres(named, len(_STYLES))
    points = embed_in_plane(unit(saved.vectors[rows]), seed)
    which = (
        f"all {learned:,} movies"
        if len(rows) == learned
        else (f"the {len(rows):,} most rated of {learned:,} movies")
    )
    figure, axes = new_figure(
        "Movies by genre",
        f"t-SNE of the normalised vectors of {which}; near means alike, the axes have no unit.\n"
        "A movie of several genres is drawn as the rarest of those in the legend.",
        (9.5, 7.5),
    )
    styles = [*_STYLES[: len(largest)], (canvas.GREY, ".")]
    for genre, (color, marker) in zip([*largest, None], styles, strict=True):
        own = points[[name == genre for name in genres]]
        if len(own):
            axes.scatter(
                own[:, 0],
                own[:, 1],
                s=70 if marker == "*" else 34,
                c=color,
                marker=marker,
                linewidths=0.4,
                edgecolors="#333333" if genre else "none",
                alpha=0.85,
                zorder=2 if genre else 1,
                label=f"{genre or 'other'} ({len(own):,})".replace("$", r"\$"),
            )
    axes.set(xticks=[], yticks=[], aspect="equal", anchor="NW")
    axes.spines[:].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=11, title="genre (movies)")
    return figure


def largest_genres(
    named: Sequence[Sequence[str]], number: int
) -> tuple[list[str], list[str | None]]:
    """Choose the genres to tell apart, and one of them for each movie.

    Parameters
    ----------
    named
        Each movie's genres.
    number
        How many genres at most.

    Returns
    -------
    tuple
        The genres that most movies have, largest first; and of each movie the rarest of these,
        since it says most, or None where it has none of them.
    """
    counts = Counter(genre for genres in named for genre in genres)
    largest = [genre for genre, _ in counts.most_common(number)]
    rank = {genre: place for place, genre in enumerate(largest)}
    own = [[genre for genre in genres if genre in rank] for genres in named]
    return largest, [max(genres, key=lambda g: rank[g], default=None) for genres in own]


def embed_in_plane(vectors: Points, seed: int) -> Points:
    """Return a t-SNE of normalised vectors, of shape (movies, 2).

    Between vectors of length 1 the squared Euclidean distance, which it takes, is 2 - 2 cosine.

    Raises
    ------
    MovieEmbedError
        There are fewer than four vectors.
    """
    if len(vectors) < 4:
        raise MovieEmbedError(f"a map of {len(vectors)} movies shows nothing: 4 are needed")
    tsne = TSNE(
        perplexity=min(_PERPLEXITY, (len(vectors) - 1) / 3),
        init="pca" if vectors.shape[1] > 1 else "random",
        max_iter=_STEPS,
        random_state=seed,
    )
    # On one thread, since on several the order of sums, hence the map, differs from run to run.
    with threadpool_limits(1):
        points: Points = tsne.fit_transform(vectors)
    return points
