"""Train movie embeddings: `python train.py --help`."""

from movie_embed.__main__ import run

if __name__ == "__main__":
    run("train")
