"""Damage raw files at random: each must be read exactly as it says, or refused by file and line.

    python scripts/fuzz.py --minutes 10

Bytes, fields, lines and line ends of every layout are damaged, headers aside, and whole zips. The
reference readers go line by line with Python's `csv`. Both answers to bad rows are checked,
`data.on_bad_rows=fail` and `skip`. An input is a function of the seed and its number, so that a
finding repeats: ``--seed S --first N --inputs 1``.
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
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from movie_embed.config import DataConfig
from movie_embed.data.loading import load_triples
from movie_embed.data.triples import Triples
from movie_embed.errors import MovieEmbedError

Line = list[str] | None  # fields; None where the line is bad
SCALE = (0.5, 5.0)
RATED = [(u, m, s / 2, 10**9 + u) for u in range(1, 9) for m, s in ((10, u), (20, 9), (30, 1))]
TITLES = {
    10: ("Star Wars: Episode IV - A New Hope (1977)", "Action|Adventure|Sci-Fi"),
    20: ('Cité des "enfants" perdus, La (1995)', "Drama"),
    30: ("Odd :: Title, with 'marks' (2001)", "Comedy|Drama"),
    40: ("Never Rated", "(no genres listed)"),
}
TAGS = [(1, 10, "space opera", 5), (7, 10, "a b", 5), (9, 20, 'dark, "odd"', 5)]


@dataclass(frozen=True)
class Layout:
    """A file to damage: its name, header and rows, and how a line of it is split."""

    name: str
    header: bytes
    rows: bytes
    separator: str
    split: Callable[[str], Line]
    of: str = "ratings"


def split_csv(line: str, strict: bool = False) -> Line:
    """Split a line of CSV; an open quote makes it bad."""
    try:
        fields = next(csv.reader([line + "\n"], strict=strict))
    except csv.Error:
        return None
    return None if fields[-1].endswith("\n") else fields


def joined(separator: str, rows: Any, quote: bool = False) -> bytes:
    """Return rows as the bytes of a file."""
    text = io.StringIO()
    if separator == ",":
        quoting = csv.QUOTE_ALL if quote else csv.QUOTE_MINIMAL
        csv.writer(text, lineterminator="\n", quoting=quoting).writerows(rows)
        return text.getvalue().encode()
    return "".join(separator.join(map(str, row)) + "\n" for row in rows).encode()


HEADER = b"userId,movieId,rating,timestamp\n"
MOVIES = [(movie_id, *named) for movie_id, named in TITLES.items()]
LAYOUTS = {
    "csv": Layout("ratings.csv", HEADER, joined(",", RATED), ",", split_csv),
    "kaggle": Layout("rating.csv", HEADER, joined(",", RATED, True), ",", split_csv),
    "dat": Layout("ratings.dat", b"", joined("::", RATED), "::", lambda line: line.split("::")),
    "u.data": Layout("u.data", b"", joined("\t", RATED), "\t", lambda line: line.split("\t")),
    "movies": Layout(
        "movies.csv", b"movieId,title,genres\n", joined(",", MOVIES), ",", split_csv, "movies"
    ),
    "tags": Layout(
        "tags.csv", b"userId,movieId,tag,timestamp\n", joined(",", TAGS), ",", split_csv, "tags"
    ),
}
BYTES = b'0159,,::;\t|""""\'-+.eExXnaif \r\r\n\n\0\xc3\xa9\xff'
FIELDS = (
    *rb"nan NaN inf 1e999 1e-50 -3 5.5 0.5 0 .5 5. 1.0 007 0x1F 1e3 1_0 +1 -0 NULL 79,132".split(),
    *(b"%d" % edge for edge in (2**63 - 1, 2**63, -(2**63), 10**40)),
    *rb'" "" "x x" "1" "a""b" "1"0'.split(),
    *(b"", b" ", b" 1 ", b"\t1", b"\0", b"\xff", b'"a,b"', b'"a" b', b"2005-04-02 23:53:47"),
    *("\u0661".encode(), "Amélie".encode(), b"x" * 5_000),
)


def change_bytes(content: bytes, separator: bytes, rng: random.Random) -> bytes:
    """Put a byte in, over another, or take one out."""
    at = rng.randrange(len(content) + 1)
    put = bytes([rng.choice(BYTES) if rng.random() < 0.8 else rng.randrange(256)])
    return content[:at] + rng.choice((put, put, b"")) + content[at + rng.randrange(2) :]


def change_field(content: bytes, separator: bytes, rng: random.Random) -> bytes:
    """Replace, drop, double or move a field."""
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    fields = lines[at].split(separator)
    put = rng.choice((rng.choice(FIELDS), rng.choice(FIELDS), rng.choice(fields)))
    where, span = rng.randrange(len(fields) + 1), rng.choice((0, 1, 1, 1))
    fields[where : where + span] = rng.choice(([put], [put], [put], []))
    lines[at] = separator.join(fields)
    return b"\n".join(lines)


def change_lines(content: bytes, separator: bytes, rng: random.Random) -> bytes:
    """Double, drop, swap or break lines, or change their ends."""
    lines = content.split(b"\n")
    start = rng.randrange(len(lines))
    lines[start : start + rng.randrange(2)] = rng.choices([*lines, b"", b" "], k=rng.randrange(3))
    return rng.choice((b"\n", b"\n", b"\n", b"\r\n")).join(lines)


CHANGES = (change_bytes, change_bytes, change_field, change_field, change_lines)


def damaged(layout: Layout, rng: random.Random) -> bytes:
    """Return the layout's rows with one to four changes."""
    rows = layout.rows
    for change in rng.choices(CHANGES, k=rng.randint(1, 4)):
        rows = change(rows, layout.separator.encode(), rng)
    return rows


def lines_of(content: bytes) -> list[tuple[int, str]]:
    """Return the number and text of every line that is not blank."""
    text = content.decode("utf-8", "surrogateescape")
    lines = re.split("\r\n|\r|\n", text)
    return [(number, line) for number, line in enumerate(lines, 1) if line]


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


def says_ratings(layout: Layout, content: bytes) -> dict[int, tuple[Any, ...] | None]:
    """Return what each line of ratings says, None where it is bad."""
    lines = lines_of(content)[1 if layout.header else 0 :]
    split = {number: layout.split(line) for number, line in lines}
    # A line may end with one separator more than it needs.
    split = {n: f[:4] if f and len(f) == 5 and not f[4] else f for n, f in split.items()}
    good = {n: fields for n, fields in split.items() if fields and len(fields) == 4}
    columns = [ids([fields[side] for fields in good.values()]) for side in (0, 1)]
    rows = zip(*columns, (stars(fields[2]) for fields in good.values()), strict=True)
    read = dict(zip(good, rows, strict=True))
    return {n: None if n not in read or None in read[n] else read[n] for n in split}


def check_ratings(layout: Layout, content: bytes, folder: Path) -> None:
    """Raise AssertionError unless ratings are read as they say, or refused by the first bad line.

    Of a pair that is rated twice only the presence is compared.
    """
    expected = says_ratings(layout, content)
    good = [row for row in expected.values() if row]
    faults = [number for number, row in expected.items() if row is None]
    times = Counter(row[:2] for row in good)
    for skip in (False, True):
        told, triples = load(folder, skip)
        times_decide = max(times.values(), default=0) > 1
        if times_decide and ("timestamp" in told or "Invalid unicode" in told):
            continue
        if not good or (faults and not skip):
            where = f", line {faults[0]}: " if faults else " has no ratings"
            assert told.startswith(f"{folder / layout.name}{where}"), (faults, told)
            continue
        assert triples is not None, (told, faults)
        assert triples.bad_rows == len(faults) * skip, (triples.bad_rows, faults)
        users, movies, values = triples.unpack(triples.packed)
        found = {
            (u, m): s
            for u, m, s in zip(
                triples.user_ids[users].tolist(),
                triples.movies.ids[movies].tolist(),
                values.tolist(),
                strict=True,
            )
        }
        assert found.keys() == times.keys(), (found, times)
        once = {row[:2]: row[2] for row in good if times[row[:2]] == 1}
        assert once.items() <= found.items(), (found, once)


def check_names(layout: Layout, content: bytes, folder: Path) -> None:
    """Raise AssertionError unless every good line of titles or tags is read, or all are refused."""
    for skip in (False, True):
        told, triples = load(folder, skip)
        if triples is None:
            assert told.startswith(f"{folder / layout.name}, line "), told
            continue
        table = triples.movies
        texts = table.titles if layout.of == "movies" else table.tags
        named = dict(zip(table.ids.tolist(), texts, strict=True))
        if content.count(b'"') % 2 or b"\r" in content.replace(b"\r\n", b""):
            continue  # where a field with line ends closes is not for a line to say
        for _, line in lines_of(content)[1:]:
            fields = split_csv(line, strict=True)
            if "\0" in line or not fields or len(fields) != (3 if layout.of == "movies" else 4):
                continue
            told_id, text = (0, 1) if layout.of == "movies" else (1, 2)
            movie_id = ids([fields[told_id]])[0]
            if movie_id in (10, 20, 30) and layout.of == "tags" and text:
                words = " ".join(fields[text].lower().replace("|", " ").split())
                assert words in named[movie_id] or not words.isascii(), line


def load(place: Path, skip: bool) -> tuple[str, Triples | None]:
    """Return the refusal, or ``""``, and what was read."""
    with tempfile.TemporaryDirectory() as cache:
        config = DataConfig(
            name="files",
            path=str(place),
            cache_dir=cache,
            rating_range=list(SCALE),
            on_bad_rows="skip" if skip else "fail",
        )
        try:
            return "", load_triples(config)
        except MovieEmbedError as error:
            told = str(error)
    assert told.strip(), "an empty message"
    assert all(line.isprintable() for line in told.splitlines()), told
    assert len(told.splitlines()) <= 21, told
    return told, None


def check(layout: Layout, rows: bytes, folder: Path) -> None:
    """Raise AssertionError unless damaged rows are read as they say, or refused."""
    for old in folder.iterdir():
        old.unlink()
    (folder / layout.name).write_bytes(layout.header + rows)
    if layout.of == "ratings":
        check_ratings(layout, layout.header + rows, folder)
        return
    (folder / "ratings.csv").write_bytes(HEADER + joined(",", RATED))
    check_names(layout, layout.header + rows, folder)


def check_zip(rng: random.Random, folder: Path) -> None:
    """Raise AssertionError unless a damaged zip is refused or read as if it were whole."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ratings.csv", HEADER + joined(",", RATED))
    content = file.getvalue()
    for _ in range(rng.randint(1, 3)):
        content = change_bytes(content, b",", rng)
    (folder / "data.zip").write_bytes(content)
    told, triples = load(folder / "data.zip", skip=False)
    assert "data.zip" in told or (triples and len(triples) == len(RATED)), told


def one(seed: int, number: int, folder: Path) -> str:
    """Check one input and return what is wrong with it, or ``""``."""
    rng = random.Random(f"{seed}/{number}")  # noqa: S311
    kind = [*LAYOUTS, "zip"][number % (len(LAYOUTS) + 1)]
    rows = b"" if kind == "zip" else damaged(LAYOUTS[kind], rng)
    try:
        if kind == "zip":
            check_zip(rng, folder)
        else:
            check(LAYOUTS[kind], rows, folder)
    except Exception as error:
        return f"--seed {seed} --first {number}: {kind} {rows!r}\n  {type(error).__name__}: {error}"
    return ""


def fuzz(seed: int, first: int, inputs: float, seconds: float) -> tuple[int, list[str]]:
    """Check inputs until there were enough or the time is over; return how many, and findings."""
    logging.disable()
    ends, number, findings = time.monotonic() + seconds, first, []
    with tempfile.TemporaryDirectory() as folder:
        while number - first < inputs and time.monotonic() < ends:
            if found := one(seed, number, Path(folder)):
                findings.append(found)
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
