"""The routes: each a question to `Recommender`, and its answer as JSON."""

from __future__ import annotations

import asyncio
import gzip
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import fields
from functools import cached_property, partial
from hashlib import sha256
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
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse
from starlette.routing import Mount, Route

from movie_embed import __version__
from movie_embed.answers.filters import Catalogue, Filters
from movie_embed.answers.recommender import Recommender
from movie_embed.config import ServeConfig
from movie_embed.data.movies import Id, MovieId, split_year
from movie_embed.errors import MovieEmbedError, UnknownError, printable, program
from movie_embed.web.map import map_json
from movie_embed.web.metrics import Metrics
from movie_embed.web.models import (
    RESPONSES,
    Answer,
    ForEach,
    ForRatings,
    ForUser,
    Health,
    IdText,
    Movie,
    MovieCard,
    MovieMap,
    ReadAs,
    ReadFile,
    Ready,
    Settings,
    SimilarTo,
    Typed,
    Wanted,
    WantedMovies,
)
from movie_embed.web.safety import Guard

STATIC = Path(__file__).parent / "static"
FOLLOWED = 2.0  # seconds between looks for a new run
_ANY_FILE = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_SMALL, _FEW, _SLOW = 20_000, 50, 4
_ZIPPED = [Middleware(GZipMiddleware, minimum_size=1_000)]
_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")
_LISTS = {
    name
    for name, each in (SimilarTo.model_fields | ReadAs.model_fields).items()
    if "list" in str(each.annotation)
}
_FILTERS = {each.name for each in fields(Filters)}
_OF_ALL = {"k", "diversity", "explain", "order", "popularity", "together"}
_log = logging.getLogger(__name__)

MovieInAddress = Annotated[IdText, InPath(description="A movie's id", examples=["1"])]
UserInAddress = Annotated[IdText, InPath(description="A user's id", examples=["123"])]


class Answers:
    """A Recommender, and the parts of answers that are computed once."""

    def __init__(self, recommender: Recommender, poster: str = "") -> None:
        self.recommender = recommender
        saved = recommender.embeddings
        self.movies = saved.movies
        self._run = saved.file.path.parent if saved.file else None
        self._map: list[tuple[bytes, bytes, str]] = []
        self._drawing = Lock()
        self.texts = self.movies.ids.dtype == object
        # To say which ids are near an unknown one, text is compared with all.
        self.small = self.movies.embedded <= _SMALL and not self.texts
        years = [split_year(title)[1] for title in self.movies.titles[: self.movies.embedded]]
        known = [year for year in years if year]
        self.health = Health(
            version=__version__,
            data_name=saved.data_name,
            movies=self.movies.embedded,
            rating_range=list(saved.rating_range),
            genres=Catalogue(self.movies).genre_names,
            years=[min(known), max(known)] if known else [],
            orders=["match", "choice", "stars"] if saved.ranks else ["stars"],
            poster=poster,
        )
        recommender.for_ratings({})  # reads what most questions need

    def id(self, text: str) -> MovieId:
        if _WHOLE.fullmatch(text):
            return MovieId(int(text))
        if not self.texts:
            raise UnknownError(f"id={text}: the data has whole numbers as ids")
        return MovieId(text)

    def ids(self, texts: list[str]) -> list[MovieId]:
        return [self.id(text) for text in texts]

    def stars(self, ratings: Mapping[str, float]) -> dict[MovieId, float]:
        return {self.id(text): stars for text, stars in ratings.items()}

    def settings(self, asked: Settings) -> dict[str, Any]:
        """Return the settings of every question, as `Recommender` takes them."""
        given = {name: getattr(asked, name) for name in asked.model_fields_set & _OF_ALL}
        filters = {name: getattr(asked, name) for name in asked.model_fields_set & _FILTERS}
        for name in {"among", "exclude"} & filters.keys():
            filters[name] = self.ids(filters[name]) or None
        return {**given, "filters": Filters(**filters)} if filters else given

    def movie(self, row: int) -> dict[str, Any]:
        ratings = int(self.movies.rating_counts[row])
        return {**self.recommender.lookup.described(row), "ratings": ratings}

    @cached_property
    def _row_of_title(self) -> dict[tuple[str, int | None], int]:
        """The most rated movie of each title and year."""
        order = np.argsort(self.movies.rating_counts, kind="stable").tolist()
        return {split_year(self.movies.titles[row]): row for row in order}

    def wanted(self, asked: Wanted) -> int | None:
        """Return the row of an id, or of the title where the id is another movie's here."""
        with suppress(UnknownError):
            row = self.movies.row_of(self.id(asked.movie_id).id)
            named = None if row is None else split_year(self.movies.titles[row])[0]
            if asked.title is None or (row is not None and named == asked.title):
                return row
        return self._row_of_title.get((asked.title or "", asked.year))

    @property
    def map(self) -> tuple[bytes, bytes, str]:
        """The map as JSON, the same compressed, and its tag; made once."""
        with self._drawing:
            if not self._map:
                try:
                    content = map_json(self.recommender.embeddings, self._run)
                except ModuleNotFoundError as error:
                    way = f"make it with {program('plot')} where {error.name} is installed"
                    raise UnknownError(f"the run has no map: {way}") from error
                tag = f'W/"{sha256(content).hexdigest()[:32]}"'
                self._map.append((content, gzip.compress(content), tag))
        return self._map[0]


class Newest:
    """The answers of now; each request takes them once, and so is answered from one run."""

    def __init__(self, recommender: Recommender, poster: str, metrics: Metrics) -> None:
        self._poster, self._metrics = poster, metrics
        self._slow = asyncio.Semaphore(_SLOW)
        self.take(recommender)

    def take(self, recommender: Recommender) -> None:
        self.known = Answers(recommender, self._poster)
        self._metrics.loaded.set(time.time())

    async def follow(self, run: Path) -> None:
        """Take up the run that a path leads to, whenever it is another one."""
        told = ""
        while True:
            await asyncio.sleep(FOLLOWED)
            try:
                if not self.known.recommender.embeddings.is_at(run):
                    await run_in_threadpool(lambda: self.take(Recommender.load(run)))
            except Exception as error:  # perhaps it is being replaced; the next look may succeed
                if told != (told := one_line(error)):
                    _log.warning("the answers stay those of the run before: %s", told)

    async def answer(
        self, ask: Callable[..., Any], asked: Settings, known: Answers, movies: int = _FEW
    ) -> Response:
        """Return the answer to a question about a number of movies.

        A question that takes about a millisecond is answered at once, since a thread would cost as
        much. Any other goes to a thread, and the server stays free for other requests.
        """
        question = partial(ask, **known.settings(asked))
        small = known.small and asked.k <= _FEW and movies < _FEW
        if small and not (asked.diversity or asked.include_rare or asked.among):
            answers = question()
        else:
            answers = await self.in_thread(question)
        # pydantic writes JSON four times as fast as `JSONResponse`, which asks Python's json.
        return Response(to_json(_plain(answers)), media_type="application/json")

    async def in_thread(self, ask: Callable[[], Any]) -> Any:
        """Return what a slow function returns; a few run at a time, the others wait."""
        async with self._slow:
            return await run_in_threadpool(ask)


def _plain(answers: Any) -> Any:
    return [*map(_plain, answers)] if isinstance(answers, list) else answers.to_dict()


def create_app(
    recommender: Recommender, config: ServeConfig | None = None, follow: Path | None = None
) -> FastAPI:
    """Return the application; it takes up a new run at `follow`, a folder or a file naming one."""
    config = config or ServeConfig()
    metrics = Metrics(config.log)
    newest = Newest(recommender, config.poster, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        following = asyncio.create_task(newest.follow(follow)) if follow else None
        yield
        if following:
            following.cancel()

    app = FastAPI(
        title="movie_embed",
        version=__version__,
        summary="Movie recommendations from learned embeddings",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        generate_unique_id_function=lambda route: route.name,
        dependencies=[Depends(_once_each)],
        responses=RESPONSES,
        lifespan=lifespan,
    )
    if config.origins:
        allowed: Any = {"allow_origins": config.origins, "allow_methods": ["GET", "POST"]}
        app.add_middleware(CORSMiddleware, **allowed, allow_headers=["content-type"])
    app.add_middleware(Guard, config=config, note=metrics.note)
    app.add_exception_handler(UnknownError, lambda _, error: _failure(404, error))
    app.add_exception_handler(MovieEmbedError, lambda _, error: _failure(422, error))
    app.add_exception_handler(RequestValidationError, lambda _, error: _failure(422, error))
    app.add_exception_handler(HTTPException, lambda _, error: _failure(None, error))
    app.add_exception_handler(Exception, lambda _, __: _failure(500, "the server has a bug"))
    _add_answers(app, newest)
    _add_movies(app, newest)

    async def numbers(_: Request) -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    swagger = resources.files(fastapi_swagger.resources)
    app.router.routes += [
        Route("/metrics", numbers),
        Route("/", _page(STATIC / "index.html"), middleware=_ZIPPED),
        Route("/docs", _page(STATIC / "docs.html")),
        Mount("/static/swagger", StaticFiles(directory=str(swagger)), middleware=_ZIPPED),
        Mount("/static", StaticFiles(directory=STATIC), middleware=_ZIPPED),
    ]
    return app


def _add_answers(app: FastAPI, newest: Newest) -> None:
    answers: dict[str, Any] = {"response_model": list[Answer], "tags": ["lists"]}  # type: ignore[valid-type]

    @app.get("/api/similar", **answers)
    async def similar(asked: Annotated[SimilarTo, Query()]) -> Response:
        """Return the movies most like one movie, or several together."""
        known = newest.known
        ask = partial(
            known.recommender.similar,
            known.ids(asked.movie_id),
            combine=asked.combine,
            metric=asked.metric,
            weights=asked.weights,
            not_like=known.ids(asked.not_like),
        )
        return await newest.answer(ask, asked, known, len(asked.movie_id) + len(asked.not_like))

    @app.post("/api/recommendations", **answers)
    async def recommendations(asked: ForRatings) -> Response:
        """Return the movies for somebody's ratings, or for several people together."""
        known = newest.known
        people = asked.ratings if isinstance(asked.ratings, list) else [asked.ratings]
        stars = [known.stars(each) for each in people]
        ask = partial(known.recommender.for_people, stars)
        return await newest.answer(ask, asked, known, sum(map(len, stars)))

    _quick(app, "GET", "/api/similar", similar, SimilarTo)
    _quick(app, "POST", "/api/recommendations", recommendations, ForRatings)

    @app.get("/api/users/{user_id}", **answers)
    async def user(user_id: UserInAddress, asked: Annotated[ForUser, Query()]) -> Response:
        """Return the movies for a user of the data."""
        known = newest.known
        ask = partial(known.recommender.for_user, _user(user_id))
        return await newest.answer(ask, asked, known)

    @app.post("/api/people", response_model=list[list[Answer]], tags=["lists"])  # type: ignore[valid-type]
    async def people(asked: ForEach) -> Response:
        """Return a list of movies for each of several people."""
        known = newest.known
        each = [_user(p) if isinstance(p, str) else known.stars(p) for p in asked.people]

        def ask(**settings: Any) -> list[Any]:
            return [known.recommender.for_people([person], **settings) for person in each]

        return await newest.answer(ask, asked, known)


def _add_movies(app: FastAPI, newest: Newest) -> None:
    @app.get("/api/search", response_model=list[Movie], tags=["movies"])
    def search(typed: Annotated[Typed, Query()]) -> Any:
        """Return at most ten movies whose titles have words that begin as those typed."""
        known = newest.known
        return [known.movie(row) for row in known.recommender.lookup.titles.typed(typed.q)]

    @app.get("/api/movies/{movie_id}", response_model=MovieCard, tags=["movies"])
    def movie(movie_id: MovieInAddress) -> Any:
        """Return one movie, with the values of its ratings."""
        known, recommender = newest.known, newest.known.recommender
        found = known.id(movie_id)
        counts = recommender.rating_values(found)
        values = [{"stars": stars, "count": count} for stars, count in counts.items()]
        return {**known.movie(recommender.lookup.row(found)), "values": values}

    @app.post("/api/movies", response_model=list[Movie | None], tags=["movies"])
    def movies(asked: WantedMovies) -> Any:
        """Return movies by id, and by title where the id is another movie's; null if unknown."""
        known = newest.known
        rows = map(known.wanted, asked.movies)
        return [None if row is None else known.movie(row) for row in rows]

    file: dict[str, Any] = {"requestBody": {"content": _ANY_FILE}}

    @app.post("/api/read", response_model=ReadFile, openapi_extra=file, tags=["movies"])
    async def read(
        content: Annotated[bytes, Depends(_body)], asked: Annotated[ReadAs, Query()]
    ) -> Response:
        """Read somebody's ratings from a service's export or a table; the file is not kept."""
        found = await newest.in_thread(partial(_read, newest.known.recommender, content, asked))
        return Response(to_json(found), media_type="application/json")

    @app.get("/api/map", response_model=MovieMap, tags=["movies"])
    def movie_map(request: Request) -> Response:
        """Return every movie with a learned vector and its place on the map."""
        plain, zipped, tag = newest.known.map
        headers = {"etag": tag, "cache-control": "no-cache", "vary": "accept-encoding"}
        if tag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("accept-encoding", ""):
            plain, headers["content-encoding"] = zipped, "gzip"
        return Response(plain, media_type="application/json", headers=headers)

    @app.get("/api/health", tags=["server"])
    async def health() -> Health:
        """Return the state of the server and a description of its data."""
        return newest.known.health

    @app.get("/api/ready", tags=["server"])
    async def ready() -> Ready:
        """Return whether the server takes questions."""
        return Ready()


def _read(recommender: Recommender, content: bytes, asked: ReadAs) -> dict[str, Any]:
    name = printable(asked.name.rpartition("/")[2]) or "the file"
    how: Any = {"name": name, "columns": dict(each.split("=", 1) for each in asked.columns)}
    if not asked.rated:
        read = recommender.read_movies(content, **how, seen=asked.seen).read
        return {"ratings": {}, **read.to_dict(asked.first, asked.most)}
    own = recommender.read_ratings(
        content, **how, scale=asked.scale, rated_by=asked.rated_by or None
    )
    ratings = {str(movie.id): stars for movie, stars in own.items()}
    return {"ratings": ratings, **own.read.to_dict(asked.first, asked.most)}


def _quick(
    app: FastAPI,
    method: str,
    path: str,
    ask: Callable[[Any], Awaitable[Response]],
    kind: type[BaseModel],
) -> None:
    """Let a plain Starlette route read a question of some kind.

    FastAPI describes the question, but reads it field by field, which takes longer than the answer.
    """

    async def asked(request: Request) -> Response:
        try:
            if request.method == "POST":
                return await ask(kind.model_validate_json(await request.body()))
            return await ask(kind.model_validate(_once_each(request)))
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error

    asked.__name__ = ask.__name__
    app.router.routes.insert(0, Route(path, asked, methods=[method]))


def _once_each(request: Request) -> dict[str, Any]:
    """Return the query; a setting that is no list is given once."""
    query: QueryParams = request.query_params
    values: dict[str, Any] = {}
    for name in query:
        given = query.getlist(name)
        if len(given) > 1 and name not in _LISTS:
            raise MovieEmbedError(f"{name}: given {len(given)} times")
        values[name] = given if name in _LISTS else given[0]
    return values


def one_line(error: object) -> str:
    """Return an error as the command line tells it, in one line."""
    if isinstance(error, HTTPException):
        return str(error.detail)
    if not isinstance(error, RequestValidationError):
        return " ".join(str(error).split())
    first = error.errors()[0]
    names = [str(part) for part in first["loc"] if part not in ("query", "body", "path")]
    where = ".".join(name for name in names if "[" not in name)  # pydantic's names of types
    return " ".join(f"{where or 'the request'}: {first['msg']}".split())[:500]


def _failure(status: int | None, error: object) -> JSONResponse:
    headers = None
    if isinstance(error, HTTPException):
        status, headers = error.status_code, error.headers
    return JSONResponse({"error": one_line(error)}, status or 500, headers)


def _user(text: str) -> Id:
    """Return a user's id; where ids are text, 007 is not 7."""
    return int(text) if _WHOLE.fullmatch(text) else text


async def _body(request: Request) -> bytes:
    return await request.body()


def _page(path: Path) -> Any:
    async def page(_: Request) -> FileResponse:
        return FileResponse(path, headers={"cache-control": "no-cache"})

    return page
