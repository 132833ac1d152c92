"""Vectors and titles for other tools: `python export.py --help`."""

from movie_embed.__main__ import run

if __name__ == "__main__":
    run("export")
