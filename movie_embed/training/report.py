"""What a run tells on the terminal, before and after."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from movie_embed.cli import setting
from movie_embed.config import TrainConfig
from movie_embed.data.triples import Triples
from movie_embed.errors import program
from movie_embed.training.datamodule import RatingsDataModule

_SILENCE = 5.0  # seconds


class Laps:
    """A stopwatch for the work after the last epoch, which may take longer than the training."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._since = time.perf_counter()

    def end(self, work: str) -> None:
        """Note how long this work took, which is done now; the next begins."""
        now = time.perf_counter()
        self.seconds[work], self._since = now - self._since, now

    def told(self, work: str) -> Callable[[Sequence[int]], Iterator[int]]:
        """Return a function that passes on rows and now and then prints how many are done."""

        def rows_told(rows: Sequence[int]) -> Iterator[int]:
            last = self._since
            for done, row in enumerate(rows):
                if (now := time.perf_counter()) - last >= _SILENCE:
                    print(f"{work}: {done:,} of {len(rows):,}", flush=True)
                    last = now
                yield row

        return rows_told

    def __str__(self) -> str:
        return ", ".join(f"{work} {seconds:.1f} s" for work, seconds in self.seconds.items())


def describe_data(config: TrainConfig, data: RatingsDataModule) -> str:
    """Return what the paper prints of its data (section II.B), before and after the threshold."""
    triples = data.triples
    before, after = triples.before, triples.counts
    low, high = triples.rating_range
    mean = triples.level_counts() @ triples.levels.astype(np.float64) / len(triples)
    lines = [
        f"{'':<34}{'users':>10}{'movies':>10}{'ratings':>14}",
        f"{config.data.name:<34}{before.users:>10,}{before.movies:>10,}{before.ratings:>14,}",
        f"{f'movies with {config.data.min_ratings:,}+ ratings':<34}"
        f"{after.users:>10,}{after.movies:>10,}{after.ratings:>14,}",
        f"ratings from {low:g} to {high:g}, mean {mean:.2f}; "
        f"{len(data.train):,} for training, {len(data.val):,} for validation; "
        f"batches of {data.batch_size:,}",
    ]
    if config.data.name == "demo":
        lines.insert(0, "Simulated ratings, for trying things out: no real person's opinions.\n")
    if len(triples) > config.data.window:
        lines.append("more than data.window: training reads from disk and saves no users")
    lines += triples.notes
    if triples.duplicates:
        lines.append(f"{triples.duplicates:,} ratings replaced by a later one of the same movie")
    if triples.bad_rows:
        lines.append(f"{triples.bad_rows:,} bad rows left out (data.on_bad_rows=skip)")
    return "\n".join(lines)


def describe_learned(config: TrainConfig, own: int, enough: int, seen: int, least: int) -> str:
    """Return how many movies have a vector of their own, why others have none, what changes it.

    Of the movies trained on, `seen`, `enough` have `least` ratings or more, and of these the
    vectors of `own` are not about 0.
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
    triples: Triples,
    metrics: Mapping[str, float | int | None],
    run: Path,
    how: str,
    laps: Laps,
) -> str:
    """Return errors beside the baseline's, the time, and the command to try next."""
    epoch = f"epoch {metrics['best_epoch']} of {metrics['epochs']}"
    lines = [f"RMSE in stars, {epoch}", f"  train       {metrics['train_rmse']:.4f}"]
    if metrics["val_rmse"] is not None:
        lines.append(f"  validation  {metrics['val_rmse']:.4f}")
    lines.append(f"  bias only   {metrics['bias_only_rmse']:.4f}")
    speed = f"{metrics['ratings_per_second']:,} ratings/s"
    movies = triples.movies
    most_rated = movies.ids[np.argmax(movies.rating_counts[: movies.embedded])]
    folder = str(run.relative_to(Path.cwd()) if run.is_relative_to(Path.cwd()) else run)
    return "\n".join(
        [
            *lines,
            f"{metrics['epochs']} epochs in {metrics['train_seconds']:.1f} s, {speed}, {how}",
            f"then: {laps}",
            f"\nSaved in {folder}. Try:",
            f"  {program('recommend')} movie_id={most_rated} {setting('run', folder)}",
        ]
    )
