"""Throughput of the paper's network in Keras: `keras_speed.py DATA.npz BATCH`."""

import json
import time

import keras
import numpy as np
from keras_model import paper_network
from split import arguments, columns, high, low, movies, users

STEPS = {1_024: 120, 65_536: 30}


class Clock(keras.callbacks.Callback):
    """Time from the end of the first batch."""

    started = 0.0

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        """Start, or move the end."""
        self.started = self.started or time.perf_counter()
        self.ended = time.perf_counter()


size = int(arguments[0])
*pairs, stars = columns("train", "movies", "users", "stars")
rows = np.random.default_rng(0).integers(0, len(stars), STEPS[size] * size)
clock, model = Clock(), paper_network(users, movies, low, high)
model.fit([column[rows] for column in pairs], stars[rows], size, verbose=0, callbacks=[clock])
ratings = (STEPS[size] - 1) * size
print(json.dumps({"ratings_per_second": ratings / (clock.ended - clock.started)}))
