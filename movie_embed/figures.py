"""The figures of a finished run, and its movies in TensorBoard's projector."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import NDArray

from movie_embed.data.movies import split_genres
from movie_embed.embeddings.export import export_tsv
from movie_embed.embeddings.genres import MARKERS, OTHER, by_telling, style_of
from movie_embed.embeddings.layout import MOST_FITTED, Points, save_layout
from movie_embed.embeddings.saved import SavedEmbeddings, folder_of
from movie_embed.errors import MovieEmbedError, plural
from movie_embed.storage import atomic_path, write_text
from movie_embed.web.map import map_page

# Okabe and Ito's palette, which colour-blind readers can tell apart.
# https://jfly.uni-koeln.de/color/
_ORANGE, _BLUE, _RED, _GREY = "#E69F00", "#0072B2", "#D55E00", "#8C8C8C"

_PROJECTOR = (
    'embeddings { tensor_name: "movies" tensor_path: "projector/vectors.tsv" '
    'metadata_path: "projector/metadata.tsv" }\n'
)


def show_run(run: Path, metrics: Mapping[str, Any] | None = None) -> list[Path]:
    """Write ``figures/*.png``, the files of TensorBoard's projector, and the map.

    The map is also kept for the server. Earlier figures are replaced. A figure whose data the
    folder lacks is left out, and a line on stderr says why.

    Parameters
    ----------
    run
        A run folder, or a file that names one.
    metrics
        The content of ``metrics.json``, if that is not written yet.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    MovieEmbedError
        The run is not there or not whole, or its folder cannot be written.
    """
    folder, paths = folder_of(run), []
    try:
        metrics = metrics or dict(json.loads((folder / "metrics.json").read_text("utf-8")))
    except OSError as error:
        raise MovieEmbedError(f"{folder} is no whole run: {error}") from error
    saved = SavedEmbeddings.load(folder)
    points = save_layout(folder, saved, metrics["seed"])
    for name, plot in FIGURES.items():
        try:
            figure = plot(folder, saved, {**metrics, "points": points})
        except MovieEmbedError as error:
            print(f"no figure {name}: {error}", file=sys.stderr)
            continue
        paths.append(folder / "figures" / f"{name}.png")
        with atomic_path(paths[-1]) as temporary:
            FigureCanvasAgg(figure).figure.savefig(temporary, format="png")
    config = folder / "projector_config.pbtxt"
    write_text(config, _PROJECTOR)
    page = folder / "figures" / "map.html"
    write_text(page, map_page(saved, points))
    return [*paths, page, *export_tsv(saved, folder / "projector"), config]


def plot_movie_counts(counts: NDArray[np.int64], min_ratings: int) -> Figure:
    """Draw how many ratings each movie has, most rated first (paper, section II.B).

    `counts` has the ratings of each movie before any filter, shape (movies,), in any order; movies
    with fewer than `min_ratings` are left out of training.
    """
    ranked = np.sort(counts[counts > 0])[::-1]
    kept = int(np.count_nonzero(ranked >= min_ratings))
    unrated = len(counts) - len(ranked)
    figure, axes = _figure(
        "Ratings per movie",
        f"{kept:,} of {len(counts):,} movies have {min_ratings:,} or more ratings, together "
        f"{ranked[:kept].sum() / ranked.sum():.1%} of all.\nThe most rated movie has {ranked[0]:,}"
        + (f"; {plural(unrated, 'movie')} without ratings not drawn." if unrated else "."),
    )
    ranks = np.arange(1, len(ranked) + 1)
    axes.loglog(ranks, ranked, color=_BLUE, linewidth=2.2)
    axes.fill_between(ranks[:kept], ranked[:kept], min_ratings, color=_BLUE, alpha=0.15)
    label = f"threshold: {min_ratings:,} or more ratings; movies that stay: {kept:,}"
    axes.axhline(min_ratings, color=_RED, linestyle="--", label=label)
    axes.legend(frameon=False, labelcolor=_RED)
    axes.set(xlabel="movie, by rank from the most rated (log scale)", ylabel="ratings (log scale)")
    lowest = 0.7 * 10 ** np.floor(np.log10(min(ranked[-1], min_ratings)))
    axes.set(xlim=(1, max(len(ranked), 10)), ylim=(lowest, None))
    for axis in (axes.xaxis, axes.yaxis):  # 1,000 and not 10³
        axis.set_major_formatter("{x:,.0f}")
        axis.set_minor_formatter(NullFormatter())
    return figure


def plot_star_counts(star_counts: Mapping[float, int]) -> Figure:
    """Draw how often each value in stars was given (paper, section III.C.4)."""
    if not star_counts:
        raise MovieEmbedError("the run was saved before ratings were counted; train it anew")
    stars, counts = np.array(sorted(star_counts.items())).T
    total = counts.sum()
    figure, axes = _figure(
        "Frequency of each rating value",
        f"{total:,.0f} ratings of the movies that stay, mean {stars @ counts / total:.2f} stars",
    )
    width = 0.8 * float(np.diff(stars).min()) if len(stars) > 1 else 0.4
    bars = axes.bar(stars, counts, width, color=_BLUE)
    axes.set(xlabel="rating (stars)", ylabel="ratings")
    if len(stars) <= 20:
        axes.bar_label(bars, [f"{count / total:.1%}" for count in counts], padding=2, fontsize=9.5)
        axes.set_xticks(stars, [f"{value:g}" for value in stars])
    axes.yaxis.set_major_formatter("{x:,.0f}")
    return figure


def plot_losses(
    losses: Mapping[str, Mapping[int, float]], saved_epoch: int, bias_only_rmse: float
) -> Figure:
    """Draw the loss of every epoch, as squared error and as its root (paper, section III.E).

    `losses` has the mean squared error in stars squared, by epoch from 1, of ``"training"`` and
    ``"validation"``; `bias_only_rmse` is the RMSE in stars of a model without vectors, on the same
    ratings as the last of `losses`.
    """
    *_, held_out = losses
    figure, axes = _figure(
        "Loss per epoch",
        "training: the mean over the epoch's steps, while the weights change"
        + ("; validation: after the epoch" if "validation" in losses else ""),
    )
    for (name, by_epoch), style in zip(losses.items(), ("o-", "s-"), strict=False):
        color = _BLUE if name == "training" else _ORANGE
        axes.plot(list(by_epoch), list(by_epoch.values()), style, color=color, label=name)
    baseline = f"biases alone, {held_out} ratings"
    axes.axhline(bias_only_rmse**2, color=_GREY, linestyle="--", label=baseline)
    axes.axvline(saved_epoch, color=_RED, linestyle=":", label=f"saved: epoch {saved_epoch}")
    axes.set(xlabel="epoch", ylabel="mean squared error (stars²)")
    axes.set_xlim(0.5, max(losses["training"]) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    root = (lambda squared: np.sqrt(np.maximum(squared, 0)), np.square)
    axes.secondary_yaxis("right", functions=root).set_ylabel("RMSE (stars)")
    axes.legend(frameon=False)
    return figure


def plot_genre_map(saved: SavedEmbeddings, points: Points, movies: int = MOST_FITTED) -> Figure:
    """Draw the map that `save_layout` made, coloured by genre (paper, section IV).

    At most so many `movies` are drawn, the most rated; `points` has all learned ones.
    """
    if len(points) < 4:
        raise MovieEmbedError(f"a map of {len(points)} movies shows nothing: 4 are needed")
    learned = saved.movies.embedded
    rows = np.argsort(-saved.movies.rating_counts[:learned], kind="stable")[:movies]
    main = [next(iter(by_telling(split_genres(saved.movies.genres[row]))), "") for row in rows]
    which = "all" if len(rows) == learned else f"the {len(rows):,} most rated of"
    figure, axes = _figure(
        "Movies by genre",
        f"t-SNE by the similarity of lists, of {which} {learned:,} movies; near means alike, "
        "the axes have no unit.\n"
        "A movie of several genres is drawn as the most telling one; drama tells least.",
        (9.5, 7.5),
    )
    for genre, count in Counter(main).most_common():
        style = style_of(genre) if genre else OTHER
        x, y = points[rows[[name == genre for name in main]]].T
        label = f"{genre or 'other'} ({count:,})".replace("$", r"\$")
        marker = MARKERS[style.shape]
        axes.scatter(x, y, s=40, c=style.light, marker=marker, alpha=0.85, label=label)
    axes.set(xticks=[], yticks=[], aspect="equal", anchor="NW")
    axes.spines[:].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False, fontsize=11, title="genre (movies)")
    return figure


def losses_of(folder: Path) -> dict[str, dict[int, float]]:
    """Return a run's mean squared error by epoch, from 1: in training, and in validation if any."""
    try:
        with (folder / "epochs.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise MovieEmbedError(f"{folder} has no epochs.csv; train the run anew") from error
    losses = {"training": {int(row["epoch"]): float(row["train_loss_epoch"]) for row in rows}}
    if held_out := {int(r["epoch"]): float(r["val_rmse"]) ** 2 for r in rows if r.get("val_rmse")}:
        losses["validation"] = held_out
    return losses


def _figure(title: str, note: str, size: tuple[float, float] = (8.0, 5.0)) -> tuple[Figure, Axes]:
    """Return a figure of a size in inches, with a title and a note below, and its axes."""
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    figure.suptitle(title, x=0.01, ha="left", fontsize=14, fontweight="bold")
    axes = figure.add_subplot()
    axes.set_title(note, loc="left", fontsize=9.5, color="#444444")
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


FIGURES: dict[str, Callable[[Path, SavedEmbeddings, Mapping[str, Any]], Figure]] = {
    "ratings_per_movie": lambda _, saved, __: plot_movie_counts(
        saved.movies.rating_counts, saved.min_ratings
    ),
    "rating_values": lambda _, saved, __: plot_star_counts(saved.star_counts),
    "loss": lambda folder, _, metrics: plot_losses(
        losses_of(folder), metrics["best_epoch"], metrics["bias_only_rmse"]
    ),
    "genre_map": lambda _, saved, metrics: plot_genre_map(saved, metrics["points"]),
}
