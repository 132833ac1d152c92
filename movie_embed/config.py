"""Every setting, with its default and its allowed values.

These dataclasses are Hydra's schema, so an unknown key or a wrong type fails when the
command line is read, and `OmegaConf.to_object` runs the range checks below before any
work begins. Nothing here imports torch: a mistake must not take seconds to report.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, OmegaConf

from movie_embed.checks import as_whole, choose, is_number, listed, require
from movie_embed.errors import MovieEmbedError, program

# What `data=NAME` means: the scale of the stars, and below how many ratings a movie is left out.
DATA_SETS: dict[str, dict[str, Any]] = {
    "demo": {"min_ratings": 50},  # simulated ratings of 1,005 movies, built in
    "files": {"min_ratings": 1},  # a MovieLens folder or zip, or one's own ratings: data.path=...
    "ml-100k": {"rating_range": [1.0, 5.0], "min_ratings": 20},  # 1998
    "ml-1m": {"rating_range": [1.0, 5.0], "min_ratings": 100},  # 2003
    "ml-10m": {"rating_range": [0.5, 5.0], "min_ratings": 2500},  # 2009
    # 2015: the data of the paper, with its threshold (section II.B).
    "ml-20m": {"rating_range": [0.5, 5.0], "min_ratings": 5000},
    "ml-25m": {"rating_range": [0.5, 5.0], "min_ratings": 5000},  # 2019
    "ml-32m": {"rating_range": [0.5, 5.0], "min_ratings": 5000},  # 2023
    # 2018: for development, not for shared results (its README says so).
    "ml-latest-small": {"rating_range": [0.5, 5.0], "min_ratings": 20},
}

SCHEDULES = ("constant", "linear", "cosine", "one_cycle")
# Metrics that a sweep can compare its runs by: less is better in each.
OBJECTIVES = ("val_rmse", "val_mae", "train_rmse", "train_seconds")
_MOVIE_QUESTIONS = ("movie", "movie_id", "new_movie")
WINDOW = 2**25  # more than the largest MovieLens release
EXPORT_FORMATS = ("tsv", "parquet", "word2vec", "faiss")

_AT_LEAST_ONE = (
    "max_epochs",
    "devices",
    "num_nodes",
    "check_val_every_n_epoch",
    "early_stopping",
    "limit_train_batches",
    "limit_val_batches",
    "log_every_n_steps",
    "threads",
)


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
class DataConfig:
    """Which ratings to train on, and how they are filtered, split and batched.

    The rating range and the threshold are by default those of the data set, in `DATA_SETS`.
    """

    name: str = "demo"
    path: str | None = None
    cache_dir: str | None = None
    download: bool = True
    columns: ColumnNames = field(default_factory=ColumnNames)
    delimiter: str | None = None
    query: str | None = None
    text_ids: bool = False
    rating_range: list[float] | None = None
    on_bad_rows: str = "fail"
    min_ratings: int = MISSING
    val_fraction: float = 0.05
    batch_size: int | None = None
    min_steps: int = 200
    window: int = WINDOW
    users: int | None = None

    def __post_init__(self) -> None:
        choose("data.name", self.name, DATA_SETS)
        own = DATA_SETS[self.name]
        if self.rating_range is None and "rating_range" in own:
            self.rating_range = list(own["rating_range"])
        if self.min_ratings == MISSING:
            self.min_ratings = own["min_ratings"]
        choose("data.on_bad_rows", self.on_bad_rows, ("fail", "skip"))
        require(self.min_ratings >= 1, "data.min_ratings", self.min_ratings, "at least 1")
        require(
            0 <= self.val_fraction < 1,
            "data.val_fraction",
            self.val_fraction,
            "at least 0 (no validation) and below 1",
        )
        require(self.min_steps >= 1, "data.min_steps", self.min_steps, "at least 1")
        require(self.window >= 1, "data.window", self.window, "at least 1")
        if self.batch_size is not None:
            require(self.batch_size >= 1, "data.batch_size", self.batch_size, "at least 1")
        if self.rating_range is not None:
            self._check_rating_range(self.rating_range)
        if self.name == "demo":
            require(self.path is None, "data.path", self.path, "left out with data=demo")
            users = self.users
            require(users is None or users >= 2, "data.users", users, "at least 2")
        else:
            require(self.users is None, "data.users", self.users, "left out unless data=demo")
        files = self.name == "files"
        require(files or not self.query, "data.query", self.query, "left out unless data=files")
        if files and not self.path and not self.query:
            raise MovieEmbedError(
                "data=files needs data.path=FOLDER: a MovieLens folder or zip, "
                "or your own ratings as CSV, JSON lines or Parquet"
            )

    @staticmethod
    def _check_rating_range(ends: list[float]) -> None:
        allowed = "two numbers [lowest,highest], the lowest below the highest"
        pair = len(ends) == 2
        require(pair and ends[0] < ends[1], "data.rating_range", ends, allowed)


@dataclass
class ModelConfig:
    """The size of the model and its regularisation."""

    dim: int = 50
    ridge: float = 12.0
    l2: float | None = None
    implicit: str = "none"

    def __post_init__(self) -> None:
        choose("model.implicit", self.implicit, ("none", "users", "movies", "both"))
        require(self.dim >= 1, "model.dim", self.dim, "at least 1")
        require(self.ridge >= 0, "model.ridge", self.ridge, "at least 0")
        require(self.l2 is None or self.l2 >= 0, "model.l2", self.l2, "at least 0")


@dataclass
class OptimizerConfig:
    """Adam's settings, and how its learning rate changes over the run."""

    learning_rate: float = 1e-2
    schedule: str = "linear"
    warmup: float | None = None

    def __post_init__(self) -> None:
        choose("optimizer.schedule", self.schedule, SCHEDULES)
        rate = self.learning_rate
        require(rate > 0, "optimizer.learning_rate", rate, "above 0")
        share = self.warmup
        allowed = "a share of the steps, above 0 and below 1"
        require(share is None or 0 < share < 1, "optimizer.warmup", share, allowed)


@dataclass
class TrainerConfig:
    """Lightning Trainer settings, under Lightning's own names, and the CPU threads to use."""

    max_epochs: int = 6
    accelerator: str = "cpu"
    devices: int = 1
    num_nodes: int = 1
    strategy: str = "auto"
    precision: str = "32-true"
    gradient_clip_val: float | None = None
    limit_train_batches: int | None = None
    limit_val_batches: int | None = None
    check_val_every_n_epoch: int = 1
    val_check_interval: float | None = None
    early_stopping: int | None = None
    log_every_n_steps: int = 50
    enable_progress_bar: bool = True
    profiler: str | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        for key in _AT_LEAST_ONE:
            value = getattr(self, key)
            require(value is None or value >= 1, f"trainer.{key}", value, "at least 1")
        share = self.val_check_interval
        allowed = "a share of an epoch, above 0, up to 1"
        require(share is None or 0 < share <= 1, "trainer.val_check_interval", share, allowed)
        require(
            self.check_val_every_n_epoch <= self.max_epochs,
            "trainer.check_val_every_n_epoch",
            self.check_val_every_n_epoch,
            f"at most trainer.max_epochs={self.max_epochs}",
        )
        clip = self.gradient_clip_val
        require(clip is None or clip > 0, "trainer.gradient_clip_val", clip, "above 0")
        choose("trainer.accelerator", self.accelerator, ("auto", "cpu", "gpu", "mps"))
        choose("trainer.strategy", self.strategy, ("auto", "ddp"))
        choose("trainer.precision", self.precision, ("32-true", "64-true"))
        choose("trainer.profiler", self.profiler or "simple", ("simple", "advanced"))


@dataclass
class SaveConfig:
    """What a training run leaves behind for `recommend.py`."""

    epoch: str = "auto"
    users: bool = True
    every_n_steps: int | None = None
    figures: bool = True
    min_ratings: int | None = None

    def __post_init__(self) -> None:
        choose("save.epoch", self.epoch, ("auto", "best", "last"))
        least = self.min_ratings
        require(least is None or least >= 1, "save.min_ratings", least, "at least 1")
        steps = self.every_n_steps
        require(steps is None or steps >= 1, "save.every_n_steps", steps, "at least 1")


@dataclass
class TrainConfig:
    """All settings of `train.py`."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    save: SaveConfig = field(default_factory=SaveConfig)
    seed: int = 0
    resume: str | None = None
    overwrite: bool = False
    objective: str = "val_rmse"

    def __post_init__(self) -> None:
        choose("objective", self.objective, OBJECTIVES)
        require(0 <= self.seed < 2**32, "seed", self.seed, "from 0 to 4294967295")
        splits = self.data.val_fraction > 0
        best = self.save.epoch == "best"
        require(splits or not best, "save.epoch", "best", "auto or last when data.val_fraction=0")
        stop = self.trainer.early_stopping
        allowed = "left out when data.val_fraction=0"
        require(splits or stop is None, "trainer.early_stopping", stop, allowed)

    def check_sweep(self) -> None:
        """Refuse what the runs of a sweep cannot have.

        Raises
        ------
        MovieEmbedError
            The objective is an error on ratings held out, and none are; runs of several
            processes, or to be resumed.
        """
        require(self.resume is None, "resume", self.resume, "left out in a sweep")
        require(self.trainer.devices == 1, "trainer.devices", self.trainer.devices, "1 in a sweep")
        measured = self.data.val_fraction > 0 or not self.objective.startswith("val_")
        allowed = "train_rmse or train_seconds in a sweep with data.val_fraction=0"
        require(measured, "objective", self.objective, allowed)


@dataclass
class RecommendConfig:
    """All settings of `recommend.py`; the first seven say what is asked.

    Here is checked which go together; `Recommender` and `Filters` check the others' values.
    """

    movie: Any = None
    movie_id: Any = None
    new_movie: str | None = None
    new_genres: Any = None
    user_id: Any = None
    ratings: str | None = None
    rate: Any = None
    k: int = 10
    combine: str = "mean"
    metric: str = "cosine"
    weights: list[float] | None = None
    not_like: Any = None
    genres: Any = None
    exclude_genres: Any = None
    years: Any = None
    min_count: int = 0
    include_rare: bool = False
    diversity: float = 0.0
    explain: bool = False
    show: str = "answers"
    run: str = "outputs/latest"
    format: str = "table"

    def __post_init__(self) -> None:
        choose("show", self.show, ("answers", "vector"))
        if self.show == "vector":
            self._check_vector_question()
        self.movie = [str(title) for title in listed(self.movie)]
        for key in ("movie_id", "user_id"):
            given = listed(getattr(self, key))
            ids = all(isinstance(each, str) or as_whole(each) is not None for each in given)
            one = key == "movie_id" or len(given) < 2
            allowed = "an id or a list: 'movie_id=[1,4896]'" if key == "movie_id" else "an id"
            require(ids and one and getattr(self, key) != [], key, getattr(self, key), allowed)
        self.movie_id, self.not_like = listed(self.movie_id), listed(self.not_like)
        self._check_question()
        choose("format", self.format, ("table", "json", "csv"))

    def _check_vector_question(self) -> None:
        """Require movies, and no setting that shapes answers."""
        given = {key.name for key in fields(self) if getattr(self, key.name) != key.default}
        if not given & set(_MOVIE_QUESTIONS):
            raise MovieEmbedError('show=vector needs a movie: movie_id=1, or movie="toy story"')
        for key in sorted(given - {*_MOVIE_QUESTIONS, "new_genres", "show", "run", "format"}):
            raise MovieEmbedError(f"{key}={getattr(self, key)}: must be left out with show=vector")

    def _check_question(self) -> None:
        about_movies = bool(self.movie or self.movie_id or self.new_movie)
        asked = [about_movies, self.user_id is not None, self.ratings is not None]
        if sum([*asked, self.rate is not None]) != 1:
            raise MovieEmbedError(
                'ask one thing: movie="toy story", movie_id=1, user_id=123, ratings=my.csv or '
                "'rate={1: 5, 4896: 3.5}'"
            )
        if self.rate is not None:
            rated = isinstance(self.rate, dict) and all(map(is_number, self.rate.values()))
            require(rated, "rate", self.rate, "stars by movie: 'rate={1: 5, 4896: 3.5}'")
        needs = not self.new_genres or self.new_movie
        require(bool(needs), "new_genres", self.new_genres, "left out unless new_movie is given")
        for key, value, default in (
            ("combine", self.combine, "mean"),
            ("metric", self.metric, "cosine"),
            ("weights", self.weights, None),
            ("not_like", self.not_like, []),
        ):
            fits = about_movies or value == default
            require(fits, key, value, "left out unless a movie is asked about")


@dataclass
class ExportConfig:
    """All settings of `export.py`."""

    to: Any = "tsv"
    folder: str = "export"
    run: str = "outputs/latest"

    def __post_init__(self) -> None:
        self.to = listed(self.to)
        require(bool(self.to), "to", self.to, f"one or more of {', '.join(EXPORT_FORMATS)}")
        for kind in self.to:
            choose("to", str(kind), EXPORT_FORMATS)


@dataclass
class PlotConfig:
    """All settings of `plot.py`."""

    run: str = "outputs/latest"


def register_schemas() -> None:
    """Make known to Hydra what ``conf/*.yaml`` name: the dataclasses, the program that runs."""
    OmegaConf.register_new_resolver("program", program, replace=True)
    store = ConfigStore.instance()
    store.store(name="train_schema", node=TrainConfig)
    for name, facts in DATA_SETS.items():
        store.store(group="data", name=name, node={"name": name, **facts})
    store.store(name="recommend_schema", node=RecommendConfig)
    store.store(name="export_schema", node=ExportConfig)
    store.store(name="plot_schema", node=PlotConfig)
