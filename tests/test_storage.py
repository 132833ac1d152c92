"""Files of columns: round trips, damage, and what a failed write leaves."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_np
from safetensors.numpy import load_file, save_file

from movie_embed import storage
from movie_embed.errors import MovieEmbedError
from movie_embed.storage import ColumnFile, atomic_path, read_columns, write_columns, write_text

COLUMNS: dict[str, Any] = {
    "numbers": np.arange(6, dtype=np.int64).reshape(2, 3),
    "halves": np.array([0.5, -1.5], dtype=np.float16),
    "nothing": np.zeros((0, 4), dtype=np.float32),
    "titles": ["Léon: The Professional", "", 'a "b", c::d|e\n', "\U0001f3ac"],
    "no titles": [],
}
METADATA = {"count": 3, "range": [0.5, 5.0], "name": "é", "none": None}


def assert_same(columns: dict[str, Any], expected: dict[str, Any]) -> None:
    assert columns.keys() == expected.keys()
    for name, column in expected.items():
        if isinstance(column, list):
            assert columns[name] == column
        else:
            assert columns[name].dtype == column.dtype
            np.testing.assert_array_equal(columns[name], column)
            assert columns[name].shape == column.shape


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_columns(tmp_path / "file.safetensors", "test", COLUMNS, METADATA)
    return tmp_path / "file.safetensors"


def test_columns_round_trip_all_or_those_asked_for(path: Path) -> None:
    columns, metadata = read_columns(path, "test")
    assert_same(columns, COLUMNS)
    assert metadata == METADATA
    file = ColumnFile(path, "test")
    assert list(file.read(["titles", "halves"])) == ["titles", "halves"]
    with pytest.raises(MovieEmbedError, match="absent"):
        file.read(["absent"])


NUMBERS = st_np.arrays(
    st.sampled_from(["u1", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "?"]),
    st_np.array_shapes(min_dims=0, min_side=0, max_dims=3, max_side=4),
).filter(lambda array: np.isfinite(array).all())
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))


@given(st.dictionaries(st.text("abc ", min_size=1), NUMBERS | TEXTS, max_size=4))
@settings(max_examples=100, deadline=None)
def test_any_columns_round_trip(
    tmp_path_factory: pytest.TempPathFactory, columns: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    write_columns(path, "test", columns, {})
    assert_same(read_columns(path, "test")[0], columns)
    shared = ColumnFile(path, "test").read()
    assert_same(shared, columns)
    arrays = {name: column for name, column in shared.items() if not isinstance(column, list)}
    assert not any(array.flags.writeable for array in arrays.values())
    theirs = load_file(path)
    assert theirs.keys() == columns.keys()
    for name, array in arrays.items():
        assert theirs[name].tobytes() == array.tobytes()
        assert (theirs[name].dtype, theirs[name].shape) == (array.dtype, array.shape)


def test_a_file_that_is_replaced_stays_whole_for_who_has_it_open(path: Path) -> None:
    file = ColumnFile(path, "test")
    write_columns(path, "test", {"numbers": np.zeros(3)}, {"count": 4})
    assert_same(file.read(), COLUMNS)
    path.unlink()
    assert_same(file.read(["halves"]), {"halves": COLUMNS["halves"]})
    assert file.metadata == METADATA


def test_the_same_columns_are_the_same_bytes(path: Path) -> None:
    turned = dict(reversed(COLUMNS.items()))  # the order of columns is the caller's, and told
    made = set()
    for columns in (COLUMNS, COLUMNS, turned):
        for _ in range(8):
            write_columns(path, "test", columns, METADATA)
            made.add(path.read_bytes())
    assert len(made) == 2


def test_a_file_system_that_maps_no_files_is_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError(errno.ENODEV, "No such device")

    monkeypatch.setattr("mmap.mmap", none)
    with pytest.raises(OSError, match="No such device"):
        np.memmap(path)
    assert_same(read_columns(path, "test")[0], COLUMNS)
    assert_same(ColumnFile(path, "test").read(["halves"]), {"halves": COLUMNS["halves"]})


def test_columns_in_any_memory_order(tmp_path: Path) -> None:
    numbers = np.arange(24.0).reshape(2, 3, 4)
    columns = {"turned": numbers.T, "every other": numbers[:, ::2], "back": numbers[::-1]}
    write_columns(tmp_path / "file", "test", columns, {})
    assert_same(read_columns(tmp_path / "file", "test")[0], columns)
    (tmp_path / "plain").touch()  # others may read what the umask lets them
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def read_or_refuse(path: Path) -> bool:
    """Return whether the file was read, and then as it was written."""
    try:
        columns, metadata = read_columns(path, "test")
    except MovieEmbedError as error:
        assert str(path) in str(error)
        return False
    assert_same(columns, COLUMNS)
    assert metadata == METADATA
    return True


@pytest.mark.parametrize("flip", [0x01, 0xA0])
def test_no_changed_byte_changes_what_is_read(path: Path, flip: int) -> None:
    whole = path.read_bytes()
    harmless = 0
    for position in range(flip % 2, len(whole), 2):
        changed = whole[:position] + bytes([whole[position] ^ flip]) + whole[position + 1 :]
        path.write_bytes(changed)
        harmless += read_or_refuse(path)
    assert harmless < 10


def test_a_cut_file_is_refused(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        assert not read_or_refuse(path)
    path.write_bytes(whole + b"more")
    assert not read_or_refuse(path)


def test_files_of_others_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for none in (path.parent, path / "absent"):
        with pytest.raises(MovieEmbedError, match="cannot be read as test"):
            read_columns(none, "test")
    with pytest.raises(MovieEmbedError, match="holds test, not embeddings"):
        read_columns(path, "embeddings")
    monkeypatch.setattr(storage, "FORMAT_VERSION", storage.FORMAT_VERSION + 1)
    write_columns(path, "test", {}, {})
    monkeypatch.undo()
    with pytest.raises(MovieEmbedError, match=r"newer than .*update movie_embed"):
        read_columns(path, "test")
    save_file({"a": np.zeros(2)}, path)
    with pytest.raises(MovieEmbedError, match="was not written by movie_embed"):
        read_columns(path, "test")


def test_a_failed_write_leaves_the_old_file_alone(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(ValueError, match="NUL"):
        write_columns(path, "test", {"titles": ["a\0b"]}, {})
    with pytest.raises(KeyError), atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise KeyError
    with pytest.raises(MovieEmbedError, match="cannot write"), atomic_path(path) as temporary:
        temporary.write_bytes(b"half")
        raise OSError(28, "No space left on device")
    with pytest.raises(MovieEmbedError, match="cannot write"), atomic_path(path):
        pass  # which makes no file
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_threads_that_write_one_file_at_once_leave_a_whole_one(path: Path) -> None:
    with ThreadPoolExecutor(1) as other, atomic_path(path) as temporary:
        temporary.write_text("first")
        other.submit(write_text, path, "second").result()
        assert path.read_text() == "second"
    assert path.read_text() == "first"


def test_folders_are_made_and_files_in_the_way_are_named(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "text", "é\n")
    assert (tmp_path / "a" / "b" / "text").read_text(encoding="utf-8") == "é\n"
    with pytest.raises(MovieEmbedError, match=r"cannot write .*text/c"):
        write_text(tmp_path / "a" / "b" / "text" / "c", "")
    (tmp_path / "folder").mkdir()
    with pytest.raises(MovieEmbedError, match=r"cannot write .*folder"):
        write_text(tmp_path / "folder", "")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a", "folder"]


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from movie_embed import storage
replace = Path.replace
storage.Path.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)
storage.write_columns(Path(sys.argv[1]), "test", {"new": np.zeros(1000)}, {})
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_write_leaves_the_old_file_alone(path: Path) -> None:
    before = path.read_bytes()
    died = subprocess.run([sys.executable, "-c", KILLED, str(path)], env={**os.environ})
    assert died.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    write_columns(path, "test", {"new": np.ones(3)}, {})
    assert read_columns(path, "test")[0]["new"].tolist() == [1, 1, 1]
