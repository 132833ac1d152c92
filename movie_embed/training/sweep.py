"""Sweeps and the start of runs: names of their folders, failures, and the table at the end.

Every run of a sweep leaves its result or the reason of its failure in its own folder, and the
table is read back from there: it does not matter which process or machine a run was in.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from movie_embed.cli import explain, one_line_errors, setting
from movie_embed.config import TrainConfig
from movie_embed.errors import MovieEmbedError, program
from movie_embed.storage import write_text
from movie_embed.training.folders import clear, locked, new_folder, run_folder

_SHOWN = ("val_rmse", "bias_only_rmse", "train_seconds", "ratings_per_second")
_SWEPT = "swept.json"
_FAILURE = "failure.txt"
_LONGEST_NAME = 120


class Start(Callback):
    """What Hydra calls before a run, and before the first run of a sweep: choose their folders.

    Attributes
    ----------
    folder
        The folder of the sweep that this process has started, if any.
    objective
        The metric that its runs are compared by.
    """

    folder: ClassVar[Path | None] = None
    objective: ClassVar[str]
    _lock: ClassVar[object]  # of the sweep's folder, until the process ends

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Take the run's folder."""
        wanted = Path(config.hydra.run.dir)
        with one_line_errors(TrainConfig):
            run = run_folder(config.resume, wanted, _is_given("hydra.run.dir", config))
        config.hydra.run.dir = str(run)

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Take the sweep's folder, and keep what is the same in all runs out of their names."""
        wanted = Path(config.hydra.sweep.dir)
        with one_line_errors(TrainConfig):
            folder = wanted if _is_given("hydra.sweep.dir", config) else new_folder(wanted)
            Start._lock = locked(folder)
            _begin_in(folder, config.overwrite)
        Start.folder, Start.objective = folder, config.objective
        config.hydra.sweep.dir = str(folder)
        searched = OmegaConf.select(config, "hydra.sweeper.params") or {}
        given = [f"{key}={value}" for key, value in searched.items()] + config.hydra.overrides.task
        swept = {o.key_or_group: o.is_sweep_override() for o in _parse(given)}
        fixed = json.dumps([key for key, varies in swept.items() if not varies])
        # Of this config only these overrides reach the runs, which may be in other processes.
        config.hydra.overrides.hydra.append(
            f"hydra.job.config.override_dirname.exclude_keys={fixed}"
        )
        config.hydra.overrides.hydra.extend(shlex.split(setting("hydra.sweep.dir", str(folder))))


def _is_given(key: str, config: DictConfig) -> bool:
    return any(override.startswith(f"{key}=") for override in config.hydra.overrides.hydra)


def _begin_in(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that holds a sweep, or remove the runs of that sweep."""
    earlier = [noted.parent for noted in folder.rglob(_SWEPT)]
    if earlier and not overwrite:
        raise MovieEmbedError(
            f"{folder} holds a sweep already: give the new one another folder, "
            "hydra.sweep.dir=..., or replace it with overwrite=true"
        )
    for run in earlier:
        clear(run)
        for name in (_SWEPT, _FAILURE):
            (run / name).unlink(missing_ok=True)


def run_name(config: DictConfig) -> str:
    """Return a run's folder, ``3_dim=50,min_ratings=300``, safe for every file system.

    The number makes it unique where a search tries the same values again, or the name is long.
    """
    swept = swept_values(config.hydra).items()
    pairs = ",".join(f"{key.rpartition('.')[2]}={_short(value)}" for key, value in swept)
    safe = re.sub(r"[^\w.=,+-]+", "-", f"{config.hydra.job.num}_{pairs}", flags=re.ASCII)
    return safe[:_LONGEST_NAME].rstrip("_-.")


def _plain(value: object) -> object:
    """Return a value as JSON can hold it: lists and quoted strings are the parser's own types."""
    return value if isinstance(value, bool | int | float | None) else str(value)


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# Here, since the processes of a parallel sweep import this module and run no script.
OmegaConf.register_new_resolver("run_name", lambda _root_: run_name(_root_), replace=True)


def swept_values(hydra: HydraConf | DictConfig) -> dict[str, Any]:
    """Return the swept keys of one run of a sweep, and their values."""
    fixed = hydra.job.config.override_dirname.exclude_keys
    overrides = _parse(list(hydra.overrides.task))
    return {o.key_or_group: o.value() for o in overrides if o.key_or_group not in fixed}


def _parse(overrides: list[str]) -> list[Any]:
    return OverridesParser.create().parse_overrides(overrides)


@contextmanager
def outcome_noted(run: Path, hydra: HydraConf, schema: type) -> Iterator[None]:
    """Let a run leave in its folder what is swept and, if it fails, why; and the sweep go on.

    Parameters
    ----------
    run
        The run's folder.
    hydra
        Hydra's settings of this run.
    schema
        The dataclass of the settings, for near matches of unknown keys.
    """
    swept = {key: _plain(value) for key, value in swept_values(hydra).items()}
    write_text(run / _SWEPT, json.dumps({"number": int(hydra.job.num), "swept": swept}) + "\n")
    try:
        yield
    except Exception as error:
        reason = explain(error, schema)
        trace = "" if reason else traceback.format_exc()
        reason = reason or f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"{trace}error: {reason}", file=sys.stderr, flush=True)
        write_text(run / _FAILURE, f"{reason}\n{trace}")


@contextmanager
def table_at_the_end() -> Iterator[None]:
    """Show and write the table of the sweep that has run inside, also if it was interrupted.

    Raises
    ------
    MovieEmbedError
        No run succeeded.
    """
    try:
        yield
    except BaseException:
        _report()
        raise
    runs = _report()
    if runs and all(run["failure"] for run in runs):
        raise MovieEmbedError(f"none of the {len(runs)} runs succeeded")


def _read_runs(folder: Path) -> list[dict[str, Any]]:
    """Return all runs in a folder by number, each with its swept keys, metrics and failure."""
    found = [(json.loads(path.read_text()), path.parent) for path in folder.rglob(_SWEPT)]
    found.sort(key=lambda each: each[0]["number"])
    return [
        {**noted["swept"], **_result(run), "folder": str(run.relative_to(folder))}
        for noted, run in found
    ]


def _result(run: Path) -> dict[str, Any]:
    shown = dict.fromkeys((Start.objective, *_SHOWN))
    if (run / _FAILURE).exists():
        reason = (run / _FAILURE).read_text(encoding="utf-8").splitlines()[0]
        return {**shown, "failure": reason}
    if not (run / "metrics.json").exists():
        begun = (run / "config.yaml").exists()
        way = f"; go on with: {program('train')} {setting('resume', str(run))}" if begun else ""
        return {**shown, "failure": f"did not finish{way}"}
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return {key: metrics[key] for key in shown} | {"failure": None}


def _report() -> list[dict[str, Any]]:
    """Show and write the table of the sweep that this process has started, and return its rows."""
    folder = Start.folder
    runs = _read_runs(folder) if folder else []
    if not (folder and runs):
        return []
    import pandas as pd  # only now: a mistake in a setting is told before it has loaded

    table = pd.DataFrame(runs).convert_dtypes()
    table = table.sort_values(Start.objective, kind="stable", na_position="last")
    write_text(folder / "sweep.csv", table.to_csv(index=False))
    rows = [runs[row] for row in table.index]
    write_text(folder / "sweep.json", json.dumps(rows, indent=2) + "\n")
    failed = table["failure"].notna()
    best = f"best {Start.objective} first"
    print(f"\n{len(runs)} runs in {folder}, {failed.sum()} failed; {best}")
    if not failed.all():
        shown = table[~failed].drop(columns="failure")
        print(shown.to_string(index=False, float_format="{:.5g}".format))
    for run in table[failed].itertuples():
        print(f"{run.folder} failed: {run.failure}")
    print("The same is in sweep.csv and sweep.json there.", flush=True)
    return runs
