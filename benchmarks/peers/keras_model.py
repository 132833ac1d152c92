"""The paper's network in Keras, from the paper's table of layers (section III.C)."""

import keras
from keras import layers


def paper_network(
    users: int, movies: int, low: float, high: float, dim: int = 50, l2: float = 1e-6
) -> keras.Model:
    """Return the network with the table's names, compiled as the paper says.

    What the paper leaves open is as in `experiment=paper`: the biases start as he_normal
    too and are not regularised.
    """
    movie, user = (layers.Input((1,), dtype="int32", name=name) for name in ("movies", "users"))

    def embedding(index: keras.KerasTensor, name: str, rows: int, columns: int) -> layers.Layer:
        regularizer = keras.regularizers.L2(l2) if columns > 1 else None
        table = layers.Embedding(rows, columns, "he_normal", regularizer, name=name)
        return layers.Reshape((columns,), name=f"reshaped_{name}")(table(index))

    vectors = [
        embedding(movie, "movies_embeddings", movies, dim),
        embedding(user, "users_embeddings", users, dim),
    ]
    biases = [embedding(movie, "movies_bias", movies, 1), embedding(user, "users_bias", users, 1)]
    dot = layers.Dot(axes=1, name="dot_product")(vectors)
    biased = layers.Add(name="bias_addition")([dot, *biases])
    share = layers.Activation("sigmoid", name="activation_1")(biased)
    stars = layers.Lambda(lambda x: x * (high - low) + low, name="lambda_1")(share)
    model = keras.Model([movie, user], stars)
    model.compile(keras.optimizers.Adam(1e-3), "mean_squared_error")
    return model
