"""scikit-surprise's SVD: `surprise_svd.py DATA.npz SEED`."""

import time

import pandas as pd
from split import arguments, columns, high, leave, low
from surprise import SVD, Dataset, Reader

frame = pd.DataFrame(dict(zip(("users", "movies", "stars"), columns("train"), strict=True)))
trainset = Dataset.load_from_df(frame, Reader(rating_scale=(low, high))).build_full_trainset()
seed = int(arguments[0])
model = SVD(n_factors=50, n_epochs=40, lr_all=0.01, reg_all=0.06, random_state=seed)
started = time.perf_counter()
model.fit(trainset)
seconds = time.perf_counter() - started
pairs = zip(*columns("val", "users", "movies"), strict=True)
leave([[model.predict(user, movie).est for user, movie in pairs]], [seconds])
