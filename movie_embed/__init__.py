"""Movie recommendations from learned embeddings."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from movie_embed.answers.filters import Filters
    from movie_embed.answers.recommender import Recommender
    from movie_embed.answers.results import (
        MovieVector,
        Reason,
        Recommendation,
        Recommendations,
        SimilarUser,
    )
    from movie_embed.data.movies import MovieId
    from movie_embed.errors import MovieEmbedError
    from movie_embed.evaluation import evaluate
    from movie_embed.training.run import train

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
    "evaluate",
    "train",
]
__version__ = "1.0.0"
_MODULES = {
    "Filters": "answers.filters",
    "MovieEmbedError": "errors",
    "MovieId": "data.movies",
    "Recommender": "answers.recommender",
    "evaluate": "evaluation",
    "train": "training.run",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: answers need no torch, a start nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"movie_embed.{_MODULES.get(name, 'answers.results')}")
    return getattr(module, name)
