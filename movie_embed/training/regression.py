"""The learning task: fit the model's predictions to ratings."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from movie_embed.errors import MovieEmbedError
from movie_embed.training.datamodule import Batch
from movie_embed.training.model import MovieEmbedding


class RatingRegression(pl.LightningModule):
    """Fit a `MovieEmbedding` to ratings by mean squared error (paper, section III.D).

    Parameters
    ----------
    users, movies, dim, rating_range
        Shape and scale of the model.
    implicit
        See `MovieEmbedding`.
    learning_rate
        Adam's.
    schedule
        ``"constant"``, or ``"linear"``: down to zero at the last step.
    l2
        Keras' ``l2(c)`` on the tables of vectors: it adds ``c * sum(w ** 2)`` to the loss, whose
        gradient ``2 c w`` is Adam's ``weight_decay = 2 c``. The biases are free.
    seed
        Of the initial values.
    """

    unseen: tuple[Tensor, Tensor]
    log_every_n_steps = 50

    def __init__(
        self,
        users: int,
        movies: int,
        dim: int,
        rating_range: tuple[float, float],
        learning_rate: float,
        l2: float,
        seed: int,
        implicit: str = "none",
        schedule: str = "constant",
    ) -> None:
        super().__init__()
        # Plain values only: the checkpoint must load under torch's weights_only=True.
        self.save_hyperparameters(logger=False)
        generator = torch.Generator().manual_seed(seed)
        self.model = MovieEmbedding(users, movies, dim, rating_range, implicit, generator)
        self.learning_rate = learning_rate
        self.l2 = l2
        self.schedule = schedule

    def configure_optimizers(self) -> Any:
        """Return dense, fused Adam and its schedule."""
        vectors = [table for table in self.parameters() if table.ndim > 1]
        biases = [table for table in self.parameters() if table.ndim == 1]
        groups: list[dict[str, Any]] = [
            {"params": vectors, "weight_decay": 2 * self.l2},
            {"params": biases},
        ]
        adam = torch.optim.Adam(groups, lr=self.learning_rate, fused=True)
        if self.schedule == "constant":
            return adam
        steps = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: 1 - step / steps)
        return {
            "optimizer": adam,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_train_epoch_start(self) -> None:
        """Start the epoch's sums."""
        self._squared_error = torch.zeros((), device=self.device)
        self._trained = 0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the batch's mean squared error, in stars squared."""
        loss = mse_loss(self.model(batch.users, batch.movies), batch.ratings)
        self._squared_error += loss.detach() * len(batch.ratings)
        self._trained += len(batch.ratings)
        # Logging every step would cost more than a small step itself.
        if (self.global_step + 1) % self.log_every_n_steps == 0:
            self.log("train_loss", loss, prog_bar=True)
        return loss

    def on_train_epoch_end(self) -> None:
        """Log the epoch's mean loss and the learning rate.

        Raises
        ------
        MovieEmbedError
            The loss is no longer a finite number.
        """
        loss = float(self._squared_error) / self._trained
        if not math.isfinite(loss):
            raise MovieEmbedError(
                f"training diverged in epoch {self.current_epoch + 1}: the loss is {loss}; "
                f"lower optimizer.learning_rate={self.learning_rate:g}"
            )
        self.log("train_loss_epoch", loss)
        self.log("learning_rate", self.trainer.optimizers[0].param_groups[0]["lr"])

    def on_validation_epoch_start(self) -> None:
        """Give users and movies met only in validation the average user's and movie's row."""
        self.model.fill_unseen(*(mask.to(self.device) for mask in self.unseen))
        self._errors = torch.zeros(3, dtype=torch.float64)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Sum the batch's errors."""
        self._errors += error_sums(self.model, batch)

    def on_validation_epoch_end(self) -> None:
        """Log validation RMSE and MAE, in stars."""
        squared, absolute, count = self._errors.tolist()
        self.log("val_rmse", math.sqrt(squared / count), prog_bar=True)
        self.log("val_mae", absolute / count)


@torch.no_grad()
def error_sums(model: MovieEmbedding, batch: Batch) -> Tensor:
    """Return squared errors and absolute errors, summed, and ratings, float64, shape (3,)."""
    # On the CPU, since not every accelerator has float64.
    errors = (model(batch.users, batch.movies) - batch.ratings).cpu().double()
    return torch.stack([errors.square().sum(), errors.abs().sum(), errors.new_tensor(len(errors))])
