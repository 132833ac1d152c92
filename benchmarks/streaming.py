"""One epoch of more ratings than may be in memory, beside the same epoch in memory.

    python benchmarks/streaming.py [--ratings 100_000_000] [--folder FOLDER] [--memory-steps N]

Simulated shards (`benchmarks/simulated_shards.py`) are prepared and trained on by the real
`train.py`, after `load_triples` has filled the cache. `ulimit -d` holds preparation to 2 GB, and
the streamed run to 2 GB and what the model takes: its tables, their gradients and Adam's two
moments. FOLDER needs some 30 bytes a rating for a while; what is written there is deleted at the
end. N steps in memory are enough for a rate where a whole epoch takes long.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from harness import ROOT, machine, run_child, table, write_section
from simulated_shards import MOVIES, USERS_PER_100M

DIM, STATES = 50, 4  # a table, its gradient and two moments
ALLOWED = 2 * 10**9
PREPARE = """
import sys
from movie_embed.config import DataConfig
from movie_embed.data.loading import load_triples
load_triples(DataConfig("files", path=sys.argv[1], cache_dir=sys.argv[2]))
"""


class Outcome(NamedTuple):
    """What a process took, in seconds and MB, and the metrics of its run."""

    seconds: float
    memory: float
    metrics: dict[str, Any]

    def cells(self, fastest: float) -> tuple[str, ...]:
        """Return a row of the table, without its name."""
        rate = self.metrics.get("ratings_per_second")
        speed = (f"{rate / 1e6:.2f} M", f"{fastest / rate:.2f}") if rate else ("", "")
        rmse = f"{self.metrics['val_rmse']:.4f}" if rate else ""
        return (f"{self.seconds:,.0f}", f"{self.memory:,.0f}", *speed, rmse)


def timed(command: list[str | Path], limit: int | None = None) -> tuple[float, float]:
    """Run a command with at most so many bytes of data; return seconds and MB."""
    if limit:
        command = ["bash", "-c", f'ulimit -d {limit // 1024} && exec "$@"', "bash", *command]
    started = time.perf_counter()
    _, memory = run_child(command)
    seconds = time.perf_counter() - started
    print(f"{seconds:,.0f} s, {memory:,.0f} MB: {command[-1]}", flush=True)
    return seconds, memory


def train(folder: Path, limit: int | None, *settings: str) -> Outcome:
    """Run train.py as a user does, for one epoch."""
    command = [sys.executable, "train.py", "data=files", f"data.path={folder / 'shards'}"]
    command += [f"data.cache_dir={folder / 'cache'}", f"hydra.run.dir={folder / 'run'}"]
    command += [f"model.dim={DIM}", "trainer.max_epochs=1", "overwrite=true", *settings]
    measured = timed([*command], limit)
    return Outcome(*measured, json.loads((folder / "run" / "metrics.json").read_text()))


def report(ratings: int, folder: Path, memory_steps: int | None) -> str:
    """Run everything and return the table."""
    shards, cache = folder / "shards", folder / "cache"
    generator = ROOT / "benchmarks" / "simulated_shards.py"
    timed([sys.executable, generator, shards, str(ratings)])
    on_disk = sum(path.stat().st_size for path in shards.iterdir())
    model = (USERS_PER_100M * ratings // 10**8 + MOVIES) * (DIM + 1) * 4 * STATES
    prepared = Outcome(*timed([sys.executable, "-c", PREPARE, shards, cache], ALLOWED), {})
    streamed = train(folder, ALLOWED + model)
    settings = [f"data.window={ratings}", "save.users=false"]
    if memory_steps:
        settings.append(f"trainer.limit_train_batches={memory_steps}")
    in_memory = train(folder, None, *settings)
    fastest = in_memory.metrics["ratings_per_second"]
    rows = [
        ("preparation, once", *prepared.cells(fastest)),
        ("streamed", *streamed.cells(fastest)),
        (f"in memory, {memory_steps or 'all'} steps", *in_memory.cells(fastest)),
    ]
    heading = ("", "seconds, all", "peak RSS, MB", "ratings/s", "times slower", "validation RMSE")
    counts = streamed.metrics
    return (
        f"{machine()}\n\n{ratings:,} ratings in {on_disk / 1e6:,.0f} MB of shards, "
        f"{counts['ratings']:,} without those given again later; {counts['users']:,} users, "
        f"{counts['movies']:,} movies. Allowed: {ALLOWED / 1e6:,.0f} MB, and {model / 1e6:,.0f} MB "
        f"for the model.\n\n{table(heading, rows)}"
    )


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--ratings", type=int, default=100_000_000)
    parser.add_argument("--folder", type=Path, help="where to write; the system's by default")
    parser.add_argument("--memory-steps", type=int, help="of the epoch in memory; all by default")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        text = report(options.ratings, folder, options.memory_steps)
    finally:
        shutil.rmtree(folder)
    write_section(f"streaming_{options.ratings // 10**6}", text, ROOT / "docs" / "scaling.md")


if __name__ == "__main__":
    main()
