"""LensKit's biased ALS: `lenskit_als.py DATA.npz SEED`."""

import time

import numpy as np
import pandas as pd
from lenskit.als import BiasedMFScorer
from lenskit.data import ItemList, from_interactions_df
from lenskit.training import TrainingOptions
from split import arguments, columns, leave

names = ("user_id", "item_id", "rating")
train, val = (
    pd.DataFrame(dict(zip(names, columns(split), strict=True))) for split in ("train", "val")
)
model = BiasedMFScorer(embedding_size=50, epochs=10, regularization=0.06)
dataset = from_interactions_df(train)
started = time.perf_counter()
model.train(dataset, TrainingOptions(rng=int(arguments[0])))
seconds = time.perf_counter() - started
predicted = np.full(len(val), train["rating"].mean())
for user, rows in val.groupby("user_id"):
    scores = np.asarray(model(user, ItemList(item_ids=rows["item_id"].to_numpy())).scores())
    predicted[rows.index] = np.where(np.isnan(scores), predicted[rows.index], scores)
leave([predicted], [seconds])
