"""Run folders: a folder belongs to one run and is overwritten only if asked."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf

from movie_embed.cli import setting
from movie_embed.config import LATEST, TrainConfig
from movie_embed.embeddings.saved import FILE_NAME
from movie_embed.errors import Interrupted, MovieEmbedError, cannot_write, program
from movie_embed.storage import write_text

_SETTINGS = "config.yaml"
_HELD = (_SETTINGS, "metrics.json", FILE_NAME, "checkpoints/last.ckpt")
# In the order of their removal: while the settings are there, the folder still holds a run.
_WRITTEN = ("metrics.json", FILE_NAME, *["epochs.csv", "csv", "checkpoints", "figures"])
_WRITTEN += ("projector*", "events*", _SETTINGS)
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # where Lightning looks, in its order
# A resumed run may change these settings; any other would make it another run. The data may have
# moved: their fingerprint is compared.
_MAY_CHANGE = re.compile(
    r"data\.(path|cache_dir|download)|objective|ranking\..+|save\..+|"
    r"trainer\.(accelerator|devices|early_stopping|enable_progress_bar|max_epochs|num_nodes|"
    r"profiler|strategy|threads|timeout)"
)


def new_folder(wanted: Path) -> Path:
    """Make a new folder; if the name is taken, append ``_2``, ``_3`` and so on."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    names = (wanted if n == 1 else wanted.with_name(f"{wanted.name}_{n}") for n in count(1))
    while True:
        folder = next(names)
        with suppress(FileExistsError):
            folder.mkdir()
            return folder


def locked(folder: Path) -> AbstractContextManager[object]:
    """Lock a folder against other processes, until the block or this process ends.

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
    """Refuse a folder that holds a run, unless `config` resumes or overwrites it."""
    if config.resume is not None or config.overwrite:
        return
    if not _is_later_process() and any((run / name).exists() for name in _HELD):
        raise MovieEmbedError(
            f"{run} holds a run already: go on with it by {setting('resume', str(run))}, give the "
            "new one another folder, hydra.run.dir=..., or replace it with overwrite=true"
        )


@contextmanager
def claimed(run: Path, config: TrainConfig) -> Iterator[None]:
    """Lock a folder for one run; the first of its processes does so for all."""
    if _is_later_process():
        yield
        return
    with locked(run):
        check_free(run, config)
        yield


def begin(run: Path, config: TrainConfig) -> None:
    """Write a run's settings into its folder; a new run first removes an earlier one."""
    if config.resume is None:
        clear(run)
    settings = OmegaConf.structured(replace(config, resume=None, overwrite=False))
    write_text(run / _SETTINGS, OmegaConf.to_yaml(settings))


@contextmanager
def going_on(run: Path) -> Iterator[None]:
    """Add to an interruption of the block how to go on with the run."""
    try:
        yield
    except Interrupted as stop:
        way = f"go on with: {program('train')} {setting('resume', str(run))}"
        raise Interrupted(f"{stop}; {way}", stop.number) from None


def clear(run: Path) -> None:
    """Remove the files of a run from a folder."""
    for name in _WRITTEN:
        for path in run.glob(name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextmanager
def removed_if_empty(run: Path) -> Iterator[None]:
    """Remove the folder of a run that has not begun when the block ends, and the day's folder."""
    try:
        yield
    finally:
        if run.is_dir() and {path.name for path in run.iterdir()} <= {".lock", "train.log"}:
            with suppress(OSError):  # another process may begin there
                shutil.rmtree(run)
                run.parent.rmdir()


def _is_later_process() -> bool:
    """Whether this is one of several processes of a run, but not the first."""
    return int(next((os.environ[name] for name in _RANKS if name in os.environ), 0)) > 0


def run_folder(resume: str | None, wanted: Path, given: bool) -> Path:
    """Return the folder of a run: the one to `resume`, the one given, or a new one.

    `wanted` is the folder that is `given`, or else named by the clock.

    Raises
    ------
    MovieEmbedError
        There is no run to resume, or it is not in the folder given.
    """
    if resume is None:
        return wanted if given else new_folder(wanted)
    # Where training was last seen at work.
    begun = LATEST.parent.rglob(_SETTINGS) if resume == "last" else [Path(resume, _SETTINGS)]
    settings = max((p.expanduser() for p in begun), key=_last_change, default=None)
    if settings is None or not settings.is_file():
        raise MovieEmbedError(
            f"resume={resume}: no run with a config.yaml there; give the run's folder, "
            "or resume=last for the newest in outputs/"
        )
    run = settings.parent
    if given and wanted.resolve() != run.resolve():
        raise MovieEmbedError(f"resume={resume} goes on in {run}: leave out hydra.run.dir={wanted}")
    return run


def _last_change(settings: Path) -> float:
    files = (settings, settings.parent / "checkpoints" / "last.ckpt")
    return max((file.stat().st_mtime for file in files if file.exists()), default=0.0)


def resumed_settings(cfg: DictConfig, overrides: Iterable[str], run: Path) -> DictConfig:
    """Return the settings a run began with, with those changed that the command line changes.

    `cfg` is composed from the command line, whose own `overrides` are as in
    ``trainer.max_epochs=20``; `run` is the folder of the run to resume.

    Raises
    ------
    MovieEmbedError
        The command line changes what would make it another run, or the settings cannot be read.
    """
    path = run / _SETTINGS
    try:
        begun = OmegaConf.load(path)
        if isinstance(begun, DictConfig) and "optimizer" in begun:
            begun.optimizer.pop("one_pass", None)  # of earlier versions
    except Exception as error:  # OmegaConf lets YAML's and the system's own errors through
        raise MovieEmbedError(f"{path} cannot be read: {error}") from error
    stored = OmegaConf.merge(OmegaConf.structured(TrainConfig), begun)
    assert isinstance(stored, DictConfig)
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        old, new = OmegaConf.select(stored, key, default=None), OmegaConf.select(cfg, key)
        if isinstance(old, DictConfig) or key == "experiment":
            raise MovieEmbedError(f"resume={cfg.resume} keeps the run's settings: leave out {key}=")
        if old != new and key != "resume" and not _MAY_CHANGE.fullmatch(key):
            raise MovieEmbedError(
                f"{key}={new}: the run in {run} has {old}, and cannot go on with another; "
                "start a new run without resume="
            )
        OmegaConf.update(stored, key, new)
    stored.resume = cfg.resume
    return stored
