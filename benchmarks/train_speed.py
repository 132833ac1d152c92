"""Training throughput at the paper's size beside a bare loop, usual Lightning, Keras and fastai.

    python benchmarks/train_speed.py [--peers FOLDER] [--rounds 2]

138,476 users, 1,005 movies, 12 million simulated ratings, 50 dimensions. Each contender is a
process of its own, one after another, and all again in the next round; its fastest run counts,
since other tenants of a machine only ever slow it down. Ratings per second are counted over
whole epochs, shuffling included, after the first batch. FOLDER keeps the peers' environments
between calls.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import (
    ROOT,
    command_line,
    export,
    run_peer,
    split_columns,
    table,
    trained,
    write_section,
    write_table,
)

from movie_embed.config import DataConfig
from movie_embed.data.loading import load_ratings

USERS, EPOCHS = 138_476, 3
BATCHES, SHOWN = (32_768, 65_536, 262_144), 65_536
PEERS = {"Keras 3, TensorFlow": "keras", "fastai, collab_learner": "fastai"}
NAIVE = ((1_024, 0), (8_192, 0), (65_536, 0), (65_536, 2))


def contenders(folder: Path, data: Path, peers: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Run each contender once and yield its name, batch size and result."""
    for size in BATCHES:
        settings = [f"data.users={USERS}", f"data.batch_size={size}"]
        settings += [f"trainer.max_epochs={EPOCHS}", "overwrite=true"]
        yield "movie_embed (train.py)", size, trained(folder / "run", *settings)
        bare = run_peer("", "bare_loop.py", peers, data, str(size), str(EPOCHS))
        yield "bare loop of the same step", size, bare
    for size, workers in NAIVE:
        result = run_peer("", "usual_lightning.py", peers, data, str(size), str(workers))
        yield f"usual Lightning code, {workers} workers", size, result
    for label, name in PEERS.items():
        for size in (1_024, 65_536):
            yield label, size, run_peer(name, f"{name}_speed.py", peers, data, str(size))


def measure(peers: Path = Path(".peers"), rounds: int = 2) -> None:
    """Run all contenders and write the tables."""
    runs: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        rated = load_ratings(DataConfig(users=USERS, min_ratings=50))
        data = export(rated, *split_columns(rated, 0.05, seed=0), Path(name, "data.npz"))
        for _ in range(rounds):
            for label, size, result in contenders(Path(name), data, peers):
                print(label, size, result["ratings_per_second"], flush=True)
                runs[label, size].append(result)
    speeds = {key: max(run["ratings_per_second"] for run in each) for key, each in runs.items()}
    first = speeds["movie_embed (train.py)", SHOWN]
    rows = []
    for (label, size), speed in speeds.items():
        memory = max(run["memory"] for run in runs[label, size])
        cells = (f"{speed / 1e6:.3f} M", f"{speed / first:.3f}", f"{memory:,.0f}")
        rows.append((label, f"{size:,}", *cells))
    heading = ("", "batch", "ratings/s", f"of ours at {SHOWN:,}", "peak RSS, MB")
    write_table("train_speed", f"the fastest of {rounds} runs", heading, rows)
    hidden = "bare loop of the same step", "usual Lightning code, 0 workers"
    short = [row[:3] for row in rows if row[1] == f"{SHOWN:,}" and row[0] not in hidden]
    write_section("speed", table(heading[:3], short), ROOT / "README.md")


if __name__ == "__main__":
    command_line(__doc__, measure)
