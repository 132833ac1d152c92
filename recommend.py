"""Movies for the movies, the user or the ratings you name: `python recommend.py --help`."""

from movie_embed.__main__ import run

if __name__ == "__main__":
    run("recommend")
