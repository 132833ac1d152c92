"""How well somebody new is predicted, by number of ratings given, against training and the mean.

Users of a run are taken for new: fitted to some of their training ratings with the movies frozen,
then tested on the ratings that the run held out. Run it with the run's data where it was.

    python benchmarks/fold_in.py outputs/latest
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf

from movie_embed.config import TrainConfig
from movie_embed.data.triples import load_triples
from movie_embed.embeddings.fold_in import fold_in, predict_stars
from movie_embed.embeddings.saved import SavedEmbeddings

Floats = NDArray[np.float64]
GIVEN = (1, 2, 5, 10, 20, 50, None)
USERS, SEED = 3_000, 0


class Task:
    """The users of a run, their training and held-out ratings."""

    def __init__(self, run: Path) -> None:
        settings = OmegaConf.merge(
            OmegaConf.structured(TrainConfig), OmegaConf.load(run / "config.yaml")
        )
        config = OmegaConf.to_object(settings)
        assert isinstance(config, TrainConfig)
        triples = load_triples(config.data)
        splits = triples.split(config.data.val_fraction, config.seed)
        self.train, self.held_out = (triples.unpack(part) for part in splits)
        self.saved, self.users = SavedEmbeddings.load(run), SavedEmbeddings.load_users(run)
        if not np.array_equal(triples.movies.ids, self.saved.movies.ids):
            raise SystemExit("some movies were met only in validation: raise data.min_ratings")
        self.means = np.bincount(self.train[1], self.train[2]) / np.bincount(self.train[1])
        self.chosen = np.random.default_rng(SEED).permutation(len(self.users.ids))[:USERS]

    def rmses(self, given: int | None) -> tuple[float, ...]:
        """Return RMSEs of folding in, training and movie mean, over users with enough ratings."""
        errors = [self._errors(int(user), given) for user in self.chosen]
        rmses: list[float] = np.sqrt(np.mean(np.concatenate(errors) ** 2, axis=0)).tolist()
        return tuple(rmses)

    def _errors(self, user: int, given: int | None) -> Floats:
        mine, rest = (_of(part[0], user) for part in (self.train, self.held_out))
        if given is not None and mine.stop - mine.start < given:
            return np.empty((0, 3))
        rows, stars = self.held_out[1][rest], self.held_out[2][rest]
        trained = np.append(self.users.vectors[user], self.users.biases[user])
        columns = [self._stars(taste, rows) for taste in (self._folded(user, mine, given), trained)]
        return np.column_stack([*columns, self.means[rows]]) - stars[:, None]

    def _folded(self, user: int, mine: slice, given: int | None) -> Floats:
        asked = np.random.default_rng([SEED, user]).permutation(np.arange(mine.start, mine.stop))
        movies, stars = self.train[1][asked[:given]], self.train[2][asked[:given]]
        saved = self.saved
        return fold_in(
            saved.vectors[movies],
            saved.biases[movies],
            stars,
            saved.rating_range,
            saved.fold_in_ridge,
            saved.average_user.astype(np.float64),
        )

    def _stars(self, taste: Floats, rows: NDArray[np.int32]) -> Floats:
        scores = self.saved.vectors[rows] @ taste[:-1] + taste[-1] + self.saved.biases[rows]
        return predict_stars(scores, self.saved.rating_range).astype(np.float64)


def _of(users: NDArray[np.int32], user: int) -> slice:
    """Return where a user's ratings are; they are sorted by user."""
    return slice(*np.searchsorted(users, [user, user + 1]).tolist())


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    task = Task(parser.parse_args().run)
    print("| ratings given | folded in | movie mean | trained on all |\n| --- | --- | --- | --- |")
    for given in GIVEN:
        folded, trained, mean = task.rmses(given)
        print(f"| {given or 'all'} | {folded:.3f} | {mean:.3f} | {trained:.3f} |")


if __name__ == "__main__":
    main()
