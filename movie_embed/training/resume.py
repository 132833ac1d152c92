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


def run_folder(resume: str | None, new: str) -> str:
    """Return the folder of the run to resume, or the new one where there is none to resume."""
    if resume is None:
        return new
    run = _begun_run(resume)
    return new if run is None else str(run)


OmegaConf.register_new_resolver("run_folder", run_folder, replace=True)


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
        There is no such run, or the command line changes what would make it another run.
    """
    begun = _begun_run(cfg.resume)
    if begun is None:
        raise MovieEmbedError(
            f"resume={cfg.resume}: no run with a config.yaml there; give the run's folder, "
            "or resume=last for the newest in outputs/"
        )
    if not run.samefile(begun):
        raise MovieEmbedError(
            f"resume={cfg.resume} goes on in {begun}, not in {run}: leave out hydra.run.dir="
        )
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


def _begun_run(resume: str) -> Path | None:
    run = _newest_run() if resume == "last" else Path(resume).expanduser()
    return run if run is not None and (run / "config.yaml").is_file() else None


def _newest_run() -> Path | None:
    """Return the folder in outputs/ where training was last seen at work."""
    configs = LATEST.parent.rglob("config.yaml")
    return max((path.parent for path in configs), key=_last_change, default=None)


def _last_change(run: Path) -> float:
    checkpoint = run / "checkpoints" / "last.ckpt"
    return (checkpoint if checkpoint.exists() else run / "config.yaml").stat().st_mtime
