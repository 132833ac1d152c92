"""The paper's network: two embedding tables, two bias tables, a dot product and a sigmoid."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from movie_embed.errors import MovieEmbedError
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
        SVD++: adds implicit feedback to the vectors of ``"users"``, ``"movies"``, ``"both"`` or
        ``"none"``. Unless it is ``"none"``, call `set_ratings` before the first prediction.
    generator
        Source of the initial values.
    """

    rating_range: Tensor
    rated: Tensor
    rated_starts: Tensor
    raters: Tensor
    rater_starts: Tensor

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
        self.register_buffer("rating_range", torch.tensor(rating_range))

    @property
    def needs_ratings(self) -> bool:
        """Whether this is an implicit model before `set_ratings`."""
        implicit = self.rated_vectors is not None or self.rater_vectors is not None
        return implicit and not hasattr(self, "rated")

    def set_ratings(self, users: Tensor, movies: Tensor) -> None:
        """Set the implicit feedback: the pairs rated in training, int32, shape (ratings,).

        SVD++ (Koren 2008, "Factorization meets the neighborhood", section 4) gives each movie a
        second vector, and adds to a user's vector the sum of the second vectors of the movies
        rated, over the square root of their number. Here a movie's vector may gain its raters'
        second vectors in the same way. Each step needs the sums of all rows: one `embedding_bag`
        over the ratings sorted by user, and for its gradient one over the ratings sorted by movie.
        """
        for rows, others, names, size in (
            (users, movies, ("rated", "rated_starts"), len(self.user_vectors)),
            (movies, users, ("raters", "rater_starts"), len(self.movie_vectors)),
        ):
            starts = torch.bincount(rows + 1, minlength=size + 1).cumsum(0, dtype=rows.dtype)
            # Derived from the data, so no part of a checkpoint.
            self.register_buffer(names[0], others[rows.argsort(stable=True)], persistent=False)
            self.register_buffer(names[1], starts, persistent=False)

    def tables(self) -> tuple[Tensor, Tensor]:
        """Return the vectors with implicit feedback, shapes (users, dim) and (movies, dim)."""
        user_table: Tensor = self.user_vectors
        movie_table: Tensor = self.movie_vectors
        if self.needs_ratings:
            raise MovieEmbedError("an implicit model must be told who rated what: call set_ratings")
        if self.rated_vectors is not None:
            by_user = self.rated, self.rated_starts, self.raters, self.rater_starts
            user_table = user_table + _gain(self.rated_vectors, *by_user)
        if self.rater_vectors is not None:
            by_movie = self.raters, self.rater_starts, self.rated, self.rated_starts
            movie_table = movie_table + _gain(self.rater_vectors, *by_movie)
        return user_table, movie_table

    def forward(self, users: Tensor, movies: Tensor) -> Tensor:
        """Return stars within the range, of indices, int32 or int64; all of shape (batch,)."""
        return self.stars(self.score(users, movies))

    def stars(self, scores: Tensor) -> Tensor:
        """Return the stars of scores, of any shape."""
        low, high = self.rating_range
        stars: Tensor = low + (high - low) * torch.sigmoid(scores)
        return stars

    def score(self, users: Tensor, movies: Tensor) -> Tensor:
        """Return the sum of dot product and biases before the sigmoid, shape (batch,)."""
        return pair_scores(self.tables(), (self.user_biases, self.movie_biases), users, movies)

    @torch.no_grad()
    def fill_unseen(
        self,
        unseen_users: Tensor,
        unseen_movies: Tensor,
        summed: Callable[[Tensor], Tensor] = lambda sums: sums,
    ) -> None:
        """Give the rows of unseen users and movies the mean of all other rows.

        A user or movie without a training rating is then predicted as the average one. The masks
        are boolean, of shapes (users,) and (movies,). `summed` adds up sums over the users of
        several processes.
        """
        user_table, movie_table = self.tables()
        for table, used, unseen in (
            (self.user_vectors, user_table, unseen_users),
            (self.user_biases, self.user_biases, unseen_users),
            (self.movie_vectors, movie_table, unseen_movies),
            (self.movie_biases, self.movie_biases, unseen_movies),
        ):
            sums, count = used[~unseen].sum(0), (~unseen).sum().to(used.dtype)
            if unseen is unseen_users:
                sums, count = summed(sums), summed(count)
            if unseen.any():
                table[unseen] = sums / count

    def keep_users(self, first: int, last: int) -> None:
        """Keep the rows of some users only."""
        for name in ("user_vectors", "user_biases"):
            setattr(self, name, nn.Parameter(getattr(self, name).detach()[first:last].clone()))

    def summary(self) -> str:
        """Return the table of layers, as the paper prints it."""
        rows = [(name, str(tuple(p.shape)), p.numel()) for name, p in self.named_parameters()]
        rows.append(("total", "", sum(count for _, _, count in rows)))
        lines = [f"{name:<16}{shape:>18}{count:>14,}" for name, shape, count in rows]
        return "\n".join([f"{'layer':<16}{'shape':>18}{'parameters':>14}", *lines])


class _Sums(torch.autograd.Function):
    """Sums of a table's rows over lists of rows.

    torch's own gradient of `embedding_bag` scatters into the table. With the lists turned round,
    from the row to the lists that hold it, the gradient is an `embedding_bag` too, and faster.
    """

    @staticmethod
    def forward(ctx: Any, table: Tensor, *lists: Tensor) -> Tensor:
        members, starts, *turned = lists
        ctx.save_for_backward(*turned)
        return embedding_bag(members, table, starts, mode="sum", include_last_offset=True)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        members, starts = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        sums = embedding_bag(members, gradient, starts, mode="sum", include_last_offset=True)
        return sums, None, None, None, None


def _gain(table: Tensor, members: Tensor, starts: Tensor, *turned: Tensor) -> Tensor:
    """Return the sum of a table's rows over each list, over the root of the list's length."""
    sums: Tensor = _Sums.apply(table, members, starts, *turned)  # type: ignore[no-untyped-call]
    return sums * starts.diff().clamp(min=1).rsqrt().unsqueeze(1)
