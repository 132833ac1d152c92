"""From the settings of a question to its answer, as the command prints it."""

from __future__ import annotations

import sys
from dataclasses import fields
from typing import Any, TypeVar

from movie_embed.answers.filters import Filters
from movie_embed.answers.formats import answers_as, matches_as, vectors_as
from movie_embed.answers.recommender import Recommender
from movie_embed.answers.results import OwnMovies, OwnRatings, Recommendations
from movie_embed.config import RecommendConfig
from movie_embed.data.movies import MovieId
from movie_embed.errors import MovieEmbedError

_Own = TypeVar("_Own", OwnRatings, OwnMovies)


def answer(config: RecommendConfig) -> str:
    """Return the answer to a question, as text.

    Raises
    ------
    MovieEmbedError
        There is no model, the question is wrong, or there is no movie to answer with.
    """
    recommender = Recommender.load(config.run)
    if config.show == "vector":
        recommender, movies = asked_movies(recommender, config)
        return vectors_as(config.format, [recommender.vector(movie) for movie in movies])
    if config.show == "matches":
        own = _own_ratings(recommender, config)
        return matches_as(config.format, [match for each in own for match in each.matches])
    query, answers = ask(recommender, config)
    if not answers:
        raise MovieEmbedError(
            f"no movie to answer with: of {recommender.embeddings.movies.embedded:,} with "
            "vectors all are asked about, rated already or kept out by filters"
        )
    text = answers_as(config.format, answers)
    if config.format == "table":
        return f"Recommendations for {query}\n\n{text}"
    if "(from content" in query:
        print(query, file=sys.stderr)
    return text


def ask(recommender: Recommender, config: RecommendConfig) -> tuple[str, Recommendations]:
    """Return the question in words, and its answers."""
    filters = {each.name: getattr(config, each.name) for each in fields(Filters)}
    for name, seen in (("among", False), ("exclude", True)):
        if filters[name]:
            filters[name] = _noted(recommender.read_movies(filters[name], seen=seen))
    settings = {"filters": Filters(**filters), **_given(config, "diversity", "explain")}
    if config.user_id or config.ratings or config.rate is not None:
        people = config.user_id or _own_ratings(recommender, config) or [config.rate]
        settings |= _given(config, "order", "together")
        answers = recommender.for_people(people, config.k, **settings)
        return _of_whom(config, people), answers
    recommender, movies = asked_movies(recommender, config)
    settings |= _given(config, "combine", "metric", "weights", "not_like")
    answers = recommender.similar(movies, config.k, **settings)
    return " and ".join(recommender.title(movie) for movie in movies), answers


def _given(config: RecommendConfig, *names: str) -> dict[str, Any]:
    return {name: getattr(config, name) for name in names}


def _own_ratings(recommender: Recommender, config: RecommendConfig) -> list[OwnRatings]:
    """Return the ratings in the files of ``ratings=``."""
    columns = {meaning: name for meaning, name in vars(config.columns).items() if name}
    how: dict[str, Any] = {"scale": config.scale, "rated_by": config.rated_by, "columns": columns}
    return [_noted(recommender.read_ratings(path, **how)) for path in config.ratings]


def asked_movies(
    recommender: Recommender, config: RecommendConfig
) -> tuple[Recommender, list[MovieId]]:
    """Return the ids of the movies asked about, and a Recommender that has them all."""
    ids = [*config.movie_id, *(recommender.movie_id(title) for title in config.movie)]
    movies = [MovieId(each) for each in ids]
    if config.new_movie is not None:
        recommender, new = recommender.with_movie(config.new_movie, config.new_genres)
        movies.append(MovieId(new))
    return recommender, movies


def _of_whom(config: RecommendConfig, people: list[Any]) -> str:
    """Return for whom answers are, in words."""
    if config.user_id:
        return f"user{'s' * (len(people) > 1)} {' and '.join(map(str, people))}"
    counts = list(map(len, people))
    if not any(counts):
        return "anybody: popular and well-liked movies, as there are no ratings"
    return f"the ratings given ({' and '.join(f'{count:,}' for count in counts)})"


def _noted(own: _Own) -> _Own:
    """Print the notes on a file to stderr, and return its content."""
    for note in own.notes:
        print(note, file=sys.stderr)
    return own
