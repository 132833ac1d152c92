"""The rules that keep code from being run out of files and settings: they must bite."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ruff")
ROOT = Path(__file__).resolve().parents[1]

FORBIDDEN = {
    "S307": "eval(input())",
    "S102": "exec(input())",
    "S506": "import yaml\nyaml.load(input())",
    "TID251 torch": "import torch\ntorch.load(input())",
    "TID251": "import pickle",
    "TID251 from": "from pickle import loads",
    "TID251 marshal": "import marshal",
    "TID251 shelve": "import shelve",
    "TID251 dill": "import dill",
    "TID251 joblib": "from joblib import load",
    "TID251 cloudpickle": "import cloudpickle",
    "TID251 numpy": "import numpy as np\nnp.load(input())",
    "TID251 pandas": "import pandas as pd\npd.read_pickle(input())",
    "TID251 hydra": "from hydra.utils import instantiate",
    "TID251 hydra.utils": "import hydra\nhydra.utils.call(input())",
}


def ruff(*snippets: str) -> list[set[str]]:
    """Return the rules that each snippet breaks as a module of the package."""
    lines, starts = [], []
    for snippet in snippets:
        starts.append(len(lines))
        lines += snippet.splitlines()
    command = [sys.executable, "-m", "ruff", "check", "--output-format", "concise"]
    command += ["--stdin-filename", "movie_embed/snippet.py", "-"]
    text = "\n".join(lines) + "\n"
    told = subprocess.run(
        command, input=text, cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout
    found = [
        (int(line.split(":")[1]) - 1, line.split()[1]) for line in told.splitlines() if ":" in line
    ]
    ends = [*starts[1:], len(lines)]
    return [
        {rule for at, rule in found if start <= at < end}
        for start, end in zip(starts, ends, strict=True)
    ]


def test_the_rules_bite() -> None:
    broken = ruff(*FORBIDDEN.values())
    for (rule, snippet), rules in zip(FORBIDDEN.items(), broken, strict=True):
        assert rule.split()[0] in rules, snippet


def test_what_is_safe_passes() -> None:
    safe = ["import yaml", "yaml.safe_load(input())", "import numpy as np", "np.save(input())"]
    assert not {"S307", "S102", "S506", "TID251"} & set().union(*ruff(*safe))


def test_the_one_exception_loads_weights_only() -> None:
    rules = ("S307", "S102", "S506", "TID251")
    lines = [
        line.strip()
        for path in (ROOT / "movie_embed").rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if any(f"noqa: {rule}" in line for rule in rules)
    ]
    (line,) = lines
    assert "torch.load(" in line
    assert "weights_only=True" in line
