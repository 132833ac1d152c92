"""The runs of a sweep by validation RMSE, best first: `sweep_table.py MULTIRUN_FOLDER`.

Made for ``python train.py -m experiment=best_sweep`` on ML-1M with all movies and a tenth held out.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from harness import machine, table, write_section
from omegaconf import OmegaConf

KEYS = ("model.implicit", "model.ridge", "optimizer.learning_rate", "seed")


def main() -> None:
    """Read the run folders and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("sweep", type=Path, help="the multirun folder")
    rows = []
    for path in parser.parse_args().sweep.glob("*/metrics.json"):
        config = OmegaConf.load(path.with_name("config.yaml"))
        metrics = json.loads(path.read_text())
        settings = [OmegaConf.select(config, key) for key in KEYS]
        rows.append((metrics["val_rmse"], *settings, metrics["best_epoch"]))
    rows.sort()
    printed = [(f"{rmse:.4f}", *rest) for rmse, *rest in rows]
    heading = ("val. RMSE", *KEYS, "best epoch")
    write_section("best_sweep", f"{machine()}\n\n{table(heading, printed)}")


if __name__ == "__main__":
    main()
