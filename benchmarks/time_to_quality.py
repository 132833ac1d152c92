"""Best validation RMSE and the seconds it takes on MovieLens 1M, beside other libraries.

    python benchmarks/time_to_quality.py FOLDER [--peers FOLDER] [--seeds 5]

FOLDER holds ML-1M. All movies, a random 90/10 split per seed, the same one for everybody; RMSE
is clipped to the scale and of the best epoch where a library shows its epochs. Seconds are of
training alone, up to that epoch. Each run is a process of its own; settings of the peers are in
`benchmarks/peers/`.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from harness import export, machine, run_child, run_peer, table, write_section

from movie_embed.config import DataConfig
from movie_embed.data.triples import load_triples

OURS = ("paper", "fast", "best")
PEERS = {
    "Keras 3, the paper's network": ("keras", "keras_quality.py"),
    "scikit-surprise SVD": ("surprise", "surprise_svd.py"),
    "LensKit BiasedMF (ALS)": ("lenskit", "lenskit_als.py"),
    "cornac MF": ("cornac", "cornac_mf.py"),
}

Outcome = tuple[float, float]


def ours(experiment: str, source: Path, seed: int, folder: Path) -> Outcome:
    """Train an experiment as a user does; return RMSE and seconds to its best epoch."""
    run = folder / f"{experiment}-{seed}"
    settings = [
        f"experiment={experiment}",
        "data=ml-1m",
        f"data.path={source.resolve()}",
        "data.min_ratings=1",
        "data.val_fraction=0.1",
        f"seed={seed}",
        "save.figures=false",
        f"hydra.run.dir={run}",
    ]
    run_child([sys.executable, "train.py", *settings])
    metrics = json.loads((run / "metrics.json").read_text())
    return metrics["val_rmse"], metrics["train_seconds"] * metrics["best_epoch"] / metrics["epochs"]


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

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for seed in range(options.seeds):
            data = export(triples, *triples.split(0.1, seed), folder / "data.npz")
            for experiment in OURS:
                outcome = ours(experiment, options.source, seed, folder)
                outcomes.setdefault(f"movie_embed, experiment={experiment}", []).append(outcome)
            for label, (environment, script) in PEERS.items():
                outcome = peer(environment, script, data, seed, options.peers)
                outcomes.setdefault(label, []).append(outcome)
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
            )
        )
    heading = ("", "RMSE, mean", "standard deviation", "seconds, mean")
    note = f"{machine()}; {options.seeds} seeds"
    write_section("time_to_quality", f"{note}\n\n{table(heading, rows)}")


if __name__ == "__main__":
    main()
