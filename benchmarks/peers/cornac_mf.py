"""cornac's MF: `cornac_mf.py DATA.npz SEED`."""

import json
import sys
import time

import numpy as np
from cornac.data import Dataset
from cornac.models import MF

_, path, seed = sys.argv
with np.load(path) as data:
    low, high = data["low"].item(), data["high"].item()
    train = [data[f"train_{name}"] for name in ("users", "movies", "stars")]
    val = [data[f"val_{name}"] for name in ("users", "movies", "stars")]
dataset = Dataset.from_uir(list(zip(*(column.tolist() for column in train), strict=True)))
model = MF(k=50, max_iter=40, learning_rate=0.01, lambda_reg=0.05, seed=int(seed), num_threads=2)
started = time.perf_counter()
model.fit(dataset)
seconds = time.perf_counter() - started
users = np.array([dataset.uid_map.get(user, -1) for user in val[0].tolist()])
movies = np.array([dataset.iid_map.get(movie, -1) for movie in val[1].tolist()])
known_user, known_movie = users >= 0, movies >= 0
predicted = model.global_mean + known_user * model.u_biases[users]
predicted += known_movie * model.i_biases[movies]
dots = np.einsum("ij,ij->i", model.u_factors[users], model.i_factors[movies])
predicted = np.clip(predicted + (known_user & known_movie) * dots, low, high)
rmse = float(np.sqrt(np.mean((predicted - val[2]) ** 2)))
print(json.dumps({"rmse": rmse, "seconds": seconds}))
