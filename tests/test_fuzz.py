"""Damaged files of every layout: read exactly as they say, or refused by file and line."""

from __future__ import annotations

import random

import fuzz
import pytest


def test_the_short_form_finds_nothing() -> None:
    assert fuzz.fuzz(seed=7, first=0, inputs=105, seconds=float("inf")) == (105, [])


def test_a_reader_that_errs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("movie_embed.data.ratings.stars_problem", lambda *_: "")
    monkeypatch.setattr("movie_embed.data.titles.id_problem", lambda *_: "")
    _, findings = fuzz.fuzz(seed=7, first=0, inputs=70, seconds=float("inf"))
    kinds = {finding.split(":")[1].split()[0] for finding in findings}
    assert {"csv", "dat", "tags"} <= kinds


def test_an_input_depends_on_the_seed_and_its_number_only() -> None:
    layout = fuzz.LAYOUTS["csv"]
    first, again, other = (fuzz.damaged(layout, random.Random(seed)) for seed in (1, 1, 2))
    assert first == again != other
