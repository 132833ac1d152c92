"""The paper's network in Keras, epoch by epoch: `keras_quality.py DATA.npz SEED`."""

import time

import keras
from keras_model import paper_network
from split import arguments, columns, high, leave, low, movies, users

EPOCHS, BATCH = 9, 1_024

keras.utils.set_random_seed(int(arguments[0]))
*pairs, stars = columns("train", "movies", "users", "stars")
model = paper_network(users, movies, low, high)
predicted, seconds = [], [0.0]
for _ in range(EPOCHS):
    started = time.perf_counter()
    model.fit(pairs, stars, BATCH, verbose=0)
    seconds.append(seconds[-1] + time.perf_counter() - started)
    predicted.append(model.predict(columns("val", "movies", "users"), 65_536, verbose=0)[:, 0])
leave(predicted, seconds[1:])
