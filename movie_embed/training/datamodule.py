"""Triples to batches: random groups of shuffled ratings, each batch sorted by user."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from typing import Any, NamedTuple

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
from movie_embed.storage import digest_of, drop_pages

EVAL_BATCH = 2**18
_MAX_BATCH = 2**16
# Ratings of a group, and the fewest groups in a batch. 32 packed ratings are a few whole cache
# lines, so the shuffle reads memory at full speed, and the random order of groups is 32 times
# shorter to draw and to sort than an order of ratings.
_GROUP = 2**5
_CHUNKS = 2**9  # in a window, unless a batch is longer than such a chunk


class Batch(NamedTuple):
    """Ratings sorted by user: int32 indices and float32 stars, each of shape (batch,).

    Where processes share a batch, this is one process' part; `total` is the size of the batch.
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
    """Batches of packed ratings, in order or shuffled anew every epoch.

    An epoch visits groups of 32 consecutive ratings in random order. In small batches groups
    are smaller, so that a batch mixes 32 groups or more. The split has shuffled the ratings once,
    so those of a group have nothing in common; ordering groups costs a tenth of a full shuffle.

    Parameters
    ----------
    triples, packed
        The triples, and the packed ratings to go through; shuffled once, if `shuffle` is given.
    batch_size
        Ratings a batch; the last may have fewer.
    shuffle
        The seed of the order, and the epoch until `set_epoch` sets another. The order depends on
        these and the batch size alone, so a resumed run sees the batches of an uninterrupted run.
        None keeps the order.
    window
        How many ratings are shuffled together. If there are more, each window is of random chunks
        of them, and only one window is in memory.
    rank, world_size
        The number of this process, and how many processes share each batch.

    Attributes
    ----------
    place
        The epoch, and how many of its batches have been taken.
    resumed
        The place where an interrupted pass goes on, once its epoch is chosen.
    """

    # Lightning looks for these: at the start of an epoch it calls `sampler.set_epoch`.
    batch_sampler = None

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
        self.triples, self.packed, self.batch_size = triples, packed, batch_size
        self.shuffles, (self.seed, epoch) = shuffle is not None, shuffle or (0, 0)
        self.window, self.rank, self.world_size = window, rank, world_size
        self.place = (epoch, 0)
        self.resumed: tuple[int, int] | None = None
        self.sampler = self

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of the next pass."""
        self.place = epoch, 0

    def state_dict(self) -> dict[str, tuple[int, int]]:
        """Return the place, as Lightning asks for every checkpoint."""
        return {"place": self.place}

    def load_state_dict(self, state_dict: dict[str, tuple[int, int]]) -> None:
        """Go on from a place."""
        self.resumed = state_dict["place"]

    def __len__(self) -> int:
        return -(-len(self.packed) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        epoch, (resumed, first) = self.place[0], self.resumed or (0, 0)
        first, self.resumed = first if resumed == epoch else 0, None
        for done, packed in enumerate(islice(self._parts(epoch), first, None), first + 1):
            mine = self.triples.unpack(packed[self.rank :: self.world_size])
            self.place = epoch, done
            users, movies, ratings = map(torch.from_numpy, mine)
            yield Batch(users, movies, ratings, total=len(packed))

    def _parts(self, epoch: int) -> Iterator[Packed]:
        """Yield each batch's ratings."""
        if not self.shuffles:
            for part in blocks(len(self.packed), self.batch_size):
                yield np.sort(self.packed[part])
                drop_pages(self.packed)
            return
        # The last number keeps the order of groups independent of the order of chunks.
        source = np.random.SFC64([self.seed, epoch, 1])
        for window in self._windows([self.seed, epoch, 2]):
            yield from self._from_groups(window, source)

    def _from_groups(self, packed: Packed, source: np.random.SFC64) -> Iterator[Packed]:
        """Yield batches of groups in random order; ratings that fill no group come last."""
        length = min(max(self.batch_size // _GROUP, 1), _GROUP)
        whole = len(packed) // length * length
        groups, rest = packed[:whole].reshape(-1, length), packed[whole:]
        order = _random_order(len(groups), source)
        for part in blocks(len(packed), self.batch_size):
            # A group at a batch's edge is read for both batches, and each takes its own part.
            first, last = part.start // length, -(-part.stop // length)
            taken = groups.take(order[first:last], axis=0).ravel()
            if part.stop > whole:
                taken = np.append(taken, rest)
            batch = taken[part.start - first * length : part.stop - first * length]
            batch.sort()  # by user, whose index is the highest bits: the loops need users to ascend
            yield batch

    def _windows(self, key: list[int]) -> Iterator[Packed]:
        """Yield windows, the ratings that are shuffled together: all, or random chunks.

        All chunks but the last hold whole batches, so every order has as many batches.
        """
        if len(self.packed) <= self.window:
            yield self.packed[:]
            return
        batches = max(self.window // _CHUNKS // self.batch_size, 1)
        chunks = list(blocks(len(self.packed), batches * self.batch_size))
        order = _random_order(len(chunks), np.random.SFC64(key))
        windows = np.array_split(order, min(-(-len(self.packed) // self.window), len(chunks)))
        # One array serves all windows: with a new one each, two would be in memory at once.
        window = np.empty(max(map(len, windows)) * batches * self.batch_size, self.packed.dtype)
        for numbers in windows:
            size = 0
            for number in numbers:
                chunk = self.packed[chunks[number]]
                window[size : size + len(chunk)] = chunk
                size += len(chunk)
                drop_pages(self.packed)
            yield window[:size]


def _random_order(size: int, source: np.random.SFC64) -> NDArray[np.int64]:
    # NumPy keeps the stream of raw bits from version to version, but not `permutation`'s.
    return np.argsort(source.random_raw(size))


class RatingsDataModule(pl.LightningDataModule):
    """Ratings as batches for any Trainer, with a share of them held out for validation.

    The loaders for testing and prediction are of the held-out ratings, too.

    Parameters
    ----------
    config
        Which data, how filtered, split and batched.
    seed
        Of the split and the order of the epochs.
    frame
        Ratings in memory, in place of those configured: a table of pandas, Arrow or Polars.

    Attributes
    ----------
    triples
        All ratings, once `setup` has run.
    train, val
        Both splits of them, packed.
    """

    triples: Triples
    train: Packed
    val: Packed

    def __init__(self, config: DataConfig, seed: int = 0, frame: Any = None) -> None:
        super().__init__()
        self.config, self.seed, self.frame = config, seed, frame
        self._batches: Batches | None = None
        self._resumed: tuple[int, int] | None = None

    def prepare_data(self) -> None:
        """Download the data set and pack it into the cache: one process does so for all."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Load and split the triples, once."""
        if hasattr(self, "triples"):
            return
        config, self.triples = self.config, load_triples(self.config, self.frame)
        large = len(self.triples) > config.window
        folder = cache_dir(config.cache_dir) if large else None
        self.train, self.val = self.triples.split(config.val_fraction, self.seed, folder)
        if not len(self.train):
            raise MovieEmbedError(
                f"data.val_fraction={config.val_fraction} leaves nothing to train on: "
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
        counts = self.triples.counts
        masks = [np.ones(size, dtype=np.bool_) for size in (counts.users, counts.movies)]
        for *rows, _ in self.triples.unpack_blocks(self.train):
            for mask, seen in zip(masks, rows, strict=True):
                mask[seen] = False
        return torch.from_numpy(masks[0]), torch.from_numpy(masks[1])

    def train_dataloader(self) -> Batches:
        """Return the training batches, each epoch in another order."""
        order, window = (self.seed, 0), self.config.window
        loader = Batches(self.triples, self.train, self.batch_size, order, window, *self._share())
        loader.resumed = self._batches.resumed if self._batches else self._resumed
        self._batches = loader
        return loader

    def val_dataloader(self) -> Batches:
        """Return the validation batches."""
        return Batches(self.triples, self.val, EVAL_BATCH, None, WINDOW, *self._share())

    test_dataloader = predict_dataloader = val_dataloader

    def _share(self) -> tuple[int, int]:
        """Return which of the processes this is, and how many there are."""
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    @cached_property
    def fingerprint(self) -> str:
        """Checksums of the triples and of the ids behind their indices."""
        triples = self.triples
        arrays = (triples.packed, triples.user_ids, triples.movies.ids)
        return " ".join(digest_of(array) for array in arrays)

    def state_dict(self) -> dict[str, Any]:
        """Return the fingerprint, and the training batches' place.

        Lightning restores the place by itself, but not where a schedule has asked for the number
        of steps (2.6).
        """
        place = self._batches.place if self._batches else (0, 0)
        return {"fingerprint": self.fingerprint, "place": place}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on within the epoch.

        Raises
        ------
        MovieEmbedError
            The data are not those that training began with.
        """
        if state_dict["fingerprint"] != self.fingerprint or "place" not in state_dict:
            raise MovieEmbedError(
                "the data are not those the run began with, or an earlier version began it"
            )
        self._batches, self._resumed = None, state_dict["place"]
