"""The paper's network in Keras to its best epoch: `keras_quality.py DATA.npz SEED`."""

import json
import sys
import time

import keras
import numpy as np
from keras_model import paper_network

EPOCHS, BATCH = 9, 1_024

_, path, seed = sys.argv
keras.utils.set_random_seed(int(seed))
with np.load(path) as data:
    shape = [data[key].item() for key in ("users", "movies", "low", "high")]
    train = [data[f"train_{name}"] for name in ("movies", "users", "stars")]
    val = [data[f"val_{name}"] for name in ("movies", "users", "stars")]
model = paper_network(*shape)
rmse, seconds, best_seconds = np.inf, 0.0, 0.0
for _ in range(EPOCHS):
    started = time.perf_counter()
    model.fit(train[:2], train[2], BATCH, verbose=0)
    seconds += time.perf_counter() - started
    predicted = model.predict(val[:2], 65_536, verbose=0)[:, 0]
    error = float(np.sqrt(np.mean((predicted - val[2]) ** 2)))
    if error < rmse:
        rmse, best_seconds = error, seconds
print(json.dumps({"rmse": rmse, "seconds": best_seconds}))
