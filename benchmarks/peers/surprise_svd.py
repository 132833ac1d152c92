"""scikit-surprise's SVD: `surprise_svd.py DATA.npz SEED`."""

import json
import sys
import time

import numpy as np
import pandas as pd
from surprise import SVD, Dataset, Reader

_, path, seed = sys.argv
with np.load(path) as data:
    low, high = data["low"].item(), data["high"].item()
    columns = {name: data[f"train_{name}"] for name in ("users", "movies", "stars")}
    val = [data[f"val_{name}"] for name in ("users", "movies", "stars")]
frame = pd.DataFrame(columns)
trainset = Dataset.load_from_df(frame, Reader(rating_scale=(low, high))).build_full_trainset()
model = SVD(n_factors=50, n_epochs=40, lr_all=0.01, reg_all=0.06, random_state=int(seed))
started = time.perf_counter()
model.fit(trainset)
seconds = time.perf_counter() - started
predicted = [model.predict(user, movie).est for user, movie in zip(val[0], val[1], strict=True)]
rmse = float(np.sqrt(np.mean((np.array(predicted) - val[2]) ** 2)))
print(json.dumps({"rmse": rmse, "seconds": seconds}))
