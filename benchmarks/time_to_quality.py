"""Best validation RMSE and the seconds it takes on MovieLens 1M, beside other libraries.

    python benchmarks/time_to_quality.py FOLDER [--peers FOLDER] [--seeds 5]

FOLDER holds ML-1M. All movies, a random 90/10 split per seed, the same one for everybody; RMSE
is clipped to the scale and of the best epoch where a library shows its epochs. Seconds are of
training alone, without validation, up to that epoch, for ours counted from the second step on; the
last column is when ours first comes within 0.002 of Keras' best RMSE on the same split. Each run
is a process of its own; settings of the peers are in `benchmarks/peers/`.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
from pathlib import Path

from harness import export, machine, run_child, run_peer, table, write_section
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from movie_embed.config import DataConfig
from movie_embed.data.triples import load_triples

OURS = ("paper", "fast", "best")
KERAS = "Keras 3, the paper's network"
NEAR, HELD_OUT = 0.002, 0.1
PEERS = {
    KERAS: ("keras", "keras_quality.py"),
    "scikit-surprise SVD": ("surprise", "surprise_svd.py"),
    "LensKit BiasedMF (ALS)": ("lenskit", "lenskit_als.py"),
    "cornac MF": ("cornac", "cornac_mf.py"),
}

Outcome = tuple[float, float]


def ours(experiment: str, source: Path, seed: int, folder: Path) -> list[Outcome]:
    """Train an experiment as a user does; return RMSE and seconds of every epoch."""
    run = folder / f"{experiment}-{seed}"
    settings = [
        f"experiment={experiment}",
        "data=ml-1m",
        f"data.path={source.resolve()}",
        "data.min_ratings=1",
        f"data.val_fraction={HELD_OUT}",
        f"seed={seed}",
        "save.figures=false",
        f"hydra.run.dir={run}",
    ]
    run_child([sys.executable, "train.py", *settings])
    metrics = json.loads((run / "metrics.json").read_text())
    epoch_seconds = (1 - HELD_OUT) * metrics["ratings"] / metrics["ratings_per_second"]
    logged = EventAccumulator(str(run)).Reload().Scalars("val_rmse")
    return [(event.value, epoch_seconds * epoch) for epoch, event in enumerate(logged, 1)]


def peer(environment: str, script: str, data: Path, seed: int, peers: Path) -> Outcome:
    """Run a peer; return RMSE and seconds."""
    result = run_peer(environment, script, peers, data, str(seed))
    return result["rmse"], result["seconds"]


def main() -> None:
    """Run everything and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", type=Path, help="the folder or zip of ML-1M")
    parser.add_argument("--peers", type=Path, default=Path(".peers"), help="peers' environments")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    triples = load_triples(
        DataConfig(name="ml-1m", path=str(options.source), rating_range=[1, 5], min_ratings=1)
    )
    outcomes: dict[str, list[Outcome]] = {}
    reached: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(options.seeds):
            data = export(triples, *triples.split(HELD_OUT, seed), folder / "data.npz")
            curves = {}
            for experiment in OURS:
                label = f"movie_embed, experiment={experiment}"
                curves[label] = ours(experiment, options.source, seed, folder)
                outcomes.setdefault(label, []).append(min(curves[label]))
            for label, (environment, script) in PEERS.items():
                outcome = peer(environment, script, data, seed, options.peers)
                outcomes.setdefault(label, []).append(outcome)
            near = outcomes[KERAS][-1][0] + NEAR
            for label, curve in curves.items():
                first = next((seconds for rmse, seconds in curve if rmse <= near), math.inf)
                reached.setdefault(label, []).append(first)
            print({label: found[-1] for label, found in outcomes.items()}, flush=True)
    rows = []
    for label, pairs in outcomes.items():
        rmse, seconds = zip(*pairs, strict=True)
        spread = statistics.stdev(rmse) if len(rmse) > 1 else 0.0
        rows.append(
            (
                label,
                f"{statistics.mean(rmse):.4f}",
                f"{spread:.4f}",
                f"{statistics.mean(seconds):.1f}",
                f"{statistics.mean(reached[label]):.1f}" if label in reached else "",
            )
        )
    heading = ("", "RMSE, mean", "standard deviation", "seconds, mean", "to Keras' + 0.002")
    note = f"{machine()}; {options.seeds} seeds"
    write_section("time_to_quality", f"{note}\n\n{table(heading, rows)}")


if __name__ == "__main__":
    main()
