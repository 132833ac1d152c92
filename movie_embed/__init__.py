"""Movie recommendations from learned embeddings."""

from typing import TYPE_CHECKING, Any

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
    "train",
]
__version__ = "0.1.0"

if TYPE_CHECKING:
    from movie_embed.training.run import train


def __getattr__(name: str) -> Any:
    """Import `train` when it is first asked for: answers do without torch."""
    if name != "train":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from movie_embed.training.run import train

    return train
