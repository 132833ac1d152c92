"""Movie recommendations from learned embeddings."""

from movie_embed.answers.filters import Filters
from movie_embed.answers.lookup import MovieId
from movie_embed.answers.recommender import Recommender
from movie_embed.answers.results import (
    MovieVector,
    Reason,
    Recommendation,
    Recommendations,
    SimilarUser,
)
from movie_embed.errors import MovieEmbedError

__all__ = [
    "Filters",
    "MovieEmbedError",
    "MovieId",
    "MovieVector",
    "Reason",
    "Recommendation",
    "Recommendations",
    "Recommender",
    "SimilarUser",
]
__version__ = "0.1.0"
