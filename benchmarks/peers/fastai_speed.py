"""Throughput of fastai's collaborative filtering: `fastai_speed.py DATA.npz BATCH`."""

import numpy as np
import pandas as pd
from fastai.callback.core import Callback
from fastai.collab import CollabDataLoaders, collab_learner
from split import Clock, arguments, columns, high, low

STEPS = {1_024: 60, 65_536: 25}


class Timed(Clock, Callback):
    """The clock, as fastai calls it; not of validation."""

    run_valid, after_batch = False, Clock.tick


size = int(arguments[0])
frame = pd.DataFrame(dict(zip(("users", "movies", "stars"), columns("train"), strict=True)))
# As many rows as are trained on, and a few that it insists on to validate with.
rows = np.random.default_rng(0).permutation(len(frame))[: STEPS[size] * size + 9]
loaders = CollabDataLoaders.from_df(frame.iloc[rows], valid_pct=9 / len(rows), bs=size, seed=0)
learner = collab_learner(loaders, n_factors=50, y_range=[low, high])
clock = Timed()
with learner.no_bar(), learner.no_logging():
    learner.fit(1, 1e-3, wd=1e-6, cbs=[clock])
clock.tell((STEPS[size] - 1) * size)
