"""What the peers share: `PEER DATA.npz [ARGUMENT]...` reads the split that the harness wrote."""

import json
import sys
import time
from pathlib import Path

import numpy as np

_, path, *arguments = sys.argv
_data = np.load(path)
low, high = float(_data["low"]), float(_data["high"])
users, movies = int(_data["users"]), int(_data["movies"])


def columns(split: str, *names: str) -> list[np.ndarray]:
    """Return columns of "train" or "val": users, movies and stars, or those named."""
    return [_data[f"{split}_{name}"] for name in names or ("users", "movies", "stars")]


def leave(predicted: list[np.ndarray], seconds: list[float]) -> None:
    """Leave the predictions of each epoch, or the only ones, and the seconds they took."""
    np.asarray(predicted, np.float32).tofile(Path(path).with_suffix(".predicted"))
    print(json.dumps({"seconds": seconds}))


class Clock:
    """Time from the end of the first batch."""

    started = ended = 0.0

    def tick(self, *_: object, **__: object) -> None:
        """Start, or move the end."""
        self.ended = time.perf_counter()
        self.started = self.started or self.ended

    def tell(self, ratings: int) -> None:
        """Print the speed, `ratings` being those after the first batch."""
        print(json.dumps({"ratings_per_second": ratings / (self.ended - self.started)}))
