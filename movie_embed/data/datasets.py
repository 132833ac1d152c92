"""The data sets that ``data=NAME`` means; the MovieLens releases with their archives."""

from __future__ import annotations

from typing import NamedTuple

_BASES = (
    "https://files.grouplens.org/datasets/movielens",
    "https://huggingface.co/datasets/Recommenders/MovieLens/resolve/main",
)
_MIRRORED = {"ml-100k", "ml-1m", "ml-10m", "ml-20m"}  # at the second

# Of each MovieLens release the lowest of its stars, how many ratings a movie needs by default, and
# the length and checksum of its archive. ml-latest-small is for development, not for shared results
# (its README says so); the threshold of ml-20m is the paper's (section II.B).
_RELEASES = """
ml-100k         1.0   20   4924029 50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229
ml-1m           1.0  100   5917549 a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20
ml-10m          0.5 2500   unknown ce571fd55effeba0271552578f2648bd
ml-20m          0.5 5000 198702078 96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3
ml-25m          0.5 5000 261978986 8b21cfb7eb1706b4ec0aac894368d90acf26ebdfb6aced3ebd4ad5bd1eb9c6aa
ml-32m          0.5 5000 238950008 d472be332d4daa821edc399621853b57
ml-latest-small 0.5   20    978202 696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436
"""


class DataSet(NamedTuple):
    """The defaults of a data set and, of a release, its archive ``name.zip``."""

    name: str
    min_ratings: int = 1
    rating_range: list[float] | None = None
    urls: tuple[str, ...] = ()  # the first that delivers is taken
    size: int | None = None  # in bytes
    checksum: str = ""  # sha256:<hex> or md5:<hex>


def _release(name: str, lowest: str, least: str, size: str, checksum: str) -> DataSet:
    urls = tuple(f"{base}/{name}.zip" for base in _BASES[: 1 + (name in _MIRRORED)])
    algorithm = "sha256" if len(checksum) == 64 else "md5"
    known = int(size) if size.isdigit() else None
    return DataSet(name, int(least), [float(lowest), 5.0], urls, known, f"{algorithm}:{checksum}")


_all = (
    DataSet("demo", 50),  # simulated ratings of 1,005 movies, built in
    DataSet("files"),  # a MovieLens folder or zip, or one's own ratings: data.path=...
    *(_release(*line.split()) for line in _RELEASES.strip().splitlines()),
)
DATA_SETS = {each.name: each for each in _all}
