"""The tutorial notebook, run from its first cell to its last by IPython in this process."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
from running import ROOT

pytest.importorskip("IPython")


def test_the_notebook_runs_and_shows_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    notebook = json.loads((ROOT / "examples" / "quickstart.ipynb").read_text("utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in cells)
    (parameters,) = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", ())]
    parameters["source"] = ["USERS, EPOCHS = 300, 1"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    config = Config({"HistoryManager": {"enabled": False}})
    shell = InteractiveShell(config=config, user_module=ModuleType("notebook"))
    shown = []
    for cell in cells:
        done = shell.run_cell("".join(cell["source"]))
        done.raise_error()
        shown.append(shell.display_formatter.format(done.result)[0])
    assert sum("image/png" in each for each in shown) == 2
    assert sum("<table>" in each.get("text/html", "") for each in shown) == 3
