"""The paper's network: two embedding tables, two bias tables, a dot product and a sigmoid."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from movie_embed.errors import MovieEmbedError
from movie_embed.training.implicit import RatingSums
from movie_embed.training.scores import pair_scores

# The standard deviation of a unit normal cut at two standard deviations.
_CUT_STD = 0.87962566103423978


def he_normal(rows: int, columns: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw an embedding table, float32, of shape (rows, columns) as Keras' ``he_normal`` does.

    For a table of `rows` rows Keras takes a fan-in of `rows`, hence a standard deviation of
    ``sqrt(2 / rows)``: a normal cut at two of its own standard deviations, widened so that what
    remains has that standard deviation (He et al. 2015; paper, section III.C.2). It is not
    ``torch.nn.init.kaiming_normal_``, whose fan-in for a table is `columns`.
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
    implicit
        Whose vectors also gain from who rated what: those of ``"users"``, ``"movies"``,
        ``"both"`` or ``"none"``. `set_ratings` must then follow.
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
        implicit: str = "none",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()

        def table(rows: int) -> nn.Parameter:
            return nn.Parameter(he_normal(rows, dim, generator))

        def biases(rows: int) -> nn.Parameter:
            return nn.Parameter(he_normal(rows, 1, generator).squeeze(1))

        self.user_vectors, self.movie_vectors = table(users), table(movies)
        self.user_biases, self.movie_biases = biases(users), biases(movies)
        self.rated_vectors = table(movies) if implicit in ("users", "both") else None
        self.rater_vectors = table(users) if implicit in ("movies", "both") else None
        self.rated_sums: RatingSums | None = None
        self.rater_sums: RatingSums | None = None
        self.register_buffer("rating_range", torch.tensor(rating_range))

    @property
    def needs_ratings(self) -> bool:
        """Whether this is an implicit model before `set_ratings`."""
        implicit = (self.rated_vectors, self.rated_sums), (self.rater_vectors, self.rater_sums)
        return any(vectors is not None and sums is None for vectors, sums in implicit)

    def set_ratings(self, users: Tensor, movies: Tensor) -> None:
        """Tell an implicit model who rated what in training: indices, int32, shape (ratings,)."""
        sizes = len(self.user_vectors), len(self.movie_vectors)
        if self.rated_vectors is not None:
            self.rated_sums = RatingSums(users, movies, sizes)
        if self.rater_vectors is not None:
            self.rater_sums = RatingSums(movies, users, sizes[::-1])

    def tables(self) -> tuple[Tensor, Tensor]:
        """Return the vectors that predict: of users, (users, dim), and of movies, (movies, dim)."""
        user_table: Tensor = self.user_vectors
        movie_table: Tensor = self.movie_vectors
        if self.needs_ratings:
            raise MovieEmbedError("an implicit model must be told who rated what: call set_ratings")
        if self.rated_sums is not None:
            user_table = user_table + self.rated_sums(self.rated_vectors)
        if self.rater_sums is not None:
            movie_table = movie_table + self.rater_sums(self.rater_vectors)
        return user_table, movie_table

    def forward(self, users: Tensor, movies: Tensor) -> Tensor:
        """Return stars within the range, of indices, int32 or int64; all of shape (batch,)."""
        low, high = self.rating_range
        stars: Tensor = low + (high - low) * torch.sigmoid(self.score(users, movies))
        return stars

    def score(self, users: Tensor, movies: Tensor) -> Tensor:
        """Return the sum of dot product and biases before the sigmoid, shape (batch,)."""
        return pair_scores(self.tables(), (self.user_biases, self.movie_biases), users, movies)

    @torch.no_grad()
    def fill_unseen(self, unseen_users: Tensor, unseen_movies: Tensor) -> None:
        """Give rows that training never touched the mean of those it did.

        A user or movie met only in validation is then predicted as the average one. Which these
        are, boolean masks of shapes (users,) and (movies,) say.
        """
        user_table, movie_table = self.tables()
        for table, used, unseen in (
            (self.user_vectors, user_table, unseen_users),
            (self.user_biases, self.user_biases, unseen_users),
            (self.movie_vectors, movie_table, unseen_movies),
            (self.movie_biases, self.movie_biases, unseen_movies),
        ):
            if unseen.any():
                table[unseen] = used[~unseen].mean(0)

    def summary(self) -> str:
        """Return the table of layers, as the paper prints it."""
        rows = [(name, str(tuple(p.shape)), p.numel()) for name, p in self.named_parameters()]
        rows.append(("total", "", sum(count for _, _, count in rows)))
        lines = [f"{name:<16}{shape:>18}{count:>14,}" for name, shape, count in rows]
        return "\n".join([f"{'layer':<16}{'shape':>18}{'parameters':>14}", *lines])
