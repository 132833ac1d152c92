"""Throughput of the paper's network in Keras: `keras_speed.py DATA.npz BATCH`."""

import json
import sys
import time

import keras
import numpy as np
from keras_model import paper_network

STEPS = {1_024: 120, 65_536: 30}


class Clock(keras.callbacks.Callback):
    """Time from the end of the first batch."""

    started = 0.0

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        """Start, or move the end."""
        self.started = self.started or time.perf_counter()
        self.ended = time.perf_counter()


_, path, batch = sys.argv
size = int(batch)
with np.load(path) as data:
    shape = [data[key].item() for key in ("users", "movies", "low", "high")]
    rows = np.random.default_rng(0).integers(0, len(data["train_stars"]), STEPS[size] * size)
    users, movies, stars = (data[f"train_{name}"][rows] for name in ("users", "movies", "stars"))
clock = Clock()
paper_network(*shape).fit([movies, users], stars, size, verbose=0, callbacks=[clock])
ratings = (STEPS[size] - 1) * size
print(json.dumps({"ratings_per_second": ratings / (clock.ended - clock.started)}))
