"""Ratings to batches: random groups of shuffled ratings, each batch sorted by user."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice, pairwise
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from movie_embed.config import DataConfig
from movie_embed.data.loading import load_held_out, load_ratings
from movie_embed.data.ratings import Columns, DataSet, Mask, bit_width
from movie_embed.data.splits import TEST, TRAIN, UNUSED, VAL, Parts, split, with_held_out
from movie_embed.errors import MovieEmbedError
from movie_embed.storage import digest_of
from movie_embed.training.divided import ByUsers, share

EVAL_BATCH = 2**18
_MAX_BATCH = 2**16
# Ratings of a group, and the fewest groups in a batch. 32 packed ratings are a few whole cache
# lines, so the shuffle reads memory at full speed, and the random order of groups is 32 times
# shorter to draw and to sort than an order of ratings.
_GROUP = 2**5
_SHUFFLED = 2**22  # ratings that are shuffled together before training
_MAX_BITS = 52  # of a packed rating: the other 12 of 64 are random where ratings are shuffled


class Batch(NamedTuple):
    """Ratings sorted by user: int32 indices and float32 stars, each of shape (batch,).

    Where users are divided over processes, this is the part of one; `total` is of all.
    """

    users: Tensor
    movies: Tensor
    ratings: Tensor
    total: int

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device; without this Lightning searches it for tensors."""
        users, movies, ratings, total = self
        return Batch(users.to(device), movies.to(device), ratings.to(device), total)


class Packed:
    """Some ratings of trained movies as integers, ``user | movie | value``, for the shuffle.

    Each of the three is an index in just the bits that it needs. At the paper's size these are 32,
    so that a rating takes 4 bytes instead of 12. Sorting the integers sorts by user, then movie,
    and a batch is a slice of one array.

    Parameters
    ----------
    data
        The data set.
    chosen
        Which of its ratings.
    trained
        Which are of trained movies.
    seed
        Of a shuffle within blocks of 4 million ratings, after which neighbours are of unrelated
        users. Without one the integers ascend.
    first_user
        The user whose number is 0 where users are divided over processes.
    """

    def __init__(
        self,
        data: DataSet,
        chosen: Mask,
        trained: Mask,
        seed: int | None = None,
        first_user: int = 0,
    ) -> None:
        ratings = data.ratings
        self.levels, self.first_user = ratings.levels, np.int32(first_user)
        sizes = len(ratings.user_ids), data.movies.embedded, len(self.levels)
        user_bits, self.movie_bits, self.value_bits = map(bit_width, sizes)
        if (bits := user_bits + self.movie_bits + self.value_bits) > _MAX_BITS:
            raise MovieEmbedError(
                f"{sizes[0]:,} users, {sizes[1]:,} movies and {sizes[2]:,} distinct ratings take "
                f"{bits} bits a rating; at most {_MAX_BITS} fit"
            )
        dtype = np.uint32 if bits <= 32 else np.uint64
        self.array: NDArray[np.unsignedinteger[Any]] = np.empty(np.count_nonzero(chosen), dtype)
        source, size = np.random.SFC64([seed or 0, 0, 3]), 0
        for start, stop in pairwise(_edges(trained, _SHUFFLED)):
            part = slice(start, stop)
            mine = chosen[part]
            keys = ratings.users(part)[mine].astype(np.uint64) << np.uint64(self.movie_bits)
            keys |= ratings.movies[part][mine]
            keys <<= np.uint64(self.value_bits)
            keys |= ratings.values[part][mine]
            if seed is not None:
                keys = _shuffled(keys, bits, source)
            self.array[size : size + len(keys)] = keys
            size += len(keys)

    def __len__(self) -> int:
        return len(self.array)

    def unpack(self, packed: NDArray[np.unsignedinteger[Any]]) -> Columns:
        """Return users, movies and stars of some of the integers."""
        users = (packed >> (self.movie_bits + self.value_bits)).astype(np.int32)
        users -= self.first_user
        movies = (packed >> self.value_bits & (2**self.movie_bits - 1)).astype(np.int32)
        return users, movies, self.levels.take(packed & (2**self.value_bits - 1))


def _edges(trained: Mask, step: int) -> list[int]:
    """Return where each `step` of the trained ratings begin, and the end."""
    edges: list[int] = []
    done = 0
    for start in range(0, len(trained), step):
        here = np.flatnonzero(trained[start : start + step])
        edges += (start + here[-done % step :: step]).tolist()
        done += len(here)
    return [*edges, len(trained)]


def _shuffled(keys: NDArray[np.uint64], bits: int, source: np.random.SFC64) -> NDArray[np.uint64]:
    """Return integers of so many bits in random order.

    Random bits are put above those of each, the integers are sorted, and the random bits are cut
    off again. Of 4 million keys a few thousand share 12 random bits, which are fewest, and stay in
    order by user: groups of 32 ratings, which lie anywhere among them, still mix users. The random
    bits come raw from the generator: NumPy keeps this stream from version to version, and promises
    nothing for `permutation`, with which an update would change the order.
    """
    own = np.uint64(2**bits - 1)
    mixed: NDArray[np.uint64] = source.random_raw(len(keys))
    mixed &= ~own
    mixed |= keys
    mixed.sort()
    mixed &= own
    return mixed


class Batches:
    """Batches of packed ratings, in order or shuffled anew every epoch.

    An epoch visits groups of 32 consecutive ratings in random order. In small batches groups
    are smaller, so that a batch mixes 32 groups or more. The ratings have been shuffled once, so
    those of a group have nothing in common; ordering groups costs a tenth of a full shuffle.

    Parameters
    ----------
    packed
        The ratings to go through; shuffled once, if `shuffle` is given.
    batch_size
        Ratings a batch; the last may have fewer.
    shuffle
        The seed of the order, and the epoch until `set_epoch` sets another. The order depends on
        these and the batch size alone, so a resumed run sees the batches of an uninterrupted run.
        None keeps the order.
    sizes
        How many ratings each process has, where users are divided: a batch is a part of each.

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
        packed: Packed,
        batch_size: int,
        shuffle: tuple[int, int] | None = None,
        sizes: Sequence[int] = (),
    ) -> None:
        self.packed, self.batch_size = packed, batch_size
        self.shuffles, (self.seed, epoch) = shuffle is not None, shuffle or (0, 0)
        self.sizes = sizes or [len(packed)]
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
        return -(-sum(self.sizes) // self.batch_size)

    def _edges(self, size: int) -> list[int]:
        """Return where each batch of so many ratings begins, and the end.

        Processes have the same number of batches, so each divides its ratings evenly.
        """
        if len(self.sizes) == 1:
            return [*range(0, size, self.batch_size), size]
        return [size * batch // len(self) for batch in range(len(self) + 1)]

    def __iter__(self) -> Iterator[Batch]:
        epoch, (resumed, first) = self.place[0], self.resumed or (0, 0)
        first, self.resumed = first if resumed == epoch else 0, None
        edges = [self._edges(size) for size in self.sizes]
        for done, part in enumerate(islice(self._parts(epoch), first, None), first + 1):
            self.place = epoch, done
            users, movies, ratings = map(torch.from_numpy, self.packed.unpack(part))
            total = sum(ends[done] - ends[done - 1] for ends in edges)
            yield Batch(users, movies, ratings, total)

    def _parts(self, epoch: int) -> Iterator[NDArray[np.unsignedinteger[Any]]]:
        """Yield each batch's ratings: groups in random order, then those that fill no group."""
        packed = self.packed.array
        edges = self._edges(len(packed))
        if not self.shuffles:
            yield from (packed[start:stop] for start, stop in pairwise(edges))
            return
        length = min(max(self.batch_size // len(self.sizes) // _GROUP, 1), _GROUP)
        whole = len(packed) // length * length
        groups, rest = packed[:whole].reshape(-1, length), packed[whole:]
        # NumPy keeps the stream of raw bits from version to version, but not `permutation`'s.
        order = np.argsort(np.random.SFC64([self.seed, epoch, 1]).random_raw(len(groups)))
        for start, stop in pairwise(edges):
            # A group at a batch's edge is read for both batches, and each takes its own part.
            first, last = start // length, -(-stop // length)
            taken = groups.take(order[first:last], axis=0).ravel()
            if stop > whole:
                taken = np.append(taken, rest)
            batch = taken[start - first * length : stop - first * length]
            batch.sort()  # by user, whose index is the highest bits: the loops need users to ascend
            yield batch


class RatingsDataModule(pl.LightningDataModule):
    """Ratings as batches for any Trainer, with some of them held out for validation and testing.

    Without ratings for testing, the loaders for testing and prediction are of those for validation.

    Parameters
    ----------
    config
        Which data, how filtered, split and batched.
    seed
        Of the split and the order of the epochs.
    frame
        Ratings in memory, in place of those configured: a table of pandas, Arrow or Polars.
    val, test
        Held-out ratings in memory, in place of ``data.val_path`` and ``data.test_path``.

    Attributes
    ----------
    data_set
        All ratings and movies, once `setup` has run.
    parts
        The part of each rating, one of those in `movie_embed.data.splits`. A subclass may set its
        own in `setup`; ratings are shuffled whatever their order.
    """

    data_set: DataSet
    parts: Parts

    def __init__(
        self,
        config: DataConfig,
        seed: int = 0,
        frame: Any = None,
        val: Any = None,
        test: Any = None,
    ) -> None:
        super().__init__()
        self.config, self.seed, self.frame = config, seed, frame
        own = {VAL: (val, config.val_path), TEST: (test, config.test_path)}
        self._own = {
            part: path if frame is None else frame
            for part, (frame, path) in own.items()
            if frame is not None or path
        }
        self._packed: dict[Any, Packed] = {}
        self._batches: Batches | None = None
        self._resumed: tuple[int, int] | None = None

    def prepare_data(self) -> None:
        """Download the data set and read it into the cache: one process does so for all."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Load and split the ratings, once."""
        if hasattr(self, "data_set"):
            return
        config, data = self.config, load_ratings(self.config, self.frame)
        val, test = (
            0 if part in self._own else share
            for part, share in ((VAL, config.val_fraction), (TEST, config.test_fraction))
        )
        self.parts = split(data, val, self.seed, test, config.split)
        if self._own:
            own = {part: load_held_out(config, data, of) for part, of in self._own.items()}
            data, self.parts = with_held_out(data, self.parts, own)
        self.data_set = data
        if not self.train_size:
            raise MovieEmbedError(
                f"data.val_fraction={self.config.val_fraction} leaves nothing to train on: "
                f"there are {self.data_set.counts.ratings:,} ratings"
            )

    def chosen(self, part: int) -> Mask:
        """Return which ratings are of a part."""
        chosen: Mask = self.parts == part
        return chosen

    @property
    def train_size(self) -> int:
        """How many ratings are for training."""
        return int(np.count_nonzero(self.chosen(TRAIN)))

    @property
    def val_size(self) -> int:
        """How many ratings are for validation."""
        return int(np.count_nonzero(self.chosen(VAL)))

    @property
    def test_size(self) -> int:
        """How many ratings are for testing."""
        return int(np.count_nonzero(self.chosen(TEST)))

    @property
    def batch_size(self) -> int:
        """Ratings a batch.

        As configured, else the largest power of two that leaves an epoch ``data.min_steps``, so
        that small data sets get enough steps to converge.
        """
        if self.config.batch_size is not None:
            return self.config.batch_size
        largest = max(self.train_size // self.config.min_steps, 1)
        return int(min(2 ** (largest.bit_length() - 1), _MAX_BATCH))

    @batch_size.setter
    def batch_size(self, ratings: int) -> None:  # as Lightning's Tuner sets it
        self.config = replace(self.config, batch_size=ratings)

    @cached_property
    def unseen(self) -> tuple[Tensor, Tensor]:
        """Masks of the users and of the movies that training has no rating of."""
        counts = self.data_set.counts
        users, movies = (np.ones(size, np.bool_) for size in (counts.users, counts.movies))
        for who, what, _ in self.data_set.ratings.blocks(self.chosen(TRAIN)):
            users[who] = movies[what] = False
        return torch.from_numpy(users), torch.from_numpy(movies)

    def packed(self, part: int) -> Packed:
        """Return this process' ratings of a part as integers; those for training are shuffled."""
        first, last = users = self.users()
        if (part, users) not in self._packed:
            chosen, seed = self.chosen(part), self.seed if part == TRAIN else None
            starts = self.data_set.ratings.starts
            chosen[: starts[first]] = chosen[starts[last] :] = False
            used = self.parts != UNUSED
            self._packed[part, users] = Packed(self.data_set, chosen, used, seed, first)
        return self._packed[part, users]

    def users(self, rank: int | None = None) -> tuple[int, int]:
        """Return the first user of a process, by default this one, and the one after its last."""
        mine, processes = self._processes()
        users = len(self.data_set.ratings.user_ids)
        return share(users, mine if rank is None else rank, processes)

    def _sizes(self, part: int) -> list[int]:
        """Return how many ratings of a part each process has."""
        starts, chosen = self.data_set.ratings.starts, self.chosen(part)
        edges = [starts[[*self.users(rank)]] for rank in range(self._processes()[1])]
        return [int(np.count_nonzero(chosen[first:last])) for first, last in edges]

    def train_dataloader(self) -> Batches:
        """Return the training batches, each epoch in another order."""
        order = (self.seed, 0)
        loader = Batches(self.packed(TRAIN), self.batch_size, order, self._sizes(TRAIN))
        loader.resumed = self._batches.resumed if self._batches else self._resumed
        self._batches = loader
        return loader

    def val_dataloader(self) -> Batches:
        """Return the validation batches."""
        return Batches(self.packed(VAL), EVAL_BATCH, None, self._sizes(VAL))

    def test_dataloader(self) -> Batches:
        """Return the batches for testing, those for validation if there are none."""
        part = TEST if self.test_size else VAL
        return Batches(self.packed(part), EVAL_BATCH, None, self._sizes(part))

    predict_dataloader = test_dataloader

    def _processes(self) -> tuple[int, int]:
        """Return which of the processes this is, and how many there are."""
        if not self.trainer or self.trainer.world_size == 1:
            return 0, 1
        if not isinstance(self.trainer.strategy, ByUsers):
            raise MovieEmbedError(
                "several processes divide the users: give the Trainer "
                "strategy=movie_embed.training.divided.ByUsers()"
            )
        return self.trainer.global_rank, self.trainer.world_size

    @cached_property
    def fingerprint(self) -> str:
        """Checksums of the ratings, of their parts, and of the ids behind their numbers."""
        ratings = self.data_set.ratings
        arrays = (ratings.starts, ratings.movies, ratings.values, ratings.levels, ratings.user_ids)
        return " ".join(map(digest_of, (*arrays, self.data_set.movies.ids, self.parts)))

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
