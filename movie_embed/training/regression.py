"""The learning task: fit the model's predictions to ratings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.nn.functional import mse_loss
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from torchmetrics import MeanAbsoluteError, MeanSquaredError, MetricCollection

from movie_embed.config import ModelConfig, OptimizerConfig
from movie_embed.data.splits import TRAIN
from movie_embed.errors import MovieEmbedError
from movie_embed.training.adam import Adam
from movie_embed.training.datamodule import Batch, RatingsDataModule
from movie_embed.training.divided import USER_ROWS, summed
from movie_embed.training.model import MovieEmbedding

_AnyBatch = Batch | Sequence[Tensor] | Mapping[str, Tensor]


class RatingRegression(pl.LightningModule):
    """Fit a `MovieEmbedding` to ratings by mean squared error (paper, section III.D).

    Batches are those of a `RatingsDataModule`, or users, movies and stars of any other loader.

    Parameters
    ----------
    users, movies, dim, rating_range, implicit
        Shape and scale of the `MovieEmbedding`.
    learning_rate
        Adam's.
    l2
        Keras' ``l2(c)`` on the tables of vectors: it adds ``c * sum(w ** 2)`` to the loss, whose
        gradient ``2 c w`` is Adam's ``weight_decay = 2 c``. The biases are free.
    seed
        Of the initial values.
    schedule
        ``"constant"`` as in the paper; ``"linear"`` or ``"cosine"``: down to zero at the last
        step; ``"one_cycle"``: up from a 25th, then down (Smith and Topin 2018, arXiv 1708.07120).
    warmup
        The share of the steps over which the rate rises; by default none, with one cycle 0.3.
    rows
        ``"met"``: step only the vectors of a batch's users, as `Adam` says. The paper's are all.
    """

    monitor = "val_rmse"  # the best epoch and early stopping go by it

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
        rows: str = "all",
    ) -> None:
        super().__init__()
        # Plain values only: the checkpoint must load under torch's weights_only=True.
        self.save_hyperparameters()
        generator = torch.Generator().manual_seed(seed)
        self.model = MovieEmbedding(users, movies, dim, rating_range, implicit, generator)
        self.learning_rate, self.l2 = learning_rate, l2
        self.schedule, self.warmup, self.rows = schedule, warmup, rows
        self.val_errors = MetricCollection(
            {"rmse": MeanSquaredError(squared=False), "mae": MeanAbsoluteError()}, prefix="val_"
        )
        self.test_errors = self.val_errors.clone(prefix="test_")
        self._processes, self._log_every = 1, 0
        self._start_sums(0.0, 0)

    @classmethod
    def for_data(
        cls,
        data: RatingsDataModule,
        model: ModelConfig | None = None,
        optimizer: OptimizerConfig | None = None,
    ) -> Self:
        """Return an untrained module of the data's size, scale and seed, with default settings."""
        model, optimizer = model or ModelConfig(), optimizer or OptimizerConfig()
        data.setup()
        counts = data.data_set.counts
        module = cls(
            users=counts.users,
            movies=counts.movies,
            dim=model.dim,
            rating_range=data.data_set.rating_range,
            learning_rate=optimizer.learning_rate,
            # The loss is a mean over ratings. For the same regularisation of a row on data of any
            # size, l2 has to fall with the number of ratings.
            l2=model.ridge / data.train_size if model.l2 is None else model.l2,
            seed=data.seed,
            implicit=model.implicit,
            schedule=optimizer.schedule,
            warmup=optimizer.warmup,
            rows=optimizer.rows,
        )
        module._set_ratings(data)
        return module

    def _set_ratings(self, data: RatingsDataModule) -> None:
        """Give an implicit model the pairs rated in training."""
        if not self.model.needs_ratings:
            return
        users, movies, _ = data.data_set.ratings.columns(data.chosen(TRAIN))
        self.model.set_ratings(torch.from_numpy(users), torch.from_numpy(movies))

    def forward(self, users: Tensor, movies: Tensor) -> Tensor:
        """Predict stars, as the model does."""
        stars: Tensor = self.model(users, movies)
        return stars

    def setup(self, stage: str) -> None:
        """Take the settings of a step from the Trainer, and implicit feedback from the data."""
        self._processes = self.trainer.world_size
        self._log_every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if data := self._ratings():
            self._set_ratings(data)
            if self._processes > 1:
                self._keep_own_users(data)
        device = self.trainer.strategy.root_device
        self._exact = torch.float32 if device.type == "mps" else torch.float64  # MPS has no other
        for errors in (self.val_errors, self.test_errors):
            errors.set_dtype(self._exact)

    def _keep_own_users(self, data: RatingsDataModule) -> None:
        """Keep the rows of this process' users, whom the other processes know nothing of."""
        if self.hparams["implicit"] != "none":
            raise MovieEmbedError("model.implicit needs sums over all users: train in one process")
        if self.trainer.gradient_clip_val:
            raise MovieEmbedError(
                "trainer.gradient_clip_val needs all gradients: train in one process, or without"
            )
        first, last = data.users()
        if len(self.model.user_biases) == data.data_set.counts.users:
            self.model.keep_users(first, last)
        # DDP looks for this name. The scale is the same everywhere: it would be sent at every step.
        self._ddp_params_and_buffers_to_ignore = [*USER_ROWS, "model.rating_range"]
        # DDP divides sums over processes by their number. The loss is a process' share of the
        # whole one, so that users' gradients are right as they are.
        for table in (self.model.movie_vectors, self.model.movie_biases):
            table.register_hook(lambda of: of * self._processes)  # type: ignore[no-untyped-call]

    def _ratings(self) -> RatingsDataModule | None:
        """Return the Trainer's data module, unless the Trainer was given other loaders."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        return data if isinstance(data, RatingsDataModule) else None

    def configure_optimizers(self) -> Any:
        """Return dense Adam and its schedule."""
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.parameters() if p.ndim > 1], "weight_decay": 2 * self.l2},
            {"params": [p for p in self.parameters() if p.ndim == 1]},
        ]
        # Dense, since the decay moves every row at every step, as Keras' does. Fused, a step over
        # 7 million parameters takes 5 ms on two cores; torch's plain one takes 40.
        groups[0]["rows"] = self.rows
        adam = Adam(groups, self.learning_rate, fused=True)
        if self.schedule == "constant" and self.warmup is None:
            return adam
        return [adam], [{"scheduler": self._scheduler(adam), "interval": "step"}]

    def _scheduler(self, adam: torch.optim.Adam) -> LRScheduler:
        steps, warmup = self.trainer.estimated_stepping_batches, self.warmup
        if not 0 < steps < math.inf:
            raise MovieEmbedError(
                f"optimizer.schedule={self.schedule} must know the last step: give the Trainer "
                "max_epochs or max_steps"
            )
        if self.schedule == "one_cycle":
            # One step more than there are: Lightning asks once after the last.
            return OneCycleLR(adam, self.learning_rate, int(steps) + 1, pct_start=warmup or 0.3)
        rising = (warmup or 0) * steps
        return LambdaLR(adam, lambda step: _factor(self.schedule, rising, steps, step))

    def on_train_epoch_start(self) -> None:
        """Start the epoch's sums."""
        self._start_sums(0.0, 0)

    def _start_sums(self, squared_error: float, trained: int) -> None:
        self._squared_error = torch.tensor(squared_error, device=self.device)
        self._trained = trained

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the sums of an unfinished epoch."""
        error = self._squared_error.clone()
        error = summed(error) if self._processes > 1 else error
        checkpoint["epoch_sums"] = (float(error), self._trained)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the sums of an unfinished epoch."""
        squared_error, trained = checkpoint["epoch_sums"]
        self._start_sums(squared_error / self._processes, trained)

    def training_step(self, batch: _AnyBatch, batch_idx: int) -> Tensor:
        """Return the batch's mean squared error, in stars squared."""
        users, movies, stars, *total = _columns(batch, 3)
        ratings: Any = total[0] if total else len(users) * self._processes
        predicted = self.model(users, movies)
        squared_error = mse_loss(predicted, stars.to(predicted.dtype), reduction="sum")
        self._squared_error += squared_error.detach()
        self._trained += ratings
        loss: Tensor = squared_error * (1 / ratings)
        # Logging every step would cost more than a small step itself.
        step = self.global_step + 1
        logs = self._log_every > 0 and step % self._log_every == 0
        if logs:
            mean = loss.detach() * self._processes  # over processes that makes the whole batch's
            self.log("train_loss", mean, prog_bar=True, sync_dist=True)
        # Asking an accelerator at every step would make it wait.
        if (logs or loss.device.type == "cpu") and not math.isfinite(value := loss.item()):
            raise MovieEmbedError(
                f"training diverged in epoch {self.current_epoch + 1}, batch {batch_idx + 1} "
                f"(step {step}): the loss is {value} at a learning rate of "
                f"{self._learning_rate_now():g}; lower optimizer.learning_rate="
                f"{self.learning_rate:g}; checkpoints of earlier epochs are kept"
            )
        return loss

    def _learning_rate_now(self) -> float:
        return float(self.trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self) -> None:
        """Log the epoch's mean loss and the learning rate."""
        loss = self._squared_error / self._trained  # this process' share of the whole
        self.log("train_loss_epoch", loss, sync_dist=True, reduce_fx="sum")
        self.log("learning_rate", self._learning_rate_now())

    def on_validation_start(self) -> None:
        """Give users and movies without a training rating the average row."""
        if data := self._ratings():
            users, movies = (mask.to(self.device) for mask in data.unseen)
            first, last = data.users()
            everywhere = (summed,) if self._processes > 1 else ()
            self.model.fill_unseen(users[first:last], movies, *everywhere)

    on_test_start = on_predict_start = on_validation_start

    def validation_step(self, batch: _AnyBatch, batch_idx: int) -> None:
        """Log RMSE and MAE of the epoch, in stars."""
        users, movies, stars, *_ = _columns(batch, 3)
        errors = self.test_errors if self.trainer.testing else self.val_errors
        errors.update(self(users, movies).to(self._exact), stars.to(self._exact))
        self.log_dict(errors, prog_bar=True)

    test_step = validation_step

    def predict_step(self, batch: _AnyBatch, batch_idx: int) -> Tensor:
        """Return the predicted stars of a batch's pairs."""
        stars: Tensor = self(*_columns(batch, 2)[:2])
        return stars


def _columns(batch: Any, least: int) -> Sequence[Any]:
    """Return users, movies and so on of a batch that any loader may have made."""
    given, expected = type(batch).__name__, ", ".join(Batch._fields[:least])
    if isinstance(batch, Mapping):
        given = f"one of {', '.join(map(str, batch))}"
        batch = [batch[name] for name in Batch._fields if name in batch]
    if not isinstance(batch, Sequence) or len(batch) < least:
        raise MovieEmbedError(f"a batch must be a tuple or a dict of {expected}, not {given}")
    return batch


def _factor(schedule: str, rising: float, steps: float, step: int) -> float:
    """Return the factor of the learning rate at a step."""
    if step < rising:
        return (step + 1) / (rising + 1)
    done = (step - rising) / (steps - rising)
    falling = {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
    return falling.get(schedule, 1.0)
