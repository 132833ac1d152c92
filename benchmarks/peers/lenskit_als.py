"""LensKit's biased ALS: `lenskit_als.py DATA.npz SEED`."""

import json
import sys
import time

import numpy as np
import pandas as pd
from lenskit.als import BiasedMFScorer
from lenskit.data import ItemList, from_interactions_df
from lenskit.training import TrainingOptions

_, path, seed = sys.argv
with np.load(path) as data:
    low, high = data["low"].item(), data["high"].item()
    names = {"user_id": "users", "item_id": "movies", "rating": "stars"}
    train, val = (
        pd.DataFrame({key: data[f"{split}_{name}"] for key, name in names.items()})
        for split in ("train", "val")
    )
dataset = from_interactions_df(train)
model = BiasedMFScorer(embedding_size=50, epochs=10, regularization=0.06)
started = time.perf_counter()
model.train(dataset, TrainingOptions(rng=int(seed)))
seconds = time.perf_counter() - started
squared = 0.0
mean = train["rating"].mean()
for user, rows in val.groupby("user_id"):
    scores = model(user, ItemList(item_ids=rows["item_id"].to_numpy())).scores()
    predicted = np.clip(np.nan_to_num(np.asarray(scores), nan=mean), low, high)
    squared += float(np.sum((predicted - rows["rating"].to_numpy()) ** 2))
print(json.dumps({"rmse": (squared / len(val)) ** 0.5, "seconds": seconds}))
