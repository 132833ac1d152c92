"""Figures of a finished run: `python plot.py --help`."""

from movie_embed.__main__ import run

if __name__ == "__main__":
    run("plot")
