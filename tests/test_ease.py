"""The implicit model against its definition, and the answers that it gives with the stars."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from embedded import DIM, MOVIES, random_vectors, saved

from movie_embed import MovieEmbedError, Recommender
from movie_embed.data.demo import draw_ratings
from movie_embed.embeddings.ease import Ease, match_scores, rating_values
from movie_embed.embeddings.fold_in import fold_in, rating_parts
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.evaluation import METRICS
from movie_embed.training.implicit import Choices, fit_ease

RANGE, L2 = (0.5, 5.0), 3.0


def ratings(users: int = 60, movies: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Users, movies and stars of about a third of all pairs, sorted by user."""
    rng = np.random.default_rng(0)
    who, what = np.nonzero(rng.random((users, movies)) < np.linspace(0.2, 0.5, movies))
    return who, what, rng.integers(1, 11, len(who)).astype(np.float32) / 2


def chosen(part: slice = slice(None)) -> Choices:
    who, what, stars = (column[part] for column in ratings())
    starts = np.append(0, np.cumsum(np.bincount(who, minlength=60)))
    return Choices(starts, what, rating_values(stars, RANGE))


def fitted(most: int = 12, embedded: int = 12) -> Ease:
    return fit_ease(chosen(), np.bincount(ratings()[1], minlength=12), embedded, L2, most)


def matrix() -> np.ndarray:
    who, what, stars = ratings()
    values = np.zeros((60, 12))
    values[who, what] = rating_values(stars, RANGE)
    return values


@pytest.mark.parametrize("compiled", [True, False])
def test_the_weights_are_the_ridge_regressions_of_each_column_on_the_others(
    compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("movie_embed.training.implicit.is_compiled", lambda device: compiled)
    gram = matrix().T @ matrix()
    penalties = L2 + np.diag(gram) * 0.2 / 0.8
    ease = fitted()
    found = ease.partial.astype(float) * ease.scales[:, None] / ease.scales
    for movie in range(12):
        others = np.delete(np.arange(12), movie)
        inside = gram[np.ix_(others, others)] + np.diag(penalties[others])
        expected = np.linalg.solve(inside, gram[others, movie])
        np.testing.assert_allclose(found[others, movie], expected, atol=2e-3)
    assert np.diag(ease.partial).tolist() == [0] * 12
    np.testing.assert_allclose(ease.means, matrix().mean(axis=0), atol=1e-6)


def test_movies_beyond_the_core_are_regressed_on_its_items(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ease, gram = fitted(most=4, embedded=11), matrix().T @ matrix()
    counts = np.bincount(ratings()[1])[:11]
    assert ease.rows.tolist() == sorted(np.argsort(-counts, kind="stable")[:4].tolist())
    assert ease.rest_rows.tolist() == np.setdiff1d(np.arange(12), ease.rows).tolist()
    gram[np.diag_indices(12)] = np.diag(gram) / 0.8 + L2
    for place, movie in enumerate(ease.rest_rows):
        items = ease.rest_items[place]
        assert sorted(items) == [0, 1, 2, 3]
        near = ease.rows[items]
        expected = np.linalg.solve(gram[np.ix_(near, near)], gram[near, movie])
        left = gram[movie, movie] - expected @ gram[near, movie]
        assert ease.rest_scales[place] == pytest.approx(left**-0.5, rel=1e-4)
        weights = ease.rest_partial[place] * ease.scales[items] / ease.rest_scales[place]
        np.testing.assert_allclose(weights, expected, atol=2e-3)
    monkeypatch.setattr("movie_embed.training.implicit._NEAREST", 2)
    few = fitted(most=4, embedded=11)
    for place, items in enumerate(few.rest_items):
        closest = gram[few.rows, few.rest_rows[place]] ** 2 / np.diag(gram)[few.rows]
        assert sorted(items) == sorted(np.argsort(-closest)[:2])
    # A score of a movie beyond the core is popularity and the parts of the ratings, as others are.
    rated, values = few.rows[[0, 2]], np.array([1.0, 0.5])
    scores = few.scores(np.zeros(2, int), rated, values, 1, 12)[0]
    nobody = few.scores(np.zeros(0, int), np.zeros(0, int), np.zeros(0), 1, 12)[0]
    parts = few.parts(rated, values, few.rest_rows)
    np.testing.assert_allclose(
        parts.sum(axis=1) + nobody[few.rest_rows] * 20 / 22, scores[few.rest_rows], atol=1e-6
    )
    assert (parts != 0).any(axis=1).sum() > 2


def test_the_model_for_few_ratings_is_the_regression_on_all_draws_of_them() -> None:
    """Users with six ratings, of which five are drawn: the six draws are few enough to list."""
    rng = np.random.default_rng(1)
    movies = np.sort(np.argsort(rng.random((40, 8)), axis=1)[:, :6], axis=1)
    values = rng.choice([-0.3, 0.5, 1.2], (40, 6)).astype(np.float32)
    choices = Choices(np.arange(0, 241, 6), movies.ravel(), values.ravel())
    ease = fit_ease(choices, np.bincount(movies.ravel()), 8, L2, 8)
    inputs, targets = [], []
    for some, worth in zip(movies, values, strict=True):
        for left in range(6):
            row = np.zeros((2, 8))
            row[:, some] = worth
            row[0, some[left]] = 0
            inputs.append(row[0])
            targets.append(row[1])
    given, wanted = np.array(inputs), np.array(targets)
    centred, aims = given - given.mean(axis=0), wanted - wanted.mean(axis=0)
    residuals = np.linalg.inv(centred.T @ centred / 6 + 3 * np.eye(8)).diagonal()
    gain = (residuals / np.median(residuals)) ** 0.15
    for movie in range(8):
        others = np.delete(np.arange(8), movie)
        x = centred[:, others]
        # The movie's own rating is no input: the draws in which it is hidden ask for it.
        weights = np.linalg.solve(x.T @ x / 6 + 3 * np.eye(7), x.T @ aims[:, movie] / 6)
        found = ease.few_weights[others, movie] / gain[movie]
        np.testing.assert_allclose(found, weights, atol=2e-3)
    assert np.diag(ease.few_weights).tolist() == [0] * 8


def test_a_score_is_popularity_and_the_parts_of_the_ratings() -> None:
    ease, stars = fitted(), np.array([5.0, 0.5, 3.5])
    values, alike = rating_values(stars, RANGE), {}
    for rated in itertools.combinations(range(12), 3):
        pairs = itertools.combinations(rated, 2)
        alike[rated] = np.mean([ease.similarities(one, 12)[other] for one, other in pairs])
    nobody = ease.scores(np.zeros(0, int), np.zeros(0, int), np.zeros(0), 1, 12)[0]
    assert (nobody > 0).all()
    # Ratings that are alike get nothing of the model for few ratings, and others a share of it.
    for rated in (max(alike, key=alike.get), min(alike, key=alike.get)):
        rows = np.array(rated)
        alone = ease.scores(np.zeros(3, int), rows, values, 1, 12)[0]
        share = 0.5 / (1 + 0.3**2) * (1 - np.clip(alike[rated] / 0.3, 0, 1))
        parts = ease.parts(rows, values, np.arange(12))
        rest = nobody * 20 / 23 + share * ease.few_offsets
        np.testing.assert_allclose(parts.sum(axis=1) + rest, alone, atol=1e-6)
        two = ease.scores(np.array([1, 0, 1, 1]), np.array([rows[0], 1, *rows[1:]]),
                          np.array([values[0], 1, *values[1:]]), 2, 12)  # fmt: skip
        np.testing.assert_allclose(two[1], alone, atol=1e-6)
        liked = ease.parts(rows[:1], rating_values(stars[:1], RANGE), np.arange(12))
        disliked = ease.parts(rows[:1], rating_values(np.array([0.5]), RANGE), np.arange(12))
        assert (np.sign(disliked) == -np.sign(liked)).all()
    assert share > 0.4 > 0 == np.maximum(1 - max(alike.values()) / 0.3, 0)
    plain = dataclasses.replace(ease, few_rows=None, few_weights=None, few_offsets=None)
    many = np.zeros(101, int), np.arange(101) % 12, np.ones(101)
    assert (ease.scores(*many, 1, 12) == plain.scores(*many, 1, 12)).all()


def test_similarities_are_bounded_and_symmetric_and_one_of_a_movie_to_itself() -> None:
    ease = fitted()
    table = np.stack([ease.similarities(movie, 12) for movie in range(12)])
    assert np.diag(table).tolist() == [1] * 12
    assert np.abs(table).max() == 1
    np.testing.assert_allclose(table, table.T, atol=2e-3)


def test_a_score_of_stars_is_the_prior_and_the_parts_of_the_ratings() -> None:
    vectors, biases = random_vectors(), np.linspace(-1, 1, MOVIES)
    rated, stars, prior = np.array([4, 90, 17]), np.array([5, 0.5, 3.5]), np.full(DIM + 1, 0.1)
    given = vectors[rated], biases[rated], stars
    taste = fold_in(*given, RANGE, 2.0, prior)
    parts, rest = rating_parts(given, RANGE, 2.0, (taste, prior), vectors)
    scores = vectors @ taste[:-1] + taste[-1]
    np.testing.assert_allclose(parts.sum(axis=1) + rest, scores, atol=5e-3)


@pytest.fixture(scope="module")
def recommender(demo_folder: Path) -> Recommender:
    """The demo's recommender, its implicit model fitted to as many users as the demo has."""
    embeddings = SavedEmbeddings.load(demo_folder / "run")
    drawn = draw_ratings(6_000)
    rows = np.array([embeddings.movies.row_of(movie) for movie in range(drawn.movie.max() + 1)])
    what = rows[drawn.movie].astype(int)
    counts = np.bincount(what, minlength=len(embeddings.movies))
    order = np.lexsort((what, drawn.user))
    starts = np.append(0, np.cumsum(np.bincount(drawn.user - 1)))
    choices = Choices(starts, what[order], rating_values(drawn.rating.to_numpy()[order], RANGE))
    ease = fit_ease(choices, counts, embeddings.movies.embedded, 400, 1_005)
    return Recommender(dataclasses.replace(embeddings, ease=ease))


def test_two_movies_of_a_series_bring_the_third_unless_disliked(recommender: Recommender) -> None:
    first = [a.movie_id for a in recommender.for_ratings({4896: 5, 5816: 5}, k=2)]
    assert recommender.movie_id("harry potter prisoner of azkaban") in first
    disliked = recommender.for_ratings({4896: 0.5, 5816: 0.5})
    assert not [answer for answer in disliked if "Potter" in answer.title]


def test_a_match_is_the_product_of_choice_and_liking(recommender: Recommender) -> None:
    answers = recommender.for_ratings({1: 5, 2571: 4.5, 260: 2}, k=50)
    chosen = {a.movie_id: a for a in recommender.for_ratings({1: 5, 2571: 4.5, 260: 2}, k=2000)}
    matches = [answer.match for answer in answers]
    assert matches[0] == 1
    assert matches == sorted(matches, reverse=True)
    by_stars = recommender.for_ratings({1: 5, 2571: 4.5, 260: 2}, k=50, order="stars")
    stars = [answer.predicted_stars for answer in by_stars]
    assert stars == sorted(stars, reverse=True)
    assert all(chosen[answer.movie_id].match == answer.match for answer in by_stars)
    assert match_scores(np.array([0.5, -1]), np.array([0.25, 0.25])).tolist() == [0.25, -1]


def test_lists_move_to_well_known_or_less_known_movies(recommender: Recommender) -> None:
    counts = recommender.embeddings.movies.rating_counts

    def median(popularity: float, order: str) -> float:
        settings = {"popularity": popularity, "order": order}
        answers = recommender.for_ratings({4896: 5, 2571: 4}, k=20, **settings)
        rows = [recommender.embeddings.movies.row_of(a.movie_id) for a in answers]
        return float(np.median(counts[rows]))

    for order in ("match", "choice"):
        assert median(-1, order) < median(0, order) < median(1, order)
    with pytest.raises(MovieEmbedError, match="0 where stars order"):
        recommender.for_ratings({1: 5}, order="stars", popularity=1)
    with pytest.raises(MovieEmbedError, match="a number from -1 to 1"):
        recommender.for_ratings({1: 5}, popularity=2)


def test_reasons_are_shares_of_the_score(recommender: Recommender) -> None:
    rated = {4896: 5, 5816: 4, 2571: 0.5}
    for order in ("match", "stars"):
        for answer in recommender.for_ratings(rated, order=order, explain=True):
            shares = [reason.share for reason in answer.reasons]
            assert shares == sorted(shares, reverse=True)
            assert 0 <= sum(shares) <= 1
            assert all(rated[reason.movie_id] == reason.stars for reason in answer.reasons)
    best = recommender.for_ratings({4896: 5, 5816: 5}, explain=True)[0]
    assert sum(reason.share for reason in best.reasons) > 0.5


def test_together_is_the_average_or_the_least(recommender: Recommender) -> None:
    people = [{4896: 5, 5816: 5}, {2571: 5, 260: 4}]
    seen = {movie for each in people for movie in each}
    alone = [{a.movie_id: a for a in recommender.for_ratings(each, k=2000)} for each in people]
    for together, joined in (("average", np.mean), ("least", np.min)):
        answers = recommender.for_people(people, k=30, together=together)
        assert seen.isdisjoint(answer.movie_id for answer in answers)
        for answer in answers:
            each = [a[answer.movie_id].predicted_stars for a in alone]
            assert answer.predicted_stars == pytest.approx(joined(each), abs=1e-5)
    assert recommender.for_people([1, 2]) != recommender.for_people([1])


def test_neighbours_are_mixed_where_there_is_an_implicit_model(recommender: Recommender) -> None:
    mixed = recommender.similar(4896)
    assert mixed == recommender.similar(4896, metric="mixed")
    assert mixed != recommender.similar(4896, metric="whitened")
    assert sum("Harry Potter" in answer.title for answer in mixed) >= 1
    assert all(-1 <= answer.similarity <= 1 for answer in recommender.similar([1, 4896], k=2000))
    far = recommender.similar(4896, k=2000, combine="max", not_like=5816)
    assert 5816 not in [answer.movie_id for answer in far]


def test_the_implicit_model_is_saved_and_left_out_on_demand(tmp_path: Path) -> None:
    plain = saved(random_vectors())
    ease = Ease(
        np.array([0, 5], np.int32),
        np.array([[0, 0.25], [0.25, 0]], np.float16),
        np.array([0.1, 0.2], np.float32),
        np.linspace(0, 1, MOVIES + 2).astype(np.float32),
    )
    dataclasses.replace(plain, ease=ease).save(tmp_path)
    again = SavedEmbeddings.load(tmp_path).load_part("ease", Ease)
    for column in dataclasses.fields(Ease):
        np.testing.assert_array_equal(getattr(again, column.name), getattr(ease, column.name))
    assert Recommender.load(tmp_path).for_ratings({10: 5})[0].match == 1
    plain.save(tmp_path)
    assert Recommender.load(tmp_path).for_ratings({10: 5})[0].match is None


def test_a_run_leaves_a_model_card(demo_folder: Path) -> None:
    card = (demo_folder / "run" / "README.md").read_text(encoding="utf-8")
    _, block, text = card.split("---\n", 2)
    assert yaml.safe_load(block)["library_name"] == "movie_embed"
    measured = dict(re.findall(r"^\| (.+) \| ([\d.,]+) \|$", text, re.MULTILINE))
    metrics = json.loads((demo_folder / "run" / "metrics.json").read_text())
    for metric in METRICS.values():
        if metrics.get(metric.name) is None:  # no test ratings
            continue
        assert float(measured[metric.label].replace(",", "")) == round(metrics[metric.name], 4)
    assert metrics["ndcg"] > metrics["popularity_ndcg"]
