"""Fold-in: a vector and bias for a new user or movie, fitted with all others frozen."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Vector = NDArray[np.float64]

_STEPS = 50
_HALVINGS = 30
# Of the loss. Of users with random stars, whose fits end last, 99 of 100 then have predictions
# within 0.002 stars of the minimum's.
_PRECISION = 3e-8
_LEAST_CURVATURE = 0.1


def predict_stars(scores: Floats, rating_range: tuple[float, float]) -> Floats:
    """Return ``low + (high - low) * sigmoid(score)`` for scores of any shape, in stars."""
    low, high = rating_range
    # np.clip takes four times as long for the few scores of a fit.
    stars: Floats = low + (high - low) / (1 + np.exp(-np.minimum(np.maximum(scores, -80), 80)))
    return stars


def fold_in(
    vectors: Floats,
    biases: Floats,
    stars: Floats,
    rating_range: tuple[float, float],
    ridge: float,
    prior: Vector,
) -> Vector:
    """Fit one vector and bias to ratings by regularised least squares through the sigmoid.

    It minimises ``sum((predicted - stars) ** 2) + ridge * sum((fitted - prior) ** 2)`` in float64
    by Newton steps, halved while they do not descend, to convergence. For a new user the rows are
    those of the movies rated; for a new movie those of the users who rated it. The L2 strength, in
    stars squared, is above 0. Prior and fit are a vector, then its bias, shape (dim + 1,).
    """
    design = np.column_stack([vectors, np.ones(len(vectors))]).astype(np.float64)
    prior = np.asarray(prior, np.float64)
    offsets = design @ prior + biases
    # The fit differs from the prior by a sum of the rows. With fewer ratings than dimensions, a
    # basis of these makes the matrix of each step as small as the number of ratings.
    basis = np.linalg.qr(design.T)[0] if len(design) < design.shape[1] else None
    if basis is not None:
        design = design @ basis
    # On a scale from 0 to 1 the sigmoid's derivatives are short.
    low, high = rating_range
    shares = (np.asarray(stars, np.float64) - low) / (high - low)
    single = design.astype(np.float32)
    problem = _Problem(design, single, offsets, shares, ridge / (high - low) ** 2)
    fitted = np.zeros(design.shape[1])
    loss, predicted = problem.loss(fitted)
    for _ in range(_STEPS):
        step, fall = problem.step(fitted, predicted)
        if fall <= _PRECISION * loss:
            fitted = fitted - step
            break
        # A full step can overshoot where the sigmoid bends: ratings at the ends of the scale.
        for _ in range(_HALVINGS):
            new_loss, predicted = problem.loss(fitted - step)
            if new_loss <= loss:
                break
            step = step / 2
        else:
            break
        fitted, loss = fitted - step, new_loss
    return np.asarray(prior + (fitted if basis is None else basis @ fitted))


def rating_parts(
    ratings: tuple[Floats, Floats, Floats],
    rating_range: tuple[float, float],
    ridge: float,
    fitted: tuple[Vector, Vector],
    targets: Floats,
) -> tuple[Vector, Vector]:
    """Return the part of each rating in the scores of the targets, and the prior's part.

    At the minimum of `fold_in` the gradient is zero, so the fit is the prior plus
    ``sum_i jacobian_i * (stars_i - predicted_i) / ridge``: a sum over the ratings, and so is every
    score (the representer theorem). `fitted` is what `fold_in` returned, and its prior; the parts
    have the shapes (targets, ratings) and (targets,).
    """
    vectors, biases, stars = ratings
    taste, prior = fitted
    design, aims = (np.column_stack([v, np.ones(len(v))]) for v in (vectors, targets))
    low, high = rating_range
    predicted = predict_stars(design @ taste + biases, rating_range)
    slopes = (predicted - low) * (high - predicted) / (high - low)
    parts: Vector = aims @ (design * (slopes * (stars - predicted) / ridge)[:, None]).T
    return parts, aims @ prior


class _Problem(NamedTuple):
    """The fit in coordinates relative to the prior; offsets are the prior's scores.

    `single` is the design in single precision, for the curvature; `shares` are the stars as shares
    of the scale.
    """

    design: Vector
    single: NDArray[np.float32]
    offsets: Vector
    shares: Vector
    ridge: float

    def loss(self, fitted: Vector) -> tuple[float, Vector]:
        """Return the loss, and the predicted stars as shares of the scale."""
        predicted = predict_stars(self.design @ fitted + self.offsets, (0, 1)).astype(np.float64)
        errors = predicted - self.shares
        return float(errors @ errors + self.ridge * (fitted @ fitted)), predicted

    def step(self, fitted: Vector, predicted: Vector) -> tuple[Vector, float]:
        """Return the Newton step to subtract, and the loss' fall if the loss were quadratic."""
        errors = predicted - self.shares
        slopes = predicted * (1 - predicted)
        gradient = self.design.T @ (slopes * errors) + self.ridge * fitted
        # Far from its stars a rating can curve downwards, where a Newton step would climb. A tenth
        # of Gauss-Newton's curvature, which is positive, is left to it.
        curved = slopes + errors * (1 - 2 * predicted)
        weights = slopes * np.maximum(curved, _LEAST_CURVATURE * slopes)
        # Single precision halves the time of the product and the solution, and makes the step, not
        # the minimum, less exact.
        curvature = self.single.T @ (self.single * weights[:, None].astype(np.float32))
        curvature.flat[:: len(gradient) + 1] += self.ridge
        step = np.linalg.solve(curvature, gradient.astype(np.float32)).astype(np.float64)
        return step, float(gradient @ step)
