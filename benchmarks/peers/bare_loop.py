"""Our step without Lightning: `bare_loop.py DATA.npz BATCH EPOCHS`."""

from split import Clock, arguments

from movie_embed.config import DataConfig
from movie_embed.data.loading import load_triples
from movie_embed.training.adam import step_users
from movie_embed.training.datamodule import Batches
from movie_embed.training.regression import RatingRegression

batch_size, epochs = map(int, arguments)
triples = load_triples(DataConfig(users=138_476, min_ratings=50))
train, _ = triples.split(0.05, seed=0)
shape = triples.counts.users, triples.counts.movies, 50, triples.rating_range
module = RatingRegression(*shape, learning_rate=1e-3, l2=1e-6, seed=0)
adam, clock = module.configure_optimizers(), Clock()
for epoch in range(epochs):
    for batch in Batches(triples, train, batch_size, (0, epoch)):
        share = 1 / len(batch.ratings)
        error = step_users(adam, module.model, batch.users, batch.movies, batch.ratings, share)
        adam.zero_grad()
        (error * share).backward()
        adam.step()
        clock.tick()
clock.tell(epochs * len(train) - batch_size)
