"""Damaged files of every layout: read exactly as they say, or refused by file and line."""

from __future__ import annotations

import random
from pathlib import Path

import fuzz
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

EDITS = st.tuples(st.integers(0, 400), st.integers(0, 2), st.sampled_from([*fuzz.BYTES]))


def edited(content: bytes, edits: list[tuple[int, int, int]]) -> bytes:
    """Apply edits: put a byte in at a position, over one that was there, or take it out."""
    for place, kind, byte in edits:
        at = place % (len(content) + 1)
        put = b"" if kind == 2 else bytes([byte])
        content = content[:at] + put + content[at + (kind > 0) :]
    return content


@pytest.mark.parametrize("kind", fuzz.LAYOUTS)
@given(edits=st.lists(EDITS, max_size=4))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@example(edits=[])
@example(edits=[(36, 0, ord('"')), (60, 0, ord('"'))])
def test_edited_files(tmp_path: Path, kind: str, edits: list[tuple[int, int, int]]) -> None:
    layout = fuzz.LAYOUTS[kind]
    fuzz.check(layout, edited(layout.content, edits), tmp_path)


def test_the_short_form_finds_nothing() -> None:
    assert fuzz.fuzz(seed=7, first=0, inputs=240, seconds=float("inf")) == (240, [])


def test_a_reader_that_errs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("movie_embed.data.titles.shape_problem", lambda *_: "")
    monkeypatch.setattr("movie_embed.data.ratings.rating_problem", lambda *_: "")
    _, findings = fuzz.fuzz(seed=7, first=0, inputs=120, seconds=float("inf"))
    kinds = {finding.split(":")[1].split()[0] for finding in findings}
    assert {"csv", "dat", "u.data", "movies.csv", "u.item"} <= kinds


def test_an_input_depends_on_the_seed_and_its_number_only() -> None:
    layout = fuzz.LAYOUTS["csv"]
    first, again, other = (fuzz.damaged(layout, random.Random(seed)) for seed in (1, 1, 2))
    assert first == again != other
