"""A page to click, and the API behind it: `python serve.py --help`."""

from movie_embed.__main__ import run

if __name__ == "__main__":
    run("serve")
