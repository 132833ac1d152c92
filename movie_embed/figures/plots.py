"""The data and the training in figures (paper, sections II.B, III.C.4 and III.E)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

from movie_embed.figures.canvas import BLUE, GREY, ORANGE, RED, new_figure

_MOST_LABELLED = 20


def plot_movie_counts(counts: NDArray[np.int64], min_ratings: int) -> Figure:
    """Draw how many ratings each movie has, most rated first, and the threshold.

    Parameters
    ----------
    counts
        Ratings each movie has before any filter, shape (movies,), in any order.
    min_ratings
        Movies with fewer are left out of training.
    """
    ranked = np.sort(counts[counts > 0])[::-1]
    kept = int(np.count_nonzero(ranked >= min_ratings))
    share = ranked[:kept].sum() / ranked.sum()
    unrated = len(counts) - len(ranked)
    note = (
        f"{kept:,} of {len(counts):,} movies have {_at_least(min_ratings)}, together {share:.1%} "
        f"of all ratings.\nThe most rated movie has {ranked[0]:,}"
        + (f"; not drawn are {unrated:,} without ratings." if unrated else ".")
    )
    figure, axes = new_figure("Ratings per movie", note)
    ranks = np.arange(1, len(ranked) + 1)
    axes.loglog(ranks, ranked, color=BLUE, linewidth=2.2)
    axes.fill_between(ranks[:kept], ranked[:kept], min_ratings, color=BLUE, alpha=0.15, linewidth=0)
    axes.axhline(min_ratings, color=RED, linestyle="--", linewidth=1.5)
    axes.set(
        xlabel="movie, by rank from the most rated (log scale)",
        ylabel="ratings (log scale)",
        xlim=(1, max(len(ranked), 10)),
        ylim=(0.7 * 10 ** np.floor(np.log10(min(ranked[-1], min_ratings))), None),
    )
    right = kept**2 < len(ranked)  # then the curve is low there, and otherwise high on the left
    axes.annotate(
        f"threshold: {_at_least(min_ratings)}\n{kept:,} movies stay",
        (1 if right else 0, min_ratings),
        xycoords=axes.get_yaxis_transform(),
        xytext=(-8 if right else 8, 6),
        textcoords="offset points",
        ha="right" if right else "left",
        color=RED,
        fontsize=11,
    )
    _plain_ticks(axes.xaxis)
    _plain_ticks(axes.yaxis)
    return figure


def plot_star_counts(star_counts: Mapping[float, int]) -> Figure:
    """Draw how often each rating value was given.

    Parameters
    ----------
    star_counts
        Ratings by value in stars.
    """
    stars, counts = np.array(sorted(star_counts.items())).T
    total = counts.sum()
    figure, axes = new_figure(
        "Frequency of each rating value",
        f"{total:,.0f} ratings of the movies that stay, mean {stars @ counts / total:.2f} stars",
    )
    width = 0.8 * float(np.diff(stars).min()) if len(stars) > 1 else 0.4
    bars = axes.bar(stars, counts, width, color=BLUE)
    axes.set(xlabel="rating (stars)", ylabel="ratings")
    if len(stars) <= _MOST_LABELLED:
        axes.bar_label(bars, [f"{count / total:.1%}" for count in counts], padding=2, fontsize=9.5)
        axes.set_xticks(stars, [f"{value:g}" for value in stars])
    axes.yaxis.set_major_formatter("{x:,.0f}")
    return figure


def plot_losses(
    losses: Mapping[str, Mapping[int, float]], saved_epoch: int, bias_only_rmse: float
) -> Figure:
    """Draw the loss of every epoch, as squared error and as its root.

    Parameters
    ----------
    losses
        Mean squared error in stars squared, by epoch, of ``"training"`` and ``"validation"``.
    saved_epoch
        The epoch whose weights were saved, from 1.
    bias_only_rmse
        Of a model without vectors on the same ratings as the last of `losses`, in stars.
    """
    held_out = list(losses)[-1]
    figure, axes = new_figure(
        "Loss per epoch",
        "training: the mean over the epoch's steps, while the weights change"
        + ("; validation: after the epoch" if "validation" in losses else ""),
    )
    styles = {"training": (BLUE, "o", "-"), "validation": (ORANGE, "s", "-")}
    for name, by_epoch in losses.items():
        color, marker, line = styles[name]
        axes.plot(
            list(by_epoch), list(by_epoch.values()), line, marker=marker, color=color, label=name
        )
    axes.axhline(
        bias_only_rmse**2, color=GREY, linestyle="--", label=f"biases alone, {held_out} ratings"
    )
    axes.axvline(saved_epoch, color=RED, linestyle=":", label=f"saved: epoch {saved_epoch}")
    axes.set(xlabel="epoch", ylabel="mean squared error (stars²)")
    axes.set_xlim(0.5, max(losses["training"]) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    roots = axes.secondary_yaxis("right", functions=(_root, np.square))
    roots.set_ylabel("RMSE (stars)")
    axes.legend(frameon=False)
    return figure


def _at_least(ratings: int) -> str:
    return f"{ratings:,} or more rating{'s' if ratings != 1 else ''}"


def _root(squared: ArrayLike) -> NDArray[np.float64]:
    root: NDArray[np.float64] = np.sqrt(np.maximum(squared, 0))
    return root


def _plain_ticks(axis: Axis) -> None:
    """Write 1,000 and not 10³."""
    axis.set_major_formatter("{x:,.0f}")
    axis.set_minor_formatter(NullFormatter())
