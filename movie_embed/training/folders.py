"""A run's folder belongs to one run, which may go on there, and is overwritten only if asked."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from movie_embed.cli import setting
from movie_embed.config import TrainConfig
from movie_embed.embeddings.saved import FILE_NAME, LATEST
from movie_embed.errors import Interrupted, MovieEmbedError, cannot_write, program
from movie_embed.storage import write_text

_SETTINGS = "config.yaml"
_HELD = (_SETTINGS, "metrics.json", FILE_NAME, "checkpoints/last.ckpt")
# In the order of their removal: while the settings are there, the folder still holds a run.
_WRITTEN = ("metrics.json", FILE_NAME, "checkpoints", "figures", "projector*", "events*", _SETTINGS)
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # where Lightning looks, in its order
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


def new_folder(wanted: Path) -> Path:
    """Make a folder that no other run has, with a number after its name where one has the name."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    names = (wanted if n == 1 else wanted.with_name(f"{wanted.name}_{n}") for n in count(1))
    while True:
        folder = next(names)
        with suppress(FileExistsError):
            folder.mkdir()
            return folder


def locked(folder: Path) -> AbstractContextManager[object]:
    """Keep other processes out of a folder, until the block or this process ends.

    Raises
    ------
    MovieEmbedError
        Another training is at work there, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / ".lock").acquire(timeout=0)
    except Timeout:
        raise MovieEmbedError(
            f"another training is at work in {folder}: wait for its end, or choose another folder"
        ) from None
    except OSError as error:
        raise MovieEmbedError(cannot_write(folder, error)) from error


def check_free(run: Path, config: TrainConfig) -> None:
    """Refuse a folder that holds a run, unless that is to go on or to be overwritten.

    Raises
    ------
    MovieEmbedError
        With the ways out.
    """
    if config.resume is not None or config.overwrite or _rank() > 0:
        return
    if any((run / name).exists() for name in _HELD):
        raise MovieEmbedError(
            f"{run} holds a run already: go on with it by {setting('resume', str(run))}, give the "
            "new one another folder, hydra.run.dir=..., or replace it with overwrite=true"
        )


@contextmanager
def claimed(run: Path, config: TrainConfig) -> Iterator[Callable[[str], None]]:
    """Keep a folder for one run, and yield what begins the run there with its settings as YAML.

    Raises
    ------
    MovieEmbedError
        It holds another run, or another process is at work in it.
    Interrupted
        With the command that goes on, if the run has begun.
    """
    begun = config.resume is not None

    def begin(settings: str) -> None:
        nonlocal begun
        if config.resume is None:
            clear(run)
        write_text(run / _SETTINGS, settings)
        begun = True

    if _rank() > 0:  # the first process of a run has claimed it for all
        yield begin
        return
    with locked(run):
        check_free(run, config)
        try:
            yield begin
        except Interrupted as stop:
            if not begun:
                raise type(stop)("stopped before training began: start it again") from None
            way = f"go on with: {program('train')} {setting('resume', str(run))}"
            raise type(stop)(f"{stop}; {way}") from None


def clear(run: Path) -> None:
    """Remove what a run wrote into a folder."""
    for name in _WRITTEN:
        for path in run.glob(name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _rank() -> int:
    """Return which of the processes of a run this is, from 0."""
    return int(next((os.environ[name] for name in _RANKS if name in os.environ), 0))


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
