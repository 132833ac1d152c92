"""The text that a run prints before and after training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from movie_embed.cli import setting
from movie_embed.config import TrainConfig
from movie_embed.data.ratings import DataSet
from movie_embed.data.splits import UNUSED
from movie_embed.errors import plural, program
from movie_embed.evaluation import METRICS, RANKING
from movie_embed.training.datamodule import RatingsDataModule


def describe_data(config: TrainConfig, data: RatingsDataModule) -> str:
    """Return the paper's table of the data (section II.B), before and after the threshold."""
    data_set, least = data.data_set, config.data.min_ratings
    low, high = data_set.rating_range
    counts = data_set.ratings.level_counts(data.parts != UNUSED)
    mean = counts @ data_set.ratings.levels.astype(np.float64) / counts.sum()
    rows = (
        (config.data.name, data_set.before),
        (f"movies with {least:,}+ ratings", data_set.counts),
    )
    lines = [f"{'':<34}{'users':>10}{'movies':>10}{'ratings':>14}"]
    lines += [f"{name:<34}{n.users:>10,}{n.movies:>10,}{n.ratings:>14,}" for name, n in rows]
    tested = f", {data.test_size:,} for testing" if data.test_size else ""
    lines.append(
        f"ratings from {low:g} to {high:g}, mean {mean:.2f}; {data.train_size:,} for training, "
        f"{data.val_size:,} for validation{tested}; batches of {data.batch_size:,}"
    )
    if config.data.name == "demo":
        lines.insert(0, "Simulated ratings, for trying things out: no real person's opinions.\n")
    lines += data_set.notes
    if data_set.duplicates:
        lines.append(f"{data_set.duplicates:,} ratings replaced by a later one of the same movie")
    if data_set.bad_rows:
        lines.append(f"{plural(data_set.bad_rows, 'bad row')} left out (data.on_bad_rows=skip)")
    return "\n".join(lines)


def describe_learned(config: TrainConfig, own: int, enough: int, seen: int, least: int) -> str:
    """Return how many movies have a learned vector, why others have none, and a remedy.

    Parameters
    ----------
    config
        The settings of the run.
    own
        How many movies have enough ratings and a vector that is not about 0.
    enough
        How many movies have `least` ratings or more.
    seen
        How many movies have training ratings.
    least
        Ratings that a movie needs.
    """
    model = config.model
    strength = f"model.ridge={model.ridge:g}" if model.l2 is None else f"model.l2={model.l2:g}"
    if not own:
        return f"nothing but biases was learned: all vectors were pulled to 0; lower {strength}"
    rest = []
    if seen > enough:
        rest.append(f"{seen - enough:,} have fewer than {least} ratings (save.min_ratings={least})")
    if enough > own:
        rest.append(f"{enough - own:,} were pulled to 0 (lower {strength} for fewer)")
    line = f"{own:,} movies have a vector of their own"
    if rest:
        line += f", {' and '.join(rest)}: these answer from content, and are answers with "
        line += "include_rare=true"
    return line


def describe_result(
    data_set: DataSet, metrics: Mapping[str, Any], run: Path, how: str, saving: float
) -> str:
    """Return the errors beside the baseline's, the seconds, and a command to try."""
    stars = [metric for metric in METRICS.values() if metric.label.startswith("RMSE in stars")]
    movies = data_set.movies
    most_rated = movies.ids[np.argmax(movies.rating_counts[: movies.embedded])]
    folder = str(run.relative_to(Path.cwd()) if run.is_relative_to(Path.cwd()) else run)
    return "\n".join(
        [
            f"RMSE in stars, epoch {metrics['best_epoch']} of {metrics['epochs']}",
            *(
                f"  {metric.label.rpartition(', ')[2]:<12}{metrics[metric.name]:.4f}"
                for metric in stars
                if metrics[metric.name] is not None
            ),
            *_described_ranking(metrics),
            f"{plural(metrics['epochs'], 'epoch')} in {metrics['train_seconds']:.1f} s, "
            f"{metrics['ratings_per_second']:,} ratings/s, {how}; "
            f"then {saving:.1f} s to measure and save",
            f"\nSaved in {folder}. Try:",
            f"  {program('recommend')} movie_id={most_rated} {setting('run', folder)}",
        ]
    )


def _described_ranking(metrics: Mapping[str, Any]) -> list[str]:
    if metrics[RANKING[0].name] is None:
        return []
    labels = ", ".join(metric.label for metric in RANKING)
    lines = ["held-out ratings of 4 of 5 stars or more, ranked among all movies:", f"  {labels}"]
    for label, prefix in (("recommended", ""), ("popularity", "popularity_")):
        values = "  ".join(f"{metrics[prefix + metric.name]:.4f}" for metric in RANKING)
        lines.append(f"  {label:<12}{values}")
    return lines
