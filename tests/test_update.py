"""Training that goes on from another run's vectors with the ratings of now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from checkerboard import settings

from movie_embed import MovieEmbedError, train
from movie_embed.config import ModelConfig, OptimizerConfig, TrainerConfig
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.embeddings.spaces import Spaces
from movie_embed.training.datamodule import RatingsDataModule
from movie_embed.training.regression import RatingRegression
from movie_embed.training.update import start_from


def test_new_ratings_go_on_from_a_run(
    board: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pd.read_csv(board / "ratings.csv")
    test = rows[np.random.default_rng(0).random(len(rows)) < 0.1]
    now = rows.drop(test.index)
    before = now[(now.userId <= 220) & (now.movieId <= 137)]
    plain = settings(board, 12, val_fraction=0)
    config = replace(plain, data=replace(plain.data, path=None))
    of_before = RatingsDataModule(config.data, 0, before, test=test)
    train(config, tmp_path / "before", data=of_before)

    short = TrainerConfig(2, enable_progress_bar=False)
    few = replace(config, init=str(tmp_path / "before"), trainer=short)
    few = replace(few, optimizer=OptimizerConfig(0.02, "constant"))
    data = RatingsDataModule(few.data, 0, now, test=test)
    module = RatingRegression.for_data(data, few.model, few.optimizer)
    start_from(str(few.init), module, data)
    saved = SavedEmbeddings.load(tmp_path / "before")
    row = saved.movies.row_of(105)
    at = data.data_set.movies.row_of(105)
    vectors = module.model.movie_vectors.detach().numpy()
    np.testing.assert_array_equal(vectors[at], saved.vectors[row])
    users = Spaces(saved).users
    given = module.model.user_vectors.detach().numpy()
    np.testing.assert_array_equal(given[:220], users.vectors)
    # A new user's first vector is fitted to what the user rated.
    new = given[230] @ vectors[: len(vectors) - 3].T
    group = data.data_set.movies.ids[: len(new)]
    mine = (group - 101) % 4 == int(data.data_set.ratings.user_ids[230]) % 4
    assert new[mine].mean() > new[~mine].mean() + 1

    capsys.readouterr()
    updated = train(few, tmp_path / "updated", data=data, module=module)
    told = capsys.readouterr().out
    assert "37 movies began where" in told
    assert "3 are new; 220 users began where" in told
    assert "20 are new" in told
    anew = train(config, tmp_path / "anew", data=RatingsDataModule(few.data, 0, now, test=test))
    assert updated["test_rmse"] < 1.25 * anew["test_rmse"]  # type: ignore[operator]
    alone = train(replace(few, init=None), tmp_path / "alone", data=data)
    assert updated["test_rmse"] < 0.9 * alone["test_rmse"]  # type: ignore[operator]


def test_what_does_not_fit_a_run_is_refused(board: Path, tmp_path: Path) -> None:
    train(settings(board, 1), tmp_path / "run")
    other = settings(board, 1, model=ModelConfig(dim=9))
    with pytest.raises(MovieEmbedError, match=r"init=.*run has model.dim=8, not 9"):
        train(replace(other, init=str(tmp_path / "run")), tmp_path / "other")
    implicit = settings(board, 1, model=ModelConfig(dim=8, implicit="users"))
    with pytest.raises(MovieEmbedError, match=r"has model.implicit=none, not users"):
        train(replace(implicit, init=str(tmp_path / "run")), tmp_path / "other")
    with pytest.raises(MovieEmbedError, match="no trained model in"):
        train(replace(settings(board, 1), init=str(tmp_path / "no")), tmp_path / "other")
