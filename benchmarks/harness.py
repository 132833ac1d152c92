"""What the benchmarks share: environments for peers, child processes, tables in the docs."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from movie_embed.data.packing import Packed
from movie_embed.data.triples import Triples

ROOT = Path(__file__).resolve().parents[1]
PEERS = Path(__file__).with_name("peers")
_TORCH = f"torch=={torch.__version__.partition('+')[0]}"
REQUIREMENTS = {
    "keras": ["keras", "tensorflow-cpu"],
    "surprise": ["scikit-surprise", "pandas"],
    "lenskit": [_TORCH, "lenskit"],
    "fastai": [_TORCH, "fastai"],
    "cornac": ["cornac"],
}


def peer_python(name: str, folder: Path) -> Path:
    """Return the Python of a peer's own environment, made on first use."""
    home = folder / name
    python = home / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", *REQUIREMENTS[name]], check=True
        )
    return python


def run_child(command: Sequence[str | Path], **environment: str) -> tuple[str, float]:
    """Run a command to its end and return its output and peak memory in MB."""
    with tempfile.TemporaryFile("w+") as output:
        child = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if child.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} exited with {child.returncode}")
    return text, usage.ru_maxrss / 1024


def run_peer(name: str, script: str, folder: Path, *arguments: str | Path) -> dict[str, Any]:
    """Run one of `peers/` in its environment and return the JSON object it prints last."""
    text, memory = run_child([peer_python(name, folder), PEERS / script, *arguments])
    result: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    return result | {"memory": memory}


def export(triples: Triples, train: Packed, val: Packed, path: Path) -> Path:
    """Write users, movies and stars of both splits where a peer can read them."""
    columns = {}
    for split, packed in (("train", train), ("val", val)):
        users, movies, stars = triples.unpack(packed)
        columns |= {f"{split}_users": users, f"{split}_movies": movies, f"{split}_stars": stars}
    low, high = triples.rating_range
    counts = triples.counts
    np.savez(path, **columns, users=counts.users, movies=counts.movies, low=low, high=high)
    return path


def machine() -> str:
    """Return one line about where and when this ran."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists() and (found := re.search(r"model name\s*: (.+)", cpuinfo.read_text())):
        model = found[1]
    versions = [f"{name} {version(name)}" for name in ("torch", "pytorch-lightning", "numpy")]
    return (
        f"{date.today()}, {os.cpu_count()} cores of {model}, Python "
        f"{platform.python_version()}, {', '.join(versions)}"
    )


def table(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def write_section(name: str, text: str, *paths: Path) -> None:
    """Print a result and put it between its markers in the given documents."""
    print(text)
    for path in paths or (ROOT / "docs" / "benchmarks.md",):
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        content, found = re.subn(
            pattern,
            lambda match: f"{match[1]}\n{text}\n\n{match[2]}",
            path.read_text(encoding="utf-8"),
            flags=re.DOTALL,
        )
        if not found:
            raise SystemExit(f"{path} has no markers <!-- {name} -->")
        path.write_text(content, encoding="utf-8")
