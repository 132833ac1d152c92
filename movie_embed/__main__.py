"""The start of every command: `movie-embed train`, `python train.py` and so on."""

import gc
import signal
import sys

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
    run(name, "movie-embed {}")


def run(name: str, started_as: str = "python {}.py") -> None:
    """Run a command; while Hydra is imported, for 0.3 s, Ctrl-C ends it without a trace."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from movie_embed import commands

    commands.run(name, started_as)
    gc.freeze()  # Python would search all modules for garbage as it ends: 1.3 s after training


if __name__ == "__main__":
    main()
