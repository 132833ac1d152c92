"""Triples to batches: slices of shuffled arrays, each sorted by user."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from movie_embed.config import DataConfig
from movie_embed.data.packing import Packed
from movie_embed.data.triples import Triples, load_triples
from movie_embed.errors import MovieEmbedError
from movie_embed.storage import digest_of

EVAL_BATCH = 2**18
_MAX_BATCH = 2**16


class Batch(NamedTuple):
    """Ratings sorted by user: int32 indices and float32 stars, each of shape (batch,).

    Where processes share a batch, this is one's part, and `total` is the size of the whole.
    """

    users: Tensor
    movies: Tensor
    ratings: Tensor
    total: int


class Batches:
    """Batches of packed ratings, in order or in the order of one epoch.

    Parameters
    ----------
    triples
        Unpacks the ratings.
    packed
        The ratings to go through.
    batch_size
        Ratings a batch; the last may have fewer.
    shuffle
        The key of the order, ``(seed, epoch)``: it depends on nothing else, so a resumed run
        sees what an uninterrupted one sees. None keeps the order.
    rank, world_size
        Of the processes that share each batch, which this is, and how many there are.
    """

    def __init__(
        self,
        triples: Triples,
        packed: Packed,
        batch_size: int,
        shuffle: tuple[int, int] | None = None,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.triples = triples
        self.packed = packed
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self._first = 0
        self._done = 0

    def __len__(self) -> int:
        return -(-len(self.packed) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        self._done, self._first = self._first, 0
        for packed in self._parts(self._done):
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

    def _parts(self, first: int) -> Iterator[Packed]:
        """Yield each batch's ratings, from the `first` batch on."""
        starts = range(first * self.batch_size, len(self.packed), self.batch_size)
        if self.shuffle is None:
            yield from (self.packed[start : start + self.batch_size] for start in starts)
            return
        shuffled = self._shuffled(self.shuffle)
        mask = self.packed.dtype.type(2**self.triples.bits - 1)
        for start in starts:
            part = shuffled[start : start + self.batch_size].astype(self.packed.dtype) & mask
            part.sort()
            yield part

    def _shuffled(self, key: tuple[int, int]) -> NDArray[np.uint64]:
        """Put random bits above each rating's own and sort: a uniform shuffle in one pass.

        The bits come raw from the generator, whose stream NumPy keeps from version to version,
        as it does not for `permutation`.
        """
        keys = np.random.SFC64([*key, 1]).random_raw(len(self.packed))
        keys &= ~np.uint64(2**self.triples.bits - 1)
        keys |= self.packed
        keys.sort()
        return keys


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
            self.train, self.val = self.triples.split(self.config.val_fraction, self.seed)
            if not len(self.train):
                raise MovieEmbedError(
                    f"data.val_fraction={self.config.val_fraction} leaves nothing to train on: "
                    f"there are {len(self.triples):,} ratings"
                )

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
        key = (self.seed, epoch)
        return Batches(self.triples, self.train, self.batch_size, key, *self._place())

    def val_dataloader(self) -> Batches:
        """Return the validation batches."""
        return Batches(self.triples, self.val, EVAL_BATCH, None, *self._place())

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
