"""Every setting, with its default and, beside its type, its bounds.

These dataclasses are Hydra's schema: an unknown key or a wrong type fails when the command line is
read, and whoever makes one, Hydra or a Python program, has its values checked. Nothing here imports
torch: a mistake must not take seconds to report.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from movie_embed.checks import as_whole, at_least, fits, is_number, listed, must, one_of, require
from movie_embed.data.datasets import DATA_SETS
from movie_embed.errors import MovieEmbedError, program
from movie_embed.evaluation import METRICS

LATEST = Path("outputs/latest")  # a file that names the newest finished run

_SPOKEN = {"tab": "\t", "space": " ", "comma": ",", "semicolon": ";", "bar": "|"}
EXPORT_FORMATS = ("tsv", "parquet", "word2vec", "faiss")
_MOVIE_QUESTIONS = ("movie", "movie_id", "new_movie")
_OF_MOVIES = {"combine", "metric", "weights", "not_like"}  # settings of these questions alone

Count = Annotated[int, at_least(1)]
OptionalCount = Annotated[int | None, at_least(1)]
Ends = Annotated[
    list[float] | None,
    must(
        lambda ends: len(ends) == 2 and ends[0] < ends[1],
        "two numbers [lowest,highest], the lowest below the highest",
    ),
]


def _are_tops(scale: Any) -> bool:
    return all(top is None or (is_number(top) and top > 0) for top in listed(scale))


StarsByMovie = Annotated[
    Any,
    must(
        lambda rate: isinstance(rate, dict) and all(map(is_number, rate.values())),
        "stars by movie: 'rate={1: 5, 4896: 3.5}'",
    ),
]


class Checked:
    """Settings of a section; values are checked by the bounds declared beside their types."""

    section: ClassVar[str]

    def __init_subclass__(cls, section: str = "") -> None:
        cls.section = section

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self), include_extras=True).items():
            value = getattr(self, name)
            for check in getattr(kind, "__metadata__", ()) if value is not None else ():
                if callable(check):  # the other is the meaning
                    check(self.section + name, value)


@dataclass
class ColumnNames:
    """Columns with unusual names, in tables of ratings, titles and tags; others are recognised."""

    user: Annotated[str | None, "column of the user"] = None
    movie: Annotated[str | None, "column of the movie's id"] = None
    rating: Annotated[str | None, "column of the rating"] = None
    timestamp: Annotated[str | None, "column of the time"] = None
    title: Annotated[str | None, "column of the title"] = None
    genres: Annotated[str | None, "column of the genres"] = None
    year: Annotated[str | None, "column of the year"] = None
    tag: Annotated[str | None, "column of the tag"] = None


@dataclass
class DataConfig(Checked, section="data."):
    """Which ratings to train on, and how they are filtered, split and batched.

    The rating range and the threshold are by default those of the data set, in `DATA_SETS`.
    """

    name: Annotated[str, one_of(*DATA_SETS)] = "demo"
    path: Annotated[
        str | None, "your folder, zip or file; null: the local cache, else a download"
    ] = None
    cache_dir: Annotated[
        str | None, "where read ratings are kept; null: the user's cache folder"
    ] = None
    download: Annotated[bool, "whether a MovieLens release may be downloaded"] = True
    columns: ColumnNames = field(default_factory=ColumnNames)
    delimiter: Annotated[str | None, "what separates fields; null: as it looks"] = None
    query: Annotated[str | None, "SQL that selects the ratings, for DuckDB"] = None
    text_ids: Annotated[bool, "take ids for text where they look like numbers"] = False
    rating_range: Annotated[Ends, "lowest and highest rating; null: those of the data"] = None
    on_bad_rows: Annotated[
        str,
        one_of("fail", "skip"),
        "fail: list bad rows and stop; skip: list them and leave them out",
    ] = "fail"
    min_ratings: Annotated[Count, "movies with fewer ratings are left out"] = MISSING
    val_fraction: Annotated[
        float,
        must(lambda share: 0 <= share < 1, "at least 0 (no validation) and below 1"),
        "share of ratings held out for validation; 0: none",
    ] = 0.05
    test_fraction: Annotated[
        float,
        must(lambda share: 0 <= share < 1, "at least 0 (no test) and below 1"),
        "share of ratings held out for the final metrics",
    ] = 0.0
    split: Annotated[
        str,
        one_of("random", "time", "user", "last"),
        "random, time, user or last: what is held out",
    ] = "random"
    val_path: Annotated[str | None, "a file of ratings for validation"] = None
    test_path: Annotated[str | None, "a file of ratings for the final metrics"] = None
    batch_size: Annotated[
        OptionalCount, "ratings in a batch; null: as many as leave data.min_steps"
    ] = None
    min_steps: Annotated[Count, "steps an epoch has at least, where batch_size is null"] = 200
    users: Annotated[int | None, at_least(2), "users that the demo simulates; null: 9,000"] = None

    def __post_init__(self) -> None:
        own = DATA_SETS.get(self.name, DATA_SETS["files"])
        if self.rating_range is None and own.rating_range:
            self.rating_range = list(own.rating_range)
        if self.min_ratings == MISSING:
            self.min_ratings = own.min_ratings
        self.delimiter = _SPOKEN.get(self.delimiter or "", self.delimiter)
        super().__post_init__()
        if self.name == "demo":
            given = {**vars(self), **{f"columns.{k}": v for k, v in vars(self.columns).items()}}
            for key in (
                "path",
                "val_path",
                "test_path",
                "delimiter",
                "rating_range",
                *(k for k in given if "." in k),
            ):
                require(given[key] is None, f"data.{key}", given[key], "left out with data=demo")
        else:
            require(self.users is None, "data.users", self.users, "left out unless data=demo")
        files = self.name == "files"
        require(files or not self.query, "data.query", self.query, "left out unless data=files")

        held_out = self.val_fraction + self.test_fraction
        require(held_out < 1, "data.test_fraction", self.test_fraction, "less with val_fraction")

    @property
    def needs_times(self) -> bool:
        """Whether the split goes by times."""
        return self.split in ("time", "last")

    def check_source(self) -> None:
        """Refuse ``data=files`` without any, unless a table in memory takes their place."""
        if self.name == "files" and not self.path and not self.query:
            raise MovieEmbedError(
                "data=files needs data.path=FOLDER: a MovieLens folder or zip, "
                "or your own ratings as CSV, JSON lines or Parquet"
            )


@dataclass
class ModelConfig(Checked, section="model."):
    """The size of the model and its regularisation."""

    dim: Annotated[Count, "numbers in a vector"] = 50
    ridge: Annotated[
        float, at_least(0), "L2 strength for any size of data: l2 = ridge / ratings"
    ] = 12.0
    l2: Annotated[float | None, at_least(0), "L2 strength in place of ridge, as Keras' l2(c)"] = (
        None
    )
    implicit: Annotated[
        str,
        one_of("none", "users", "movies", "both"),
        "SVD++: implicit feedback of users, movies, both or none",
    ] = "none"


@dataclass
class RankingConfig(Checked, section="ranking."):
    """The implicit model: which movies a person would choose, from implicit feedback (EASE)."""

    enabled: Annotated[bool, "fit the implicit model (EASE), which orders the lists"] = True
    l2: Annotated[
        float,
        must(lambda strength: strength > 0, "above 0"),
        "L2 strength of the implicit model, in ratings",
    ] = 400.0
    movies: Annotated[Count, "movies in the core of the implicit model: the most rated"] = 8000


@dataclass
class OptimizerConfig(Checked, section="optimizer."):
    """Adam's settings, and how its learning rate changes over the run."""

    learning_rate: Annotated[
        float, must(lambda rate: rate > 0, "above 0"), "Adam's highest learning rate"
    ] = 1e-2
    schedule: Annotated[
        str,
        one_of("constant", "linear", "cosine", "one_cycle"),
        "constant, linear, cosine or one_cycle",
    ] = "linear"
    warmup: Annotated[
        float | None,
        must(lambda share: 0 < share < 1, "a share of the steps, above 0 and below 1"),
        "share of the steps over which the rate rises",
    ] = None
    rows: Annotated[
        str, one_of("all", "met"), "all, or met: step only the vectors of a batch's users"
    ] = "all"


@dataclass
class TrainerConfig(Checked, section="trainer."):
    """Lightning Trainer settings, under Lightning's own names, and the CPU threads to use."""

    max_epochs: Annotated[Count, "epochs"] = 6
    accelerator: Annotated[str, one_of("auto", "cpu", "gpu", "mps"), "auto, cpu, gpu or mps"] = (
        "cpu"
    )
    devices: Annotated[Count, "processes, among which the users are divided"] = 1
    num_nodes: Annotated[Count, "machines, among which the users are divided"] = 1
    strategy: Annotated[str, one_of("auto", "by_users"), "auto or by_users"] = "auto"
    timeout: Annotated[Count, "seconds that a process waits for the others"] = 600
    precision: Annotated[str, one_of("32-true", "64-true"), "32-true or 64-true"] = "32-true"
    gradient_clip_val: Annotated[
        float | None, must(lambda clip: clip > 0, "above 0"), "longest gradient; null: any"
    ] = None
    limit_train_batches: Annotated[OptionalCount, "batches of an epoch; null: all"] = None
    limit_val_batches: Annotated[OptionalCount, "batches of a validation; null: all"] = None
    check_val_every_n_epoch: Annotated[Count, "epochs from one validation to the next"] = 1
    val_check_interval: Annotated[
        float | None,
        must(lambda share: 0 < share <= 1, "a share of an epoch, above 0, up to 1"),
        "share of an epoch from one validation to the next",
    ] = None
    early_stopping: Annotated[
        OptionalCount, "stop after so many validations without a better one"
    ] = None
    log_every_n_steps: Annotated[Count, "steps from one logged loss to the next"] = 50
    enable_progress_bar: Annotated[bool, "show bars, or a line per epoch"] = True
    profiler: Annotated[
        str | None, one_of("simple", "advanced"), "simple or advanced: Lightning's table of times"
    ] = None
    threads: Annotated[OptionalCount, "CPU threads; null: all cores, one for small batches"] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        every = self.check_val_every_n_epoch
        allowed = f"at most trainer.max_epochs={self.max_epochs}"
        require(every <= self.max_epochs, "trainer.check_val_every_n_epoch", every, allowed)


LOGGERS = ("tensorboard", "csv", "wandb", "mlflow", "none")


@dataclass
class LoggerConfig(Checked, section="logger."):
    """Where curves and settings are logged; options are the arguments of Lightning's logger."""

    name: Annotated[str, one_of(*LOGGERS)] = "tensorboard"
    options: Annotated[dict[str, Any], "arguments of Lightning's logger"] = field(
        default_factory=dict
    )


@dataclass
class SaveConfig(Checked, section="save."):
    """The files that a training run leaves for `recommend.py`."""

    epoch: Annotated[
        str,
        one_of("auto", "best", "last"),
        "auto: the best on held-out ratings, else the last; best; last",
    ] = "auto"
    users: Annotated[bool, "save users and their ratings, for user_id="] = True
    every_n_steps: Annotated[OptionalCount, "save a checkpoint after so many steps, too"] = None
    figures: Annotated[bool, "write figures, the map and the projector's files"] = True
    min_ratings: Annotated[
        OptionalCount, "movies with fewer answer from content; null: 20, or fewer"
    ] = None


@dataclass
class TrainConfig(Checked):
    """All settings of `train.py`."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    save: SaveConfig = field(default_factory=SaveConfig)
    logger: LoggerConfig = field(default_factory=LoggerConfig)
    ranking: RankingConfig = field(default_factory=RankingConfig)
    seed: Annotated[
        int,
        must(lambda n: 0 <= n < 2**32, "from 0 to 4294967295"),
        "of initial values, the split and the order of batches",
    ] = 0
    resume: Annotated[str | None, "a stopped run's folder, or last: go on with that run"] = None
    init: Annotated[str | None, "a run whose vectors training starts from"] = None
    overwrite: Annotated[bool, "replace a run in the given folder"] = False
    # A sweep compares its runs by it.
    objective: Annotated[str, one_of(*METRICS), "the number that a sweep compares"] = "val_rmse"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data.val_fraction == 0:
            stop, why = self.trainer.early_stopping, "data.val_fraction=0"
            require(self.save.epoch != "best", "save.epoch", "best", f"auto or last when {why}")
            require(stop is None, "trainer.early_stopping", stop, f"left out when {why}")

    def check_sweep(self) -> None:
        """Refuse settings that a sweep cannot have: resume, processes, no held-out ratings."""
        require(self.resume is None, "resume", self.resume, "left out in a sweep")
        require(self.trainer.devices == 1, "trainer.devices", self.trainer.devices, "1 in a sweep")
        held_out = self.data.val_fraction > 0 or self.data.val_path is not None
        measured = held_out or not METRICS[self.objective].needs_held_out
        allowed = "train_rmse or train_seconds in a sweep with data.val_fraction=0"
        require(measured, "objective", self.objective, allowed)


@dataclass
class OwnColumns:
    """Columns with unusual names in files of somebody's own movies; others are recognised.

    A blank name leaves a column unread.
    """

    title: Annotated[str | None, "column of the title"] = None
    original: Annotated[str | None, "column of the original title"] = None
    year: Annotated[str | None, "column of the year"] = None
    rating: Annotated[str | None, "column of the rating"] = None
    imdb: Annotated[str | None, "column of IMDb's id"] = None
    tmdb: Annotated[str | None, "column of TMDB's id"] = None
    movie: Annotated[str | None, "column of the run's id"] = None
    id: Annotated[str | None, "column of an id of a source"] = None
    source: Annotated[str | None, "column of the id's source"] = None
    kind: Annotated[str | None, "column of the kind: movie, series"] = None
    episode: Annotated[str | None, "column of the episode"] = None
    watched: Annotated[str | None, "column of whether it was watched"] = None
    plays: Annotated[str | None, "column of how often it was watched"] = None
    status: Annotated[str | None, "column of the status: watched, planned"] = None
    user: Annotated[str | None, "column of the person"] = None
    date: Annotated[str | None, "column of the date"] = None


@dataclass
class RecommendConfig(Checked):
    """All settings of `recommend.py`; the first eight are the question.

    Here is checked which go together; `Recommender` and `Filters` check the others' values.
    """

    movie: Annotated[Any, "movies like this one, or like several, by title"] = None
    movie_id: Annotated[Any, "the same by id"] = None
    new_movie: Annotated[str | None, "movies like one that the data lack: its title"] = None
    new_genres: Annotated[Any, "the genres of new_movie"] = None
    user_id: Annotated[Any, "for a user of the data, or for several together"] = None
    ratings: Annotated[Any, "for you: an export of Letterboxd, IMDb, ..., or any table"] = None
    rate: Annotated[StarsByMovie, "for you: stars by movie id"] = None
    users: Annotated[Any, "a list for each of these users, or for all"] = None
    to: Annotated[
        str | None,
        fits(r".+\.(csv|parquet)", "a file *.csv or *.parquet"),
        "the file of those lists: lists.csv or lists.parquet",
    ] = None
    scale: Annotated[
        Any,
        must(_are_tops, "above 0: 5, 10, 100, or one for each file"),
        "the highest rating that the files' scale has",
    ] = None
    columns: OwnColumns = field(default_factory=OwnColumns)
    rated_by: Annotated[Any, "whose ratings, in a file of several people"] = None
    k: Annotated[int, "number of answers"] = 10
    combine: Annotated[str, "of several movies: mean or max"] = "mean"
    metric: Annotated[str | None, "mixed, cosine, whitened or dot"] = None
    order: Annotated[str | None, "match, choice or stars"] = None
    together: Annotated[str, "of several people: average or least"] = "average"
    weights: Annotated[list[float] | None, "weights of several movies"] = None
    not_like: Annotated[Any, "movies to keep away from"] = None
    genres: Annotated[Any, "only movies of one of these genres"] = None
    exclude_genres: Annotated[Any, "no movies of these genres"] = None
    among: Annotated[Any, "only movies of these files"] = None
    exclude: Annotated[Any, "no movies of these files"] = None
    years: Annotated[Any, "a year, or the first and the last: 1990-2005"] = None
    min_count: Annotated[int, "only movies with so many ratings"] = 0
    include_rare: Annotated[bool, "cold movies may be answers, too"] = False
    diversity: Annotated[float, "0: the best; to 1: unlike each other"] = 0.0
    explain: Annotated[bool, "say why"] = False
    show: Annotated[str, one_of("answers", "vector", "matches"), "answers, vector or matches"] = (
        "answers"
    )
    run: Annotated[str, "a run's folder, or a file that names one"] = str(LATEST)
    format: Annotated[
        str, one_of("table", "json", "csv", "letterboxd"), "table, json, csv or letterboxd"
    ] = "table"

    def __post_init__(self) -> None:
        super().__post_init__()
        given = {key.name for key in fields(self) if getattr(self, key.name) != key.default}
        given -= {"columns"} if set(vars(self.columns).values()) == {None} else set()
        about_movies = bool(given & set(_MOVIE_QUESTIONS))
        vectors, files = self.show == "vector", self.ratings is not None
        if vectors and not about_movies:
            raise MovieEmbedError('show=vector needs a movie: movie_id=1, or movie="toy story"')
        for key in ("movie_id", "user_id", "users"):
            ids = listed(getattr(self, key))
            known = all(isinstance(each, str) or as_whole(each) is not None for each in ids)
            fits = known and getattr(self, key) != []
            require(fits, key, getattr(self, key), f"an id or a list: '{key}=[1,4896]'")
        if about_movies + len(given & {"user_id", "ratings", "rate", "users"}) != 1:
            raise MovieEmbedError(
                'ask one thing: movie="toy story", movie_id=1, user_id=123, ratings=my.csv, '
                "'rate={1: 5, 4896: 3.5}' or users=all"
            )
        named = {*_MOVIE_QUESTIONS, "new_genres", "show", "run", "format"}
        for keys, fit, why in (
            (given - named, not vectors, "with show=vector"),
            ({"new_genres"}, self.new_movie, "unless new_movie is given"),
            ({"scale", "rated_by"}, files, "unless ratings is given"),
            ({"columns"}, files or self.among or self.exclude, "unless there is a file"),
            ({"show"}, files or self.show != "matches", "unless ratings is given"),
            ({"diversity", "explain", "format", "together"}, not self.users, "with users"),
            ({"to"}, self.users, "unless users is given"),
            ({"order", "together"}, not about_movies, "where a movie is asked about"),
            (_OF_MOVIES, about_movies, "unless a movie is asked about"),
        ):
            for key in sorted(given & keys if not fit else ()):
                require(False, key, getattr(self, key), f"left out {why}")
        require(bool(self.to or not self.users), "to", self.to, "lists.csv or lists.parquet")
        lists = self.show == "answers" or self.format != "letterboxd"
        require(lists, "format", self.format, f"table, json or csv with show={self.show}")
        scales, several = listed(self.scale), len(listed(self.ratings))
        fits = len(scales) in (0, 1, several)
        require(fits, "scale", self.scale, f"one for all files, or one for each of {several}")
        self.scale = scales * several if len(scales) == 1 else scales or [None] * several
        for key in (
            "movie",
            "ratings",
            "movie_id",
            "user_id",
            "users",
            "not_like",
            "among",
            "exclude",
        ):
            setattr(self, key, listed(getattr(self, key)))
        for key in ("movie", "ratings", "among", "exclude"):
            setattr(self, key, list(map(str, getattr(self, key))))


@dataclass
class ExportConfig(Checked):
    """All settings of `export.py`."""

    to: Annotated[Any, "tsv, parquet, word2vec, faiss, or several"] = "tsv"
    folder: Annotated[str, "where the files are written"] = "export"
    run: Annotated[str, "a run's folder, or a file that names one"] = str(LATEST)

    def __post_init__(self) -> None:
        self.to = listed(self.to)
        require(bool(self.to), "to", self.to, f"one or more of {', '.join(EXPORT_FORMATS)}")
        for kind in self.to:
            one_of(*EXPORT_FORMATS)("to", str(kind))


@dataclass
class PlotConfig:
    """All settings of `plot.py`."""

    run: Annotated[str, "a run's folder, or a file that names one"] = str(LATEST)


@dataclass
class ServeConfig(Checked):
    """All settings of `serve.py`."""

    run: Annotated[str, "a run's folder, or a file that names one"] = str(LATEST)
    host: Annotated[str, "address to listen at; 0.0.0.0 for other machines too"] = "127.0.0.1"
    port: Annotated[
        int, must(lambda port: 0 < port < 2**16, "from 1 to 65535"), "port to listen at"
    ] = 8000
    workers: Annotated[int, must(lambda n: 0 < n <= 64, "from 1 to 64"), "processes"] = 1
    hosts: Annotated[list[str], "names that requests may ask for"] = field(default_factory=list)
    origins: Annotated[
        list[str],
        fits(r"https?://[^/?#\s]+", "addresses without a path: https://example.com"),
        "pages of other servers that may ask",
    ] = field(default_factory=list)
    root_path: Annotated[
        str, fits(r"(/[\w.~-]+)*", "empty, or a path such as /movies"), "path behind a proxy"
    ] = ""
    poster: Annotated[
        str,
        fits(r"(https?://[^\s;,]+)?", "an address: https://example.com/{tmdb_id}.jpg"),
        "address of pictures, with {tmdb_id} or {imdb_id}",
    ] = ""
    log: Annotated[bool, "a line for each request"] = True


SCHEMAS = {
    "train": TrainConfig,
    "recommend": RecommendConfig,
    "export": ExportConfig,
    "plot": PlotConfig,
    "serve": ServeConfig,
}


def register_schemas() -> None:
    """Register with Hydra the names in ``conf/``: the dataclasses, the program."""
    OmegaConf.register_new_resolver("program", program, replace=True)
    store = ConfigStore.instance()
    for name, schema in SCHEMAS.items():
        store.store(name=f"{name}_schema", node=schema)
    for name in LOGGERS:
        store.store(group="logger", name=name, node={"name": name})
    for name, own in DATA_SETS.items():
        shown = {"min_ratings": own.min_ratings, "rating_range": own.rating_range}
        store.store(group="data", name=name, node={"name": name, **shown})
