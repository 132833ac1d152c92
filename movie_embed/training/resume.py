"""A run that goes on where it stopped, in its own folder and with its own settings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from movie_embed.config import TrainConfig
from movie_embed.embeddings.saved import LATEST
from movie_embed.errors import MovieEmbedError
from movie_embed.training.folders import new_folder

_MAY_CHANGE = {
    "data.path",  # the same files at another place; the data's fingerprint is compared
    "data.cache_dir",
    "data.download",
    "objective",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.early_stopping",
    "trainer.enable_progress_bar",
    "trainer.max_epochs",
    "trainer.num_nodes",
    "trainer.profiler",
    "trainer.strategy",
    "trainer.threads",
}


def run_folder(resume: str | None, wanted: Path, given: bool) -> Path:
    """Return the folder of a run: the one to resume, the one given, or a new one.

    Parameters
    ----------
    resume
        The setting.
    wanted
        The folder that is given, or named by the clock.
    given
        Which of both.

    Raises
    ------
    MovieEmbedError
        There is no run to resume, or it is not in the folder given.
    """
    if resume is None:
        return wanted if given else new_folder(wanted)
    run = _newest_run() if resume == "last" else Path(resume).expanduser()
    if run is None or not (run / "config.yaml").is_file():
        raise MovieEmbedError(
            f"resume={resume}: no run with a config.yaml there; give the run's folder, "
            "or resume=last for the newest in outputs/"
        )
    if given and wanted.resolve() != run.resolve():
        raise MovieEmbedError(f"resume={resume} goes on in {run}: leave out hydra.run.dir={wanted}")
    return run


def resumed_settings(cfg: DictConfig, overrides: Iterable[str], run: Path) -> DictConfig:
    """Return the settings a run began with, with those changed that the command line changes.

    Parameters
    ----------
    cfg
        The settings as composed from the command line.
    overrides
        The command line's own, as in ``trainer.max_epochs=20``.
    run
        The folder of the run to resume.

    Raises
    ------
    MovieEmbedError
        The command line changes what would make it another run.
    """
    stored = OmegaConf.merge(OmegaConf.structured(TrainConfig), _read(run / "config.yaml"))
    stored.resume = cfg.resume
    for key in _keys(overrides):
        old, new = OmegaConf.select(stored, key, default=None), OmegaConf.select(cfg, key)
        if isinstance(old, DictConfig) or key == "experiment":
            raise MovieEmbedError(f"resume={cfg.resume} keeps the run's settings: leave out {key}=")
        if old != new and key not in _MAY_CHANGE and not key.startswith("save."):
            raise MovieEmbedError(
                f"{key}={new}: the run in {run} has {old}, and cannot go on with another; "
                "start a new run without resume="
            )
        OmegaConf.update(stored, key, new)
    assert isinstance(stored, DictConfig)
    return stored


def _read(path: Path) -> Any:
    try:
        return OmegaConf.load(path)
    except Exception as error:  # OmegaConf lets YAML's and the system's own errors through
        raise MovieEmbedError(f"{path} cannot be read: {error}") from error


def _keys(overrides: Iterable[str]) -> list[str]:
    keys = [re.sub(r"^[+~]+", "", override).partition("=")[0] for override in overrides]
    return [key for key in keys if key != "resume"]


def _newest_run() -> Path | None:
    """Return the folder in outputs/ where training was last seen at work."""
    configs = LATEST.parent.rglob("config.yaml")
    return max((path.parent for path in configs), key=_last_change, default=None)


def _last_change(run: Path) -> float:
    checkpoint = run / "checkpoints" / "last.ckpt"
    return (checkpoint if checkpoint.exists() else run / "config.yaml").stat().st_mtime
