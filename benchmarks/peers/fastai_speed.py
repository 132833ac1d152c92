"""Throughput of fastai's collaborative filtering: `fastai_speed.py DATA.npz BATCH`."""

import json
import time

import numpy as np
import pandas as pd
from fastai.callback.core import Callback
from fastai.collab import CollabDataLoaders, collab_learner
from split import arguments, columns, high, low

STEPS = {1_024: 60, 65_536: 25}


class Clock(Callback):
    """Time from the end of the first batch."""

    started = 0.0

    def after_batch(self) -> None:
        """Start, or move the end."""
        if self.training:
            self.started = self.started or time.perf_counter()
            self.ended = time.perf_counter()


size = int(arguments[0])
frame = pd.DataFrame(dict(zip(("users", "movies", "stars"), columns("train"), strict=True)))
# As many rows as are trained on, and a few that it insists on to validate with.
rows = np.random.default_rng(0).permutation(len(frame))[: STEPS[size] * size + 9]
loaders = CollabDataLoaders.from_df(frame.iloc[rows], valid_pct=9 / len(rows), bs=size, seed=0)
learner = collab_learner(loaders, n_factors=50, y_range=[low, high])
clock = Clock()
with learner.no_bar(), learner.no_logging():
    learner.fit(1, 1e-3, wd=1e-6, cbs=[clock])
ratings = (STEPS[size] - 1) * size
print(json.dumps({"ratings_per_second": ratings / (clock.ended - clock.started)}))
