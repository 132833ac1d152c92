"""The one form of ratings: thresholds, numbers, splitting and the cache."""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from synthetic import (
    MOVIES,
    data_set,
    files_config,
    rated,
    ratings_csv,
    rows_of,
    write_folder,
)

from movie_embed.config import ColumnNames
from movie_embed.data import loading
from movie_embed.data.loading import load_ratings
from movie_embed.data.movies import MovieTable
from movie_embed.data.ratings import BLOCK, Counts, DataSet, Ratings
from movie_embed.data.splits import TRAIN, UNUSED, VAL, split
from movie_embed.errors import MovieEmbedError

Pairs = dict[tuple[int, int], float]


def rated_rows(rows: list[tuple[int, int, float]], min_ratings: int = 1) -> DataSet:
    return rated(*map(np.array, zip(*rows, strict=True)), movies=MOVIES, min_ratings=min_ratings)


def pairs_of(data: DataSet) -> Pairs:
    """Return stars by the raw ids of user and movie."""
    pairs = {(user, movie): stars for user, movie, stars in rows_of(data)}
    assert len(pairs) == data.counts.ratings
    return pairs


def assert_same(one: DataSet, other: DataSet) -> None:
    """Compare all that data sets hold but for how their files are called."""
    for left, right in ((one, other), (one.movies, other.movies), (one.ratings, other.ratings)):
        for name in vars(left).keys() - {"notes", "_row_of"}:
            if isinstance(getattr(left, name), MovieTable | Ratings):
                continue
            of, like = getattr(left, name), getattr(right, name)
            assert getattr(of, "dtype", type(of)) == getattr(like, "dtype", type(like))
            np.testing.assert_array_equal(of, like, err_msg=name)


IDS = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)
STARS = st.floats(width=32, allow_nan=False, allow_infinity=False)
RATED = st.dictionaries(st.tuples(IDS, IDS), STARS, min_size=1, max_size=60)


@given(RATED, st.randoms(use_true_random=False), st.integers(1, 4))
@settings(deadline=None, max_examples=25)
@example({(0, 2**63 - 1): 0.0, (-(2**63), 0): 1.0}, random.Random(0), 1)
def test_any_ratings_survive(pairs: Pairs, random: Any, min_ratings: int) -> None:
    rows = [(*pair, stars) for pair, stars in pairs.items()]
    random.shuffle(rows)
    counts = Counter(movie for _, movie in pairs)
    if max(counts.values()) < min_ratings:
        with pytest.raises(MovieEmbedError, match="leaves no movie"):
            rated_rows(rows, min_ratings)
        return
    data = rated_rows(rows, min_ratings)
    assert pairs_of(data) == {p: s for p, s in pairs.items() if counts[p[1]] >= min_ratings}
    users, movies, _ = data.ratings.columns()
    keys = users.astype(np.int64) * len(data.movies) + movies
    assert np.all(keys[1:] > keys[:-1])
    staying = {user for user, movie in pairs if counts[movie] >= min_ratings}
    assert set(data.ratings.user_ids.tolist()) == staying
    assert len(data.ratings) == sum(user in staying for user, _ in pairs)
    assert data.ratings.level_counts(data.trained).sum() == data.counts.ratings
    for ids in (data.ratings.user_ids, data.movies.ids[: data.movies.embedded]):
        assert ids.dtype == np.int64
        assert np.all(ids[1:] > ids[:-1])
    table = zip(data.movies.ids.tolist(), data.movies.rating_counts.tolist(), strict=True)
    assert {movie: count for movie, count in table if movie not in MOVIES or count} == counts


def test_counts_before_and_after_the_threshold() -> None:
    rows = [(1, 10, 3.0), (1, 10, 4.0), (1, 99, 3.5), (7, 10, 0.5), (7, 20, 5.0), (9, 99, 2.0)]
    data = rated_rows([*rows, (5, 77, 1.0)], min_ratings=2)
    assert data.before == Counts(users=4, movies=4, ratings=6)
    assert data.counts == Counts(users=3, movies=2, ratings=4)
    assert (data.ratings.user_ids.tolist(), data.duplicates) == ([1, 7, 9], 1)
    assert data.ratings.levels.tolist() == [0.5, 1.0, 2.0, 3.0, 3.5, 4.0, 5.0]
    assert data.ratings.level_counts(data.trained).tolist() == [1, 0, 1, 0, 1, 1, 0]
    table = data.movies  # those without vectors stay in it
    assert (table.ids.tolist(), table.embedded) == ([10, 99, 20, 77, 30, 40], 2)
    assert table.rating_counts.tolist() == [2, 2, 1, 1, 0, 0]
    assert table.titles[:3] == [MOVIES[10].title, "", MOVIES[20].title]


def test_a_threshold_that_leaves_nothing_says_what_would_do() -> None:
    rows = [(user, 10, 3.0) for user in range(1_500)] + [(1, 20, 3.0)]
    assert rated_rows(rows, 1_500).counts == Counts(1_500, 1, 1_500)
    with pytest.raises(MovieEmbedError) as caught:
        rated_rows(rows, 1_501)
    assert str(caught.value) == (
        "data.min_ratings=1501 leaves no movie: of 2 movies with 1,501 ratings the most rated "
        "has 1,500; use at most that"
    )


def test_at_most_65536_distinct_ratings_are_kept_exactly() -> None:
    stars, ids = np.linspace(-1.0, 1.0, 2**16 + 1, dtype=np.float32), np.arange(2**16 + 1)
    data = rated(ids[1:] // 300, ids[1:] % 300, stars[1:], scale=(-1.0, 1.0))
    np.testing.assert_array_equal(data.ratings.columns()[2], stars[1:])
    with pytest.raises(MovieEmbedError, match="65,537 distinct ratings, and at most 65,536"):
        rated(ids // 300, ids % 300, stars)


def test_a_pair_repeated_where_blocks_meet() -> None:
    rows = np.arange(BLOCK + 500)
    users, movies, values = rows // 40, rows % 40, (rows % 10 / 2 + 0.5).astype(np.float32)
    movies[BLOCK] = movies[BLOCK - 1]
    data = rated(users, movies, values)
    assert data.duplicates == 1
    latest = rows != BLOCK - 1
    for found, column in zip(data.ratings.columns(), (users, movies, values), strict=True):
        np.testing.assert_array_equal(found, column[latest])


def many_ratings(size: int = 20_000, min_ratings: int = 1) -> DataSet:
    rng = np.random.default_rng(1)
    pairs = np.unique(rng.integers(0, 2**20, size))
    stars = rng.choice(np.arange(1, 11, dtype=np.float32) / 2, len(pairs))
    return rated(pairs >> 10, pairs & 1023, stars, min_ratings=min_ratings)


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 0.999])
def test_a_split_is_of_trained_movies_and_depends_on_its_seed_only(fraction: float) -> None:
    data = many_ratings(min_ratings=20)
    parts = split(data, fraction, seed=3)
    np.testing.assert_array_equal(parts == UNUSED, ~data.trained)
    assert 0.05 < np.mean(data.trained) < 0.95
    val, size = np.count_nonzero(parts == VAL), data.counts.ratings
    assert val == pytest.approx(fraction * size, abs=4 * size**0.5)
    assert np.count_nonzero(parts == TRAIN) == size - val
    np.testing.assert_array_equal(split(data, fraction, seed=3), parts)
    if fraction == 0.1:
        assert np.count_nonzero((split(data, fraction, seed=4) == VAL) & (parts == VAL)) < 0.3 * val


def no_reading(*_: object) -> NoReturn:
    pytest.fail("the raw file was read again")


def load_cached(config: Any, monkeypatch: pytest.MonkeyPatch) -> DataSet:
    with monkeypatch.context() as patch:
        patch.setattr(loading, "read_ratings", no_reading)
        return load_ratings(config)


@pytest.mark.parametrize("ids", ["numbers", "text"])
def test_the_second_load_reads_the_cache(
    ids: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(folder, {"tags.csv": b"userId,movieId,tag\n1,10,space\n"})
    if ids == "text":
        (folder / "ratings.csv").write_bytes(ratings_csv().replace(b"\n", b"\nu"))
    config = files_config(folder, tmp_path / "cache", on_bad_rows="skip")
    built = load_ratings(config)
    assert built.movies.tags[0] == "space"
    assert_same(load_cached(config, monkeypatch), built)
    assert sorted(file.suffix for file in folder.iterdir()) == [".csv"] * 3
    folder.rename(tmp_path / "moved")
    moved = files_config(tmp_path / "moved", tmp_path / "cache", on_bad_rows="skip")
    assert_same(load_cached(moved, monkeypatch), built)


def test_another_file_of_the_same_size_and_time_is_read(folder: Path, tmp_path: Path) -> None:
    config = files_config(folder, tmp_path / "cache")
    assert pairs_of(load_ratings(config))[9, 20] == 2.0
    for name, old, new in (("ratings.csv", b",2.0,", b",1.5,"), ("movies.csv", b"Star", b"Scar")):
        file = folder / name
        before = file.stat()
        file.write_bytes(file.read_bytes().replace(old, new))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    changed = load_ratings(config)
    assert pairs_of(changed)[9, 20] == 1.5
    assert changed.movies.titles[0].startswith("Scar Wars")
    write_folder(folder, {"tags.csv": b"userId,movieId,tag\n1,10,space\n"})
    assert load_ratings(config).movies.tags[0] == "space"


@pytest.mark.parametrize(
    "change",
    [{"min_ratings": 2}, {"rating_range": [0.0, 5.0]}, {"columns": ColumnNames(timestamp="none")}],
)
def test_settings_that_shape_the_ratings_have_caches_of_their_own(
    change: dict[str, Any], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_ratings(files_config(folder, tmp_path / "cache"))
    with pytest.raises(pytest.fail.Exception):
        load_cached(files_config(folder, tmp_path / "cache", **change), monkeypatch)
    other = {"val_fraction": 0.5, "batch_size": 7}
    load_cached(files_config(folder, tmp_path / "cache", **other), monkeypatch)


def test_a_damaged_cache_is_built_again(
    folder: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = files_config(folder, tmp_path / "cache")
    expected = pairs_of(load_ratings(config))
    (cached,) = (tmp_path / "cache" / "ratings").glob("files-*/*")
    whole = cached.read_bytes()
    for damage in (b"", whole[:-1], bytes([whole[0] ^ 1]) + whole[1:]):
        cached.unlink()
        cached.write_bytes(damage)
        caplog.clear()
        assert pairs_of(load_ratings(config)) == expected
        assert "building it again" in caplog.text
        assert pairs_of(load_cached(config, monkeypatch)) == expected


def test_a_file_in_place_of_the_cache_folder_is_an_error(folder: Path, tmp_path: Path) -> None:
    write_folder(tmp_path / "cache", {"ratings": b""})
    with pytest.raises(MovieEmbedError, match=r"data\.cache_dir"):
        load_ratings(files_config(folder, tmp_path / "cache"))


def test_the_scale_is_what_occurs_unless_given(folder: Path, tmp_path: Path) -> None:
    config = files_config(folder, tmp_path / "cache", rating_range=None)
    assert load_ratings(config).rating_range == (0.5, 5.0)
    data_set(folder, b"userId,movieId,rating\n1,2,3\n1,3,3\n")
    with pytest.raises(MovieEmbedError, match=r"every rating is 3: .*data\.rating_range="):
        load_ratings(config)


@pytest.mark.shared
def test_the_pooled_sample_at_300(shared: Path, tmp_path: Path) -> None:
    data = load_ratings(files_config(shared / "pooled", tmp_path, min_ratings=300))
    assert data.before == Counts(users=7_468, movies=19_495, ratings=872_221)
    assert data.counts == Counts(users=7_418, movies=703, ratings=474_012)
    assert (data.ratings.movies.dtype, data.ratings.values.dtype) == (np.uint16, np.uint8)
