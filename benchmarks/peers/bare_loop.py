"""Our step without Lightning: `bare_loop.py DATA.npz BATCH EPOCHS`."""

from split import Clock, arguments
from torch.nn.functional import mse_loss

from movie_embed.config import DataConfig
from movie_embed.training.datamodule import RatingsDataModule
from movie_embed.training.regression import RatingRegression

batch_size, epochs = map(int, arguments)
data = RatingsDataModule(DataConfig(users=138_476, min_ratings=50, batch_size=batch_size))
data.setup()
rated, batches = data.data_set, data.train_dataloader()
shape = rated.counts.users, rated.counts.movies, 50, rated.rating_range
module = RatingRegression(*shape, learning_rate=1e-3, l2=1e-6, seed=0)
adam, clock = module.configure_optimizers(), Clock()
for epoch in range(epochs):
    batches.set_epoch(epoch)
    for batch in batches:
        adam.zero_grad()
        mse_loss(module.model(batch.users, batch.movies), batch.ratings).backward()
        adam.step()
        clock.tick()
clock.tell(epochs * data.train_size - batch_size)
