"""Our step without Lightning: `bare_loop.py DATA.npz BATCH EPOCHS`."""

import json
import sys
import time

from torch.nn.functional import mse_loss

from movie_embed.config import DataConfig
from movie_embed.data.loading import load_triples
from movie_embed.training.datamodule import Batches
from movie_embed.training.regression import RatingRegression

_, _, batch_size, epochs = sys.argv
triples = load_triples(DataConfig(users=138_476, min_ratings=50))
train, _ = triples.split(0.05, seed=0)
counts = triples.counts
shape = counts.users, counts.movies, 50, triples.rating_range
module = RatingRegression(*shape, learning_rate=1e-3, l2=1e-6, seed=0)
adam = module.configure_optimizers()
ratings, started = 0, 0.0
for epoch in range(int(epochs)):
    for batch in Batches(triples, train, int(batch_size), (0, epoch)):
        loss = mse_loss(module.model(batch.users, batch.movies), batch.ratings)
        adam.zero_grad()
        loss.backward()
        adam.step()
        ratings += len(batch.ratings) if started else 0
        started = started or time.perf_counter()
print(json.dumps({"ratings_per_second": ratings / (time.perf_counter() - started)}))
