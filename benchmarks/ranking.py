"""How well lists for a person bring back what that person liked, beside other libraries.

    python benchmarks/ranking.py lists FOLDER [--min-ratings 1] [--seeds 3] [--peers FOLDER]
    python benchmarks/ranking.py sizes FOLDER
    python benchmarks/ranking.py catalogue

All learn from the same ratings of a MovieLens folder and rank all movies with a training rating
that a person has not given. Relevant is what was held out with 4 stars or more: a random tenth of
the ratings; of a random tenth of the users, all but the 80%, or 1, 5 or 20 ratings, that they are
folded in from; or, if there are times (``u.data``), each user's last tenth. Ours is `train.py` and
`Recommender.for_many(ratings, k=50)`. Peers have the settings of `GRIDS` with the best nDCG@10
for 1,000 users on a tenth of the first seed's training ratings. Seconds and MB are of a process.

`sizes` trains on nine tenths of the folder's ratings, all movies, with implicit models of more and
more movies in the core. `catalogue` fits one to random ratings of the size of MovieLens 32M.
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from harness import (
    DOCS,
    ROOT,
    command_line,
    export,
    machine,
    run_peer,
    spread,
    table,
    trained,
    write_section,
    write_table,
)
from numpy.typing import NDArray

from movie_embed import Filters, Recommender, evaluation
from movie_embed.config import DataConfig
from movie_embed.data.loading import load_ratings
from movie_embed.training.implicit import Choices, fit_ease

SHARE, K, TUNED_USERS, GIVEN = 0.1, 50, 1_000, (1, 5, 20)
SIZES = (0, 1_000, 4_000, 8_000)
COSTS = ("seconds", "MB", "MB on disk")
ORDERS = {"movie_embed": (None, "stars"), "experiment=best": (None,)}
PENALTY = {"regularization": (10, 30, 100)}
GRIDS: dict[str, tuple[Any, ...]] = {
    "implicit ALS": ("implicit", "als", {"factors": (50, 100), **PENALTY}),
    "implicit BPR": ("implicit", "bpr", {"learning_rate": (0.001, 0.003, 0.01), "factors": (50,)}),
    "cornac EASE": ("cornac", "ease", {"lamb": (100, 300, 1000), "stars": (False, True)}),
    "LensKit MF": ("lenskit", "mf", {"embedding_size": (50, 100), "weight": (1,), **PENALTY}),
    "LensKit ItemKNN": ("lenskit", "knn", {"max_nbrs": (20, 100, 300), "feedback": ("implicit",)}),
}
FIGURES = ("ndcg@10", "recall@10", "recall@50", "coverage@10", "popularity@10")
HEADING = ("", *FIGURES, "seconds", "MB", *(f"ndcg@10 of {count}" for count in GIVEN))

Columns = tuple[NDArray[Any], ...]  # users, movies and stars, each of shape (ratings,)
Outcome = tuple[list[dict[str, float]], float, float]  # figures, seconds and MB


def last_ratings(users: NDArray[Any], times: NDArray[Any], share: float) -> NDArray[np.bool_]:
    """Return which ratings are the last of their users; who has fewer than 1 / share has none."""
    order = np.lexsort((times, users))
    counts = np.bincount(users)
    ends = np.cumsum(counts)[users[order]]
    held_out = np.empty(len(users), np.bool_)
    held_out[order] = ends - np.arange(len(users)) <= counts[users[order]] * share
    return held_out


def unseen_users(
    users: NDArray[Any], share: float, seed: int, given: float = 0.8
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which ratings are of users held out whole, and which of these are given."""
    rng = np.random.default_rng(seed)
    theirs = (rng.random(int(users.max()) + 1) < share)[users]
    return theirs, theirs & (rng.random(len(users)) < given)


class Task(NamedTuple):
    """What everybody learns from and is asked; people are numbered by kind, then by user."""

    data: Any
    train: Columns
    given: Columns = ()
    wanted: Columns = ()

    def split(self, train: NDArray[Any], kinds: Sequence[NDArray[Any]], most: int) -> Task:
        """Ask for users of each kind by what they give, if they like something among the rest."""
        users, movies, stars = self.train
        known = np.isin(movies, movies[train])
        liked = stars >= evaluation.relevant_stars(self.data.rating_range)
        parts: tuple[list[Any], ...] = ([], [])
        for kind, given in enumerate(kinds):
            people = np.intersect1d(users[given & known], users[liked & ~given])
            theirs = np.isin(users, people[:: -(-len(people) // most)])
            for part, mine in zip(parts, (given & known, liked & ~given), strict=True):
                part.append(np.flatnonzero(mine & theirs) + kind * len(users))
        asked = []
        for kind, rows in (np.divmod(np.concatenate(part), len(users)) for part in parts):
            people = users[rows] + kind * self.data.counts.users
            asked.append((people, movies[rows], stars[rows]))
        return Task(self.data, tuple(column[train] for column in self.train), *asked)

    def held_out_ratings(self, seed: int, most: int = 10**9) -> Task:
        """Hold out a share of the ratings."""
        train = np.random.default_rng(seed).random(len(self.train[0])) >= SHARE
        return self.split(train, [train], most)

    def held_out_users(self, seed: int) -> Task:
        """Hold out a share of the users, who give 80% of their ratings, or a few."""
        users = self.train[0]
        theirs, given = unseen_users(users, SHARE, seed)
        order = np.lexsort((np.random.default_rng(seed).random(len(users)), users))
        sizes, place = np.bincount(users), np.empty_like(order)
        place[order] = np.arange(len(users)) - (np.cumsum(sizes) - sizes)[users[order]]
        few = [theirs & (place < count) & (sizes[users] > count) for count in GIVEN]
        return self.split(~theirs, [given, *few], 10**9)

    @property
    def popularity(self) -> NDArray[np.intp]:
        """Training ratings of each movie."""
        return np.bincount(self.train[1], minlength=self.data.counts.movies)

    def figures(self, scores: NDArray[Any]) -> list[dict[str, float]]:
        """Measure scores of shape (people, movies) or (movies,), each kind of person apart."""
        people, counts = np.unique(self.given[0]), self.popularity
        scores = np.broadcast_to(np.where(counts, scores, -np.inf), (len(people), len(counts)))
        rank = lambda some: scores[np.searchsorted(people, some)]  # noqa: E731
        size, kinds = int(people[-1]) + 1, self.wanted[0] // self.data.counts.users
        known, figures = evaluation.MovieLists.of(*self.given[:2], size), []
        for kind in range(kinds.max() + 1):
            wanted = (column[kinds == kind] for column in self.wanted[:2])
            lists = evaluation.MovieLists.of(*wanted, size)
            figures.append(evaluation.evaluate_ranking(rank, known, lists, counts, (10, K)))
        return figures


def lists(folder: Path, min_ratings: int = 1, seeds: int = 3, peers: Path = Path(".peers")) -> None:
    """Rank with everybody by each protocol and write the tables."""
    name = folder.name if folder.name in ("ml-100k", "ml-1m") else "files"
    data = load_ratings(DataConfig(name, str(folder.resolve()), min_ratings=min_ratings))
    whole, counts = Task(data, data.ratings.columns(data.trained)), data.counts
    protocols: dict[str, Any] = {"Held-out ratings": whole.held_out_ratings}
    protocols["Held-out users"] = whole.held_out_users
    if (file := folder / "u.data").exists():
        users, movies, _, times = np.loadtxt(file, np.int64, unpack=True)
        train = ~last_ratings(whole.train[0], times[np.lexsort((movies, users))], SHARE)
        protocols["Last ratings"] = lambda _: whole.split(train, [train], 10**9)
    chosen = dict(tuned(whole.held_out_ratings(0), peers))
    sections = [f"{machine()}; {counts.users:,} users, {counts.movies:,} movies, {seeds} seeds"]
    tables = {}
    for title, protocol in protocols.items():
        found = [dict(ranked(protocol(seed), seed, chosen, peers)) for seed in range(seeds)]
        rows = [row_of(label, [outcomes[label] for outcomes in found]) for label in found[0]]
        sections += [f"**{title}**", table(HEADING[: len(rows[0])], rows)]
        tables[title] = rows
    settings = "; ".join(f"{label} {json.dumps(options)}" for label, options in chosen.items())
    sections.append(f"Peers' settings: {settings}.".replace('"', ""))
    write_section(f"ranking_{folder.name}", "\n\n".join(sections))
    if name == "ml-1m":
        text = front_page(tables["Held-out ratings"], tables["Held-out users"])
        write_section("lists", text, ROOT / "README.md")


def front_page(ratings: list[list[str]], users: list[list[str]]) -> str:
    """Return the README's table: nDCG@10 by both protocols, and after 5 ratings."""
    new = {row[0]: (row[1], row[-2]) for row in users}
    rows = [
        (label, ndcg, *new[label])
        for label, ndcg, *_ in ratings
        if label in new and "=" not in label and label != "bias only"
    ]
    rows.sort(key=lambda row: row[1], reverse=True)
    return table(("", "held-out ratings", "new people", "who gave 5 ratings"), rows)


def sizes(folder: Path) -> None:
    """Train with implicit models of several sizes and write the table."""
    data = load_ratings(DataConfig("files", str(folder.resolve()), min_ratings=1))
    task = Task(data, data.ratings.columns(data.trained)).held_out_ratings(0)
    names = ("user", "movie", "rating")
    given, wanted = (pd.DataFrame(dict(zip(names, part))) for part in task[2:])  # noqa: B905
    rows = []
    for movies in SIZES:
        with tempfile.TemporaryDirectory() as name:
            head = f"ranking.movies={movies}" if movies else "ranking.enabled=false"
            begun, run = time.perf_counter(), Path(name, "run")
            found = train_on(task, Path(name), head, "data.min_ratings=1")
            seconds = time.perf_counter() - begun
            size = (run / "embeddings.safetensors").stat().st_size / 1e6
            recommender = Recommender.load(run)
            table = recommender.embeddings.movies
            core = table.ids[np.argsort(-table.rating_counts[: table.embedded])[:movies]]
            every = recommender.for_many(given, 100, filters=Filters(include_rare=True))
            beyond = wanted[~wanted["movie"].isin(core)]
            quality = [
                evaluation.evaluate(recommender.for_many(given), wanted)["ndcg"],
                evaluation.evaluate(every, beyond, 100)["recall"],
                found["val_rmse"],
            ]
        costs = [f"{cost:,.0f}" for cost in (seconds, found["memory"], size)]
        label = f"{len(core):,}" if movies else "no implicit model"
        rows.append([label, *(f"{figure:.4f}" for figure in quality), *costs])
        print(*rows[-1], flush=True)
    note = f"{data.counts.users:,} users, {data.counts.movies:,} movies, {len(task.train[0]):,} "
    heading = ("movies in the core", "ndcg@10", "recall@100 of the others", "RMSE", *COSTS)
    write_table("head_sizes", note + "ratings to train on", heading, rows, path=DOCS / "ranking.md")


def catalogue(users: int = 200_948, movies: int = 84_432, ratings: int = 32_000_204) -> None:
    """Fit the implicit model to random ratings, as many as MovieLens 32M has."""
    rng = np.random.default_rng(0)
    sizes = rng.lognormal(4, 1.2, users) + 20
    who = np.repeat(np.arange(users), np.ceil(sizes * ratings / sizes.sum()).astype(int))
    popularity = np.cumsum((np.arange(movies) + 50.0) ** -1.35)  # 8,000 movies have 0.96 of all
    what = np.searchsorted(popularity, rng.random(len(who)) * popularity[-1])
    who, what = np.divmod(np.unique(who * movies + what), movies)  # some are drawn twice
    values = rng.choice(np.array([0.2, 0.5, 0.8, 1.2], np.float32), len(who))
    starts = np.append(0, np.cumsum(np.bincount(who, minlength=users)))
    counts = np.bincount(what, minlength=movies)
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    ease = fit_ease(Choices(starts, what, values), counts, movies, 400, 8_000)
    seconds = time.process_time() - begun
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    held = sum(column.nbytes for column in vars(ease).values() if column is not None)
    cells = [len(ease.rows), len(ease.rest_rows), seconds, memory / 1024, held / 1e6]
    note = f"{users:,} users, {len(who):,} ratings; {before / 1024:,.0f} MB before the fit"
    heading = ("core", "other movies", "CPU seconds", "MB, peak", "MB on disk")
    row = [f"{cell:,.0f}" for cell in cells]
    write_table("catalogue", note, heading, [row], path=DOCS / "ranking.md")


def tuned(task: Task, peers: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the settings of each peer that are best on a part of the training ratings."""
    inner = task.held_out_ratings(0, TUNED_USERS)
    for label, (*peer, grid) in GRIDS.items():
        options = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
        worth = [of_peer(inner, 0, peers, *peer, given)[0][0]["ndcg@10"] for given in options]
        print(label, *zip(options, worth, strict=True), sep="\n", flush=True)
        yield label, options[int(np.argmax(worth))]


def ranked(task: Task, seed: int, chosen: Any, peers: Path) -> Iterator[tuple[str, Outcome]]:
    """Yield each contender's name and outcome."""
    counts = task.data.counts
    biases = evaluation.fit_biases(lambda: [task.train], counts.users, counts.movies)
    yield "popularity", (task.figures(task.popularity), 0, 0)
    yield "bias only", (task.figures(biases.movies), 0, 0)
    for label in ORDERS:
        yield from of_ours(task, seed, label)
    for label, (*peer, _) in GRIDS.items():
        if "bpr" not in peer or np.isin(task.given[0], task.train[0]).all():  # it folds nobody in
            yield label, of_peer(task, seed, peers, *peer, chosen[label])


def of_ours(task: Task, seed: int, label: str) -> Iterator[tuple[str, Outcome]]:
    """Train as a user does, ask for everybody's list in some orders, and yield the outcomes."""
    asked = pd.DataFrame(dict(zip(("user", "movie", "rating"), task.given, strict=True)))
    people = np.unique(task.given[0])
    with tempfile.TemporaryDirectory() as folder:
        begun, chosen = time.perf_counter(), [label] if "=" in label else []
        memory = train_on(task, Path(folder), f"seed={seed}", *chosen)["memory"]
        recommender, learned = Recommender.load(Path(folder, "run")), time.perf_counter() - begun
        for order in ORDERS[label]:
            begun = time.perf_counter()
            found = recommender.for_many(asked, K, order=order)
            scores = np.full((len(people), task.data.counts.movies), -np.inf, np.float32)
            scores[np.searchsorted(people, found["user"]), found["movie"]] = -found["rank"]
            seconds = learned + time.perf_counter() - begun
            yield f"order={order}" if order else label, (task.figures(scores), seconds, memory)


def train_on(task: Task, folder: Path, *settings: str) -> dict[str, Any]:
    """Train as a user does, on a file of the task's training ratings, into a folder's run."""
    file, names = folder / "ratings.csv", {"header": "userId,movieId,rating", "comments": ""}
    np.savetxt(file, np.column_stack(task.train), "%d,%d,%.1f", **names)
    scale = "data.rating_range=[{},{}]".format(*task.data.rating_range)
    where = ["data=files", f"data.path={file}", f"data.cache_dir={folder}", scale]
    return trained(folder / "run", *where, *settings)


def of_peer(task: Task, seed: int, peers: Path, home: str, model: str, given: Any) -> Outcome:
    """Run a peer in its environment, with the settings given."""
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        file = export(task.data, task.train, task.given, Path(folder, "data.npz"))
        arguments = (file, model, json.dumps(given), str(seed))
        memory = run_peer(home, "ranked.py", peers, *arguments)["memory"]
        scores = np.fromfile(file.with_suffix(".predicted"), np.float32)
        seconds = time.perf_counter() - begun
    return task.figures(scores.reshape(-1, task.data.counts.movies)), seconds, memory


def row_of(label: str, outcomes: list[Outcome]) -> list[str]:
    """Return a row of means over the seeds."""
    runs = [[[kind[name] for name in FIGURES] for kind in kinds] for kinds, *_ in outcomes]
    values = np.array(runs)  # of shape (seeds, kinds, figures)
    *means, popularity = values[:, 0, 1:].mean(axis=0)
    costs = [popularity, *np.mean([cost for _, *cost in outcomes], axis=0)]
    cells = [*(f"{mean:.3f}" for mean in means), *(f"{c:,.0f}" if c else "" for c in costs)]
    return [label, spread(values[:, 0, 0], 3), *cells, *(spread(v, 3) for v in values[:, 1:, 0].T)]


if __name__ == "__main__":
    command_line(__doc__, lists, sizes, catalogue)
