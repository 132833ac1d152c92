"""The routes: each a question to `Recommender`, and its answer as JSON."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cached_property, partial
from importlib import resources
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

import fastapi_swagger.resources
import numpy as np
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from movie_embed import __version__
from movie_embed.answers.filters import Catalogue, Filters
from movie_embed.answers.recommender import Recommender
from movie_embed.answers.results import OwnRatings, Recommendations
from movie_embed.answers.suggest import Suggestions
from movie_embed.data.movies import Id, MovieId, split_year
from movie_embed.errors import MovieEmbedError
from movie_embed.web.map import map_json
from movie_embed.web.models import (
    RESPONSES,
    Answer,
    ForRatings,
    ForUser,
    Health,
    IdText,
    Movie,
    MovieCard,
    MovieMap,
    ReadFile,
    Settings,
    SimilarTo,
    WantedMovies,
    parameters,
)
from movie_embed.web.safety import Guard

STATIC = Path(__file__).parent / "static"
_ANY_FILE = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_SMALL, _FEW = 20_000, 50
InAddress = Annotated[IdText, InPath()]


class Answers:
    """A Recommender, and the parts of answers that are computed once.

    Parameters
    ----------
    recommender
        The Recommender.
    run
        The run folder, which may hold the map.
    """

    def __init__(self, recommender: Recommender, run: Path | None) -> None:
        self.recommender, self.run = recommender, run
        self.movies = recommender.embeddings.movies
        self._map, self._drawing = b"", Lock()
        self.suggestions = Suggestions(recommender.lookup.titles)
        years = [split_year(title)[1] for title in self.movies.titles[: self.movies.embedded]]
        known = [year for year in years if year]
        self.health = Health(
            version=__version__,
            data_name=recommender.embeddings.data_name,
            movies=self.movies.embedded,
            rating_range=list(recommender.embeddings.rating_range),
            genres=Catalogue(self.movies).genre_names,
            years=[min(known), max(known)] if known else [],
            orders=["match", "choice", "stars"] if recommender.embeddings.ranks else ["stars"],
        )

    def ids(self, texts: list[str]) -> list[MovieId]:
        """Return the movies of ids; an unknown one is a 404."""
        found = [MovieId(_id(text, self.movies.ids.dtype == object)) for text in texts]
        for movie in found:
            if self.movies.row_of(movie.id) is None:
                raise HTTPException(404, self._told(movie))
        return found

    def _told(self, movie: MovieId) -> str:
        try:
            return self.recommender.title(movie)
        except MovieEmbedError as error:
            return one_line(error)

    def settings(self, asked: Settings) -> dict[str, Any]:
        """Return the settings of every question, as `Recommender` takes them."""
        filters = {each.name: getattr(asked, each.name) for each in fields(Filters)}
        filters["among"] = self.ids(asked.among) or None
        filters["exclude"] = self.ids(asked.exclude)
        others = {name: getattr(asked, name) for name in ("k", "diversity", "explain")}
        return {"filters": Filters(**filters), **others}

    def stars(self, ratings: Mapping[str, float]) -> dict[MovieId, float]:
        """Return somebody's ratings, as `Recommender` takes them."""
        return dict(zip(self.ids(list(ratings)), ratings.values(), strict=True))

    def movie(self, row: int) -> dict[str, Any]:
        """Return one row of the table."""
        ratings = int(self.movies.rating_counts[row])
        return {**self.recommender.lookup.described(row), "ratings": ratings}

    async def answer(
        self, ask: Callable[..., Recommendations], asked: Settings, movies: int = _FEW
    ) -> Response:
        """Return the answer to a question about a number of movies.

        A question that takes about a millisecond is answered at once, since a thread would cost as
        much. Any other goes to a thread, and the server stays free for other requests.
        """
        question = partial(ask, **self.settings(asked))
        small = self.movies.embedded <= _SMALL and asked.k <= _FEW and movies < _FEW
        quick = small and not (asked.diversity or asked.include_rare)
        answers = question() if quick else await run_in_threadpool(question)
        # pydantic writes JSON four times as fast as `JSONResponse`, which asks Python's json.
        content = to_json([answer.to_dict() for answer in answers])
        return Response(content, media_type="application/json")

    @cached_property
    def row_of_title(self) -> dict[tuple[str, int | None], int]:
        """The most rated movie of each title and year."""
        order = np.argsort(self.movies.rating_counts, kind="stable").tolist()
        return {split_year(self.movies.titles[row]): row for row in order}

    def wanted(self, movie_id: str, title: str | None, year: int | None) -> int | None:
        """Return the row of an id, or of the title where the id is another movie's here."""
        try:
            row = self.movies.row_of(_id(movie_id, self.movies.ids.dtype == object))
        except HTTPException:
            row = None
        if title is None or (row is not None and split_year(self.movies.titles[row])[0] == title):
            return row
        return self.row_of_title.get((title, year))

    def map(self) -> bytes:
        """Return the map as JSON, made once."""
        with self._drawing:
            self._map = self._map or map_json(self.recommender.embeddings, self.run)
        return self._map


def create_app(
    recommender: Recommender, run: Path | None = None, host: str = "127.0.0.1"
) -> FastAPI:
    """Return the server's application.

    Parameters
    ----------
    recommender
        The source of all answers.
    run
        Its run folder.
    host
        The address that the server listens at; requests for other host names are refused.
    """
    app = FastAPI(
        title="movie_embed",
        version=__version__,
        summary="Movie recommendations from learned embeddings",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        responses=RESPONSES,
    )
    app.add_middleware(Guard, host=host)
    app.add_exception_handler(MovieEmbedError, lambda _, error: _failure(422, error))
    app.add_exception_handler(RequestValidationError, lambda _, error: _failure(422, error))
    app.add_exception_handler(HTTPException, lambda _, error: _failure(None, error))
    app.add_exception_handler(Exception, lambda _, __: _failure(500, "the server has a bug"))
    _add_routes(app, Answers(recommender, run))
    pages = {"/": "index.html", "/docs": "docs.html"}
    for path, name in pages.items():
        app.get(path, include_in_schema=False)(_page(STATIC / name))
    swagger = resources.files(fastapi_swagger.resources)
    app.mount("/static/swagger", StaticFiles(directory=str(swagger)))
    app.mount("/static", StaticFiles(directory=STATIC))
    return app


def _add_routes(app: FastAPI, known: Answers) -> None:
    recommender = known.recommender
    answers: dict[str, Any] = {"response_model": list[Answer]}

    @app.get("/api/health")
    async def health() -> Health:
        """Return the state of the server and a description of its data."""
        return known.health

    @app.get("/api/search", response_model=list[Movie])
    def search(q: Annotated[str, Query(max_length=200)] = "") -> Any:
        """Return at most ten movies whose titles have words that begin as those typed."""
        return [known.movie(row) for row in known.suggestions.rows(q)]

    @app.get("/api/movies/{movie_id}", response_model=MovieCard)
    def movie(movie_id: InAddress) -> Any:
        """Return one movie, with the values of its ratings."""
        (found,) = known.ids([movie_id])
        row = known.movies.row_of(found.id)
        assert row is not None
        counts = recommender.rating_values(found)
        values = [{"stars": stars, "count": count} for stars, count in counts.items()]
        return {**known.movie(row), "values": values}

    @app.post("/api/movies", response_model=list[Movie | None])
    def movies(asked: WantedMovies) -> Any:
        """Return movies by id, and by title where the id is another movie's; null if unknown."""
        rows = [known.wanted(each.movie_id, each.title, each.year) for each in asked.movies]
        return [None if row is None else known.movie(row) for row in rows]

    @app.get("/api/similar", **answers, openapi_extra=parameters(SimilarTo))
    async def similar(request: Request) -> Response:
        """Return the movies most like one movie, or several together."""
        asked = SimilarTo.of_query(request.query_params)
        ask = partial(
            recommender.similar,
            known.ids(asked.movie_id),
            combine=asked.combine,
            metric=asked.metric,
            weights=asked.weights,
            not_like=known.ids(asked.not_like),
        )
        return await known.answer(ask, asked, len(asked.movie_id) + len(asked.not_like))

    @app.post("/api/recommendations", **answers)
    async def recommendations(asked: ForRatings) -> Response:
        """Return the movies for somebody's ratings, or for several people together."""
        people = asked.ratings if isinstance(asked.ratings, list) else [asked.ratings]
        stars = [known.stars(each) for each in people]
        ask = partial(
            recommender.for_people,
            stars,
            order=asked.order,
            together=asked.together,
            popularity=asked.popularity,
        )
        return await known.answer(ask, asked, sum(map(len, stars)))

    @app.get("/api/users/{user_id}", **answers, openapi_extra=parameters(ForUser))
    async def user(user_id: InAddress, request: Request) -> Response:
        """Return the movies for a user of the data."""
        asked = ForUser.of_query(request.query_params)
        # Where ids are numbers, text is none; where they are text, "007" is not 7.
        number = re.fullmatch(r"0|-?[1-9][0-9]{0,17}", user_id)
        ids: list[Id] = [user_id, int(user_id)] if number else [user_id]
        for wanted in ids:
            ask = partial(
                recommender.for_user, wanted, order=asked.order, popularity=asked.popularity
            )
            try:
                return await known.answer(ask, asked)
            except MovieEmbedError as error:
                told = error
        raise HTTPException(404 if "user" in str(told) else 422, one_line(told))

    @app.post("/api/read", openapi_extra={"requestBody": {"content": _ANY_FILE}})
    def read(
        content: Annotated[bytes, Depends(_body)],
        name: Annotated[str, Query(max_length=200)] = "ratings.csv",
        rated: bool = True,
    ) -> ReadFile:
        """Read somebody's ratings from a service's export or a table; the file is not kept.

        `rated=false` reads a list of movies, with ratings or without.
        """
        plain = re.sub(r"[^\w. -]", "_", name.rpartition("/")[2])[-100:].lstrip(".") or "ratings"
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / plain
            path.write_bytes(content)
            try:
                own = (recommender.read_ratings if rated else recommender.read_movies)(path)
            except MovieEmbedError as error:
                raise MovieEmbedError(str(error).replace(f"{folder}/", "")) from error
            notes = [note.replace(f"{folder}/", "") for note in own.notes]
        ratings = own if isinstance(own, OwnRatings) else {}
        return ReadFile(
            ratings={str(movie.id): stars for movie, stars in ratings.items()},
            matches=own.matches,
            notes=notes,
        )

    @app.get("/api/map", response_model=MovieMap)
    def movie_map() -> Response:
        """Return every movie with a learned vector and its place on the map."""
        return Response(known.map(), media_type="application/json")


def one_line(error: object) -> str:
    """Return an error as the command line tells it, in one line."""
    if isinstance(error, HTTPException):
        return str(error.detail)
    if not isinstance(error, RequestValidationError):
        return " ".join(str(error).split())
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part not in ("query", "body", "path"))
    return " ".join(f"{where or 'the request'}: {first['msg']}".split())[:500]


def _failure(status: int | None, error: object) -> JSONResponse:
    headers = None
    if isinstance(error, HTTPException):
        status, headers = error.status_code, error.headers
    return JSONResponse({"error": one_line(error)}, status or 500, headers)


def _id(text: str, texts: bool) -> Id:
    """Return an id as the data has them, text or numbers; one of another form is unknown."""
    if texts:
        return text
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise HTTPException(404, f"id={text}: the data has whole numbers as ids")
    return int(text)


async def _body(request: Request) -> bytes:
    return await request.body()


def _page(path: Path) -> Any:
    async def page(_: Request) -> FileResponse:
        return FileResponse(path, headers={"cache-control": "no-cache"})

    return page
