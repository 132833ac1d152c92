"""Our network, loss and steps against Keras' own: pip install -e '.[parity]', make parity."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from movie_embed.training.datamodule import Batch
from movie_embed.training.model import he_normal
from movie_embed.training.regression import RatingRegression
from movie_embed.training.scores import pair_scores, plain_pair_scores

os.environ.setdefault("KERAS_BACKEND", "torch")
keras = pytest.importorskip("keras")

from keras_model import paper_network  # noqa: E402

USERS, MOVIES, DIM, LOW, HIGH, L2 = 300, 120, 50, 0.5, 5.0, 1e-6
STEPS, BATCH = 50, 256
TABLES = {
    "user_vectors": "users_embeddings",
    "movie_vectors": "movies_embeddings",
    "user_biases": "users_bias",
    "movie_biases": "movies_bias",
}
# Section III.C. The paper prints 4923800 for the users, with which its total would be 5,113,531.
PAPERS_LAYERS = {
    "movies": 0,
    "users": 0,
    "movies_embeddings": 50_250,
    "users_embeddings": 6_923_800,
    "reshaped_movies_embeddings": 0,
    "reshaped_users_embeddings": 0,
    "movies_bias": 1_005,
    "users_bias": 138_476,
    "dot_product": 0,
    "reshaped_movies_bias": 0,
    "reshaped_users_bias": 0,
    "bias_addition": 0,
    "activation_1": 0,
    "lambda_1": 0,
}


def test_the_keras_network_is_the_papers_table() -> None:
    network = paper_network(138_476, 1_005, LOW, HIGH)
    assert {layer.name: layer.count_params() for layer in network.layers} == PAPERS_LAYERS
    assert network.count_params() == 7_113_531


def module() -> RatingRegression:
    return RatingRegression(USERS, MOVIES, DIM, (LOW, HIGH), learning_rate=1e-3, l2=L2, seed=0)


def network_like(ours: RatingRegression) -> Any:
    """Return the paper's network in Keras with our initial weights."""
    network = paper_network(USERS, MOVIES, LOW, HIGH, DIM, L2)
    for name, layer in TABLES.items():
        table = getattr(ours.model, name).detach().numpy()
        network.get_layer(layer).set_weights([table.reshape(len(table), -1)])
    return network


def batches() -> list[Batch]:
    """Return fifty batches, sorted by user as ours always are."""
    rng = np.random.default_rng(0)
    users = np.sort(rng.integers(0, USERS, (STEPS, BATCH), dtype=np.int32))
    movies = rng.integers(0, MOVIES, (STEPS, BATCH), dtype=np.int32)
    stars = rng.integers(1, 11, (STEPS, BATCH)).astype(np.float32) / 2
    rows = zip(users, movies, stars, strict=True)
    return [
        Batch(*(torch.from_numpy(column) for column in columns), total=len(columns[0]))
        for columns in rows
    ]


def for_keras(batch: Batch) -> tuple[list[np.ndarray], np.ndarray]:
    users, movies, stars = (column.numpy()[:, None] for column in batch[:3])
    return [movies, users], stars


def keras_steps(network: Any) -> list[float]:
    """Train on each batch and return the losses before the steps, regulariser included."""
    losses = []
    for batch in batches():
        network.reset_metrics()
        losses.append(float(network.train_on_batch(*for_keras(batch))))
    return losses


@torch.no_grad()
def regularised_loss(ours: RatingRegression, batch: Batch) -> float:
    loss = mse_loss(ours.model(batch.users, batch.movies), batch.ratings)
    vectors = (ours.model.user_vectors, ours.model.movie_vectors)
    return float(loss + ours.l2 * sum(table.square().sum() for table in vectors))


def our_steps(ours: RatingRegression, epsilon: Callable[[int], float]) -> list[float]:
    """Do what the Trainer does with each batch, and return the losses before the steps."""
    adam = ours.configure_optimizers()
    ours.on_train_epoch_start()
    losses = []
    for step, batch in enumerate(batches(), start=1):
        losses.append(regularised_loss(ours, batch))
        for group in adam.param_groups:
            group["eps"] = epsilon(step)
        adam.zero_grad()
        ours.training_step(batch, 0).backward()
        adam.step()
    return losses


def keras_epsilon(step: int) -> float:
    """Return the epsilon with which torch's Adam takes Keras' step.

    Both divide by ``sqrt(v) + epsilon``, torch after it has corrected v for the zeros it began
    with, Keras (epsilon 1e-7) before.
    """
    return 1e-7 / math.sqrt(1 - 0.999**step)


def torch_epsilon(step: int) -> float:
    """Return torch's own, with which we train."""
    return 1e-8


def weights(ours: RatingRegression, network: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for name, layer in TABLES.items():
        table = getattr(ours.model, name).detach().numpy()
        yield table.reshape(len(table), -1), network.get_layer(layer).get_weights()[0]


@pytest.mark.parametrize("scores", [pair_scores, plain_pair_scores])
def test_fifty_steps_are_keras_own(
    scores: Callable[..., Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("movie_embed.training.model.pair_scores", scores)
    ours = module()
    network = network_like(ours)
    for batch in batches()[:3]:
        predicted = network.predict_on_batch(for_keras(batch)[0])[:, 0]
        stars = ours.model(batch.users, batch.movies).detach().numpy()
        np.testing.assert_allclose(stars, predicted, rtol=0, atol=1e-6)
    losses = our_steps(ours, keras_epsilon)
    assert losses == pytest.approx(keras_steps(network), rel=1e-6)
    assert losses[-1] < 0.95 * losses[0]
    # Rounding in float32 is all that is left: after fifty steps of at most 0.001 each.
    for table, expected in weights(ours, network):
        np.testing.assert_allclose(table, expected, rtol=0, atol=1e-6)


def test_torchs_own_epsilon_changes_the_loss_by_less_than_a_thousandth() -> None:
    # It shows where a row has no rating in a batch: its gradient, 2 l2 w, is as small as epsilon.
    ours = module()
    network = network_like(ours)
    losses = our_steps(ours, torch_epsilon)
    assert losses == pytest.approx(keras_steps(network), rel=1e-3)
    for table, expected in weights(ours, network):
        np.testing.assert_allclose(table, expected, rtol=0, atol=0.02)


@pytest.mark.parametrize(("rows", "columns"), [(1_005, 50), (20_000, 5), (40_000, 1)])
def test_he_normal_is_distributed_as_keras_own(rows: int, columns: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    ours = he_normal(rows, columns, torch.Generator().manual_seed(0)).numpy().ravel()
    drawn = keras.initializers.HeNormal(seed=0)((rows, columns))
    keras_own = keras.ops.convert_to_numpy(drawn).ravel()
    assert ours.std() == pytest.approx(keras_own.std(), rel=0.02)
    assert abs(ours.mean() - keras_own.mean()) < 0.02 * keras_own.std()
    cut = 2 * math.sqrt(2 / rows) / 0.87962566
    assert 0.99 * cut < np.abs(ours).max() <= cut * (1 + 1e-6)
    # Keras' torch backend takes the first of four draws within the cut, and the first of all where
    # none is: one value in 233,000 is not cut.
    beyond = np.abs(keras_own) > cut * (1 + 1e-6)
    assert beyond.mean() < 1e-4
    assert np.abs(keras_own[~beyond]).max() > 0.99 * cut
    assert stats.ks_2samp(ours, keras_own).pvalue > 0.01
    # The same test tells a normal of that standard deviation that is not cut.
    uncut = np.random.default_rng(0).normal(0, math.sqrt(2 / rows), rows * columns)
    assert stats.ks_2samp(uncut, keras_own).pvalue < 1e-6
