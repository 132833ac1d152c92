"""Users divided over processes: each trains the rows of its users, and all share the movies.

A user's ratings and row are that user's alone, so PyTorch's DDP is told to leave the users' rows,
and averages the gradients of the movies. Each process takes its part of every step's ratings.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor

from movie_embed.errors import MovieEmbedError
from movie_embed.storage import ColumnFile, write_columns

USER_ROWS = "model.user_vectors", "model.user_biases"
_KEY = "user_rows"


def share(users: int, rank: int, processes: int) -> tuple[int, int]:
    """Return the first user of a process and the one after its last; all have as many, but some."""
    size = -(-users // processes)
    return min(rank * size, users), min((rank + 1) * size, users)


class ByUsers(DDPStrategy):
    """DDP for a `RatingRegression`, whose users are divided over the processes.

    Checkpoints hold what all processes have in common. Each process writes its rows and their
    moments beside it, and any number of processes reads them.

    Parameters
    ----------
    timeout
        How many seconds processes wait for each other before they give up.
    """

    def __init__(self, timeout: float = 600) -> None:
        super().__init__(timeout=timedelta(seconds=timeout))

    def save_checkpoint(
        self, checkpoint: dict[str, Any], filepath: str | Path, storage_options: Any = None
    ) -> None:
        """Save the users' rows of all processes, then the rest."""
        path, rows = Path(filepath), {}
        adams = checkpoint.get("optimizer_states", [])
        own = [adam | {"state": {k: dict(s) for k, s in adam["state"].items()}} for adam in adams]
        checkpoint = checkpoint | {"optimizer_states": own}  # whose state is the optimizer's, too
        for name, place, key in _places(checkpoint):
            rows[name], place[key] = place[key].cpu().numpy(), torch.empty(0)
        folder = path.with_suffix(f".users-{checkpoint['global_step']}")
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.global_rank}-of-{self.world_size}.safetensors"
        write_columns(file, "rows", rows, {"rank": self.global_rank, "of": self.world_size})
        dist.barrier()  # until then the checkpoint before is the last that is whole
        super().save_checkpoint(checkpoint | {_KEY: folder.name}, filepath, storage_options)
        if self.is_global_zero:
            for other in path.parent.glob(f"{path.stem}.users-*"):
                if other != folder:
                    shutil.rmtree(other)

    def load_checkpoint(
        self, checkpoint_path: Any, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Load a checkpoint of any number of processes, and of its rows those of this process."""
        io: Any = self.checkpoint_io
        checkpoint: dict[str, Any] = io.load_checkpoint(checkpoint_path, strategy=self)
        return checkpoint


def fill_rows(checkpoint: dict[str, Any], path: Path, strategy: ByUsers | None) -> None:
    """Put the users' rows into a checkpoint that was loaded: all, or those of one process."""
    rank, processes = (strategy.global_rank, strategy.world_size) if strategy else (0, 1)
    if (name := checkpoint.pop(_KEY, None)) is None:  # one process saved it, with all rows
        for _, place, key in _places(checkpoint) if processes > 1 else ():
            first, last = share(len(place[key]), rank, processes)
            place[key] = place[key][first:last].clone()
        return
    folder = path.parent / name
    files = [ColumnFile(file, "rows") for file in folder.glob("*.safetensors")]
    files = sorted((file for file in files), key=lambda file: int(file.metadata["rank"]))
    if not files or [file.metadata["rank"] for file in files] != [*range(files[0].metadata["of"])]:
        raise MovieEmbedError(f"{folder} does not hold the users' rows of every process")
    places = {name: (place, key) for name, place, key in _places(checkpoint)}
    parts: dict[str, list[Tensor]] = {name: [] for name in places}
    columns = [file.read() for file in files]
    users = sum(len(part[USER_ROWS[0]]) for part in columns)
    first, last = share(users, rank, processes)
    done = 0
    for part in columns:
        size = len(part[USER_ROWS[0]])
        mine = slice(*(min(max(edge - done, 0), size) for edge in (first, last)))
        for name, tables in parts.items():
            tables.append(torch.from_numpy(part[name][mine].copy()))
        done += size
    for name, (place, key) in places.items():
        place[key] = torch.cat(parts[name])


def _places(checkpoint: dict[str, Any]) -> Iterator[tuple[str, dict[Any, Any], Any]]:
    """Yield where the users' rows and their moments are: the first table of each group."""
    for name in USER_ROWS:
        yield name, checkpoint["state_dict"], name
    for adam in checkpoint.get("optimizer_states", ()):
        for name, group in zip(USER_ROWS, adam["param_groups"], strict=True):
            state = adam["state"].get(group["params"][0], {})
            for moment in [key for key in state if key != "step"]:
                yield f"{name}/{moment}", state, moment


@contextmanager
def others_may_end(trainer: pl.Trainer) -> Iterator[None]:
    """Tell in one line that another process has ended or does not answer."""
    try:
        yield
    except RuntimeError as error:
        if trainer.world_size == 1 or not (
            "gloo" in str(error) or isinstance(error, dist.DistError)
        ):
            raise
        raise MovieEmbedError(
            "another process of this run has ended, or has not answered for trainer.timeout "
            "seconds; go on from the last checkpoint with resume="
        ) from error


def summed(sums: Tensor) -> Tensor:
    """Return the sum over all processes."""
    dist.all_reduce(sums)
    return sums
