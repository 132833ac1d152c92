"""The model as most would write it in Lightning: `usual_lightning.py DATA.npz BATCH WORKERS`."""

import pytorch_lightning as pl
import torch
from split import Clock, arguments, columns, high, low, movies, users
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

STEPS = {1_024: 1_500, 8_192: 200, 65_536: 25}


class Usual(pl.LightningModule):
    """nn.Embedding tables, torch.optim.Adam, self.log every step."""

    def __init__(self) -> None:
        super().__init__()
        self.users, self.movies = nn.Embedding(users, 50), nn.Embedding(movies, 50)
        self.user_bias, self.movie_bias = nn.Embedding(users, 1), nn.Embedding(movies, 1)
        for table in (self.users, self.movies, self.user_bias, self.movie_bias):
            nn.init.kaiming_normal_(table.weight)

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Return the mean squared error."""
        users, movies, stars = batch
        score = (self.users(users) * self.movies(movies)).sum(1)
        score = score + self.user_bias(users).squeeze(1) + self.movie_bias(movies).squeeze(1)
        loss = nn.functional.mse_loss(low + (high - low) * torch.sigmoid(score), stars)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=1e-3, weight_decay=2e-6)


size, workers = map(int, arguments)
user_rows, movie_rows, stars = map(torch.from_numpy, columns("train"))
ratings = TensorDataset(user_rows.long(), movie_rows.long(), stars)
loader = DataLoader(ratings, batch_size=size, shuffle=True, num_workers=workers)
clock = Clock()
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
timed = pl.callbacks.LambdaCallback(on_train_batch_end=clock.tick)
trainer = pl.Trainer(max_steps=STEPS[size], accelerator="cpu", callbacks=[timed], **quiet)
trainer.fit(Usual(), loader)
clock.tell((STEPS[size] - 1) * size)
