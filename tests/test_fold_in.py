"""Somebody new, fitted to ratings."""

import numpy as np
import pytest

from movie_embed.embeddings.fold_in import fold_in, predict_stars

RANGE, DIM = (0.5, 5.0), 6


def problem(ratings: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vectors, biases, noiseless stars, and the taste behind them."""
    rng = np.random.default_rng(seed)
    vectors, biases = rng.standard_normal((ratings, DIM)), rng.standard_normal(ratings)
    taste = rng.standard_normal(DIM + 1)
    stars = predict_stars(vectors @ taste[:-1] + taste[-1] + biases, RANGE)
    return vectors, biases, stars, taste


def loss(taste: np.ndarray, parts: tuple, ridge: float, prior: np.ndarray) -> float:
    vectors, biases, stars, _ = parts
    predicted = predict_stars(vectors @ taste[:-1] + taste[-1] + biases, RANGE)
    return float(np.sum((predicted - stars) ** 2) + ridge * np.sum((taste - prior) ** 2))


def test_a_known_taste_is_recovered() -> None:
    vectors, biases, stars, taste = problem(500)
    fitted = fold_in(vectors, biases, stars, RANGE, 1e-6, np.zeros(DIM + 1))
    np.testing.assert_allclose(fitted, taste, atol=1e-3)


@pytest.mark.parametrize("ratings", [1, 3, 40, 400])
@pytest.mark.parametrize("ridge", [0.1, 10.0])
def test_it_ends_at_a_minimum(ratings: int, ridge: float) -> None:
    parts, prior = problem(ratings), np.linspace(-0.5, 0.5, DIM + 1)
    fitted = fold_in(*parts[:3], RANGE, ridge, prior)
    least = loss(fitted, parts, ridge, prior)
    slopes = [
        (loss(fitted + step, parts, ridge, prior) - loss(fitted - step, parts, ridge, prior)) / 2e-5
        for step in 1e-5 * np.eye(DIM + 1)
    ]
    assert np.abs(slopes).max() < 1e-2 * max(1, np.sqrt(least))
    assert least <= loss(prior, parts, ridge, prior)


def test_without_ratings_it_is_the_prior_and_ridge_draws_to_it() -> None:
    prior = np.arange(DIM + 1.0)
    none = np.empty((0, DIM))
    assert fold_in(none, none[:, 0], none[:, 0], RANGE, 1.0, prior).tolist() == prior.tolist()
    parts = problem(20)
    far, near = (fold_in(*parts[:3], RANGE, ridge, prior) for ridge in (1.0, 1e6))
    assert np.linalg.norm(near - prior) < 1e-3 < np.linalg.norm(far - prior)


def test_it_is_deterministic_and_survives_extremes() -> None:
    vectors, biases, _, _ = problem(50)
    stars = np.where(np.arange(50) % 2, 0.5, 5.0)
    fits = [fold_in(vectors * 100, biases, stars, RANGE, 1e-3, np.zeros(DIM + 1)) for _ in "ab"]
    assert np.isfinite(fits[0]).all()
    assert fits[0].tobytes() == fits[1].tobytes()
