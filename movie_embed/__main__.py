"""The start of every command: `movie-embed train`, `python train.py` and so on."""

import os
import signal
import sys
from types import FrameType

USAGE = """usage: movie-embed train|recommend|export|plot|serve KEY=VALUE ...

  movie-embed train --help      each command lists its settings"""


def main() -> None:
    """Run the command that the first word names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("--help", "-h"):
        sys.exit(print(USAGE))
    if name not in ("train", "recommend", "export", "plot", "serve"):
        sys.exit(f"error: {name}: must be one of train, recommend, export, plot, serve")
    del sys.argv[1]
    run(name)


def run(name: str) -> None:
    """Run a command, which a signal ends in one line while all else is still being imported."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    from movie_embed import commands

    commands.run(name)


def _end(number: int, frame: FrameType | None) -> None:
    os.write(2, b"stopped\n")
    os._exit(128 + number)  # nothing has begun


if __name__ == "__main__":
    main()
