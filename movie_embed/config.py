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
                check(self.section + name, value)


@dataclass
class ColumnNames:
    """Columns with unusual names, in tables of ratings, titles and tags; others are recognised."""

    user: str | None = None
    movie: str | None = None
    rating: str | None = None
    timestamp: str | None = None
    title: str | None = None
    genres: str | None = None
    year: str | None = None
    tag: str | None = None


@dataclass
class DataConfig(Checked, section="data."):
    """Which ratings to train on, and how they are filtered, split and batched.

    The rating range and the threshold are by default those of the data set, in `DATA_SETS`.
    """

    name: Annotated[str, one_of(*DATA_SETS)] = "demo"
    path: str | None = None
    cache_dir: str | None = None
    download: bool = True
    columns: ColumnNames = field(default_factory=ColumnNames)
    delimiter: str | None = None
    query: str | None = None
    text_ids: bool = False
    rating_range: Ends = None
    on_bad_rows: Annotated[str, one_of("fail", "skip")] = "fail"
    min_ratings: Count = MISSING
    val_fraction: Annotated[
        float, must(lambda share: 0 <= share < 1, "at least 0 (no validation) and below 1")
    ] = 0.05
    test_fraction: Annotated[
        float, must(lambda share: 0 <= share < 1, "at least 0 (no test) and below 1")
    ] = 0.0
    split: Annotated[str, one_of("random", "time", "user", "last")] = "random"
    val_path: str | None = None
    test_path: str | None = None
    batch_size: OptionalCount = None
    min_steps: Count = 200
    users: Annotated[int | None, at_least(2)] = None

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

    dim: Count = 50
    ridge: Annotated[float, at_least(0)] = 12.0
    l2: Annotated[float | None, at_least(0)] = None
    implicit: Annotated[str, one_of("none", "users", "movies", "both")] = "none"


@dataclass
class RankingConfig(Checked, section="ranking."):
    """The implicit model: which movies a person would choose, from implicit feedback (EASE)."""

    enabled: bool = True
    l2: Annotated[float, must(lambda strength: strength > 0, "above 0")] = 400.0
    movies: Count = 4000


@dataclass
class OptimizerConfig(Checked, section="optimizer."):
    """Adam's settings, and how its learning rate changes over the run."""

    learning_rate: Annotated[float, must(lambda rate: rate > 0, "above 0")] = 1e-2
    schedule: Annotated[str, one_of("constant", "linear", "cosine", "one_cycle")] = "linear"
    warmup: Annotated[
        float | None,
        must(lambda share: 0 < share < 1, "a share of the steps, above 0 and below 1"),
    ] = None


@dataclass
class TrainerConfig(Checked, section="trainer."):
    """Lightning Trainer settings, under Lightning's own names, and the CPU threads to use."""

    max_epochs: Count = 6
    accelerator: Annotated[str, one_of("auto", "cpu", "gpu", "mps")] = "cpu"
    devices: Count = 1
    num_nodes: Count = 1
    strategy: Annotated[str, one_of("auto", "by_users")] = "auto"
    timeout: Count = 600
    precision: Annotated[str, one_of("32-true", "64-true")] = "32-true"
    gradient_clip_val: Annotated[float | None, must(lambda clip: clip > 0, "above 0")] = None
    limit_train_batches: OptionalCount = None
    limit_val_batches: OptionalCount = None
    check_val_every_n_epoch: Count = 1
    val_check_interval: Annotated[
        float | None,
        must(lambda share: 0 < share <= 1, "a share of an epoch, above 0, up to 1"),
    ] = None
    early_stopping: OptionalCount = None
    log_every_n_steps: Count = 50
    enable_progress_bar: bool = True
    profiler: Annotated[str | None, one_of("simple", "advanced")] = None
    threads: OptionalCount = None

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
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class SaveConfig(Checked, section="save."):
    """The files that a training run leaves for `recommend.py`."""

    epoch: Annotated[str, one_of("auto", "best", "last")] = "auto"
    users: bool = True
    every_n_steps: OptionalCount = None
    figures: bool = True
    min_ratings: OptionalCount = None


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
    seed: Annotated[int, must(lambda n: 0 <= n < 2**32, "from 0 to 4294967295")] = 0
    resume: str | None = None
    overwrite: bool = False
    # A sweep compares its runs by it.
    objective: Annotated[str, one_of(*METRICS)] = "val_rmse"

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

    title: str | None = None
    original: str | None = None
    year: str | None = None
    rating: str | None = None
    imdb: str | None = None
    tmdb: str | None = None
    movie: str | None = None
    id: str | None = None
    source: str | None = None
    kind: str | None = None
    episode: str | None = None
    watched: str | None = None
    plays: str | None = None
    status: str | None = None
    user: str | None = None
    date: str | None = None


@dataclass
class RecommendConfig(Checked):
    """All settings of `recommend.py`; the first eight are the question.

    Here is checked which go together; `Recommender` and `Filters` check the others' values.
    """

    movie: Any = None
    movie_id: Any = None
    new_movie: str | None = None
    new_genres: Any = None
    user_id: Any = None
    ratings: Any = None
    rate: StarsByMovie = None
    users: Any = None
    to: Annotated[str | None, fits(r".+\.(csv|parquet)", "a file *.csv or *.parquet")] = None
    scale: Annotated[Any, must(_are_tops, "above 0: 5, 10, 100, or one for each file")] = None
    columns: OwnColumns = field(default_factory=OwnColumns)
    rated_by: Any = None
    k: int = 10
    combine: str = "mean"
    metric: str | None = None
    order: str | None = None
    together: str = "average"
    weights: list[float] | None = None
    not_like: Any = None
    genres: Any = None
    exclude_genres: Any = None
    among: Any = None
    exclude: Any = None
    years: Any = None
    min_count: int = 0
    include_rare: bool = False
    diversity: float = 0.0
    explain: bool = False
    show: Annotated[str, one_of("answers", "vector", "matches")] = "answers"
    run: str = str(LATEST)
    format: Annotated[str, one_of("table", "json", "csv", "letterboxd")] = "table"

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

    to: Any = "tsv"
    folder: str = "export"
    run: str = str(LATEST)

    def __post_init__(self) -> None:
        self.to = listed(self.to)
        require(bool(self.to), "to", self.to, f"one or more of {', '.join(EXPORT_FORMATS)}")
        for kind in self.to:
            one_of(*EXPORT_FORMATS)("to", str(kind))


@dataclass
class PlotConfig:
    """All settings of `plot.py`."""

    run: str = str(LATEST)


@dataclass
class ServeConfig(Checked):
    """All settings of `serve.py`."""

    run: str = str(LATEST)
    host: str = "127.0.0.1"
    port: Annotated[int, must(lambda port: 0 < port < 2**16, "from 1 to 65535")] = 8000
    workers: Annotated[int, must(lambda n: 0 < n <= 64, "from 1 to 64")] = 1
    hosts: list[str] = field(default_factory=list)
    origins: Annotated[
        list[str], fits(r"https?://[^/?#\s]+", "addresses without a path: https://example.com")
    ] = field(default_factory=list)
    root_path: Annotated[str, fits(r"(/[\w.~-]+)*", "empty, or a path such as /movies")] = ""
    poster: Annotated[
        str, fits(r"(https?://[^\s;,]+)?", "an address: https://example.com/{tmdb_id}.jpg")
    ] = ""
    log: bool = True


SCHEMAS = {
    "train": TrainConfig,
    "recommend": RecommendConfig,
    "export": ExportConfig,
    "plot": PlotConfig,
    "serve": ServeConfig,
}


def register_schemas() -> None:
    """Register with Hydra the names in ``conf/*.yaml``: the dataclasses, the running program."""
    OmegaConf.register_new_resolver("program", program, replace=True)
    store = ConfigStore.instance()
    for name, schema in SCHEMAS.items():
        store.store(name=f"{name}_schema", node=schema)
    for name in LOGGERS:
        store.store(group="logger", name=name, node={"name": name})
    for name, own in DATA_SETS.items():
        shown = {"min_ratings": own.min_ratings, "rating_range": own.rating_range}
        store.store(group="data", name=name, node={"name": name, **shown})
