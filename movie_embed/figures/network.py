"""The network as a diagram (paper, section III.C)."""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from movie_embed.figures.canvas import ORANGE, SKY, new_figure

_BOX = (2.0, 0.72)
_PAD = 0.06  # from a box to an arrow
_OPERATION = "#E8E8E8"

Place = tuple[float, float]


class Table(NamedTuple):
    """A table of parameters: what it holds, whose it is, its shape, and where its rows go."""

    name: str
    side: str
    rows: int
    columns: int
    goes_to: str


def tables_of(users: int, movies: int, dim: int, implicit: str) -> list[Table]:
    """Return the network's tables as the diagram has them from left to right."""
    tables = [
        Table("user biases", "user", users, 1, "add"),
        Table("user vectors", "user", users, dim, "dot"),
    ]
    if implicit in ("users", "both"):
        tables.append(Table("+ vectors of movies rated", "user", movies, dim, "dot"))
    if implicit in ("movies", "both"):
        tables.append(Table("+ vectors of raters", "movie", users, dim, "dot"))
    return [
        *tables,
        Table("movie vectors", "movie", movies, dim, "dot"),
        Table("movie biases", "movie", movies, 1, "add"),
    ]


def plot_network(
    users: int, movies: int, dim: int, rating_range: tuple[float, float], implicit: str = "none"
) -> Figure:
    """Draw the network from inputs to stars, with sizes and numbers of parameters.

    Parameters
    ----------
    users, movies
        Rows of the tables.
    dim
        Dimensions of a vector.
    rating_range
        The lowest and highest star of the scale.
    implicit
        Whose vectors also gain from who rated what, as in `MovieEmbedding`.
    """
    tables = tables_of(users, movies, dim, implicit)
    total = sum(table.rows * table.columns for table in tables)
    note = (
        f"{total:,} parameters, all in the blue tables; of each, a user and a movie take their row"
    )
    if implicit != "none":
        note += "\n+ adds the sum of the rows named, over the square root of their number"
    figure, axes = new_figure("The network", note, (2.4 * len(tables), 7.5))
    middle = (len(tables) - 1) / 2 * 2.4
    low, high = rating_range
    operations = {
        "dot": f"dot product\nof {dim} dimensions",
        "add": "sum with the biases",
        "sigmoid": "sigmoid\nto 0 … 1",
        "scale": f"scaled\nto {low:g} … {high:g}",
        "stars": "predicted stars",
    }
    places = {name: (middle, 3.2 - 1.15 * place) for place, name in enumerate(operations)}
    places |= {"user": (1.2, 5.8), "movie": (2 * middle - 1.2, 5.8)}
    for side, rows in (("user", users), ("movie", movies)):
        _box(axes, places[side], f"{side}\none of {rows:,}", "white")
    for column, table in enumerate(tables):
        place = (2.4 * column, 4.5)
        size = f"{table.rows:,} × {table.columns}"  # noqa: RUF001
        _box(axes, place, f"{table.name}\n{size}\n{table.rows * table.columns:,} parameters", SKY)
        _arrow(axes, places[table.side], place)
        (_elbow if table.goes_to == "add" else _arrow)(axes, place, places[table.goes_to])
    for name, text in operations.items():
        _box(axes, places[name], text, ORANGE if name == "stars" else _OPERATION)
    for start, end in zip(operations, list(operations)[1:], strict=False):
        _arrow(axes, places[start], places[end])
    axes.set(xlim=(-1.15, 2 * middle + 1.15), ylim=(-1.9, 6.3))
    axes.set_axis_off()
    return figure


def _box(axes: Axes, place: Place, text: str, color: str) -> None:
    width, height = _BOX
    corner = (place[0] - width / 2, place[1] - height / 2)
    axes.add_patch(
        FancyBboxPatch(
            corner, width, height, boxstyle="round,pad=0.04", facecolor=color, edgecolor="#333333"
        )
    )
    axes.text(*place, text, ha="center", va="center", fontsize=10, linespacing=1.35)


def _arrow(axes: Axes, start: Place, end: Place) -> None:
    """Draw an arrow from below a box to the top of another, straight down where it can."""
    width, height = _BOX
    reach = 0.35 * width
    target = min(max(start[0], end[0] - reach), end[0] + reach)
    source = min(max(end[0], start[0] - reach), start[0] + reach)
    pads = -height / 2 - _PAD, height / 2 + _PAD
    _draw_arrow(axes, (source, start[1] + pads[0]), (target, end[1] + pads[1]), "arc3")


def _elbow(axes: Axes, start: Place, end: Place) -> None:
    """Draw an arrow down from a box and into the side of another."""
    width, height = _BOX
    side = width / 2 + _PAD if start[0] > end[0] else -width / 2 - _PAD
    angle = 0 if start[0] > end[0] else 180
    style = f"angle,angleA=-90,angleB={angle}"
    _draw_arrow(axes, (start[0], start[1] - height / 2 - _PAD), (end[0] + side, end[1]), style)


def _draw_arrow(axes: Axes, begin: Place, end: Place, style: str) -> None:
    arrow = {
        "arrowstyle": "-|>",
        "color": "#333333",
        "connectionstyle": style,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    axes.annotate("", end, begin, arrowprops=arrow)
