"""How good the neighbours are, and how near to the paper's.

    python benchmarks/neighbours.py worth FOLDER [--min-ratings 300] [--seeds 5]
    python benchmarks/neighbours.py paper outputs/latest [--write]
    python benchmarks/neighbours.py choices FOLDER [--min-ratings 300] [--seeds 3]
    python benchmarks/neighbours.py numbers TEXT_OF_THE_PAPER

FOLDER is any MovieLens folder or zip; a twentieth of its ratings is held out.

`worth`: sequels found, genres shared, catalogue covered. Each experiment is trained as a user
would; the baseline is the cosine of raw rating columns, the traditional vectors the paper starts
from (section II.C). Neighbours are by `metric=cosine`, as in the paper, by `metric=whitened`, and
by `metric=mixed` where the run has an implicit model.

`paper`: the paper's lists beside those of a run of `python train.py experiment=paper
data.path=ml-20m.zip`.

`choices`: each row is `experiment=paper` with one thing changed, among them what no setting
changes. Error and neighbours are those after the last epoch, which the paper saves, beside the
best epoch's error.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from harness import (
    DOCS,
    command_line,
    curve,
    spread,
    table,
    trained,
    trained_as_changed,
    write_section,
    write_table,
)
from numpy.typing import NDArray
from sequels import genre_precision, sequel_pairs, sequel_recall

from movie_embed import MovieEmbedError, Recommender
from movie_embed.config import DataConfig
from movie_embed.data.loading import load_ratings
from movie_embed.data.movies import MovieTable
from movie_embed.data.ratings import DataSet
from movie_embed.data.splits import TRAIN
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.embeddings.spaces import Space, Spaces, unit
from movie_embed.evaluation import coverage, top_rows

PAGE = DOCS / "paper.md"
HELD_OUT = "data.val_fraction=0.05"
# The paper saves its last epoch; the others, as by default, the best on held-out ratings.
EXPERIMENTS = {
    "default settings": [],
    "experiment=paper": ["experiment=paper", "save.epoch=last"],
    "experiment=fast": ["experiment=fast"],
    "experiment=best": ["experiment=best"],
}
K = 10

LISTS = """
97 Toy Story 2 (1999)
85 Bug's Life, A (1998)
83 Finding Nemo (2003)
83 Monsters, Inc. (2001)
82 Toy Story 3 (2010)
79 Incredibles, The (2004)
77 Aladdin (1992)
75 Beauty and the Beast (1991)
73 Tarzan (1999)
72 Babe (1995)
98 Harry Potter and the Chamber of Secrets (2002)
97 Harry Potter and the Goblet of Fire (2005)
96 Harry Potter and the Order of the Phoenix (2007)
95 Harry Potter and the Prisoner of Azkaban (2004)
84 Chronicles of Narnia: The Lion, the Witch and the Wardrobe, The (2005)
72 Pirates of the Caribbean: At World's End (2007)
70 Pirates of the Caribbean: The Curse of the Black Pearl (2003)
69 Pirates of the Caribbean: Dead Man's Chest (2006)
67 Ever After: A Cinderella Story (1998)
65 X-Men: The Last Stand (2006)
79 Dark Knight, The (2008)
76 Prestige, The (2006)
71 Shutter Island (2010)
69 V for Vendetta (2006)
68 Batman Begins (2005)
65 Lucky Number Slevin (2006)
63 Departed, The (2006)
62 300 (2007)
61 Sherlock Holmes (2009)
61 Last Samurai, The (2003)
"""
_ANSWERS = [(line[3:], int(line[:2]) / 100) for line in LISTS.strip().splitlines()]
TOY_STORY, HARRY_POTTER, INCEPTION = (dict(_ANSWERS[start : start + 10]) for start in (0, 10, 20))
BOTH = dict(sorted([*_ANSWERS[15:20], *_ANSWERS[5:10]], key=lambda answer: -answer[1]))

Combine = Literal["mean", "max"]
QUESTIONS: dict[tuple[int, ...], tuple[dict[str, float], tuple[Combine, ...]]] = {
    (1,): (TOY_STORY, ("mean",)),
    (4896,): (HARRY_POTTER, ("mean",)),
    (79132,): (INCEPTION, ("mean",)),
    (1, 4896): (BOTH, ("mean", "max")),
}


def measures(movies: MovieTable, similarities: NDArray[np.float32]) -> tuple[float, float, float]:
    """Return sequel recall, genre precision and coverage of the ten most similar."""
    np.fill_diagonal(similarities, -np.inf)
    top = top_rows(similarities, K)
    neighbours, pairs = dict(enumerate(top)), sequel_pairs(movies.titles[: movies.embedded])
    precision = genre_precision(neighbours, movies.genres)
    return sequel_recall(neighbours, pairs), precision, coverage(top, len(top))


def co_rating_vectors(data: DataSet) -> NDArray[np.float32]:
    """Return each movie's column of ratings, 0 where a user gave none."""
    users, movies, stars = data.ratings.columns(data.trained)
    columns = np.zeros((data.counts.movies, data.counts.users), dtype=np.float32)
    columns[movies, users] = stars
    return columns


def measured(*settings: str) -> dict[str, tuple[float, ...]]:
    """Train as a user would; return validation RMSE and the measures by metric."""
    with tempfile.TemporaryDirectory() as run:
        rmse = trained(Path(run), *settings)["val_rmse"]
        saved = SavedEmbeddings.load(Path(run))
        ease = Spaces(saved).ease
    size = len(saved.vectors)
    space = Space(saved.vectors, saved.biases, size)
    cosine, whitened = (table @ table.T for table in (space.unit, space.whitened))
    tables = {"cosine": cosine, "whitened": whitened}
    if ease:
        together = np.stack([ease.similarities(movie, size) for movie in range(size)])
        tables["mixed"] = (whitened + together) / 2
    return {name: (rmse, *measures(saved.movies, table)) for name, table in tables.items()}


def worth(source: Path, min_ratings: int = 300, seeds: int = 5) -> None:
    """Train the experiments and measure their neighbours."""
    path = str(source.resolve())
    data = load_ratings(DataConfig("files", path=path, min_ratings=min_ratings))
    columns = unit(co_rating_vectors(data))
    raw = measures(data.movies, columns @ columns.T)
    rows = [("raw co-ratings", "cosine", "", *(f"{value:.3f}" for value in raw))]
    where = ["data=files", f"data.path={path}", f"data.min_ratings={min_ratings}", HELD_OUT]
    for label, chosen in EXPERIMENTS.items():
        runs = [measured(*chosen, *where, f"seed={seed}") for seed in range(seeds)]
        for metric in runs[0]:
            part = np.array([run[metric] for run in runs])
            rows.append((label, metric, *(spread(column, 3) for column in part.T)))
            print(rows[-1], flush=True)
    heading = ("", "metric", "val. RMSE", "sequel recall@10", "genre precision@10", "coverage")
    pairs = len(sequel_pairs(data.movies.titles[: data.counts.movies]))
    note = f"{data.counts.movies:,} movies, {pairs:,} ordered pairs of sequels; mean and "
    note += f"standard deviation over {seeds} seeds"
    write_table(f"neighbours_{source.name}", note, heading, rows)


def paper(run: Path, write: bool = False) -> None:
    """Show the paper's lists (section V) beside those of a run, or write them into the docs."""
    recommender = Recommender.load(run)
    saved = recommender.embeddings
    movies, least = saved.movies.embedded, saved.min_ratings
    note = f"data={saved.data_name}, {movies:,} movies of {least:,} ratings or more"
    text = "\n\n".join([note, *(beside(recommender, question) for question in QUESTIONS)])
    if write:
        write_section("paper_lists", text, PAGE)
    else:
        print(text)


def beside(recommender: Recommender, movies: tuple[int, ...]) -> str:
    """Return the paper's list beside ours, and where its movies are in ours."""
    listed, ways = QUESTIONS[movies]
    everything = recommender.embeddings.movies.embedded
    columns, names, found = [], [], []
    for combine in ways:
        answers = recommender.similar(movies, everything, combine)
        ranks = {answer.movie_id: answer.rank for answer in answers}
        places = [place(recommender, ranks, title) for title in listed]
        names.append("ours" if len(movies) == 1 else f"ours, combine={combine}")
        found.append(f"{names[-1]}: {summary(places)}")
        ours = (f"{a.title} ({a.year}) {a.similarity:.2f}" for a in answers)
        columns.append((places, [next(ours) for _ in listed]))
    theirs = [f"{title} {similarity:.2f}" for title, similarity in listed.items()]
    cells = [range(1, len(theirs) + 1), theirs, *(c[0] for c in columns), *(c[1] for c in columns)]
    heading = ["", "the paper", *(f"rank in {name}" for name in names), *names]
    query = " and ".join(recommender.title(movie) for movie in movies)
    rows = list(zip(*cells, strict=True))
    return f"**{query}.** {'; '.join(found)}.\n\n{table(heading, rows)}"


def place(recommender: Recommender, ranks: dict[int, int], title: str) -> str:
    """Return where one of the paper's movies is: its rank, or why it has none."""
    try:
        movie = recommender.movie_id(title)
    except MovieEmbedError:
        return "not in the data"
    movies = recommender.embeddings.movies
    few = f"too few ratings: {movies.rating_counts[movies.row_of(movie)]:,}"
    return str(ranks.get(movie, few))


def summary(places: Iterable[str]) -> str:
    """Return how many of the paper's ten are among our first ten, and how many cannot be."""
    ranks = [int(place) if place.isdigit() else 0 for place in places]
    size, missing = len(ranks), ranks.count(0)
    first = sum(1 <= rank <= size for rank in ranks)
    without = f", {missing} without a vector" if missing else ""
    return f"{first} of the paper's {size} in the first {size}{without}"


def changes() -> dict[str, tuple[list[str], dict[str, type]]]:
    """Return the settings and the classes of each row."""
    from movie_embed.training.datamodule import Batches, RatingsDataModule
    from movie_embed.training.regression import RatingRegression

    class RegularisedBiases(RatingRegression):
        def configure_optimizers(self) -> Any:
            adam: Any = super().configure_optimizers()
            adam.param_groups[1]["weight_decay"] = adam.param_groups[0]["weight_decay"]
            return adam

    class ZeroBiases(RatingRegression):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            for biases in (self.model.user_biases, self.model.movie_biases):
                biases.data.zero_()

    class Still(Batches):
        def set_epoch(self, epoch: int) -> None:
            """Keep the first epoch's order."""

    class Shuffled(Batches):
        def set_epoch(self, epoch: int) -> None:
            super().set_epoch(epoch)
            np.random.default_rng([self.seed, epoch]).shuffle(self.packed.array)

    class OneOrder(RatingsDataModule):
        def train_dataloader(self) -> Batches:
            return Still(self.packed(TRAIN), self.batch_size, (self.seed, 0))

    class FullShuffle(RatingsDataModule):
        def train_dataloader(self) -> Batches:
            return Shuffled(self.packed(TRAIN), self.batch_size, (self.seed, 0))

    sizes = {f"batches of {n:,}": [f"data.batch_size={n}"] for n in (8_192, 4_096, 1_024)}
    pulls = {f"`model.l2={l2}`": [f"model.l2={l2}"] for l2 in ("1e-7", "1e-5", "1e-4")}
    settings = {"`experiment=paper`": [], **sizes, **pulls}
    return {label: (chosen, {}) for label, chosen in settings.items()} | {
        "biases regularised too": ([], {"module": RegularisedBiases}),
        "biases start at zero": ([], {"module": ZeroBiases}),
        "one order for all epochs": ([], {"data": OneOrder}),
        "every epoch shuffles all ratings": ([], {"data": FullShuffle}),
    }


def choices(source: Path, min_ratings: int = 300, seeds: int = 3) -> None:
    """Change each choice that the paper leaves open, one at a time."""
    where = ["experiment=paper", "data=files", f"data.path={source.resolve()}", "save.epoch=last"]
    where += [f"data.min_ratings={min_ratings}", HELD_OUT]
    rows = []
    for label, (settings, classes) in changes().items():
        outcomes = []
        for seed in range(10, 10 + seeds):  # other splits than those reported elsewhere
            with tempfile.TemporaryDirectory() as folder:
                run = Path(folder, "run")
                trained_as_changed(run, [*where, f"seed={seed}", *settings], **classes)
                rmses, saved = curve(run), SavedEmbeddings.load(run)
                recall = measures(saved.movies, unit(saved.vectors))[0]
                best = min(rmses)
                outcomes.append((best, 1 + rmses.index(best), rmses[-1], recall))
        columns = zip(*outcomes, strict=True)
        rows.append((label, *map(spread, columns, (4, 1, 4, 3))))
        print(*rows[-1], sep=" | ", flush=True)
    heading = ("", "best RMSE", "its epoch", "last RMSE", "sequel recall@10")
    write_table("paper_choices", f"seeds: {seeds}", heading, rows, path=PAGE)


def numbers(text: Path) -> None:
    """Check a vector (III.F), and the list for two movies (V), in the paper's text."""
    text_of_paper = text.read_text(encoding="utf-8")
    blocks = re.findall(r"\[([-\d.e+\s]{200,})\]", text_of_paper)
    raw, normalised = (np.array(block.split(), dtype=np.float64) for block in blocks)
    expected = raw / np.linalg.norm(raw)
    print(f"norms {np.linalg.norm(raw):.7f} and {np.linalg.norm(normalised):.9f}")
    right = np.isclose(expected, normalised, rtol=1e-6, atol=0)
    for i in np.flatnonzero(~right):
        print(f"component {i + 1}: {expected[i]:.8g} expected, printed {normalised[i]:.8g}")
    print(f"the others agree to {np.abs(normalised / expected - 1)[right].max():.1e}")
    both = r"'Movie_Name': '(.+)', 'Similarity': ([\d.]+)}"
    together = [(title, round(float(s), 2)) for title, s in re.findall(both, text_of_paper)]
    same = sorted(BOTH.items()) == sorted(together)
    print(f"two movies: ranks 6 to 10 of both lists, the same similarities: {same}")


if __name__ == "__main__":
    command_line(__doc__, worth, paper, choices, numbers)
