"""Requests and responses of the API, typed and bounded; answers are the command line's JSON."""

from __future__ import annotations

from types import NoneType
from typing import Annotated, Any, Literal, Self, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator, model_validator
from pydantic_core import PydanticCustomError

from movie_embed.answers.results import Match, Reason, Recommendation
from movie_embed.data.movies import Id

_MOST_PEOPLE, _MOST_LISTED, _MOST_VARIED = 20, 10_000, 200

IdText = Annotated[str, Field(min_length=1, max_length=100)]
Star = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Stars = Annotated[dict[IdText, Star], Field(max_length=10_000)]
Weight = Annotated[float, Field(gt=1e-6, lt=1e6)]


def _of(default: Any, told: str, example: Any, **bounds: Any) -> Any:
    return Field(default, description=told, examples=[example], **bounds)


def _refuse(told: str) -> PydanticCustomError:
    return PydanticCustomError("refused", told)


class Asked(BaseModel):
    """What is asked; anything else is refused."""

    model_config = ConfigDict(extra="forbid")


class Settings(Asked):
    """Settings of every question, by the names of `recommend.py`."""

    k: int = _of(10, "How many movies to answer with", 5, ge=1, le=1_000)
    genres: list[IdText] = _of([], "Answer with movies of any of these", ["Comedy"], max_length=50)
    exclude_genres: list[IdText] = _of([], "Leave out movies of these", ["War"], max_length=50)
    years: str | None = _of(
        None, "Of this year, or of these", "1990-1999", pattern=r"^[0-9]{1,4}(-[0-9]{1,4})?$"
    )
    min_count: int = _of(0, "With so many ratings in the data", 100, ge=0, le=2**53)
    include_rare: bool = _of(False, "Also movies that had no vector learned", True)
    among: list[IdText] = _of([], "Answer with some of these movies", ["1"], max_length=1_000)
    exclude: list[IdText] = _of([], "Leave out these movies", ["1"], max_length=1_000)
    diversity: float = _of(0.0, "From 0, the best, to 1, as unlike as possible", 0.3, ge=0, le=1)
    explain: bool = _of(False, "Say which movies each answer is due to", True)

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.k > _MOST_VARIED and (self.diversity or self.explain):
            raise _refuse(f"k={self.k}: at most {_MOST_VARIED} with diversity or explain")
        return self


class SimilarTo(Settings):
    """Movies like others."""

    movie_id: list[IdText] = _of(..., "Movies to be like", ["1"], min_length=1, max_length=1_000)
    not_like: list[IdText] = _of([], "Movies to keep away from", ["2"], max_length=1_000)
    weights: list[Weight] | None = _of(None, "Of each movie", [2, 1], max_length=1_000)
    combine: Literal["mean", "max"] = _of("mean", "Like the mean of several, or any one", "max")
    metric: Literal["mixed", "cosine", "whitened", "dot"] | None = _of(
        None, "How to compare: mixed, or else cosine, if none is named", "cosine"
    )


class ForUser(Settings):
    """Movies for a user of the data."""

    order: Literal["match", "choice", "stars"] | None = _of(
        None, "By match, by how likely a movie is chosen, or by predicted stars", "stars"
    )
    popularity: float = _of(0.0, "From -1, less known first, to 1, well-known", -0.5, ge=-1, le=1)


class ForRatings(ForUser):
    """Movies for somebody's ratings, or for several people together."""

    ratings: Stars | Annotated[list[Stars], Field(min_length=1, max_length=_MOST_PEOPLE)] = _of(
        ..., "Stars by movie id, or a list of that, an entry a person", {"1": 5, "260": 4.5}
    )
    together: Literal["average", "least"] = _of(
        "average", "Several people's scores become their average, or the least", "least"
    )

    @field_validator("ratings", mode="before")
    @classmethod
    def _few(cls, ratings: Any) -> Any:
        if isinstance(ratings, list) and not 1 <= len(ratings) <= _MOST_PEOPLE:
            raise _refuse(f"1 to {_MOST_PEOPLE} people, not {len(ratings)}")
        return ratings


class ForEach(ForUser):
    """A list of movies for each of several people."""

    people: list[IdText | Stars] = _of(
        ...,
        "Of each person the user id, or the stars by movie id",
        ["123", {"1": 5, "260": 4.5}],
        min_length=1,
        max_length=1_000,
    )

    @model_validator(mode="after")
    def _few(self) -> Self:
        if self.k * len(self.people) > _MOST_LISTED:
            raise _refuse(f"k times the number of people: at most {_MOST_LISTED:,}")
        return self


class Wanted(BaseModel):
    """A movie as somebody noted it, perhaps from another run."""

    movie_id: IdText = _of(..., "Its id", "1")
    title: str | None = _of(None, "Its title, without the year", "Toy Story", max_length=500)
    year: int | None = _of(None, "Its year", 1995)


class WantedMovies(BaseModel):
    """Several of them."""

    movies: list[Wanted] = _of(..., "The movies", [{"movie_id": "1"}], max_length=10_000)


class Typed(Asked):
    """What somebody has typed of a title."""

    q: str = _of("", "Beginnings of words", "toy st", max_length=200)


class ReadAs(Asked):
    """How a file is to be read."""

    name: str = _of("ratings.csv", "The file's name", "ratings.csv", max_length=200)
    rated: bool = _of(True, "False reads a list of movies, with ratings or without", False)
    seen: bool = _of(False, "Of a list the movies seen, not those to see", True)
    columns: list[Annotated[str, Field(pattern=r"^\w+=", max_length=200)]] = _of(
        [], "Unusual columns by meaning", ["title=Movie seen"], max_length=20
    )
    scale: float | None = _of(None, "The highest rating there may be", 10, gt=0, le=1e6)
    rated_by: str | None = _of(None, "The user, if the file has several", "me", max_length=200)
    first: int = _of(0, "The first line to show", 10_000, ge=0, le=10**6)
    most: int = _of(10_000, "How many lines to show", 100, ge=1, le=10_000)

    @model_validator(mode="after")
    def _used(self) -> Self:
        without = {"seen"} if self.rated else {"scale", "rated_by"}
        for name in sorted(without & self.model_fields_set):
            raise _refuse(f"{name}: without effect where rated={str(self.rated).lower()}")
        return self


def _model(name: str, kind: type, **replaced: Any) -> type[BaseModel]:
    """Return the model of a dataclass or named tuple; what may be None may be absent."""
    hints = get_type_hints(kind) | replaced
    defaults = {field: None if NoneType in get_args(hint) else ... for field, hint in hints.items()}
    columns: Any = {field: (hint, defaults[field]) for field, hint in hints.items()}
    return create_model(name, __doc__=(kind.__doc__ or "").partition("\n")[0], **columns)


Because = _model("Because", Reason)
Answer = _model("Answer", Recommendation, reasons=list[Because] | None)  # type: ignore[valid-type]


class Movie(BaseModel):
    """A movie of the data."""

    movie_id: Id
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


class ReadFile(BaseModel):
    """The ratings of a file."""

    ratings: dict[str, float]
    notes: list[str]
    columns: dict[str, str] = Field(description="The columns that were read, by meaning")
    rows: int = Field(description="How many lines the file has")
    first: int
    matches: list[Match] = Field(description="What each line was taken for, from the first")


class Region(BaseModel):
    """The name of a part of the map."""

    name: str
    x: float
    y: float
    level: int = Field(description="0 for the largest parts")


class MovieMap(BaseModel):
    """Every movie with a learned vector, a column each; places lie between -1 and 1."""

    movie_id: list[Id]
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
    poster: str = Field(description="A template of the addresses of posters, or empty")


class Ready(BaseModel):
    """The server takes questions."""

    status: Literal["ready"] = "ready"


class Failure(BaseModel):
    """An error in one line."""

    error: str


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": told}
    for status, told in (
        (400, "The request is not one this server takes"),
        (403, "A page of another site asked"),
        (404, "There is no such movie or user"),
        (408, "The request took too long to arrive"),
        (413, "The request is too large"),
        (422, "A value is not as described"),
        (500, "The server has a bug"),
        (503, "The server has too many large requests, or is ending"),
    )
}
