"""What all figures share: size, type, colours."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe and Ito's palette, which colour-blind readers can tell apart.
# https://jfly.uni-koeln.de/color/
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, RED, PURPLE, BLACK = "#0072B2", "#D55E00", "#CC79A7", "#000000"
GREY = "#8C8C8C"


def new_figure(
    title: str, note: str, size: tuple[float, float] = (8.0, 5.0)
) -> tuple[Figure, Axes]:
    """Return a figure with a title and a line of explanation, and its axes.

    Parameters
    ----------
    title
        What is shown.
    note
        What a reader must know besides; may have several lines.
    size
        Width and height in inches.
    """
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    axes = figure.add_subplot()
    note_height = 13 * (note.count("\n") + 1)
    axes.set_title(title, loc="left", fontsize=14, fontweight="bold", pad=note_height + 14)
    axes.annotate(
        note,
        (0, 1),
        xytext=(0, 10),
        xycoords="axes fraction",
        textcoords="offset points",
        va="bottom",
        fontsize=9.5,
        color="#444444",
    )
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
