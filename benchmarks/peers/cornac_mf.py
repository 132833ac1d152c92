"""cornac's MF: `cornac_mf.py DATA.npz SEED`."""

import time

import numpy as np
from cornac.data import Dataset
from cornac.models import MF
from split import arguments, columns, leave

train, (val_users, val_movies) = columns("train"), columns("val", "users", "movies")
dataset = Dataset.from_uir(list(zip(*(column.tolist() for column in train), strict=True)))
seed = int(arguments[0])
model = MF(k=50, max_iter=40, learning_rate=0.01, lambda_reg=0.05, seed=seed, num_threads=2)
started = time.perf_counter()
model.fit(dataset)
seconds = time.perf_counter() - started
users = np.array([dataset.uid_map.get(user, -1) for user in val_users.tolist()])
movies = np.array([dataset.iid_map.get(movie, -1) for movie in val_movies.tolist()])
known_user, known_movie = users >= 0, movies >= 0
predicted = model.global_mean + known_user * model.u_biases[users]
predicted += known_movie * model.i_biases[movies]
dots = np.einsum("ij,ij->i", model.u_factors[users], model.i_factors[movies])
leave([predicted + (known_user & known_movie) * dots], [seconds])
