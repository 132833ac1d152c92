"""The commands: train, recommend, export, plot, serve."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from movie_embed import errors
from movie_embed.cli import one_line_errors, prepare, read_settings, settings_table
from movie_embed.config import (
    LATEST,
    SCHEMAS,
    ExportConfig,
    PlotConfig,
    RecommendConfig,
    ServeConfig,
    TrainConfig,
    register_schemas,
)
from movie_embed.errors import MovieEmbedError
from movie_embed.evaluation import METRICS

# In the wheel conf/ lies in the package, in a clone beside it.
_PACKAGE = Path(__file__).parent
CONF = next(path for path in (_PACKAGE / "conf", _PACKAGE.parent / "conf") if path.is_dir())


def run(name: str, started_as: str = errors.started_as) -> None:
    """Run a command with the settings of the command line.

    Errors are caught here, where settings are read, and in each job, of whose errors Hydra would
    print its own words first.
    """
    register_schemas()
    OmegaConf.register_new_resolver("settings", settings_table, replace=True)
    before, errors.started_as = errors.started_as, started_as
    try:
        with one_line_errors(SCHEMAS[name]), ExitStack() as around:
            if name == "train":
                from movie_embed.training.sweep import table_at_the_end  # answers do without

                around.enter_context(table_at_the_end())
            prepare(sys.argv, SCHEMAS[name])
            hydra.main(version_base="1.3", config_path=str(CONF), config_name=name)(JOBS[name])()
    finally:
        errors.started_as = before


@contextmanager
def _large_imports() -> Iterator[None]:
    """Import without searches for garbage: there is none, and they take 0.7 of 3.7 s.

    Such imports wait until the settings are right: a mistake is told before torch has loaded.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def train(cfg: DictConfig) -> float | None:
    """Train one run and return its objective; None is for a run of a sweep that failed."""
    from movie_embed.embeddings.saved import name_latest
    from movie_embed.training.folders import check_free, removed_if_empty, resumed_settings
    from movie_embed.training.sweep import outcome_noted, swept_values

    job = HydraConfig.get()
    run = Path(job.runtime.output_dir)
    sweeps = job.mode == RunMode.MULTIRUN
    told = outcome_noted(run, job, TrainConfig) if sweeps else one_line_errors(TrainConfig)
    with removed_if_empty(run), told:
        if cfg.resume is not None and not sweeps:
            cfg = resumed_settings(cfg, job.overrides.task, run)
        config = read_settings(cfg)
        config.data.check_source()
        if sweeps:
            config.check_sweep()
        check_free(run, config)
        if errors.started_as.startswith("movie-embed") and sys.argv[1:2] != ["train"]:
            sys.argv.insert(1, "train")  # Lightning starts other processes of this run by them
        with _large_imports():
            from movie_embed.training.machine import KeepMemory, quiet_lightning
            from movie_embed.training.run import train

        quiet_lightning()
        swept = swept_values(job) if sweeps else {}
        metrics = train(config, run, callbacks=[KeepMemory()], swept=swept)
        if metrics:  # else this is not the first process of the run
            try:
                name_latest(LATEST, run)
            except MovieEmbedError as error:
                print(f"the run is saved, but {LATEST} does not name it ({error})", file=sys.stderr)
        value = metrics.get(config.objective)
        # Searches minimise.
        return -value if value and METRICS[config.objective].more_is_better else value
    return None


@one_line_errors(RecommendConfig)
def recommend(cfg: DictConfig) -> None:
    """Print the answer to one question."""
    from movie_embed.answers import questions

    print(questions.answer(read_settings(cfg)))


@one_line_errors(ExportConfig)
def export(cfg: DictConfig) -> None:
    """Write learned vectors and titles for other tools, and name the files."""
    from movie_embed.embeddings.export import export
    from movie_embed.embeddings.saved import SavedEmbeddings

    config = read_settings(cfg)
    saved = SavedEmbeddings.load(Path(config.run))
    for path in export(saved, config.to, Path(config.folder).expanduser()):
        print(path)


@one_line_errors(PlotConfig)
def plot(cfg: DictConfig) -> None:
    """Write the figures of a finished run, and name the files."""
    config = read_settings(cfg)
    with _large_imports():
        from movie_embed.figures import show_run

    for path in show_run(Path(config.run)):
        print(path)


@one_line_errors(ServeConfig)
def serve(cfg: DictConfig) -> None:
    """Answer over HTTP until a signal ends it."""
    config = read_settings(cfg)
    from movie_embed.web.server import serve

    serve(config)


JOBS = {"train": train, "recommend": recommend, "export": export, "plot": plot, "serve": serve}
