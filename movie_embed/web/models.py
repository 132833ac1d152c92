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


def _listed(told: str, example: str = "1", least: int = 0, most: int = 1_000) -> Any:
    given: Any = {"min_length": least, "max_length": most, "examples": [[example]]}
    default: Any = {} if least else {"default_factory": list}
    return Field(**default, **given, description=told)


class Settings(BaseModel):
    """Settings of every question, by the names of `recommend.py`."""

    model_config = ConfigDict(extra="forbid")

    k: int = Field(10, ge=1, le=1_000, description="How many movies to answer with", examples=[5])
    genres: list[IdText] = _listed("Answer with movies of any of these genres", "Comedy", most=50)
    exclude_genres: list[IdText] = _listed(
        "Leave out movies of any of these genres", "Comedy", most=50
    )
    years: str | None = Field(
        None,
        pattern=r"^[0-9]{1,4}(-[0-9]{1,4})?$",
        description="Answer with movies of a year, or of years",
        examples=["1990-1999"],
    )
    min_count: int = Field(
        0, ge=0, le=2**53, description="Answer with movies of as many ratings", examples=[100]
    )
    include_rare: bool = Field(
        False, description="Answer also with movies that had no vector learned", examples=[True]
    )
    among: list[IdText] = _listed("Answer with some of these movies alone")
    exclude: list[IdText] = _listed("Leave out these movies")
    diversity: float = Field(
        0.0,
        ge=0,
        le=1,
        description="From 0, the best answers, to 1, answers as unlike each other as possible",
        examples=[0.3],
    )
    explain: bool = Field(
        False, description="Say which movies each answer is due to", examples=[True]
    )

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.k > _MOST_VARIED and (self.diversity or self.explain):
            told = f"k={self.k}: at most {_MOST_VARIED} with diversity or explain"
            raise PydanticCustomError("k", told)
        return self


class SimilarTo(Settings):
    """Movies like others."""

    movie_id: list[IdText] = _listed("The movies to be similar to", least=1)
    not_like: list[IdText] = _listed("Movies to keep away from")
    weights: list[Weight] | None = Field(
        None, max_length=1_000, description="The weight of each movie", examples=[[2, 1]]
    )
    combine: Literal["mean", "max"] = Field(
        "mean",
        description="Whether to be similar to the mean of several movies, or to any one of them",
        examples=["max"],
    )
    metric: Literal["mixed", "cosine", "whitened", "dot"] | None = Field(
        None,
        description="How to compare; by default mixed, or cosine where a run has no ranking",
        examples=["cosine"],
    )


class ForUser(Settings):
    """Movies for a user of the data."""

    order: Literal["match", "choice", "stars"] | None = Field(
        None,
        description="Order by match, by how likely a movie is chosen, or by predicted stars",
        examples=["stars"],
    )
    popularity: float = Field(
        0.0,
        ge=-1,
        le=1,
        description="From -1, less known movies first, to 1, well-known ones first",
        examples=[-0.5],
    )


class ForRatings(ForUser):
    """Movies for somebody's ratings, or for several people together."""

    ratings: Stars | Annotated[list[Stars], Field(min_length=1, max_length=_MOST_PEOPLE)] = Field(
        description="Stars by movie id, or a list of that, an entry a person",
        examples=[{"1": 5, "260": 4.5}],
    )
    together: Literal["average", "least"] = Field(
        "average",
        description="Add up several people's scores, or take the lowest",
        examples=["least"],
    )

    @field_validator("ratings", mode="before")
    @classmethod
    def _few(cls, ratings: Any) -> Any:
        if isinstance(ratings, list) and not 1 <= len(ratings) <= _MOST_PEOPLE:
            told = f"1 to {_MOST_PEOPLE} people, not {len(ratings)}"
            raise PydanticCustomError("people", told)
        return ratings


class ForEach(ForUser):
    """A list of movies for each of several people."""

    people: Annotated[list[IdText | Stars], Field(min_length=1, max_length=1_000)] = Field(
        description="Of each person the user id or the stars by movie id",
        examples=[["123", {"1": 5, "260": 4.5}]],
    )

    @model_validator(mode="after")
    def _few(self) -> Self:
        if self.k * len(self.people) > _MOST_LISTED:
            told = f"k times the number of people: at most {_MOST_LISTED:,}"
            raise PydanticCustomError("people", told)
        return self


class Wanted(BaseModel):
    """A movie as somebody noted it, perhaps from another run."""

    movie_id: IdText = Field(examples=["1"])
    title: str | None = Field(None, max_length=500, examples=["Toy Story"])
    year: int | None = Field(None, examples=[1995])


class WantedMovies(BaseModel):
    """Several of them."""

    movies: Annotated[list[Wanted], Field(max_length=10_000)]


class Typed(BaseModel):
    """What somebody has typed of a title."""

    model_config = ConfigDict(extra="forbid")

    q: str = Field("", max_length=200, description="Beginnings of words", examples=["toy st"])


class ReadAs(BaseModel):
    """How a file is to be read."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        "ratings.csv", max_length=200, description="The file's name", examples=["ratings.csv"]
    )
    rated: bool = Field(
        True, description="False reads a list of movies, with ratings or without", examples=[False]
    )
    seen: bool = Field(
        False, description="Of a list, the movies that were seen, not those to see", examples=[True]
    )
    columns: list[Annotated[str, Field(pattern=r"^\w+=", max_length=200)]] = Field(
        default_factory=list,
        max_length=20,
        description="Unusual columns by meaning; one without a name is not read",
        examples=[["title=Movie seen"]],
    )
    scale: float | None = Field(
        None, gt=0, le=1e6, description="The highest rating there may be", examples=[10]
    )
    rated_by: str | None = Field(
        None, max_length=200, description="The user, if the file has several", examples=["me"]
    )
    first: int = Field(0, ge=0, le=10**6, description="The first line to show", examples=[10_000])
    most: int = Field(10_000, ge=1, le=10_000, description="How many lines to show", examples=[100])

    @model_validator(mode="after")
    def _used(self) -> Self:
        without = {"seen"} if self.rated else {"scale", "rated_by"}
        for name in sorted(without & self.model_fields_set):
            told = f"{name}: without effect where rated={str(self.rated).lower()}"
            raise PydanticCustomError("unused", told)
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
        (503, "The server has too many large requests"),
    )
}
