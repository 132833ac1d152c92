"""Damage raw files at random: each must be read exactly as it says, or refused by file and line.

    python scripts/fuzz.py --minutes 10

Bytes, fields, lines and line ends of every layout are damaged, headers aside. The reference reader
goes line by line with Python's `csv`. Both answers to bad rows are checked, `data.on_bad_rows=fail`
and `skip`. An input is a function of the seed and its number, so that a finding repeats:
``--seed S --first N --inputs 1``.
"""

from __future__ import annotations

import argparse
import csv
import io
import logging
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from movie_embed.config import DataConfig
from movie_embed.data.loading import load_triples
from movie_embed.data.triples import Triples
from movie_embed.errors import MovieEmbedError

SCALE = (0.5, 5.0)
HEADER = "userId,movieId,rating,timestamp\n"
RATED = [(u, m, s / 2, 10**9 + u) for u in range(1, 9) for m, s in ((10, u), (20, 9), (30, 1))]
MOVIES = [
    (10, "Star Wars: Episode IV - A New Hope (1977)", "Action|Adventure|Sci-Fi"),
    (20, 'Cité des "enfants" perdus, La (1995)', "Drama"),
    (30, "Odd :: Title, with 'marks' (2001)", "Comedy|Drama"),
    (40, "Never Rated", "(no genres listed)"),
]
TAGS = [(1, 10, "space opera", 5), (7, 10, "a b", 5), (9, 20, 'dark, "odd"', 5)]


class Layout(NamedTuple):
    """A file to damage: its name, header and rows, and what separates fields."""

    name: str
    header: str
    rows: list[Any]
    separator: str = ","
    quoting: int = csv.QUOTE_MINIMAL

    def body(self) -> bytes:
        """Return the rows as bytes."""
        text = io.StringIO()
        if self.separator == ",":
            csv.writer(text, lineterminator="\n", quoting=self.quoting).writerows(self.rows)  # type: ignore[arg-type]
        else:
            text.writelines(self.separator.join(map(str, row)) + "\n" for row in self.rows)
        return text.getvalue().encode()

    def split(self, line: str) -> list[str]:
        """Split a line; one with an open quote has no fields."""
        if self.separator != ",":
            return line.split(self.separator)
        try:
            fields = next(csv.reader([line + "\n"]))
        except csv.Error:
            return []
        return [] if fields[-1].endswith("\n") else fields


LAYOUTS = {
    "csv": Layout("ratings.csv", HEADER, RATED),
    "kaggle": Layout("rating.csv", HEADER, RATED, quoting=csv.QUOTE_ALL),
    "dat": Layout("ratings.dat", "", RATED, "::"),
    "u.data": Layout("u.data", "", RATED, "\t"),
    "movies": Layout("movies.csv", "movieId,title,genres\n", MOVIES),
    "tags": Layout("tags.csv", "userId,movieId,tag,timestamp\n", TAGS),
}
BYTES = b'0159,,::;\t|""""\'-+.eExXnaif \r\r\n\n\0\xc3\xa9\xff'
FIELDS = (
    *rb"nan NaN inf 1e999 1e-50 -3 5.5 0.5 0 .5 5. 1.0 007 0x1F 1e3 1_0 +1 -0 NULL 79,132".split(),
    *(b"%d" % edge for edge in (2**63 - 1, 2**63, -(2**63), 10**40)),
    *rb'" "" "x x" "1" "a""b" "1"0'.split(),
    *(b"", b" ", b" 1 ", b"\t1", b"\0", b"\xff", b'"a,b"', b'"a" b', b"2005-04-02 23:53:47"),
    *("\u0661".encode(), "Amélie".encode(), b"x" * 5_000),
)


def damaged(layout: Layout, rng: random.Random) -> bytes:
    """Return the layout's rows with one to four changes of bytes, fields or lines."""
    content = layout.body()
    for _ in range(rng.randint(1, 4)):
        lines = content.split(b"\n")
        at = rng.randrange(len(lines))
        if (kind := rng.randrange(5)) < 2:
            place, put = rng.randrange(len(content) + 1), bytes([rng.choice(BYTES)])
            put = rng.choice((put, put, b"", rng.randbytes(1)))
            content = content[:place] + put + content[place + rng.randrange(2) :]
        elif kind < 4:
            fields = lines[at].split(layout.separator.encode())
            start, span = rng.randrange(len(fields) + 1), rng.choice((0, 1, 1, 1))
            field = rng.choice((rng.choice(FIELDS), rng.choice(FIELDS), rng.choice(fields)))
            fields[start : start + span] = [field] * (rng.random() < 0.75)
            lines[at] = layout.separator.encode().join(fields)
            content = b"\n".join(lines)
        else:
            some = rng.choices([*lines, b"", b" "], k=rng.randrange(3))
            lines[at : at + rng.randrange(2)] = some
            content = rng.choice((b"\n", b"\n", b"\n", b"\r\n")).join(lines)
    return content


def lines_of(layout: Layout, content: bytes) -> list[tuple[int, str]]:
    """Return the number and text of every line that is not blank, without the header."""
    lines = re.split("\r\n|\r|\n", content.decode("utf-8", "surrogateescape"))
    return [(n, line) for n, line in enumerate(lines, 1 + bool(layout.header)) if line]


def stars(text: str) -> float | None:
    """Read stars on the scale."""
    text = text.strip(" \t")
    text = text.replace(",", ".") if re.fullmatch(r"[+-]?\d+,\d\d?", text, re.ASCII) else text
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        return None
    return float(np.float32(text)) if SCALE[0] <= float(text) <= SCALE[1] else None


def ids(texts: list[str]) -> list[int | str | None]:
    """Read the ids of a column: whole numbers, or text if one has leading zeros."""
    texts = [text.strip(" \t") for text in texts]
    if any(re.fullmatch("-?0[0-9]+", text) for text in texts):
        return [text if text.isprintable() and text else None for text in texts]
    whole = [re.fullmatch(r"(0|-?[1-9][0-9]*)(\.0+)?", text) for text in texts]
    numbers = [int(match[1]) if match else None for match in whole]
    return [n if n is not None and -(2**63) <= n < 2**63 else None for n in numbers]


def says(layout: Layout, content: bytes) -> dict[int, tuple[Any, ...] | None]:
    """Return what each line of ratings says, None where it is bad."""
    split = {number: layout.split(line) for number, line in lines_of(layout, content)}
    # A line may end with one separator more than it needs.
    split = {n: f[:4] if len(f) == 5 and not f[4] else f for n, f in split.items()}
    good = {n: fields for n, fields in split.items() if len(fields) == 4}
    columns = [ids([fields[side] for fields in good.values()]) for side in (0, 1)]
    rows = zip(*columns, (stars(fields[2]) for fields in good.values()), strict=True)
    read = dict(zip(good, rows, strict=True))
    return {n: None if None in read.get(n, (None,)) else read[n] for n in split}


def check_ratings(layout: Layout, content: bytes, folder: Path, skip: bool) -> None:
    """Raise AssertionError unless ratings are read as they say, or refused by the first bad line.

    Of a pair that is rated twice only the presence is compared.
    """
    expected = says(layout, content)
    good = [row for row in expected.values() if row]
    faults = [number for number, row in expected.items() if row is None]
    times = Counter(row[:2] for row in good)
    told, triples = load(folder, skip)
    if max(times.values(), default=0) > 1 and re.search("timestamp|Invalid unicode", told):
        return
    if not good or (faults and not skip):
        where = f", line {faults[0]}: " if faults else " has no ratings"
        assert told.startswith(f"{folder / layout.name}{where}"), (faults, told)
        return
    assert triples is not None, (told, faults)
    assert triples.bad_rows == len(faults) * skip, (triples.bad_rows, faults)
    users, movies, values = triples.unpack(triples.packed)
    pairs = zip(triples.user_ids[users].tolist(), triples.movies.ids[movies].tolist(), strict=True)
    found = dict(zip(pairs, values.tolist(), strict=True))
    assert found.keys() == times.keys(), (found, times)
    once = {row[:2]: row[2] for row in good if times[row[:2]] == 1}
    assert once.items() <= found.items(), (found, once)


def check_names(layout: Layout, content: bytes, folder: Path, skip: bool) -> None:
    """Raise AssertionError unless titles or tags are read, or refused by file and line."""
    told, triples = load(folder, skip)
    assert triples or told.startswith(f"{folder / layout.name}, line "), told


def load(place: Path, skip: bool) -> tuple[str, Triples | None]:
    """Return the refusal, or ``""``, and what was read."""
    with tempfile.TemporaryDirectory() as cache:
        reading: dict[str, Any] = {"path": str(place), "rating_range": list(SCALE)}
        reading |= {"cache_dir": cache, "on_bad_rows": "skip" if skip else "fail"}
        try:
            return "", load_triples(DataConfig(name="files", **reading))
        except MovieEmbedError as error:
            told = str(error)
    assert told.strip(), "an empty message"
    assert all(line.isprintable() for line in told.splitlines()), told
    assert len(told.splitlines()) <= 21, told
    return told, None


def one(seed: int, number: int) -> str:
    """Check one input and return what is wrong with it, or ``""``."""
    rng = random.Random(f"{seed}/{number}")  # noqa: S311
    kind = [*LAYOUTS][number % len(LAYOUTS)]
    layout, rows = LAYOUTS[kind], damaged(LAYOUTS[kind], rng)
    with tempfile.TemporaryDirectory() as name:
        check = check_ratings
        if layout.rows is not RATED:
            check = check_names
            Path(name, "ratings.csv").write_bytes(HEADER.encode() + LAYOUTS["csv"].body())
        Path(name, layout.name).write_bytes(layout.header.encode() + rows)
        try:
            for skip in (False, True):
                check(layout, rows, Path(name), skip)
        except Exception as error:
            where = f"--seed {seed} --first {number}: {kind} {rows!r}"
            return f"{where}\n  {type(error).__name__}: {error}"
    return ""


def fuzz(seed: int, first: int, inputs: float, seconds: float) -> tuple[int, list[str]]:
    """Check inputs until there were enough or the time is over; return how many, and findings."""
    logging.disable()
    ends, number, findings = time.monotonic() + seconds, first, []
    while number - first < inputs and time.monotonic() < ends:
        findings += filter(None, [one(seed, number)])
        number += 1
    logging.disable(logging.NOTSET)
    return number - first, findings


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=0.2)
    parser.add_argument("--inputs", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    inputs, findings = fuzz(given.seed, given.first, given.inputs, 60 * given.minutes)
    print(*findings[:50], f"{inputs:,} inputs, {len(findings):,} findings", sep="\n")
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
