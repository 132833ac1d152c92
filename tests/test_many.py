"""Lists for many people and predictions for pairs: the answers of single questions, in frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from movie_embed import Filters, MovieEmbedError, Recommender


@pytest.fixture(scope="module")
def recommender(demo_folder: Path) -> Recommender:
    return Recommender.load(demo_folder / "run")


def check(frame: pd.DataFrame, user: object, answers: list, key: str) -> None:
    mine = frame[frame["user"] == user]
    assert mine["movie"].tolist() == [answer.movie_id for answer in answers]
    assert mine["rank"].tolist() == [answer.rank for answer in answers]
    assert mine["score"].to_numpy() == pytest.approx([getattr(a, key) for a in answers], abs=1e-6)


@pytest.mark.parametrize(
    ("how", "key"),
    [
        ({}, "match"),
        ({"order": "stars", "k": 3}, "predicted_stars"),
        ({"filters": Filters(["Comedy"], min_count=5, include_rare=True)}, "match"),
    ],
)
def test_many_get_the_lists_of_single_questions(
    recommender: Recommender, how: dict, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("movie_embed.answers.recommender._BLOCK", 7)
    users = recommender._spaces.users
    ids = users.ids[:40:2].tolist()
    lists = recommender.for_users(ids, **how)
    assert list(lists.columns) == ["user", "movie", "rank", "score"]
    assert lists["user"].drop_duplicates().tolist() == ids
    ratings = {
        user: recommender._spaces.users.ratings_of(int(np.flatnonzero(users.ids == user)[0]))
        for user in ids
    }
    movies = recommender.embeddings.movies.ids
    frame = pd.concat(
        pd.DataFrame({"user": f"new {user}", "movie": movies[rows], "rating": stars})
        for user, (rows, stars) in ratings.items()
    ).sample(frac=1, random_state=0)
    new = recommender.for_many(frame, **how)
    for user in ids:
        answers = recommender.for_user(user, **how)
        check(lists, user, answers, key)
        check(new, f"new {user}", answers, key)


def test_all_users_get_a_list(recommender: Recommender) -> None:
    lists = recommender.for_users(k=2)
    assert lists["user"].tolist() == np.repeat(recommender._spaces.users.ids, 2).tolist()


def test_pairs_get_the_numbers_of_single_questions(recommender: Recommender) -> None:
    ids = recommender._spaces.users.ids[:3].tolist()
    numbers = [
        (user, each.movie_id, each.predicted_stars, each.match)
        for user in ids
        for each in recommender.for_user(user, k=20)
    ]
    expected = pd.DataFrame(numbers, columns=["user", "movie", "stars", "score"])
    pairs = expected[["user", "movie"]].sample(frac=1, random_state=0)
    found = recommender.predict(pairs)
    assert found.index.tolist() == pairs.index.tolist()
    pd.testing.assert_frame_equal(found.sort_index(), expected, check_dtype=False, atol=1e-5)


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        ({"user": [1], "movie": [1]}, "columns=user, movie: must be with rating among them"),
        ({"user": [1, 1], "movie": [1, 1], "rating": [4, 5]}, r"user 1, .+: rated twice"),
        ({"user": [1, 7], "movie": [1, 1], "rating": [4, 9]}, "user 7, .+: 9 stars are off the"),
        ({"user": [1], "movie": [10**7], "rating": [4]}, "movie=10000000 is not in"),
        ({"user": [None], "movie": [1], "rating": [4]}, "row 1 has no user"),
    ],
)
def test_a_wrong_frame_is_refused(recommender: Recommender, frame: dict, told: str) -> None:
    with pytest.raises(MovieEmbedError, match=told):
        recommender.for_many(pd.DataFrame(frame))


def test_a_command_writes_the_lists(
    demo_folder: Path, recommender: Recommender, tmp_path: Path
) -> None:
    from movie_embed.answers.questions import answer
    from movie_embed.config import RecommendConfig

    run, expected = str(demo_folder / "run"), recommender.for_users(k=3)
    for name, read in (("lists.csv", pd.read_csv), ("lists.parquet", pd.read_parquet)):
        told = answer(RecommendConfig(users="all", to=str(tmp_path / name), k=3, run=run))
        assert told.endswith(f"users in {tmp_path / name}")
        found = read(tmp_path / name)
        pd.testing.assert_frame_equal(found, expected, check_dtype=False, rtol=1e-6)
    some = recommender._spaces.users.ids[:2].tolist()
    answer(RecommendConfig(users=some, to=str(tmp_path / "some.csv"), run=run))
    assert set(pd.read_csv(tmp_path / "some.csv")["user"]) == set(some)
    with pytest.raises(MovieEmbedError, match=r"to=None: must be lists\.csv or lists\.parquet"):
        RecommendConfig(users="all")
