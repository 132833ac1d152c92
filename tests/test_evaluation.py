"""Metrics, against examples worked out by hand."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from movie_embed import MovieEmbedError
from movie_embed.evaluation import (
    MovieLists,
    coverage,
    errors,
    evaluate,
    evaluate_ranking,
    fit_biases,
    mean_popularity,
    ndcg,
    recall,
    top_rows,
)

HITS = np.array([[True, False, True], [False, True, False], [False, False, False]])
RELEVANT = np.array([2, 5, 1])


def test_errors_of_all_blocks_together() -> None:
    blocks = [(np.array([4.0, 3.0]), np.array([5.0, 3.0])), (np.array([1.0]), np.array([4.0]))]
    assert errors(blocks) == pytest.approx((math.sqrt(10 / 3), 4 / 3))


def test_the_baseline_is_a_damped_mean_of_residuals() -> None:
    # One user, whose only movie has the mean: no sweep finds anything to move.
    flat = [(np.zeros(2, int), np.array([0, 1]), np.array([3.0, 3.0]))]
    assert fit_biases(lambda: flat, 1, 2).mean == 3
    # 30 users gave movie 0 four stars and movie 1 two: one sweep is 30 x 1 / (10 + 30).
    rows = np.repeat(np.arange(30), 2), np.tile([0, 1], 30), np.tile([4.0, 2.0], 30)
    blocks = [tuple(column[part] for column in rows) for part in (slice(25), slice(25, None))]
    biases = fit_biases(lambda: blocks, 30, 2)  # type: ignore[arg-type, return-value]
    assert biases.movies == pytest.approx([0.75, -0.75])
    assert biases.users == pytest.approx(np.zeros(30))
    stars = biases.predict(np.array([0, 1]), np.array([0, 1]), (2.5, 5.0))
    assert stars == pytest.approx([3.75, 2.5])  # 2.25, cut to the scale


def test_the_baseline_recovers_both_biases() -> None:
    users, movies = (column.ravel() for column in np.indices((90, 60)))
    stars = 2.75 + (users % 3 - 1) * 0.5 + (movies % 5 - 2) * 0.25
    biases = fit_biases(lambda: [(users, movies, stars)], 90, 60)
    predicted = biases.predict(users, movies, (0.5, 5.0))
    assert errors([(predicted, stars)]).rmse < 0.2 < stars.std()


def test_the_top_is_sorted_and_ties_go_to_the_first_movie() -> None:
    scores = np.array([[1.0, 3, 2, 3], [0, -np.inf, -np.inf, -np.inf], [5, 5, 5, 5]])
    assert top_rows(scores, 3).tolist() == [[1, 3, 2], [0, -1, -1], [0, 1, 2]]
    assert top_rows(scores, 9).tolist()[0] == [1, 3, 2, 0]


def test_ndcg_by_hand() -> None:
    second, third = 1 / math.log2(3), 1 / 2
    wanted = [(1 + third) / (1 + second), second / (1 + second + third), 0]
    assert ndcg(HITS, RELEVANT) == pytest.approx(wanted)


def test_recall_by_hand() -> None:
    assert recall(HITS, RELEVANT) == pytest.approx([2 / 2, 1 / 5, 0])


def test_coverage_and_popularity_leave_missing_answers_out() -> None:
    top = np.array([[0, 1], [1, -1]])
    assert coverage(top, 4) == 2 / 4
    assert mean_popularity(top, np.array([90, 30, 5, 1])) == (90 + 30 + 30) / 3


@pytest.mark.parametrize("block", [1, 2**23])
def test_a_ranking_by_hand(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("movie_embed.evaluation._BLOCK", block)
    # User 0 knows movie 0 and wants 2; user 1 knows nothing and wants nothing; 2 wants 0 and 3.
    known = MovieLists.of(np.array([2, 0]), np.array([1, 0]), 3)
    wanted = MovieLists.of(np.array([2, 0, 2]), np.array([3, 2, 0]), 3)
    counts = np.array([4, 3, 2, 1])
    asked = []

    def popularity(users: np.ndarray) -> np.ndarray:
        asked.extend(users.tolist())
        return np.tile(counts, (len(users), 1)).astype(float)

    found = evaluate_ranking(popularity, known, wanted, counts, ks=(1, 3))
    assert asked == [0, 2]
    # Lists: 1, 2, 3 for user 0, whose hit is second; 0, 2, 3 for user 2, hits first and third.
    second, third = 1 / math.log2(3), 1 / 2
    assert found == pytest.approx(
        {
            "ndcg@1": (0 + 1) / 2,
            "recall@1": (0 + 1 / 2) / 2,
            "coverage@1": 2 / 4,
            "popularity@1": (3 + 4) / 2,
            "ndcg@3": (second + (1 + third) / (1 + second)) / 2,
            "recall@3": (1 + 1) / 2,
            "coverage@3": 4 / 4,
            "popularity@3": (3 + 2 + 1 + 4 + 2 + 1) / 6,
        }
    )
    nothing = MovieLists.of(np.empty(0, int), np.empty(0, int), 3)
    assert evaluate_ranking(popularity, known, nothing, counts) == {}


def test_metrics_need_no_torch() -> None:
    code = "import sys, movie_embed.evaluation; print({'torch', 'pandas'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "set()\n"


def frames() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Lists of 3 to 15 movies for 35 of 40 users, and what was held out."""
    rng = np.random.default_rng(5)
    held_out = [
        (user, movie)
        for user in range(40)
        for movie in sorted(rng.choice(60, rng.integers(1, 25), replace=False).tolist())
    ]
    lists = []
    for user in range(35):
        size = int(rng.integers(3, 16))
        movies = rng.choice(60, size, replace=False).tolist()
        scores = np.sort(rng.random(size))[::-1].tolist()
        lists += [(user, movie, score) for movie, score in zip(movies, scores, strict=True)]
    names = ["user", "movie", "score"]
    return pd.DataFrame(lists, columns=names), pd.DataFrame(held_out, columns=names[:2])


RANX = {  # ranx 0.3.21: evaluate(Qrels, Run, metrics, make_comparable=True)
    1: (0.225, 0.01245616515837104, 0.225, 0.01245616515837104, 0.225, 0.225),
    5: (
        0.19369096775352515, 0.05572048404381995, 0.19, 0.033719799632628576,
        0.3358333333333333, 0.55,
    ),
    10: (
        0.1817448835635879, 0.10268381526024714, 0.1725, 0.05105360704504473,
        0.3504166666666667, 0.65,
    ),
}  # fmt: skip


@pytest.mark.parametrize("k", RANX)
def test_lists_in_a_frame_are_measured_as_ranx_measures_them(k: int) -> None:
    lists, held_out = frames()
    names = ("ndcg", "recall", "precision", "map", "mrr", "hit_rate")
    expected = dict(zip(names, RANX[k], strict=True))
    assert evaluate(lists.sample(frac=1, random_state=0), held_out, k) == pytest.approx(
        expected, abs=1e-9
    )
    ranked = lists.assign(rank=lists.groupby("user").cumcount() + 1).drop(columns="score")
    texts = ranked.assign(user="u" + ranked["user"].astype(str))
    wanted = held_out.assign(user="u" + held_out["user"].astype(str), rating=4.0)
    low = wanted.assign(rating=1.0, movie=wanted["movie"] + 100)
    found = evaluate(texts, pd.concat([low, wanted]), k, least=4)
    assert found == pytest.approx(expected, abs=1e-9)


def test_coverage_and_novelty_by_hand() -> None:
    lists = pd.DataFrame(
        {"user": [1, 1, 2, 9], "movie": ["a", "b", "a", "c"], "rank": [1, 2, 1, 1]}
    )
    held_out = pd.DataFrame({"user": [1, 2], "movie": ["b", "c"]})
    rated = [(1, "a"), (2, "a"), (3, "a"), (4, "a"), (1, "d"), (1, "c"), (2, "c")]
    train = pd.DataFrame(rated, columns=["user", "movie"])
    found = evaluate(lists, held_out, train=train)
    assert found["coverage"] == 1 / 3  # of a, c and d; user 9 asks for nothing
    assert found["novelty"] == pytest.approx((0 + 2 + 0) / 3)  # b counts as rated by one of four
    assert found["hit_rate"] == 0.5


@pytest.mark.parametrize(
    ("lists", "told"),
    [
        (
            {"user": [1], "film": [2], "rank": [1]},
            "lists has no column movie, but user, film, rank",
        ),
        ({"user": [1], "movie": [2]}, "lists has no column score, but user, movie"),
        ({"user": [1, 1], "movie": [2, 2], "rank": [1, 2]}, "movie 2 is twice in the list of 1"),
    ],
)
def test_frames_that_are_no_lists_are_refused(lists: dict, told: str) -> None:
    held_out = pd.DataFrame({"user": [1], "movie": [2]})
    with pytest.raises(MovieEmbedError, match=told):
        evaluate(pd.DataFrame(lists), held_out)
    some = pd.DataFrame({"user": [1], "movie": [2], "rank": [1]})
    with pytest.raises(MovieEmbedError, match="nothing relevant was held out"):
        evaluate(some, held_out.assign(rating=3), least=4)
