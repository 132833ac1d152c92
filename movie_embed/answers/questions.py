"""From the settings of a question to its answer, as the command prints it."""

from __future__ import annotations

import shlex
import sys
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any

from movie_embed.answers.filters import Filters
from movie_embed.answers.formats import answers_as, matches_as, vectors_as
from movie_embed.answers.recommender import Recommender
from movie_embed.answers.results import OwnRatings, Recommendations
from movie_embed.cli import setting
from movie_embed.config import RecommendConfig
from movie_embed.data.movies import MovieId
from movie_embed.errors import MovieEmbedError, UnknownColumns, program
from movie_embed.storage import write_text


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
    if config.to:
        return _lists(recommender, config, Path(config.to).expanduser())
    if config.show == "matches":
        own, _ = _files(recommender, config)
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


def _lists(recommender: Recommender, config: RecommendConfig, path: Path) -> str:
    """Write a list for each user of the data, or for some, and say so."""
    from movie_embed.embeddings.export import write_parquet

    ids = None if config.users == ["all"] else config.users
    how = _given(config, "order") | {"filters": _filters(config, _files(recommender, config)[1])}
    lists = recommender.for_users(ids, config.k, **how)
    if path.suffix == ".parquet":
        write_parquet(lists, path)
    else:
        write_text(path, lists.to_csv(index=False))
    return f"{len(lists):,} movies for {lists['user'].nunique():,} users in {path}"


def ask(recommender: Recommender, config: RecommendConfig) -> tuple[str, Recommendations]:
    """Return the question in words, and its answers."""
    own, lists = _files(recommender, config)
    filters = _filters(config, lists)
    settings = {"filters": filters, **_given(config, "diversity", "explain")}
    if config.user_id or config.ratings or config.rate is not None:
        people = config.user_id or own or [config.rate]
        settings |= _given(config, "order", "together")
        answers = recommender.for_people(people, config.k, **settings)
        return _of_whom(config, people), answers
    recommender, movies = asked_movies(recommender, config)
    settings |= _given(config, "combine", "metric", "weights", "not_like")
    answers = recommender.similar(movies, config.k, **settings)
    return " and ".join(recommender.title(movie) for movie in movies), answers


def _filters(config: RecommendConfig, lists: dict[str, Any]) -> Filters:
    return Filters(**{each.name: getattr(config, each.name) for each in fields(Filters)} | lists)


def _given(config: RecommendConfig, *names: str) -> dict[str, Any]:
    return {name: getattr(config, name) for name in names}


def _files(
    recommender: Recommender, config: RecommendConfig
) -> tuple[list[OwnRatings], dict[str, list[MovieId] | None]]:
    """Return the ratings in the files of ``ratings=``, and the movies in those of the lists."""
    if not (config.ratings or config.among or config.exclude):
        return [], {"among": None, "exclude": None}
    from movie_embed.answers.imports.reading import read_movies, read_ratings  # few need it

    named = {meaning: name for meaning, name in vars(config.columns).items() if name is not None}
    lookup, how = recommender.lookup, dict[str, Any](columns=named, strict=False)
    rated_by = config.rated_by
    try:
        ratings = [
            read_ratings(lookup, path, scale, rated_by=rated_by, **how)
            for path, scale in zip(config.ratings, config.scale, strict=True)
        ]
        among = [read_movies(lookup, path, **how) for path in config.among]
        exclude = [read_movies(lookup, path, seen=True, **how) for path in config.exclude]
    except UnknownColumns as error:
        way = f", for example: {_command(error.columns)}" if error.columns else ""
        raise MovieEmbedError(f"{error}{way}") from error
    read = [*(own.read for own in ratings), *(own.read for own in among + exclude)]
    for note in (note for each in read for note in each.notes):
        print(note, file=sys.stderr)
    for meaning in named:  # a name may be that of one file's column
        if all(meaning in each.unknown for each in read):
            raise MovieEmbedError(read[0].unknown[meaning])
    lists = {"among": [*chain(*among)] if among else None, "exclude": [*chain(*exclude)] or None}
    return ratings, lists


def _command(columns: dict[str, str]) -> str:
    """Return the command that runs, with names of columns besides."""
    named = [setting(f"columns.{meaning}", name) for meaning, name in columns.items()]
    return " ".join([program("recommend"), *map(shlex.quote, sys.argv[1:]), *named])


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
