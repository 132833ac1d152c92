"""Movie recommendations from learned embeddings."""

from movie_embed.answers import Reason, Recommendation, Recommendations, SimilarUser
from movie_embed.errors import MovieEmbedError
from movie_embed.filters import Filters
from movie_embed.recommend import Recommender

__all__ = [
    "Filters",
    "MovieEmbedError",
    "Reason",
    "Recommendation",
    "Recommendations",
    "Recommender",
    "SimilarUser",
]
__version__ = "0.1.0"
