"""What the benchmarks share: command lines, runs, peers' environments, tables in the docs."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone need not be installed

from movie_embed.cli import read_settings
from movie_embed.config import TrainConfig, register_schemas
from movie_embed.data.ratings import Columns, DataSet
from movie_embed.data.splits import TRAIN, UNUSED, VAL, split
from movie_embed.training.datamodule import Packed

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PEERS = Path(__file__).with_name("peers")
_TORCH = f"torch=={version('torch').partition('+')[0]}"
REQUIREMENTS = {
    "keras": ["keras", "tensorflow-cpu"],
    "surprise": ["scikit-surprise", "pandas"],
    "lenskit": [_TORCH, "lenskit"],
    "fastai": [_TORCH, "fastai"],
    "cornac": ["cornac"],
    "implicit": ["implicit"],
}
# The peak that Linux tells of a process is at least that of the one which started it.
_MEASURED = """
import os, sys
_, status, usage = os.wait4(os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ), 0)
print(f"\\n{usage.ru_maxrss}")
sys.exit(abs(os.waitstatus_to_exitcode(status)))
"""
# What a column's figures are, where others mean something else by the name.
DEFINITIONS = {
    r"ndcg@": "nDCG: a hit gains 1 / log2(rank + 1), divided by the gain of the best possible list",
    r"(?<!sequel )(?<!cosine / )recall@": "recall: hits / number held out",
    r"coverage": "coverage: movies in some list / all movies",
    r"popularity@": "popularity: mean number of training ratings of the movies in the lists",
    r"sequel recall@": "sequel recall: pairs of a series whose second the first's list has / pairs",
    r"genre precision@": "genre precision: movies in the lists that share a genre with theirs",
}
_TYPES: dict[str, type] = {"int": int, "float": float, "bool": bool}


def command_line(doc: str | None, *actions: Callable[..., None]) -> None:
    """Call the action that the command line names, or the only one.

    Parameters of actions become arguments and, where they have a default, options; the first line
    of the script's `doc` is shown.
    """
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    several = parser.add_subparsers(required=True) if len(actions) > 1 else None
    for action in actions:
        about = (action.__doc__ or "").partition("\n")[0]
        sub = several.add_parser(action.__name__, help=about) if several else parser
        sub.set_defaults(action=action)
        for name, given in signature(action).parameters.items():
            kind, option = _TYPES.get(given.annotation, Path), f"--{name.replace('_', '-')}"
            if given.default is given.empty:
                sub.add_argument(name, type=kind)
            elif kind is bool:
                sub.add_argument(option, action="store_true")
            else:
                sub.add_argument(option, type=kind, default=given.default)
    options = vars(parser.parse_args())
    options.pop("action")(**options)


def run_child(command: Sequence[str | Path], **environment: str) -> tuple[str, float]:
    """Run a command to its end and return its output and peak memory in MB."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *map(str, command)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"} | environment,
    )
    if done.returncode:
        ended = f"{' '.join(map(str, command))} exited with {done.returncode}"
        raise SystemExit(f"{done.stderr}{ended}")
    text, _, memory = done.stdout.rstrip().rpartition("\n")
    return text, int(memory) / 1024


def trained(run: Path, *settings: str) -> dict[str, Any]:
    """Run train.py as a user does; return its metrics, and its peak memory in MB."""
    where = [f"hydra.run.dir={run}", "save.figures=false"]
    _, memory = run_child([sys.executable, "train.py", *settings, *where])
    return json.loads((run / "metrics.json").read_text()) | {"memory": memory}


def settings_of(overrides: Sequence[str]) -> TrainConfig:
    """Return the settings of a command line of train.py."""
    register_schemas()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return read_settings(compose("train", [*overrides, "save.figures=false"]))


def trained_as_changed(
    run: Path, overrides: Sequence[str], *, data: type | None = None, module: type | None = None
) -> dict[str, Any]:
    """Train in this process, in silence, with classes in place of ours; return the metrics."""
    from movie_embed import train
    from movie_embed.training.datamodule import RatingsDataModule
    from movie_embed.training.regression import RatingRegression

    config = settings_of(overrides)
    ratings: RatingsDataModule = (data or RatingsDataModule)(config.data, config.seed)
    task: type[RatingRegression] = module or RatingRegression
    learner = task.for_data(ratings, config.model, config.optimizer)
    with contextlib.redirect_stdout(io.StringIO()):
        return train(config, run, data=ratings, module=learner)


def curve(run: Path) -> list[float]:
    """Return the validation RMSE of every epoch of a run."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return [event.value for event in EventAccumulator(str(run)).Reload().Scalars("val_rmse")]


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


def run_peer(name: str, script: str, folder: Path, *arguments: str | Path) -> dict[str, Any]:
    """Run one of `peers/` in its environment and return the JSON object it prints last."""
    python = peer_python(name, folder) if name else Path(sys.executable)
    text, memory = run_child([python, PEERS / script, *arguments])
    result: dict[str, Any] = json.loads(text.strip().splitlines()[-1])
    return result | {"memory": memory}


def split_columns(data: DataSet, fraction: float, seed: int) -> tuple[Columns, Columns]:
    """Return training ratings in the order in which ours are stored, and those held out."""
    parts = split(data, fraction, seed)
    train = Packed(data, parts == TRAIN, parts != UNUSED, seed)
    return train.unpack(train.array), data.ratings.columns(parts == VAL)


def export(data: DataSet, train: Sequence[Any], val: Sequence[Any], path: Path) -> Path:
    """Write users, movies and stars of both splits where a peer can read them."""
    columns: dict[str, Any] = {}
    for prefix, part in (("train", train), ("val", val)):
        names = (f"{prefix}_{name}" for name in ("users", "movies", "stars"))
        columns |= dict(zip(names, part, strict=True))
    (low, high), counts = data.rating_range, data.counts
    np.savez(path, **columns, users=counts.users, movies=counts.movies, low=low, high=high)
    return path


def machine() -> str:
    """Return one line about where and when this ran."""
    model, cpuinfo = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if cpuinfo.exists() and (found := re.search(r"model name\s*: (.+)", cpuinfo.read_text())):
        model = found[1]
    names = ("torch", "pytorch-lightning", "numpy")
    versions = [f"Python {platform.python_version()}", *(f"{n} {version(n)}" for n in names)]
    return f"{date.today()}, {os.cpu_count()} cores of {model}, {', '.join(versions)}"


def spread(values: Sequence[float] | NDArray[Any], digits: int) -> str:
    """Return a mean and, of several values, their standard deviation."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return f"{mean} ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else mean


def table(heading: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table, and below it the definitions of its figures."""
    lines = [heading, ["---"] * len(heading), *rows]
    text = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
    names = " ".join(map(str, heading))
    defined = "; ".join(each for name, each in DEFINITIONS.items() if re.search(name, names))
    return f"{text}\n\n{defined}." if defined else text


def write_table(
    name: str, note: str, heading: Sequence[object], rows: Sequence[Sequence[object]], **page: Path
) -> None:
    """Write a table into a document, and above it the machine and a note."""
    above = f"{machine()}; {note}" if note else machine()
    write_section(name, f"{above}\n\n{table(heading, rows)}", **page)


def write_section(name: str, text: str, path: Path = DOCS / "benchmarks.md") -> None:
    """Print a result and put it between its markers in a document."""
    print(text)
    content, found = re.subn(
        rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
        lambda match: f"{match[1]}\n{text}\n\n{match[2]}",
        path.read_text(encoding="utf-8"),
        flags=re.DOTALL,
    )
    if not found:
        raise SystemExit(f"{path} has no markers <!-- {name} -->")
    path.write_text(content, encoding="utf-8")
