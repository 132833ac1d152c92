"""The paper's network in Keras, from the paper's table of layers (section III.C)."""

import keras
from keras import layers


def paper_network(
    users: int, movies: int, low: float, high: float, dim: int = 50, l2: float = 1e-6
) -> keras.Model:
    """Return the network, compiled as the paper says."""

    def embedding(rows: int, columns: int, index: keras.KerasTensor) -> keras.KerasTensor:
        table = layers.Embedding(
            rows,
            columns,
            embeddings_initializer="he_normal",
            embeddings_regularizer=keras.regularizers.L2(l2),
        )
        return layers.Reshape((columns,))(table(index))

    movie, user = layers.Input((1,), dtype="int32"), layers.Input((1,), dtype="int32")
    dot = layers.Dot(axes=1)([embedding(movies, dim, movie), embedding(users, dim, user)])
    biased = layers.Add()([dot, embedding(movies, 1, movie), embedding(users, 1, user)])
    stars = layers.Lambda(lambda x: x * (high - low) + low)(layers.Activation("sigmoid")(biased))
    model = keras.Model([movie, user], stars)
    model.compile(keras.optimizers.Adam(1e-3), "mean_squared_error")
    return model
