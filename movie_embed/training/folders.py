"""A run's folder belongs to one run, and is overwritten only if that is asked for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout

from movie_embed.cli import setting
from movie_embed.config import TrainConfig
from movie_embed.embeddings.saved import FILE_NAME
from movie_embed.errors import Interrupted, MovieEmbedError, cannot_write, program
from movie_embed.storage import write_text

_SETTINGS = "config.yaml"
_HELD = (_SETTINGS, "metrics.json", FILE_NAME, "checkpoints/last.ckpt")
# In the order of their removal: while the settings are there, the folder still holds a run.
_WRITTEN = ("metrics.json", FILE_NAME, "checkpoints", "figures", "projector*", "events*", _SETTINGS)
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID")  # where Lightning looks, in its order


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
