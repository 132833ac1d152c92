"""The paper's network: two embedding tables, two bias tables, a dot product and a sigmoid."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from movie_embed.dot import pair_dots

# The standard deviation of a unit normal cut at two standard deviations.
_CUT_STD = 0.87962566103423978


def he_normal(rows: int, columns: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw an embedding table as Keras' ``he_normal`` does.

    For a table of `rows` rows Keras takes a fan-in of `rows`, hence a standard deviation of
    ``sqrt(2 / rows)``: a normal cut at two of its own standard deviations, widened so that what
    remains has that standard deviation (He et al. 2015; paper, section III.C.2). It is not
    ``torch.nn.init.kaiming_normal_``, whose fan-in for a table is `columns`.

    Returns
    -------
    Tensor
        float32, shape (rows, columns).
    """
    std = math.sqrt(2 / rows) / _CUT_STD
    table = torch.empty(rows, columns)
    return nn.init.trunc_normal_(table, std=std, a=-2 * std, b=2 * std, generator=generator)


class MovieEmbedding(nn.Module):
    """Predict the stars a user gives a movie from learned vectors (paper, section III.C).

    ``stars = low + (high - low) * sigmoid(user . movie + user_bias + movie_bias)``

    Parameters
    ----------
    users, movies
        How many rows the tables have.
    dim
        Dimensions of a vector; the paper takes 50.
    rating_range
        The lowest and highest star of the scale.
    generator
        Source of the initial values.
    """

    rating_range: Tensor

    def __init__(
        self,
        users: int,
        movies: int,
        dim: int,
        rating_range: tuple[float, float],
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.user_vectors = nn.Parameter(he_normal(users, dim, generator))
        self.movie_vectors = nn.Parameter(he_normal(movies, dim, generator))
        self.user_biases = nn.Parameter(he_normal(users, 1, generator).squeeze(1))
        self.movie_biases = nn.Parameter(he_normal(movies, 1, generator).squeeze(1))
        self.register_buffer("rating_range", torch.tensor(rating_range))

    def forward(self, users: Tensor, movies: Tensor) -> Tensor:
        """Predict stars.

        Parameters
        ----------
        users, movies
            Indices, int32 or int64, shape (batch,).

        Returns
        -------
        Tensor
            Stars within the rating range, shape (batch,).
        """
        low, high = self.rating_range
        stars: Tensor = low + (high - low) * torch.sigmoid(self.score(users, movies))
        return stars

    def score(self, users: Tensor, movies: Tensor) -> Tensor:
        """Return the sum of dot product and biases before the sigmoid, shape (batch,)."""
        dots = pair_dots(self.user_vectors, self.movie_vectors, users, movies)
        biases = self.user_biases.index_select(0, users) + self.movie_biases.index_select(0, movies)
        return dots + biases

    @torch.no_grad()
    def fill_unseen(self, unseen_users: Tensor, unseen_movies: Tensor) -> None:
        """Give rows that training never touched the mean of those it did.

        A user or movie met only in validation is then predicted as the average one.

        Parameters
        ----------
        unseen_users, unseen_movies
            Boolean masks, shapes (users,) and (movies,).
        """
        for table, unseen in (
            (self.user_vectors, unseen_users),
            (self.user_biases, unseen_users),
            (self.movie_vectors, unseen_movies),
            (self.movie_biases, unseen_movies),
        ):
            if unseen.any():
                table[unseen] = table[~unseen].mean(0)

    def summary(self) -> str:
        """Return the table of layers, as the paper prints it."""
        rows = [(name, str(tuple(p.shape)), p.numel()) for name, p in self.named_parameters()]
        lines = [f"{name:<16}{shape:>18}{count:>14,}" for name, shape, count in rows]
        total = sum(count for _, _, count in rows)
        heading = f"{'layer':<16}{'shape':>18}{'parameters':>14}"
        return "\n".join([heading, *lines, f"{'total':<34}{total:>14,}"])
