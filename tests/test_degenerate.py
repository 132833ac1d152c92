"""Ratings with next to nothing in them, and folders in odd places, through a whole run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from checkerboard import write_checkerboard
from running import run_script
from synthetic import files_config, write_folder

from movie_embed import MovieEmbedError, Recommender
from movie_embed.cli import setting
from movie_embed.config import ModelConfig, SaveConfig, TrainConfig, TrainerConfig
from movie_embed.training.run import train

MANY = [(user, movie, 1 + (user * movie) % 5) for user in range(9) for movie in range(10, 19)]
Rows = list[tuple[int, int, int]]


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run_on(rows: Rows, folder: Path, **data: Any) -> dict[str, Any]:
    """Train one epoch on these ratings."""
    text = "userId,movieId,rating\n" + "".join(f"{u},{m},{stars}\n" for u, m, stars in rows)
    write_folder(folder / "data", {"ratings.csv": text.encode()})
    given = {"rating_range": [1.0, 5.0], "val_fraction": 0.2} | data
    config = TrainConfig(
        data=files_config(folder / "data", folder / "cache", **given),
        model=ModelConfig(dim=4),
        trainer=TrainerConfig(max_epochs=1, enable_progress_bar=False),
        save=SaveConfig(figures=False),
    )
    return train(config, folder / "run")


TRAINED: dict[str, tuple[Rows, dict[str, Any]]] = {
    "one user": ([(1, movie, 1 + movie % 5) for movie in range(10, 40)], {}),
    "one movie": ([(user, 10, 1 + user % 5) for user in range(30)], {}),
    "one rating": ([(1, 10, 3)], {}),
    "all equal": ([(user, movie, 3) for user, movie, _ in MANY], {}),
    "all the lowest": ([(user, movie, 1) for user, movie, _ in MANY], {}),
    "batch larger than the data": (MANY, {"batch_size": 2**20}),
    "last batch of one": (MANY, {"batch_size": len(MANY) - 1, "val_fraction": 0.0}),
}


@pytest.mark.parametrize("case", TRAINED)
def test_next_to_nothing_trains(case: str, tmp_path: Path) -> None:
    rows, data = TRAINED[case]
    metrics = run_on(rows, tmp_path, **data)
    users, movies, _ = map(set, zip(*rows, strict=True))
    assert (metrics["users"], metrics["movies"], metrics["ratings"]) == (
        len(users),
        len(movies),
        len(rows),
    )
    validated = data.get("val_fraction", 0.2) > 0 and len(rows) > 1
    for name in ("train_rmse", "bias_only_rmse", *(["val_rmse"] if validated else [])):
        assert 0 <= metrics[name] <= 4
        assert math.isfinite(metrics[name])
    assert (metrics["val_rmse"] is not None) == validated
    answers = Recommender.load(tmp_path / "run").similar(10, k=100)
    assert {answer.movie_id for answer in answers} <= movies - {10}
    assert bool(answers) == (len(movies) > 1)


def test_nothing_left_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MovieEmbedError) as told:
        run_on([(1, 10, 3), (1, 20, 4)], tmp_path, val_fraction=0.999)
    left = "leaves nothing to train on: there are 2 ratings"
    assert str(told.value) == f"data.val_fraction=0.999 {left}"
    assert not [*(tmp_path / "run").glob("[!.]*")]  # but for the lock


def test_a_lone_movie_has_no_neighbours(tmp_path: Path) -> None:
    run_on([(user, 10, 1 + user % 5) for user in range(30)], tmp_path)
    told = run_script("recommend.py", "movie_id=10 run=run", tmp_path)
    assert told.returncode == 1
    assert told.stderr.splitlines() == [
        "error: no movie to answer with: of 1 with vectors all are asked about, rated already or "
        "kept out by filters"
    ]


def test_odd_places_and_a_data_folder_that_is_only_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "my d\u00e4ta, \u96fb\u5f71 [v1] 'x'"
    data = write_checkerboard(place / "the data")
    with (data / "ratings.csv").open("a") as file:
        file.write("1,2\n")
    before = {path: path.stat().st_mtime_ns for path in (data, *data.iterdir())}
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    run = place / "the run"
    config = TrainConfig(
        data=files_config(data, place / "the cache", rating_range=None, on_bad_rows="skip"),
        model=ModelConfig(dim=4),
        trainer=TrainerConfig(max_epochs=1, enable_progress_bar=False),
    )
    try:
        train(config, run)
        assert "\n1 bad row left out (data.on_bad_rows=skip)\n" in capsys.readouterr().out
        assert {path: path.stat().st_mtime_ns for path in (data, *data.iterdir())} == before
    finally:
        data.chmod(0o755)
    told = run_script("recommend.py", f"movie_id=101 {setting('run', run)}", tmp_path)
    assert told.returncode == 0, told.stderr
    assert told.stdout.startswith("Recommendations for ")
