"""Fixtures that more than one test file uses."""

from __future__ import annotations

from pathlib import Path

import pytest
import synthetic

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small data set: five ratings by three users of three of four movies."""
    return synthetic.data_set(tmp_path / "data")


@pytest.fixture
def shared() -> Path:
    """The folder of real ratings beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"no real ratings at {SHARED}")
    return SHARED
