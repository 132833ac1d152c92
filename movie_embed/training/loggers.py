"""Where curves, settings and final metrics go besides the run folder's own files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import (
    CSVLogger,
    Logger,
    MLFlowLogger,
    TensorBoardLogger,
    WandbLogger,
)

from movie_embed.config import LoggerConfig
from movie_embed.errors import MovieEmbedError


class Curves(TensorBoardLogger):
    """TensorBoard's logger without Lightning's additions: the epoch's number, settings as YAML.

    Settings are logged at the end, with the final metrics.
    """

    def log_hyperparams(self, params: Any, metrics: Any = None, step: int | None = None) -> None:
        if metrics is not None:  # the module's own, at the start, have none
            super().log_hyperparams(params, metrics, step)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        super().log_metrics({k: v for k, v in metrics.items() if k != "epoch"}, step)

    def save(self) -> None:
        """Write all curves, as Lightning asks after each metric: a killed run keeps them."""
        self.experiment.flush()


def logger_of(config: LoggerConfig, run: Path, purge_step: int | None) -> Logger | None:
    """Return the logger that a run asks for; TensorBoard's leaves out steps that are run again."""
    own: dict[str, tuple[type[Logger], dict[str, Any]]] = {
        "tensorboard": (Curves, {"default_hp_metric": False, "purge_step": purge_step}),
        "csv": (CSVLogger, {}),
        "wandb": (WandbLogger, {"project": "movie_embed"}),
        "mlflow": (MLFlowLogger, {"experiment_name": "movie_embed"}),
    }
    if config.name == "none":
        return None
    kind, options = own[config.name]
    if config.name in ("tensorboard", "csv"):
        options |= {"name": "", "version": "" if config.name == "tensorboard" else "csv"}
    if config.name != "mlflow":  # which has a server, or ./mlruns for all runs
        options["save_dir"] = run
    try:
        return kind(**options | config.options)
    except ModuleNotFoundError as error:
        way = f"pip install {config.name}"
        raise MovieEmbedError(f"logger={config.name} needs its package: {way}") from error
    except TypeError as error:
        raise MovieEmbedError(f"logger.options={config.options}: {error}") from error


def log_settings(loggers: list[Logger], settings: Mapping[str, Any]) -> None:
    """Give own loggers all settings; TensorBoard gets its few with the final metrics."""
    for logger in loggers:
        if not isinstance(logger, Curves):
            logger.log_hyperparams(dict(settings))


def log_outcome(
    loggers: list[Logger], settings: dict[str, Any], metrics: Mapping[str, float], step: int
) -> None:
    """Log the metrics of the saved model; the curves end with those of the last epoch.

    TensorBoard's HParams tab compares runs by these settings.
    """
    final = {f"final/{name}": value for name, value in metrics.items()}
    for logger in loggers:
        if isinstance(logger, Curves):
            logger.log_hyperparams(settings, final, step)
        else:
            logger.log_metrics(final, step)
        logger.save()
        logger.finalize("success")
