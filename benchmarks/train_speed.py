"""Training throughput at the paper's size beside a bare loop, usual Lightning, Keras and fastai.

    python benchmarks/train_speed.py [--peers FOLDER] [--rounds 2]

138,476 users, 1,005 movies, 12 million simulated ratings, 50 dimensions. Each contender is a
process of its own, one after another, and all again in the next round; its fastest run counts,
since other tenants of a machine only ever slow it down. Ratings per second are counted over
whole epochs, shuffling included, after the first batch. FOLDER keeps the peers' environments
between calls.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import PEERS, ROOT, export, machine, run_child, run_peer, table, write_section

from movie_embed.config import DataConfig
from movie_embed.data.triples import load_triples

USERS, EPOCHS = 138_476, 3
BATCHES = (65_536, 262_144)
PEER_NAMES = {"Keras 3, TensorFlow": "keras", "fastai, collab_learner": "fastai"}
NAIVE = ((1_024, 0), (8_192, 0), (65_536, 0), (65_536, 2))

Result = dict[str, Any]


def ours(batch_size: int, folder: Path) -> Result:
    """Run train.py as a user does."""
    run = folder / f"run-{batch_size}"
    settings = [f"data.users={USERS}", f"data.batch_size={batch_size}", f"hydra.run.dir={run}"]
    command = [sys.executable, "train.py", *settings, f"trainer.max_epochs={EPOCHS}"]
    command.append("save.figures=false")
    _, memory = run_child(command)
    return json.loads((run / "metrics.json").read_text()) | {"memory": memory}


def local(script: str, *arguments: object) -> Result:
    """Run one of `peers/` that needs no environment of its own."""
    text, memory = run_child([sys.executable, PEERS / script, *map(str, arguments)])
    return json.loads(text.strip().splitlines()[-1]) | {"memory": memory}


def contenders(data: Path, folder: Path, peers: Path) -> Iterator[tuple[str, int, Result]]:
    """Run each contender once and yield its name, batch size and result."""
    for size in BATCHES:
        yield "movie_embed (train.py)", size, ours(size, folder)
        yield "bare loop of the same step", size, local("bare_loop.py", data, size, EPOCHS)
    for size, workers in NAIVE:
        result = local("usual_lightning.py", data, size, workers)
        yield f"usual Lightning code, {workers} workers", size, result
    for label, name in PEER_NAMES.items():
        for size in (1_024, 65_536):
            yield label, size, run_peer(name, f"{name}_speed.py", peers, data, str(size))


def main() -> None:
    """Run all contenders and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--peers", type=Path, default=Path(".peers"), help="peers' environments")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    runs: dict[tuple[str, int], list[Result]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        triples = load_triples(DataConfig(users=USERS, min_ratings=50))
        data = export(triples, *triples.split(0.05, seed=0), folder / "data.npz")
        for _ in range(options.rounds):
            for label, size, result in contenders(data, folder, options.peers):
                print(label, size, result["ratings_per_second"], flush=True)
                runs.setdefault((label, size), []).append(result)
    speeds = {key: max(run["ratings_per_second"] for run in each) for key, each in runs.items()}
    first = speeds["movie_embed (train.py)", BATCHES[0]]
    rows = [
        (
            label,
            f"{size:,}",
            f"{speed / 1e6:.3f} M",
            f"{speed / first:.3f}",
            f"{max(run['memory'] for run in runs[label, size]):,.0f}",
        )
        for (label, size), speed in speeds.items()
    ]
    heading = ("", "batch", "ratings/s", f"of ours at {BATCHES[0]:,}", "peak RSS, MB")
    note = f"{machine()}; the fastest of {options.rounds} runs"
    write_section("train_speed", f"{note}\n\n{table(heading, rows)}")
    short = [row[:3] for row in rows if row[1] == f"{BATCHES[0]:,}" and "bare" not in row[0]]
    write_section("speed", table(heading[:3], short), ROOT / "README.md")


if __name__ == "__main__":
    main()
