"""Figures and the projector's files into a run folder, where people and TensorBoard find them."""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from movie_embed.embeddings.export import export_tsv
from movie_embed.errors import MovieEmbedError
from movie_embed.figures.finished import FinishedRun
from movie_embed.figures.genre_map import plot_genre_map
from movie_embed.figures.network import plot_network
from movie_embed.figures.plots import plot_losses, plot_movie_counts, plot_star_counts
from movie_embed.storage import atomic_path, write_text

_PROJECTOR = """embeddings {
  tensor_name: "movies"
  tensor_path: "projector/vectors.tsv"
  metadata_path: "projector/metadata.tsv"
}
"""


def _plot_losses(run: FinishedRun) -> Figure:
    metrics = run.metrics
    return plot_losses(run.losses(), metrics["best_epoch"], metrics["bias_only_rmse"])


def _plot_network(run: FinishedRun) -> Figure:
    saved, metrics = run.saved, run.metrics
    sizes = metrics["users"], metrics["movies"], saved.vectors.shape[1]
    return plot_network(*sizes, saved.rating_range, run.implicit)


FIGURES: dict[str, Callable[[FinishedRun], Figure]] = {
    "ratings_per_movie": lambda run: plot_movie_counts(
        run.saved.movies.rating_counts, run.saved.min_ratings
    ),
    "rating_values": lambda run: plot_star_counts(run.star_counts()),
    "loss": _plot_losses,
    "genre_map": lambda run: plot_genre_map(run.saved, run.metrics["seed"]),
    "network": _plot_network,
}


def show_run(run: Path, metrics: dict[str, Any] | None = None) -> list[Path]:
    """Write what a finished run shows into its folder.

    ``figures/*.png``, the same in TensorBoard's image tab, and the movies' vectors for its
    projector. What an earlier call wrote is replaced. A figure whose data the folder lacks is
    left out, and a line on stderr says why.

    Parameters
    ----------
    run
        A run folder, or a file that names one.
    metrics
        What its ``metrics.json`` is to hold, where that is not yet written.

    Returns
    -------
    list of Path
        The files written, but for TensorBoard's own.

    Raises
    ------
    MovieEmbedError
        The run is not there or not whole, or its folder cannot be written.
    """
    finished = FinishedRun.load(run, metrics)
    images: dict[str, bytes] = {}
    for name, plot in FIGURES.items():
        try:
            images[name] = _png(plot(finished))
        except MovieEmbedError as error:
            print(f"no figure {name}: {error}", file=sys.stderr)
    paths = [finished.folder / "figures" / f"{name}.png" for name in images]
    for path, image in zip(paths, images.values(), strict=True):
        with atomic_path(path) as temporary:
            temporary.write_bytes(image)
    _write_events(images, finished)
    return [*paths, *write_projector(finished)]


def write_projector(run: FinishedRun) -> list[Path]:
    """Write the movies' vectors and metadata where TensorBoard's projector looks for them."""
    config = run.folder / "projector_config.pbtxt"
    files = export_tsv(run.saved, run.folder / "projector")
    write_text(config, _PROJECTOR)
    return [*files, config]


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def _write_events(images: dict[str, bytes], run: FinishedRun) -> None:
    """Write the images as one TensorBoard file of their own, in place of an earlier one."""
    now = time.time()
    path = run.folder / f"events.out.tfevents.{now:.0f}.figures"
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        records = RecordWriter(file)
        records.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        for name, png in images.items():
            image = Summary.Value(
                tag=f"figures/{name}", image=Summary.Image(encoded_image_string=png)
            )
            event = Event(wall_time=now, step=run.metrics["epochs"], summary=Summary(value=[image]))
            records.write(event.SerializeToString())
    for earlier in run.folder.glob("events.out.tfevents.*.figures"):
        if earlier != path:
            earlier.unlink()
