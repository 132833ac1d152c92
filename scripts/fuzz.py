"""Damage raw files at random: each must be read exactly as it says, or refused by file and line.

    python scripts/fuzz.py --minutes 10

Every layout that the package reads is damaged: bytes, fields, lines, line ends, whole archives.
What a damaged file says is decided here by reference readers that share no code with the
package: they go through the text character by character and know no speed. Both answers to bad
rows are checked, `data.on_bad_rows=fail` and `skip`. An input is a function of the seed and its
number, so that a finding repeats: ``--seed S --first N --inputs 1``.
"""

from __future__ import annotations

import argparse
import io
import logging
import random
import re
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from movie_embed.config import ColumnNames
from movie_embed.data.files import RatingsFiles, find_files
from movie_embed.data.ratings import read_ratings, read_timestamps
from movie_embed.data.rows import BadRows
from movie_embed.data.tags import read_tags
from movie_embed.data.titles import read_movies
from movie_embed.errors import MovieEmbedError

Rows = dict[int, Any]  # what each line says; None where it is bad
SCALE = (0.5, 5.0)
OWN = ColumnNames("who", "what", "stars", "when")

RATED = [(1, 10, 4.0), (1, 20, 3.5), (7, 10, 0.5), (7, 30, 5.0), (9, 20, 2.0), (12, 30, 1.0)]
TIMES = [1112486027, 1112484676, 1112484819, 964982703, 964982224, 1574327703]
TITLES = {
    10: ("Star Wars: Episode IV - A New Hope (1977)", "Action|Adventure|Sci-Fi"),
    20: ('Cité des "enfants" perdus, La (1995)', "Drama"),
    30: ("Odd :: Title, with 'marks' (2001)", "Comedy|Drama"),
    40: ("Never Rated", "(no genres listed)"),
}
GENRES = [
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime"),
    *("Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery"),
    *("Romance", "Sci-Fi", "Thriller", "War", "Western"),
]
TAGS = [(1, 10, "Space Opera"), (7, 10, "a|b"), (9, 20, 'dark, "odd"'), (9, 40, "café")]


@dataclass(frozen=True)
class Layout:
    """A file to damage, the package's reader and the reference for it.

    Attributes
    ----------
    name
        The file's name.
    content
        The file as it should be.
    separator
        What stands between its fields.
    says
        The reference: what each line says, or None if the file as a whole is refused.
    read
        The package's reader.
    fold
        Good rows to what `read` returns.
    """

    name: str
    content: bytes
    separator: bytes
    says: Callable[[bytes], Rows | None]
    read: Callable[[RatingsFiles, BadRows], Any]
    fold: Callable[[list[Any]], Any]
    columns: ColumnNames


def joined(separator: str, rows: Iterable[Iterable[object]]) -> bytes:
    """Return rows as the bytes of a file."""
    return "".join(separator.join(map(str, row)) + "\n" for row in rows).encode()


def quoted(text: str) -> str:
    """Return a field of CSV in quotes."""
    return '"' + text.replace('"', '""') + '"'


def lines_of(content: bytes, decode: Callable[[bytes], str]) -> Iterator[tuple[int, str]]:
    """Yield the number and text of every line that is not blank."""
    lines = re.split(rb"\r\n|\r|\n", content.removeprefix(b"\xef\xbb\xbf"))
    yield from ((number, decode(line)) for number, line in enumerate(lines, 1) if line)


def as_numbers(line: bytes) -> str:
    """Decode a line of numbers."""
    return line.decode(errors="replace")


def as_names(line: bytes) -> str:
    """Decode a line of titles or tags: UTF-8, or else Latin-1."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def csv_fields(line: str, strict: bool) -> list[str] | None:
    """Split a line of CSV; None if a quote stays open or, where strict, text follows one."""
    fields, field, state = [], "", "start"
    for character in line:
        if state == "quoted":
            state = "closed" if character == '"' else state
            field += "" if character == '"' else character
        elif character == '"' and state in ("start", "closed"):
            field += '"' if state == "closed" else ""
            state = "quoted"
        elif character == ",":
            fields.append(field)
            field, state = "", "start"
        elif state == "closed" and strict:
            return None
        else:
            field, state = field + character, "plain"
    return None if state == "quoted" else [*fields, field]


def whole(text: str) -> int | None:
    """Read an id of 64 bits."""
    text = text.strip(" \t")
    value = int(text) if re.fullmatch("-?[0-9]+", text) else None
    return value if value is not None and -(2**63) <= value < 2**63 else None


def star(text: str) -> float | None:
    """Read stars on the scale."""
    text = text.strip(" \t")
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", text):
        return None
    return float(np.float32(text)) if SCALE[0] <= float(text) <= SCALE[1] else None


def rated(user: str, movie: str, stars: str, when: str = "") -> tuple[Any, ...] | None:
    """Read a rating; its time stays text."""
    row = whole(user), whole(movie), star(stars)
    return None if None in row else (*row, when)


def seconds_of(times: list[str]) -> list[int] | None:
    """Read timestamps that are all of one plain kind; None for others."""
    if all(re.fullmatch("[0-9]{1,15}", when) for when in times):
        return [int(when) for when in times]
    if all(
        re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}", w) for w in times
    ):
        with suppress(ValueError):
            return [int(datetime.fromisoformat(f"{w}+00:00").timestamp()) for w in times]
    return None


def check_times(found: Any, good: list[Any], where: str) -> None:
    """Raise AssertionError unless timestamps are read exactly or refused by the file's name."""
    told, times = found
    exact = seconds_of([row[3] for row in good])
    if told or times is None:
        assert told.startswith(where) if told else all(row[3] == "" for row in good), told
        assert exact is None or not exact or times is None, (told, exact)
    else:
        assert len(times) == len(good), times
        assert exact is None or times.tolist() == exact, (times, exact)


def says_csv(
    content: bytes, names: ColumnNames, told: tuple[str, ...], strict: bool
) -> tuple[list[str], list[int], list[tuple[int, list[str] | None]]] | None:
    """Return a CSV's header, where the columns are and its rows; None without such a header."""
    lines = [(n, csv_fields(line, strict)) for n, line in lines_of(content, as_names)]
    if not lines or lines[0][1] is None:
        return None
    header = lines[0][1]
    movie = names.movie if names.movie in header or told[0] != "" else "movieId"
    wanted = [movie if name == "" else name for name in told]
    if any(header.count(name) != 1 for name in wanted):
        return None
    where = [header.index(name) for name in wanted]
    return header, where, lines[1:]


def says_ratings_csv(names: ColumnNames) -> Callable[[bytes], Rows | None]:
    """Return the reference reader of ratings in CSV."""

    def says(content: bytes) -> Rows | None:
        if re.match(rb"[\r\n]", content.removeprefix(b"\xef\xbb\xbf")):
            return None
        found = says_csv(content, names, (names.user, names.movie, names.rating), strict=False)
        if found is None:
            return None
        header, where, lines = found
        where += [header.index(names.timestamp)] if names.timestamp in header else []
        fits = {n: row is not None and len(row) == len(header) for n, row in lines}
        return {n: rated(*(row[i] for i in where)) if fits[n] else None for n, row in lines}  # type: ignore[index]

    return says


def says_ratings_bare(separator: str) -> Callable[[bytes], Rows | None]:
    """Return the reference reader of ratings without a header."""

    def says(content: bytes) -> Rows:
        rows: Rows = {}
        lines = list(lines_of(content, as_numbers))
        separators = [line.count(separator) for _, line in lines[:99]]
        width = 3 if separators.count(2) > separators.count(3) else 4
        for number, line in lines:
            fields = line.split(separator)
            stray = separator == "::" and any(":" in field for field in fields)
            rows[number] = None if len(fields) != width or stray else rated(*fields)
        return rows

    return says


def named(rows: Iterable[tuple[int, tuple[str, str, str] | None]]) -> Rows:
    """Read movies: whole ids, each once, and no NUL in title or genres."""
    found: Rows = {}
    for number, row in rows:
        movie = whole(row[0]) if row and "\0" not in "".join(row) else None
        known = any(movie == other[0] for other in found.values() if other)
        found[number] = (movie, row[1:]) if row and movie is not None and not known else None
    return found


def says_movies_csv(content: bytes) -> Rows | None:
    """Say what each line of movies.csv says."""
    found = says_csv(content, ColumnNames(), ("", "title"), strict=True)
    if found is None:
        return None
    header, (movie, title), lines = found
    genres = header.index("genres") if "genres" in header else None
    return named(
        (n, (row[movie], row[title], row[genres] if genres is not None else ""))
        if row and len(row) == len(header) and "\0" not in "".join(row)
        else (n, None)
        for n, row in lines
    )


def says_movies_dat(content: bytes) -> Rows:
    """Say what each line of movies.dat says."""
    lines = lines_of(content, as_names)
    matches = ((n, re.fullmatch("(?s)(.*?)::(.*)::(.*)", line)) for n, line in lines)
    return named((n, match.groups() if match else None) for n, match in matches)  # type: ignore[misc]


def says_u_item(content: bytes) -> Rows:
    """Say what each line of u.item says."""
    return named((n, flagged(line)) for n, line in lines_of(content, as_names))


def flagged(line: str) -> tuple[str, str, str] | None:
    """Read a line of u.item: its id, its title and the genres that have a 1."""
    fields = line.split("|")
    if len(fields) != 24 or any(flag not in ("0", "1") for flag in fields[5:]) or "\0" in line:
        return None
    genres = [genre for genre, flag in zip(GENRES, fields[5:], strict=True) if flag == "1"]
    return fields[0], fields[1], "|".join(genres)


def tagged(movie: str, tag: str) -> tuple[int, str] | None:
    """Read a tag of a movie."""
    movie_id = whole(movie)
    plain = " ".join(tag.lower().replace("|", " ").split())
    return None if movie_id is None or "\0" in tag else (movie_id, plain)


def says_tags_csv(content: bytes) -> Rows | None:
    """Say what each line of tags.csv says."""
    found = says_csv(content, ColumnNames(), ("", "tag"), strict=True)
    if found is None:
        return None
    header, (movie, tag), lines = found
    return {
        n: tagged(row[movie], row[tag]) if row and len(row) == len(header) else None
        for n, row in lines
    }


def says_tags_dat(content: bytes) -> Rows:
    """Say what each line of tags.dat says."""
    lines = lines_of(content, as_names)
    matches = ((n, re.fullmatch("(?s)(.*?)::(.*?)::(.*)::(.*)", line)) for n, line in lines)
    return {n: tagged(match[2], match[3]) if match else None for n, match in matches}


def triples_of(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Leave out when ratings were given."""
    return [row[:3] for row in rows]


def fold_tags(rows: list[tuple[int, str]]) -> dict[int, str]:
    """Join the distinct tags of each movie."""
    found = {movie: sorted({t for m, t in rows if m == movie and t}) for movie, _ in rows}
    return {movie: "|".join(tags) for movie, tags in found.items() if tags}


def rating_rows(files: RatingsFiles, bad_rows: BadRows) -> list[tuple[int, int, float]]:
    """Read ratings with the package."""
    ratings = read_ratings(files, SCALE, bad_rows)
    columns = (ratings.users, ratings.movies, ratings.values)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def movie_rows(files: RatingsFiles, bad_rows: BadRows) -> dict[int, tuple[str, str]]:
    """Read movies with the package."""
    return {movie_id: tuple(movie) for movie_id, movie in read_movies(files, bad_rows).items()}


def _layouts() -> dict[str, Layout]:
    plain = [(*row, when) for row, when in zip(RATED, TIMES, strict=True)]
    dates = [f'"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M:%S}"' for when in TIMES]
    header = ("userId", "movieId", "rating", "timestamp")
    kaggle = [map(quoted, header), *((*row, when) for row, when in zip(RATED, dates, strict=True))]
    own = [(quoted("a,b"), s, m, u, when) for u, m, s, when in plain]
    whole_stars = [(u, m, int(s + 0.5), when) for u, m, s, when in plain]
    flags = [[int(g in told.split("|")) for g in GENRES] for _, told in TITLES.values()]
    items = [
        (i, t, "1995", "", "x", *f) for (i, (t, _)), f in zip(TITLES.items(), flags, strict=True)
    ]
    movies = [("movieId", "title", "genres"), *((i, quoted(t), g) for i, (t, g) in TITLES.items())]
    tags = [(user, movie, tag, 5) for user, movie, tag in TAGS]
    tag_rows = [(user, movie, quoted(tag), 5) for user, movie, tag in TAGS]
    csv = joined(",", [header, *plain])
    latin = joined("::", [(i, *told) for i, told in TITLES.items()]).decode().encode("latin-1")
    ratings_csv = says_ratings_csv(ColumnNames())

    def rates(name: str, content: bytes, separator: str, says: Any, columns: Any = None) -> Layout:
        columns = columns or ColumnNames()
        return Layout(name, content, separator.encode(), says, rating_rows, triples_of, columns)

    def names(name: str, content: bytes, separator: str, says: Any) -> Layout:
        tells = (read_tags, fold_tags) if name.startswith("tag") else (movie_rows, dict)
        return Layout(name, content, separator.encode(), says, *tells, ColumnNames())

    return {
        "csv": rates("ratings.csv", csv, ",", ratings_csv),
        "windows": rates("ratings.csv", csv.replace(b"\n", b"\r\n"), ",", ratings_csv),
        "kaggle": rates("rating.csv", joined(",", kaggle), ",", ratings_csv),
        "own": rates(
            "log.csv",
            joined(",", [("note", "stars", "what", "who", "when"), *own]),
            ",",
            says_ratings_csv(OWN),
            OWN,
        ),
        "dat": rates("ratings.dat", joined("::", plain), "::", says_ratings_bare("::")),
        "u.data": rates("u.data", joined("\t", whole_stars), "\t", says_ratings_bare("\t")),
        "movies.csv": names("movies.csv", joined(",", movies), ",", says_movies_csv),
        "movies.dat": names("movies.dat", latin, "::", says_movies_dat),
        "u.item": names("u.item", joined("|", items), "|", says_u_item),
        "tags.csv": names(
            "tags.csv",
            joined(",", [("userId", "movieId", "tag", "timestamp"), *tag_rows]),
            ",",
            says_tags_csv,
        ),
        "tags.dat": names("tags.dat", joined("::", tags), "::", says_tags_dat),
    }


LAYOUTS = _layouts()
BYTES = b'0159,,::;\t|""""\'-+.eExXnaif \r\r\n\n\0\xc3\xa9\xff'
FIELDS = (
    *rb"nan NaN inf -inf 1e999 1e-50 -3 5.5 0.5 0 .5 5. 1.0 007 0x1F 1e3 1_0 +1 -0 NULL".split(),
    *(b"%d" % edge for edge in (2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**40)),
    *rb'" "" "x x" "1" "a""b" "1"0'.split(),
    *(b"", b" ", b" 1 ", b"\t1", b"\0", b"\xff", b'"a,b"', b'"a" b', b"2005-04-02 23:53:47"),
    *("\u0661".encode(), "Amélie".encode(), "Amélie".encode("latin-1"), b"x" * 5_000),
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
    end = b"\r" if lines[at].endswith(b"\r") else b""
    fields = lines[at].removesuffix(end).split(separator)
    put = rng.choice((rng.choice(FIELDS), rng.choice(FIELDS), rng.choice(fields)))
    where, span = rng.randrange(len(fields) + 1), rng.choice((0, 1, 1, 1))
    fields[where : where + span] = rng.choice(([put], [put], [put], []))
    lines[at] = separator.join(fields) + end
    return b"\n".join(lines)


def change_lines(content: bytes, separator: bytes, rng: random.Random) -> bytes:
    """Double, drop, swap or break lines."""
    lines = content.split(b"\n")
    start = rng.randrange(len(lines))
    lines[start : start + rng.randrange(2)] = rng.choices([*lines, b"", b" "], k=rng.randrange(3))
    return b"\n".join(lines)


def change_whole(content: bytes, separator: bytes, rng: random.Random) -> bytes:
    """Cut the file, or change all its separators, line ends or its first bytes."""
    return rng.choice(
        (
            content[: rng.randrange(len(content) + 1)],
            content[rng.randrange(min(len(content) + 1, 5)) :],
            content.replace(b"\n", b"\r\n"),
            content.replace(b"\n", b"\r"),
            content.replace(separator, rng.choice((b";", b",", b" ", b"\t", b":", b"::"))),
            content.rstrip(b"\r\n"),
            b"\xef\xbb\xbf" + content,
            content.decode(errors="replace").encode("utf-16"),
            content + rng.randbytes(rng.randrange(40)),
        )
    )


CHANGES = (change_bytes, change_bytes, change_field, change_field, change_lines, change_whole)
WEIGHTS = (4, 4, 4, 4, 2, 1)


def damaged(layout: Layout, rng: random.Random) -> bytes:
    """Return the layout's file with one to four changes."""
    content = layout.content
    for change in rng.choices(CHANGES, WEIGHTS, k=rng.randint(1, 4)):
        content = change(content, layout.separator, rng)
    return content


def check(layout: Layout, content: bytes, folder: Path, zipped: bool = False) -> None:
    """Raise AssertionError unless the file is read as it says or refused by its first bad line."""
    place = write(layout, content, folder, zipped)
    expected = layout.says(content)
    good = [row for row in (expected or {}).values() if row is not None]
    faults = [number for number, row in (expected or {}).items() if row is None]
    for skip in (False, True):
        bad_rows = BadRows(skip)
        told, found = attempt(partial(load, layout, place, bad_rows))
        where = str(place / layout.name) if zipped else str(folder / layout.name)
        if expected is None or (layout.fold is triples_of and not good and not faults):
            assert told.startswith(where), (told, found)
        elif faults and not (skip and good):
            assert told.startswith(f"{where}, line {faults[0]}: "), (faults, told, found)
        else:
            assert (told, found) == ("", layout.fold(good)), (told, found, good)
            assert not skip or bad_rows.numbers(where) == set(faults), faults
            if layout.fold is triples_of:
                files = find_files(place, layout.columns)
                check_times(attempt(partial(read_timestamps, files, bad_rows)), good, where)


def load(layout: Layout, place: Path, bad_rows: BadRows) -> Any:
    """Find and read the file with the package."""
    return layout.read(find_files(place, layout.columns), bad_rows)


def attempt(read: Callable[[], Any]) -> tuple[str, Any]:
    """Return the refusal and nothing, or ``""`` and what was read."""
    try:
        return "", read()
    except MovieEmbedError as error:
        told = str(error)
        assert told.strip(), "an empty message"
        assert all(line.isprintable() for line in told.splitlines()), told
        assert len(told.splitlines()) <= 21, told
        return told, None


def write(layout: Layout, content: bytes, folder: Path, zipped: bool) -> Path:
    """Write the file, with ratings beside it if it has none, and return what to read."""
    members = {layout.name: content}
    if layout.fold is not triples_of:
        members["ratings.csv"] = LAYOUTS["csv"].content
    if zipped:
        (folder / "data.zip").write_bytes(pack(members))
        return folder / "data.zip"
    for old in folder.iterdir():
        old.unlink()
    for name, member in members.items():
        (folder / name).write_bytes(member)
    return folder / layout.name if layout.name == "log.csv" else folder


def pack(members: dict[str, bytes]) -> bytes:
    """Return a zip."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return file.getvalue()


def check_zip(rng: random.Random, folder: Path) -> None:
    """Raise AssertionError unless a damaged zip is refused or read as if it were whole."""
    layouts = (LAYOUTS["csv"], LAYOUTS["movies.csv"], LAYOUTS["tags.csv"])
    content = pack({layout.name: layout.content for layout in layouts})
    for _ in range(rng.randint(1, 3)):
        content = change_bytes(content, b",", rng)
    content = content[: rng.randrange(len(content) + 1)] if rng.random() < 0.1 else content
    path = folder / "data.zip"
    path.write_bytes(content)
    for layout in layouts:
        whole_file = layout.fold([*(layout.says(layout.content) or {}).values()])
        told, found = attempt(partial(load, layout, path, BadRows()))
        # A zip's own table of names has no checksum, so a file of titles or tags may get lost.
        assert str(path) in told or found == whole_file or found == {}, (told, found)


def one(seed: int, number: int, folder: Path) -> str:
    """Check one input and return what is wrong with it, or ``""``."""
    rng = random.Random(f"{seed}/{number}")  # noqa: S311
    kind = [*LAYOUTS, "zip"][number % (len(LAYOUTS) + 1)]
    content = b"" if kind == "zip" else damaged(LAYOUTS[kind], rng)
    try:
        if kind == "zip":
            check_zip(rng, folder)
        else:
            zipped = kind != "own" and rng.random() < 0.1
            check(LAYOUTS[kind], content, folder, zipped)
    except Exception as error:
        return (
            f"--seed {seed} --first {number}: {kind} {content!r}\n  {type(error).__name__}: {error}"
        )
    return ""


def fuzz(seed: int, first: int, inputs: float, seconds: float) -> tuple[int, list[str]]:
    """Check inputs, one after another, until there were enough or the time is over.

    Returns
    -------
    tuple
        How many were checked, and the findings.
    """
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
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--seconds", type=float, default=0)
    parser.add_argument("--inputs", type=float, default=float("inf"), help="stop after so many")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    given = parser.parse_args()
    seconds = 60 * given.minutes + given.seconds or float("inf" if given.inputs < 1e9 else 10)
    print(f"seed {given.seed}", flush=True)
    inputs, findings = fuzz(given.seed, given.first, given.inputs, seconds)
    print(*findings[:50], f"{inputs:,} inputs, {len(findings):,} findings", sep="\n")
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
