"""Requests and responses of the API, typed and bounded; answers are the command line's JSON."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Literal, Self

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import QueryParams

from movie_embed.answers.results import Match

MovieKey = Annotated[str | int, Field(description="A movie's id, a number or text")]
IdText = Annotated[str, Field(min_length=1, max_length=100)]
Stars = dict[IdText, Annotated[float, Field(allow_inf_nan=False)]]
Weight = Annotated[float, Field(gt=1e-6, lt=1e6)]
_IDS: Any = Field(default_factory=list, max_length=1_000)
_GENRES: Any = Field(default_factory=list, max_length=50)


class Settings(BaseModel):
    """Settings of every question, by the names of `recommend.py`."""

    model_config = ConfigDict(extra="forbid")

    k: Annotated[int, Field(ge=1, le=1_000)] = 10
    genres: Annotated[list[IdText], _GENRES]
    exclude_genres: Annotated[list[IdText], _GENRES]
    years: Annotated[str, Field(pattern=r"^[0-9]{1,4}(-[0-9]{1,4})?$")] | None = None
    min_count: Annotated[int, Field(ge=0, le=2**53)] = 0
    include_rare: bool = False
    among: Annotated[list[IdText], _IDS]
    exclude: Annotated[list[IdText], _IDS]
    diversity: Annotated[float, Field(ge=0, le=1)] = 0.0
    explain: bool = False

    @classmethod
    def of_query(cls, query: QueryParams) -> Self:
        """Return a question from the query of an address.

        FastAPI reads a model from a query too, but field by field: that takes longer than the
        answer. So `parameters` describes the fields for it.
        """
        lists = _lists(cls)
        values = {name: query.getlist(name) if name in lists else query[name] for name in query}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise RequestValidationError(error.errors()) from error


def parameters(kind: type[Settings]) -> dict[str, Any]:
    """Return the fields of a question as OpenAPI describes the parameters of a query."""
    schema = kind.model_json_schema()
    required = schema.get("required", ())
    return {
        "parameters": [
            {"name": name, "in": "query", "required": name in required, "schema": field}
            for name, field in schema["properties"].items()
        ]
    }


@cache
def _lists(kind: type[Settings]) -> set[str]:
    fields = parameters(kind)["parameters"]
    return {field["name"] for field in fields if "array" in str(field["schema"])}


class SimilarTo(Settings):
    """Movies like others."""

    movie_id: Annotated[list[IdText], Field(min_length=1, max_length=1_000)]
    not_like: Annotated[list[IdText], _IDS]
    weights: Annotated[list[Weight], Field(max_length=1_000)] | None = None
    combine: Literal["mean", "max"] = "mean"
    metric: Literal["mixed", "cosine", "whitened", "dot"] | None = None


class ForUser(Settings):
    """Movies for a user of the data."""

    order: Literal["match", "choice", "stars"] | None = None
    popularity: Annotated[float, Field(ge=-1, le=1)] = 0.0


class ForRatings(ForUser):
    """Movies for somebody's ratings, or for several people's."""

    ratings: (
        Annotated[Stars, Field(max_length=10_000)]
        | Annotated[
            list[Annotated[Stars, Field(max_length=10_000)]], Field(min_length=1, max_length=20)
        ]
    ) = Field(description="Stars by movie id, or a list of that, an entry a person")
    together: Literal["average", "least"] = "average"


class Because(BaseModel):
    """A movie that is a reason for an answer."""

    movie_id: MovieKey
    title: str
    similarity: float | None = None
    stars: float | None = None
    share: float | None = None
    shared_genres: list[str]


class Answer(BaseModel):
    """One answer, as `Recommendation.to_dict` has it."""

    rank: int
    movie_id: MovieKey
    title: str
    year: int | None
    genres: list[str]
    similarity: float | None = None
    dot_product: float | None = None
    match: float | None = None
    predicted_stars: float | None = None
    from_content: bool
    imdb_id: str | None
    tmdb_id: int | None
    reasons: list[Because] | None = None


class Movie(BaseModel):
    """A movie of the data."""

    movie_id: MovieKey
    title: str
    year: int | None
    genres: list[str]
    ratings: int = Field(description="How many ratings it has in the data")
    from_content: bool
    imdb_id: str | None
    tmdb_id: int | None


class ValueCount(BaseModel):
    """How often a rating value was given."""

    stars: float
    count: int


class MovieCard(Movie):
    """A movie of the data, and how often it was given each rating value."""

    values: list[ValueCount] = Field(description="Empty if the run saved no users")


class Wanted(BaseModel):
    """A movie as somebody noted it, perhaps from another run."""

    movie_id: IdText
    title: Annotated[str, Field(max_length=500)] | None = None
    year: int | None = None


class WantedMovies(BaseModel):
    """Several of them."""

    movies: Annotated[list[Wanted], Field(max_length=10_000)]


class ReadFile(BaseModel):
    """The ratings of a file."""

    ratings: dict[str, float]
    matches: list[Match]
    notes: list[str]


class Region(BaseModel):
    """The name of a part of the map."""

    name: str
    x: float
    y: float
    level: int = Field(description="0 for the largest parts")


class MovieMap(BaseModel):
    """Every movie with a learned vector, a column each; places lie between -1 and 1."""

    movie_id: list[MovieKey]
    x: list[float]
    y: list[float]
    title: list[str]
    year: list[int | None]
    genres: list[list[int]] = Field(description="Indices in `genre_names`")
    ratings: list[int]
    genre_names: list[str] = Field(description="The genre that tells most of a movie first")
    colors: list[str] = Field(description="Of the genres, on white; then of movies without one")
    dark_colors: list[str] = Field(description="The same on dark ground")
    shapes: list[int] = Field(description="The same: 0 disc, 1 square, 2 triangle, 3 diamond")
    regions: list[Region]


class Health(BaseModel):
    """The state of the server, and a description of its data."""

    status: Literal["ok"] = "ok"
    version: str
    data_name: str
    movies: int
    rating_range: list[float]
    genres: list[str]
    years: list[int]
    orders: list[str]


class Failure(BaseModel):
    """An error in one line."""

    error: str


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": told}
    for status, told in (
        (400, "The request is not one this server takes"),
        (404, "There is no such movie or user"),
        (408, "The request took too long to arrive"),
        (413, "The request is too large"),
        (422, "A value is not as described"),
    )
}
