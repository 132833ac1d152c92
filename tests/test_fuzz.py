"""Damaged files of every layout: read exactly as they say, or refused by file and line.

    FUZZ=2000 python -m pytest tests/test_fuzz.py

tries other damage, so many examples of it for each layout; Hypothesis shows the least that fails.
The reference reader goes line by line with Python's `csv`.
"""

from __future__ import annotations

import csv
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synthetic import load, movies_csv, ratings_bare, ratings_csv, ratings_kaggle, rows_of

from movie_embed.data.ratings import DataSet
from movie_embed.errors import MovieEmbedError

ROWS = [(u, m, s / 2, 10**9 + u) for u in range(1, 9) for m, s in ((10, u), (20, 9), (30, 1))]
TAGS = b'userId,movieId,tag,timestamp\n1,10,space opera,5\n7,10,a b,5\n9,20,"dark, ""odd""",5\n'
LAYOUTS = {
    "ratings.csv": (ratings_csv(ROWS), ","),
    "rating.csv": (ratings_kaggle(ROWS), ","),
    "ratings.dat": (ratings_bare(ROWS), "::"),
    "u.data": (ratings_bare(ROWS, delimiter="\t"), "\t"),
    "movies.csv": (movies_csv(), ","),
    "tags.csv": (TAGS, ","),
}
FIELDS = (
    *rb"nan NaN inf 1e999 1e-50 -3 5.5 0.5 0 .5 5. 1.0 007 0x1F 1e3 1_0 +1 -0 NULL 79,132".split(),
    *(b"%d" % edge for edge in (2**63 - 1, 2**63, -(2**63), 10**40)),
    *rb'" "" "x x" "1" "a""b" "1"0'.split(),
    *(b"", b" ", b" 1 ", b"\t1", b"\0", b"\xff", b'"a,b"', b'"a" b', b"2005-04-02 23:53:47"),
    *("\u0661".encode(), "Amélie".encode(), b"x" * 5_000),
)
BYTES = [bytes([octet]) for octet in b"0159,:;\t|\"'-+.eExXnaif \r\n\0\xc3\xa9\xff"]
FUZZ = int(os.environ.get("FUZZ", 0))


@st.composite
def damaged(draw: st.DrawFn, name: str) -> bytes:
    """Change bytes, fields, lines or line ends of a file, but not its header."""
    content, separator = LAYOUTS[name]
    header = content[: content.index(b"\n") + 1] if separator == "," else b""
    lines = content[len(header) :].splitlines()
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        units = [bytes([octet]) for octet in lines[at]]
        kind, joint = draw(st.sampled_from(["bytes", "fields", "lines"])), b""
        new = st.sampled_from(BYTES) | st.binary(max_size=1)
        if kind == "fields":
            joint = separator.encode()
            units, new = lines[at].split(joint), st.sampled_from(FIELDS)
        elif kind == "lines":
            units, new = lines, st.sampled_from([*lines, b"", b" "])
        start, span = draw(st.integers(0, len(units))), draw(st.integers(0, 1))
        units[start : start + span] = draw(st.lists(new, max_size=2))
        if kind != "lines":
            lines[at] = joint.join(units)
        lines = lines or [b""]
    end = draw(st.sampled_from([b"\n", b"\n", b"\r\n"]))
    return header + end.join(lines) + draw(st.sampled_from([end, b""]))


def stars(text: str) -> float | None:
    """Read stars from 0.5 to 5."""
    text = text.strip(" \t")
    text = text.replace(",", ".") if re.fullmatch(r"[+-]?\d+,\d\d?", text, re.ASCII) else text
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        return None
    return float(np.float32(text)) if 0.5 <= float(text) <= 5 else None


def ids(texts: list[str]) -> list[int | str | None]:
    """Read the ids of a column: whole numbers, or text if one has leading zeros."""
    texts = [text.strip(" \t") for text in texts]
    if any(re.fullmatch("-?0[0-9]+", text) for text in texts):
        return [text if text.isprintable() and text else None for text in texts]
    whole = [re.fullmatch(r"(0|-?[1-9][0-9]*)(\.0+)?", text) for text in texts]
    numbers = [int(match[1]) if match else None for match in whole]
    return [n if n is not None and -(2**63) <= n < 2**63 else None for n in numbers]


def fields_of(line: str, separator: str) -> list[str]:
    if separator != ",":
        return line.split(separator)
    fields = next(csv.reader([f"{line}\n"]))
    return [] if fields[-1].endswith("\n") else fields


def says(content: bytes, separator: str) -> dict[int, tuple[Any, ...] | None]:
    """Return what each line of ratings says, None where it is bad."""
    text = content.decode("utf-8", "surrogateescape")
    lines = [(n, line) for n, line in enumerate(re.split("\r\n|\r|\n", text), 1) if line]
    split = {n: fields_of(line, separator) for n, line in lines[separator == "," :]}
    # A line may end with one separator more than it needs.
    split = {n: f[:4] if len(f) == 5 and not f[4] else f for n, f in split.items()}
    good = {n: fields for n, fields in split.items() if len(fields) == 4}
    columns = [ids([fields[side] for fields in good.values()]) for side in (0, 1)]
    rows = zip(*columns, (stars(fields[2]) for fields in good.values()), strict=True)
    read = dict(zip(good, rows, strict=True))
    return {n: None if None in read.get(n, (None,)) else read[n] for n in split}


def read(folder: Path, skip: bool) -> tuple[str, DataSet | None]:
    """Return the refusal, or ``""``, and what was read."""
    try:
        return "", load(folder, skip=skip)
    except MovieEmbedError as error:
        told = str(error)
    assert all(line.isprintable() for line in told.splitlines())
    assert 0 < len(told.splitlines()) <= 22
    several = re.match(r".*: \d+ (?:bad row|timestamp)s, .*\n", told)
    return told[several.end() :] if several else told, None


def check(name: str, content: bytes, folder: Path, skip: bool) -> None:
    """Raise AssertionError unless a file is read as it says, or refused by its first bad line.

    Of a pair that is rated twice only the presence is compared, of names nothing.
    """
    if name in ("movies.csv", "tags.csv"):
        (folder / "ratings.csv").write_bytes(ratings_csv(ROWS))
    (folder / name).write_bytes(content)
    told, triples = read(folder, skip)
    if name in ("movies.csv", "tags.csv"):
        assert triples or told.startswith(f"{folder / name}, line ")
        return
    expected = says(content, LAYOUTS[name][1])
    good = [row for row in expected.values() if row]
    faults = [number for number, row in expected.items() if row is None]
    times = Counter(row[:2] for row in good)
    if max(times.values(), default=0) > 1 and re.search("timestamp|Invalid unicode", told):
        return
    if not good or (faults and not skip):
        where = f", line {faults[0]}: " if faults else " has no ratings"
        assert told.startswith(f"{folder / name}{where}")
        return
    assert triples is not None, told
    assert triples.bad_rows == len(faults) * skip
    found = {row[:2]: row[2] for row in rows_of(triples)}
    assert found.keys() == times.keys()
    assert {row[:2]: row[2] for row in good if times[row[:2]] == 1}.items() <= found.items()


@pytest.mark.parametrize("name", LAYOUTS)
@given(data=st.data(), skip=st.booleans())
@settings(
    deadline=None,
    max_examples=FUZZ or 20,
    derandomize=not FUZZ,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_damaged_files_are_read_as_they_say_or_refused(
    name: str, data: st.DataObject, skip: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    check(name, data.draw(damaged(name)), tmp_path_factory.mktemp("fuzz"), skip)


def test_a_reader_that_errs_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("movie_embed.data.reader.check_stars", lambda *_: None)
    for content in (b"1,10,9.5,0\n", b"1,10,1_0,0\n"):
        with pytest.raises(AssertionError):
            check("ratings.csv", ratings_csv(ROWS) + content, tmp_path, skip=False)
