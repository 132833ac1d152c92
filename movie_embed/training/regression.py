"""The learning task: fit the model's predictions to ratings."""

from __future__ import annotations

import math
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

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
        ``"constant"`` as in the paper; ``"linear"`` or ``"cosine"``: down to zero at the last
        step; ``"one_cycle"``: up from a 25th, then down (Smith and Topin 2018, arXiv 1708.07120).
    warmup
        The share of the steps over which the rate rises; by default none, with one cycle 0.3.
    l2
        Keras' ``l2(c)`` on the tables of vectors: it adds ``c * sum(w ** 2)`` to the loss, whose
        gradient ``2 c w`` is Adam's ``weight_decay = 2 c``. The biases are free.
    seed
        Of the initial values.
    """

    unseen: tuple[Tensor, Tensor]
    steps: int  # of the whole run
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
        warmup: float | None = None,
    ) -> None:
        super().__init__()
        # Plain values only: the checkpoint must load under torch's weights_only=True.
        self.save_hyperparameters(logger=False)
        generator = torch.Generator().manual_seed(seed)
        self.model = MovieEmbedding(users, movies, dim, rating_range, implicit, generator)
        self.learning_rate = learning_rate
        self.l2 = l2
        self.schedule = schedule
        self.warmup = warmup
        self._processes = 1
        self._squared_error = torch.zeros(())
        self._trained = 0

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; names of hooks, which Lightning sets all the time, without checks."""
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def configure_optimizers(self) -> Any:
        """Return dense, fused Adam and its schedule."""
        vectors = [table for table in self.parameters() if table.ndim > 1]
        biases = [table for table in self.parameters() if table.ndim == 1]
        groups: list[dict[str, Any]] = [
            {"params": vectors, "weight_decay": 2 * self.l2},
            {"params": biases},
        ]
        adam = torch.optim.Adam(groups, lr=self.learning_rate, fused=True)
        if self.schedule == "constant" and self.warmup is None:
            return adam
        return {
            "optimizer": adam,
            "lr_scheduler": {"scheduler": self._scheduler(adam), "interval": "step"},
        }

    def _scheduler(self, adam: torch.optim.Adam) -> LRScheduler:
        steps = self.steps
        if self.schedule == "one_cycle":
            # One step more than there are: Lightning asks once after the last.
            return OneCycleLR(adam, self.learning_rate, steps + 1, pct_start=self.warmup or 0.3)
        rising = (self.warmup or 0) * steps
        return LambdaLR(adam, lambda step: _factor(self.schedule, rising, steps, step))

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """Drop the gradients; Adam's own way asks torch's compiler first."""
        self.zero_grad()

    def on_fit_start(self) -> None:
        """Ask how many processes share the work."""
        self._processes = self.trainer.world_size

    def on_train_epoch_start(self) -> None:
        """Start the epoch's sums."""
        self._start_sums(0.0, 0)

    def _start_sums(self, squared_error: float, trained: int) -> None:
        self._squared_error = torch.tensor(squared_error, device=self.device)
        self._trained = trained

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the sums of an epoch that is not over."""
        checkpoint["epoch_sums"] = (float(self._squared_error), self._trained)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with them."""
        self._start_sums(*checkpoint["epoch_sums"])

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the batch's mean squared error, in stars squared."""
        predictions = self.model(batch.users, batch.movies)
        squared_error = mse_loss(predictions, batch.ratings, reduction="sum")
        self._squared_error += squared_error.detach()
        self._trained += len(batch.ratings)
        # Processes that share a batch average their gradients.
        loss = squared_error * (self._processes / batch.total)
        # Logging every step would cost more than a small step itself.
        if (self.global_step + 1) % self.log_every_n_steps == 0:
            mean = self._summed(loss.detach()) / self._processes
            self.log("train_loss", mean, prog_bar=True)
        self._check_loss(loss, batch_idx)
        return loss

    def _check_loss(self, loss: Tensor, batch_idx: int) -> None:
        # Asking an accelerator at every step would make it wait.
        if loss.device.type != "cpu" and (self.global_step + 1) % self.log_every_n_steps:
            return
        if not math.isfinite(value := loss.item()):
            raise MovieEmbedError(
                f"training diverged in epoch {self.current_epoch + 1}, batch {batch_idx + 1} "
                f"(step {self.global_step + 1}): the loss is {value} at a learning rate of "
                f"{self._learning_rate_now():g}; lower optimizer.learning_rate="
                f"{self.learning_rate:g}; checkpoints of earlier epochs are kept"
            )

    def _learning_rate_now(self) -> float:
        return float(self.trainer.optimizers[0].param_groups[0]["lr"])

    def _summed(self, part: Tensor) -> Tensor:
        """Return the sum over all processes."""
        if self._processes == 1:
            return part
        return self.trainer.strategy.reduce(part.to(self.device), reduce_op="sum")

    def on_train_epoch_end(self) -> None:
        """Log the epoch's mean loss and the learning rate."""
        trained = self._summed(torch.tensor(self._trained))
        self.log("train_loss_epoch", self._summed(self._squared_error) / trained)
        self.log("learning_rate", self._learning_rate_now())

    def on_validation_epoch_start(self) -> None:
        """Give users and movies met only in validation the average user's and movie's row."""
        self.model.fill_unseen(*(mask.to(self.device) for mask in self.unseen))
        self._errors = torch.zeros(3, dtype=torch.float64)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Sum the batch's errors."""
        self._errors += error_sums(self.model, batch)

    def on_validation_epoch_end(self) -> None:
        """Log validation RMSE and MAE, in stars."""
        squared, absolute, count = self._summed(self._errors).tolist()
        self.log("val_rmse", math.sqrt(squared / count), prog_bar=True)
        self.log("val_mae", absolute / count)


def _factor(schedule: str, rising: float, steps: int, step: int) -> float:
    """Return what the learning rate is multiplied with at a step."""
    if step < rising:
        return (step + 1) / (rising + 1)
    done = (step - rising) / (steps - rising)
    falling = {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
    return falling.get(schedule, 1.0)


@torch.no_grad()
def error_sums(model: MovieEmbedding, batch: Batch) -> Tensor:
    """Return squared errors and absolute errors, summed, and ratings, float64, shape (3,)."""
    # On the CPU, since not every accelerator has float64.
    errors = (model(batch.users, batch.movies) - batch.ratings).cpu().double()
    return torch.stack([errors.square().sum(), errors.abs().sum(), errors.new_tensor(len(errors))])
