"""The rules that keep code from being run out of files and settings: they must bite."""

from __future__ import annotations

import subprocess
import sys

import pytest
from running import ROOT

pytest.importorskip("ruff")
RULES = ("S307", "S102", "S506", "TID251")
# Each line breaks the rule beside it, or none.
SNIPPET = """\
import yaml, torch, numpy as np, pandas as pd, hydra
eval(input())                        # S307
exec(input())                        # S102
yaml.load(input())                   # S506
yaml.safe_load(input())
torch.load(input())                  # TID251
np.load(input())                     # TID251
np.save(input())
pd.read_pickle(input())              # TID251
hydra.utils.call(input())            # TID251
from hydra.utils import instantiate  # TID251
from pickle import loads             # TID251
import pickle                        # TID251
import marshal                       # TID251
import shelve                        # TID251
import dill                          # TID251
import cloudpickle                   # TID251
from joblib import load              # TID251
"""


def test_the_rules_bite_and_what_is_safe_passes() -> None:
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "concise"]
    command += ["--stdin-filename", "movie_embed/snippet.py", "-"]
    told = subprocess.run(command, input=SNIPPET, cwd=ROOT, capture_output=True, text=True).stdout
    found = {(line.split(":")[1], line.split()[1]) for line in told.splitlines() if ":" in line}
    broken = {(number, rule) for number, rule in found if rule in RULES}
    lines = enumerate(SNIPPET.splitlines(), start=1)
    assert broken == {(str(number), line.split("# ")[1]) for number, line in lines if "#" in line}


def test_the_one_exception_loads_weights_only() -> None:
    (line,) = [
        line
        for path in (ROOT / "movie_embed").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if any(f"noqa: {rule}" in line for rule in RULES)
    ]
    assert "torch.load(" in line
    assert "weights_only=True" in line
