"""Ratings whose neighbours are known: each user loves one group of movies and no other."""

from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from movie_embed.config import (
    DataConfig,
    ModelConfig,
    OptimizerConfig,
    SaveConfig,
    TrainConfig,
    TrainerConfig,
)

USERS, MOVIES, GROUPS = 240, 40, 4


def group_of(movie_id: int) -> int:
    """Return the group of a movie id; ids start at 101."""
    return (movie_id - 101) % GROUPS


def write_checkerboard(folder: Path, share: float = 0.7) -> Path:
    """Write and return a MovieLens folder, in which a user rated a `share` of all movies."""
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


def settings(
    folder: Path,
    epochs: int = 12,
    *,
    model: ModelConfig | None = None,
    optimizer: OptimizerConfig | None = None,
    save: SaveConfig | None = None,
    seed: int = 0,
    trainer: dict[str, Any] | None = None,
    **data: Any,
) -> TrainConfig:
    """Return a run of a second with a big learning rate; `data` are settings of that section."""
    given = {"val_fraction": 0.2, "batch_size": 256} | data
    quiet = {"enable_progress_bar": False, "log_every_n_steps": 5} | (trainer or {})
    return TrainConfig(
        data=DataConfig("files", str(folder), str(folder / "cache"), **given),
        model=model or ModelConfig(dim=8, l2=1e-6),
        optimizer=optimizer or OptimizerConfig(0.02, "constant"),
        trainer=TrainerConfig(epochs, **quiet),
        save=save or SaveConfig(figures=False),
        seed=seed,
    )


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Return steps and values of TensorBoard's curves, but for those that tell times."""
    events = EventAccumulator(str(run)).Reload()
    timed = {"ratings_per_second", "final/ratings_per_second", "final/train_seconds"}
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if tag not in timed
    }


def scalars(run: Path, tag: str) -> list[float]:
    """Return the values of one curve."""
    return [value for _, value in curves(run)[tag]]


def untimed(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return metrics without those that tell times."""
    return {k: v for k, v in metrics.items() if k not in ("train_seconds", "ratings_per_second")}
