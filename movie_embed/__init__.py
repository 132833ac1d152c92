"""Movie recommendations from learned embeddings."""

from movie_embed.errors import MovieEmbedError
from movie_embed.recommend import Recommendation, Recommender

__all__ = ["MovieEmbedError", "Recommendation", "Recommender"]
__version__ = "0.1.0"
