"""The network against Keras' definitions and a float64 reference written out by hand."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import mse_loss

from movie_embed.training.model import MovieEmbedding, he_normal

USERS, MOVIES, DIM, RANGE = 7, 5, 3, (0.5, 5.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def model() -> MovieEmbedding:
    """Rows of a visible size, so that no term of the formula is lost in rounding."""
    model = MovieEmbedding(USERS, MOVIES, DIM, RANGE, generator=generator())
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator(parameter.numel()))
    return model


USERS_OF_BATCH = torch.tensor([0, 0, 2, 6, 6, 6], dtype=torch.int32)
MOVIES_OF_BATCH = torch.tensor([0, 4, 4, 1, 2, 2], dtype=torch.int32)
STARS = torch.tensor([0.5, 5.0, 3.5, 4.0, 2.0, 3.0])


def reference_gradients(model: MovieEmbedding) -> tuple[float, dict[str, np.ndarray]]:
    """Return loss and gradients of the paper's formula, one rating at a time in float64."""
    tables = {name: p.detach().double().numpy() for name, p in model.named_parameters()}
    gradients = {name: np.zeros_like(table) for name, table in tables.items()}
    low, high = RANGE
    loss = 0.0
    batch = zip(USERS_OF_BATCH.tolist(), MOVIES_OF_BATCH.tolist(), STARS.tolist(), strict=True)
    for user, movie, stars in batch:
        u, m = tables["user_vectors"][user], tables["movie_vectors"][movie]
        score = u @ m + tables["user_biases"][user] + tables["movie_biases"][movie]
        sigmoid = 1 / (1 + math.exp(-score))
        error = low + (high - low) * sigmoid - stars
        loss += error**2 / len(STARS)
        slope = 2 * error / len(STARS) * (high - low) * sigmoid * (1 - sigmoid)
        gradients["user_vectors"][user] += slope * m
        gradients["movie_vectors"][movie] += slope * u
        gradients["user_biases"][user] += slope
        gradients["movie_biases"][movie] += slope
    return loss, gradients


def test_loss_and_gradients_equal_the_formula(model: MovieEmbedding) -> None:
    loss = mse_loss(model(USERS_OF_BATCH, MOVIES_OF_BATCH), STARS)
    loss.backward()
    expected_loss, expected = reference_gradients(model)
    assert loss.item() == pytest.approx(expected_loss, rel=1e-6)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        np.testing.assert_allclose(parameter.grad.numpy(), expected[name], rtol=2e-6, atol=1e-7)


def test_predictions_have_the_batch_shape_and_stay_on_the_scale(model: MovieEmbedding) -> None:
    for size in (0, 1, 4):
        users = torch.zeros(size, dtype=torch.int32)
        assert model(users, users).shape == (size,)
    model.movie_biases.data[0] = 1e4
    model.movie_biases.data[1] = -1e4
    extremes = model(torch.tensor([0, 0]), torch.tensor([0, 1]))
    assert extremes.tolist() == [RANGE[1], RANGE[0]]


@pytest.mark.parametrize("index", [torch.int32, torch.int64])
@pytest.mark.parametrize("beyond", [(-1, 0), (0, -1), "users", "movies"])
def test_an_index_beyond_the_tables_is_refused(
    model: MovieEmbedding, beyond: str | tuple[int, int], index: torch.dtype
) -> None:
    sizes = {"users": (len(model.user_vectors), 0), "movies": (0, len(model.movie_vectors))}
    user, movie = sizes[beyond] if isinstance(beyond, str) else beyond
    with pytest.raises(IndexError, match="out of range"):
        model(torch.tensor([user], dtype=index), torch.tensor([movie], dtype=index))


def test_parameter_count_at_the_papers_size() -> None:
    model = MovieEmbedding(138_476, 1_005, 50, RANGE)
    assert sum(p.numel() for p in model.parameters()) == 7_113_531
    summary = model.summary()
    for figure in ("6,923,800", "50,250", "138,476", "1,005", "7,113,531"):
        assert figure in summary


@pytest.mark.parametrize("rows", [1_005, 20_000])
def test_he_normal_is_keras_definition(rows: int) -> None:
    table = he_normal(rows, 50, generator())
    std = math.sqrt(2 / rows)
    assert table.shape == (rows, 50)
    assert float(table.std()) == pytest.approx(std, rel=0.02)
    assert float(table.mean()) == pytest.approx(0, abs=std / 50)
    cut = 2 * std / 0.87962566103423978
    assert 0.95 * cut < float(table.abs().max()) <= cut


def test_unseen_rows_get_the_mean_of_the_seen(model: MovieEmbedding) -> None:
    unseen = torch.tensor([True, False, False, False, True])
    seen_mean = model.movie_vectors[~unseen].mean(0).detach()
    before = model.user_vectors.detach().clone()
    model.fill_unseen(torch.zeros(USERS, dtype=torch.bool), unseen)
    assert torch.equal(model.movie_vectors[0], seen_mean)
    assert torch.equal(model.movie_vectors[4], seen_mean)
    assert torch.equal(model.movie_biases[0], model.movie_biases[~unseen].mean())
    assert torch.equal(model.user_vectors, before)


@pytest.mark.parametrize("implicit", ["users", "movies", "both"])
def test_implicit_vectors_and_gradients_equal_the_formula(implicit: str) -> None:
    model = MovieEmbedding(USERS, MOVIES, DIM, RANGE, implicit, generator()).double()
    model.set_ratings(USERS_OF_BATCH, MOVIES_OF_BATCH)
    rated = torch.zeros(USERS, MOVIES, dtype=torch.float64)
    for user, movie in zip(USERS_OF_BATCH.tolist(), MOVIES_OF_BATCH.tolist(), strict=True):
        rated[user, movie] += 1
    per_user = rated / rated.sum(1, keepdim=True).clamp(min=1).sqrt()
    per_movie = (rated / rated.sum(0).clamp(min=1).sqrt()).T

    def formula() -> torch.Tensor:
        users, movies = model.user_vectors, model.movie_vectors
        if model.rated_vectors is not None:
            users = users + per_user @ model.rated_vectors
        if model.rater_vectors is not None:
            movies = movies + per_movie @ model.rater_vectors
        scores = (users[USERS_OF_BATCH.long()] * movies[MOVIES_OF_BATCH.long()]).sum(1)
        return scores + model.user_biases[USERS_OF_BATCH] + model.movie_biases[MOVIES_OF_BATCH]

    parameters = list(model.parameters())
    expected = torch.autograd.grad(formula().square().sum(), parameters)
    score = model.score(USERS_OF_BATCH, MOVIES_OF_BATCH)
    torch.testing.assert_close(score, formula())
    found = torch.autograd.grad(score.square().sum(), parameters)
    for gradient, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-5, atol=1e-9)
