"""Every setting, with its default and its allowed values.

These dataclasses are Hydra's schema, so an unknown key or a wrong type fails when the
command line is read, and `OmegaConf.to_object` runs the range checks below before any
work begins. Nothing here imports torch: a mistake must not take seconds to report.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import Any

from hydra.core.config_store import ConfigStore

from movie_embed.errors import MovieEmbedError

DATA_SETS = (
    "demo",
    "files",
    "ml-100k",
    "ml-1m",
    "ml-10m",
    "ml-20m",
    "ml-25m",
    "ml-32m",
    "ml-latest-small",
)

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


def _require(condition: bool, key: str, value: object, allowed: str) -> None:
    if not condition:
        raise MovieEmbedError(f"{key}={value}: must be {allowed}")


def _choose(key: str, value: str, allowed: tuple[str, ...]) -> None:
    _require(value in allowed, key, value, f"one of {', '.join(allowed)}")


@dataclass
class ColumnNames:
    """The names of the columns in a user's own CSV or Parquet file of ratings."""

    user: str = "userId"
    movie: str = "movieId"
    rating: str = "rating"
    timestamp: str = "timestamp"


@dataclass
class DataConfig:
    """Which ratings to train on, and how they are filtered, split and batched."""

    name: str = "demo"
    path: str | None = None
    cache_dir: str | None = None
    download: bool = True
    columns: ColumnNames = field(default_factory=ColumnNames)
    rating_range: list[float] | None = None
    on_bad_rows: str = "fail"
    min_ratings: int = 1
    val_fraction: float = 0.05
    batch_size: int | None = None
    min_steps: int = 200
    window: int = WINDOW
    users: int | None = None

    def __post_init__(self) -> None:
        _choose("data.name", self.name, DATA_SETS)
        _choose("data.on_bad_rows", self.on_bad_rows, ("fail", "skip"))
        _require(self.min_ratings >= 1, "data.min_ratings", self.min_ratings, "at least 1")
        _require(
            0 <= self.val_fraction < 1,
            "data.val_fraction",
            self.val_fraction,
            "at least 0 (no validation) and below 1",
        )
        _require(self.min_steps >= 1, "data.min_steps", self.min_steps, "at least 1")
        _require(self.window >= 1, "data.window", self.window, "at least 1")
        if self.batch_size is not None:
            _require(self.batch_size >= 1, "data.batch_size", self.batch_size, "at least 1")
        if self.rating_range is not None:
            self._check_rating_range(self.rating_range)
        if self.name == "demo":
            _require(self.path is None, "data.path", self.path, "left out with data=demo")
            users = self.users
            _require(users is None or users >= 2, "data.users", users, "at least 2")
        else:
            _require(self.users is None, "data.users", self.users, "left out unless data=demo")
        if self.name == "files" and not self.path:
            raise MovieEmbedError(
                "data=files needs data.path=FOLDER: a MovieLens folder or zip, "
                "or your own ratings as .csv, .parquet or a folder of *.parquet"
            )

    @staticmethod
    def _check_rating_range(ends: list[float]) -> None:
        allowed = "two numbers [lowest,highest], the lowest below the highest"
        pair = len(ends) == 2
        _require(pair and ends[0] < ends[1], "data.rating_range", ends, allowed)


@dataclass
class ModelConfig:
    """The size of the model and its regularisation."""

    dim: int = 50
    ridge: float = 12.0
    l2: float | None = None
    implicit: str = "none"

    def __post_init__(self) -> None:
        _choose("model.implicit", self.implicit, ("none", "users", "movies", "both"))
        _require(self.dim >= 1, "model.dim", self.dim, "at least 1")
        _require(self.ridge >= 0, "model.ridge", self.ridge, "at least 0")
        _require(self.l2 is None or self.l2 >= 0, "model.l2", self.l2, "at least 0")


@dataclass
class OptimizerConfig:
    """Adam's settings, and how its learning rate changes over the run."""

    learning_rate: float = 1e-2
    schedule: str = "linear"
    warmup: float | None = None

    def __post_init__(self) -> None:
        _choose("optimizer.schedule", self.schedule, SCHEDULES)
        rate = self.learning_rate
        _require(rate > 0, "optimizer.learning_rate", rate, "above 0")
        share = self.warmup
        allowed = "a share of the steps, above 0 and below 1"
        _require(share is None or 0 < share < 1, "optimizer.warmup", share, allowed)


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
            _require(value is None or value >= 1, f"trainer.{key}", value, "at least 1")
        share = self.val_check_interval
        allowed = "a share of an epoch, above 0, up to 1"
        _require(share is None or 0 < share <= 1, "trainer.val_check_interval", share, allowed)
        _require(
            self.check_val_every_n_epoch <= self.max_epochs,
            "trainer.check_val_every_n_epoch",
            self.check_val_every_n_epoch,
            f"at most trainer.max_epochs={self.max_epochs}",
        )
        clip = self.gradient_clip_val
        _require(clip is None or clip > 0, "trainer.gradient_clip_val", clip, "above 0")
        _choose("trainer.accelerator", self.accelerator, ("auto", "cpu", "gpu", "mps"))
        _choose("trainer.strategy", self.strategy, ("auto", "ddp"))
        _choose("trainer.precision", self.precision, ("32-true", "64-true"))
        _choose("trainer.profiler", self.profiler or "simple", ("simple", "advanced"))


@dataclass
class SaveConfig:
    """What a training run leaves behind for `recommend.py`."""

    epoch: str = "auto"
    users: bool = True
    every_n_steps: int | None = None
    figures: bool = True

    def __post_init__(self) -> None:
        _choose("save.epoch", self.epoch, ("auto", "best", "last"))
        steps = self.every_n_steps
        _require(steps is None or steps >= 1, "save.every_n_steps", steps, "at least 1")


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
        _choose("objective", self.objective, OBJECTIVES)
        _require(0 <= self.seed < 2**32, "seed", self.seed, "from 0 to 4294967295")
        splits = self.data.val_fraction > 0
        best = self.save.epoch == "best"
        _require(splits or not best, "save.epoch", "best", "auto or last when data.val_fraction=0")
        stop = self.trainer.early_stopping
        allowed = "left out when data.val_fraction=0"
        _require(splits or stop is None, "trainer.early_stopping", stop, allowed)

    def check_sweep(self) -> None:
        """Refuse what the runs of a sweep cannot have.

        Raises
        ------
        MovieEmbedError
            The objective is an error on ratings held out, and none are; runs of several
            processes, or to be resumed.
        """
        _require(self.resume is None, "resume", self.resume, "left out in a sweep")
        _require(self.trainer.devices == 1, "trainer.devices", self.trainer.devices, "1 in a sweep")
        measured = self.data.val_fraction > 0 or not self.objective.startswith("val_")
        allowed = "train_rmse or train_seconds in a sweep with data.val_fraction=0"
        _require(measured, "objective", self.objective, allowed)


@dataclass
class RecommendConfig:
    """All settings of `recommend.py`; the first seven say what is asked."""

    movie: Any = None
    movie_id: Any = None
    new_movie: str | None = None
    new_genres: Any = None
    user_id: int | None = None
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
        _choose("show", self.show, ("answers", "vector"))
        if self.show == "vector":
            self._check_vector_question()
        self.movie = [str(title) for title in _listed(self.movie)]
        self.movie_id = self._checked_ids()
        self.not_like = _listed(self.not_like)
        self.new_genres = _listed(self.new_genres)
        self.genres, self.exclude_genres = _listed(self.genres), _listed(self.exclude_genres)
        self.years = self._checked_years()
        self._check_question()
        _require(self.k >= 1, "k", self.k, "at least 1")
        _choose("combine", self.combine, ("mean", "max"))
        _choose("metric", self.metric, ("cosine", "whitened", "dot"))
        _choose("format", self.format, ("table", "json", "csv"))
        _require(self.min_count >= 0, "min_count", self.min_count, "at least 0")
        _require(0 <= self.diversity <= 1, "diversity", self.diversity, "from 0 to 1")
        for key in ("not_like", "new_genres", "genres", "exclude_genres"):
            named = all(isinstance(v, str) or _is_whole(v) for v in getattr(self, key))
            _require(named, key, getattr(self, key), f"a name or a list: '{key}=[one,another]'")

    def _checked_ids(self) -> list[int]:
        ids = _listed(self.movie_id)
        whole = all(_is_whole(movie_id) for movie_id in ids) and self.movie_id != []
        _require(whole, "movie_id", self.movie_id, "an id or a list: 'movie_id=[1,4896]'")
        return ids

    def _checked_years(self) -> list[int]:
        """Return first and last year, or nothing."""
        if self.years is None:
            return []
        found = re.fullmatch(r"(\d{4})(?:-(\d{4}))?", str(self.years))
        years = [int(year) for year in found.groups(found[1])] if found else [1, 0]
        _require(years[0] <= years[1], "years", self.years, "a year, or years=1990-2005")
        return years

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
            rated = isinstance(self.rate, dict) and all(map(_is_number, self.rate.values()))
            _require(rated, "rate", self.rate, "stars by movie: 'rate={1: 5, 4896: 3.5}'")
        needs = not self.new_genres or self.new_movie
        _require(bool(needs), "new_genres", self.new_genres, "left out unless new_movie is given")
        for key, value, default in (
            ("combine", self.combine, "mean"),
            ("metric", self.metric, "cosine"),
            ("weights", self.weights, None),
            ("not_like", self.not_like, []),
        ):
            fits = about_movies or value == default
            _require(fits, key, value, "left out unless a movie is asked about")


@dataclass
class ExportConfig:
    """All settings of `export.py`."""

    to: Any = "tsv"
    folder: str = "export"
    run: str = "outputs/latest"

    def __post_init__(self) -> None:
        self.to = _listed(self.to)
        _require(bool(self.to), "to", self.to, f"one or more of {', '.join(EXPORT_FORMATS)}")
        for kind in self.to:
            _choose("to", str(kind), EXPORT_FORMATS)


@dataclass
class PlotConfig:
    """All settings of `plot.py`."""

    run: str = "outputs/latest"


def _listed(value: Any) -> list[Any]:
    """Return a list as it is, one value as a list of it, and None as an empty list."""
    return value if isinstance(value, list) else [] if value is None else [value]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def register_schemas() -> None:
    """Make the dataclasses known to Hydra as the schemas of ``conf/*.yaml``."""
    store = ConfigStore.instance()
    store.store(name="train_schema", node=TrainConfig)
    store.store(name="recommend_schema", node=RecommendConfig)
    store.store(name="export_schema", node=ExportConfig)
    store.store(name="plot_schema", node=PlotConfig)
