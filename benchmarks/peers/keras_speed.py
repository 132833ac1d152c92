"""Throughput of the paper's network in Keras: `keras_speed.py DATA.npz BATCH`."""

import keras
import numpy as np
from keras_model import paper_network
from split import Clock, arguments, columns, high, low, movies, users

STEPS = {1_024: 120, 65_536: 30}

size = int(arguments[0])
*pairs, stars = columns("train", "movies", "users", "stars")
rows = np.random.default_rng(0).integers(0, len(stars), STEPS[size] * size)
clock, model = Clock(), paper_network(users, movies, low, high)
timed = keras.callbacks.LambdaCallback(on_train_batch_end=clock.tick)
model.fit([column[rows] for column in pairs], stars[rows], size, verbose=0, callbacks=[timed])
clock.tell((STEPS[size] - 1) * size)
