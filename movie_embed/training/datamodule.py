"""Triples to batches: random runs of shuffled ratings, each batch sorted by user."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from movie_embed.config import WINDOW, DataConfig
from movie_embed.data.loading import load_triples
from movie_embed.data.movielens import cache_dir
from movie_embed.data.packing import Packed, blocks
from movie_embed.data.triples import Triples
from movie_embed.errors import MovieEmbedError
from movie_embed.storage import digest_of

EVAL_BATCH = 2**18
_MAX_BATCH = 2**16
_RUN = 2**5  # ratings that stay together, and the least runs of a batch
_CHUNKS = 2**9  # a window is of so many, unless batches are longer


class Batch(NamedTuple):
    """Ratings sorted by user: int32 indices and float32 stars, each of shape (batch,).

    Where processes share a batch, this is one's part, and `total` is the size of the whole.
    """

    users: Tensor
    movies: Tensor
    ratings: Tensor
    total: int

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device; without this Lightning searches it for tensors."""
        users, movies, ratings, total = self
        return Batch(users.to(device), movies.to(device), ratings.to(device), total)


class Batches:
    """Batches of packed ratings, in order or in the order of one epoch.

    An epoch takes runs of 32 ratings in random order; of small batches, shorter runs, so that a
    batch is of 32 or more. Ratings shuffled beforehand, as a split's are, need no more: a run is
    of ratings that have nothing in common, and its order costs a tenth of a full shuffle's.

    Parameters
    ----------
    triples
        Unpacks the ratings.
    packed
        The ratings to go through; in random order, if there is to be a `shuffle`.
    batch_size
        Ratings a batch; the last may have fewer.
    shuffle
        The key of the order, ``(seed, epoch)``: for a batch size it depends on nothing else, so
        a resumed run sees what an uninterrupted one sees. None keeps the order.
    window
        How many ratings' runs are mixed. If there are more, each window is of random chunks of
        them, and only one window is in memory.
    rank, world_size
        Of the processes that share each batch, which this is, and how many there are.
    """

    def __init__(
        self,
        triples: Triples,
        packed: Packed,
        batch_size: int,
        shuffle: tuple[int, int] | None = None,
        window: int = WINDOW,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.triples = triples
        self.packed = packed
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.window = window
        self.rank = rank
        self.world_size = world_size
        self._first = 0
        self._done = 0

    def __len__(self) -> int:
        return -(-len(self.packed) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        self._done, self._first = self._first, 0
        for packed in islice(self._parts(), self._done, None):
            mine = self.triples.unpack(packed[self.rank :: self.world_size])
            self._done += 1
            users, movies, ratings = map(torch.from_numpy, mine)
            yield Batch(users, movies, ratings, total=len(packed))

    def state_dict(self) -> dict[str, int]:
        """Return how many batches are done: Lightning keeps it in its checkpoints."""
        return {"done": self._done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Start the next pass after the batches that are done."""
        self._first = state["done"]

    def _parts(self) -> Iterator[Packed]:
        """Yield each batch's ratings."""
        if self.shuffle is None:
            for part in blocks(len(self.packed), self.batch_size):
                yield np.sort(self.packed[part])
            return
        source = np.random.SFC64([*self.shuffle, 1])
        for chunks in self._windows(self.shuffle):
            yield from self._from_runs(self._joined(chunks), source)

    def _from_runs(self, packed: Packed, source: np.random.SFC64) -> Iterator[Packed]:
        """Yield batches of short runs in random order; what is less than a run comes last."""
        length = min(max(self.batch_size // _RUN, 1), _RUN)
        whole = len(packed) // length * length
        runs, rest = packed[:whole].reshape(-1, length), packed[whole:]
        order = _random_order(len(runs), source)
        for part in blocks(len(packed), self.batch_size):
            first, last = part.start // length, -(-part.stop // length)
            taken = runs.take(order[first:last], axis=0).ravel()
            if part.stop > whole:
                taken = np.append(taken, rest)
            batch = taken[part.start - first * length : part.stop - first * length]
            batch.sort()
            yield batch

    def _joined(self, chunks: list[slice]) -> Packed:
        """Return the ratings of all chunks, read one after another; of one in memory, a view."""
        if len(chunks) == 1:
            return self.packed[chunks[0]]
        joined = np.empty(sum(chunk.stop - chunk.start for chunk in chunks), self.packed.dtype)
        start = 0
        for part in (self.packed[chunk] for chunk in chunks):
            joined[start : start + len(part)] = part
            start += len(part)
        return joined

    def _windows(self, key: tuple[int, int]) -> list[list[slice]]:
        """Return which chunks of the ratings are mixed together: all, or some at random.

        But for the last, chunks are of whole batches, so any order has as many batches.
        """
        if len(self.packed) <= self.window:
            return [[slice(0, len(self.packed))]]
        batches = max(self.window // _CHUNKS // self.batch_size, 1)
        chunks = list(blocks(len(self.packed), batches * self.batch_size))
        order = _random_order(len(chunks), np.random.SFC64([*key, 2]))
        windows = np.array_split(order, -(-len(self.packed) // self.window))
        return [[chunks[number] for number in window] for window in windows]


def _random_order(size: int, source: np.random.SFC64) -> NDArray[np.int64]:
    # NumPy keeps the stream of raw bits from version to version, but not `permutation`'s.
    return np.argsort(source.random_raw(size))


class RatingsDataModule(pl.LightningDataModule):
    """Stream filtered (user, movie, rating) triples.

    Parameters
    ----------
    config
        Which data, how filtered, split and batched.
    seed
        Of the split and the order of the epochs.
    """

    triples: Triples
    train: Packed
    val: Packed

    def __init__(self, config: DataConfig, seed: int) -> None:
        super().__init__()
        self.config = config
        self.seed = seed

    def setup(self, stage: str | None = None) -> None:
        """Load and split the triples, once."""
        if not hasattr(self, "triples"):
            self.triples = load_triples(self.config)
            self.train, self.val = self._split(self.config.val_fraction)
            if not len(self.train):
                raise MovieEmbedError(
                    f"data.val_fraction={self.config.val_fraction} leaves nothing to train on: "
                    f"there are {len(self.triples):,} ratings"
                )

    def _split(self, val_fraction: float) -> tuple[Packed, Packed]:
        large = len(self.triples) > self.config.window
        folder = cache_dir(self.config.cache_dir) if large else None
        return self.triples.split(val_fraction, self.seed, folder)

    @property
    def batch_size(self) -> int:
        """Ratings a batch.

        As configured, else the largest power of two that leaves an epoch ``data.min_steps``, so
        that small data sets get enough steps to converge.
        """
        if self.config.batch_size is not None:
            return self.config.batch_size
        largest = max(len(self.train) // self.config.min_steps, 1)
        return int(min(2 ** (largest.bit_length() - 1), _MAX_BATCH))

    @cached_property
    def unseen(self) -> tuple[Tensor, Tensor]:
        """Masks of the users and of the movies that training has no rating of."""
        unseen_users = np.ones(self.triples.counts.users, dtype=np.bool_)
        unseen_movies = np.ones(self.triples.counts.movies, dtype=np.bool_)
        for users, movies, _ in self.triples.unpack_blocks(self.train):
            unseen_users[users] = False
            unseen_movies[movies] = False
        return torch.from_numpy(unseen_users), torch.from_numpy(unseen_movies)

    def train_dataloader(self) -> Batches:
        """Return this epoch's batches; the Trainer asks again every epoch."""
        epoch = self.trainer.current_epoch if self.trainer else 0
        key, window = (self.seed, epoch), self.config.window
        return Batches(self.triples, self.train, self.batch_size, key, window, *self._place())

    def val_dataloader(self) -> Batches:
        """Return the validation batches."""
        return Batches(self.triples, self.val, EVAL_BATCH, None, WINDOW, *self._place())

    def _place(self) -> tuple[int, int]:
        """Return which of the processes this is, and how many there are."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    @cached_property
    def fingerprint(self) -> str:
        """Checksums of the triples and of the ids behind their indices."""
        triples = self.triples
        arrays = (triples.packed, triples.user_ids, triples.movies.ids)
        return " ".join(digest_of(array) for array in arrays)

    def state_dict(self) -> dict[str, str]:
        """Return the fingerprint: a run only goes on with the data it began with."""
        return {"fingerprint": self.fingerprint}
