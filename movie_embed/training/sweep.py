"""Folders of runs and sweeps; names and failures of a sweep's runs, and the table at its end.

Every run of a sweep writes its swept values and, if it fails, the reason into its own folder. The
table is read from there, so runs may be in any process or on any machine.
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
from movie_embed.errors import MovieEmbedError, plural, program
from movie_embed.evaluation import METRICS
from movie_embed.storage import write_text
from movie_embed.training.folders import clear, locked, run_folder

_SHOWN = ("val_rmse", "bias_only_rmse", "train_seconds", "ratings_per_second")
_NOTE = "swept.json"
_LONGEST_NAME = 120


class Start(Callback):
    """Hydra's callback before a run, and before the first run of a sweep: it chooses folders."""

    folder: ClassVar[Path | None] = None  # of the sweep that this process has started, if any
    objective: ClassVar[str]  # by which its runs are compared
    _lock: ClassVar[object]  # of its folder, until the process ends

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Take the run's folder."""
        with one_line_errors(TrainConfig):
            config.hydra.run.dir = str(run_folder(config.resume, *_asked("run.dir", config)))

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Take the sweep's folder; settings that are the same in all runs stay out of names."""
        with one_line_errors(TrainConfig):
            folder = run_folder(None, *_asked("sweep.dir", config))
            Start._lock = locked(folder)
            notes = list(folder.rglob(_NOTE))
            if notes and not config.overwrite:
                raise MovieEmbedError(
                    f"{folder} holds a sweep already: give the new one another folder, "
                    "hydra.sweep.dir=..., or replace it with overwrite=true"
                )
            for note in notes:
                clear(note.parent)
                note.unlink()
        Start.folder, Start.objective = folder, config.objective
        config.hydra.sweep.dir = str(folder)
        searched = OmegaConf.select(config, "hydra.sweeper.params") or {}
        given = [f"{key}={value}" for key, value in searched.items()] + config.hydra.overrides.task
        swept = {o.key_or_group: o.is_sweep_override() for o in _parse(given)}
        fixed = json.dumps([key for key, varies in swept.items() if not varies])
        # Of this config only these overrides reach the runs, which may be in other processes.
        config.hydra.overrides.hydra += [
            f"hydra.job.config.override_dirname.exclude_keys={fixed}",
            *shlex.split(setting("hydra.sweep.dir", str(folder))),
        ]


def _asked(key: str, config: DictConfig) -> tuple[Path, bool]:
    """Return a folder of Hydra's settings, and whether the command line names it."""
    given = any(each.startswith(f"hydra.{key}=") for each in config.hydra.overrides.hydra)
    return Path(OmegaConf.select(config.hydra, key)), given


def _parse(overrides: list[str]) -> list[Any]:
    return OverridesParser.create().parse_overrides(overrides)


def swept_values(hydra: HydraConf | DictConfig) -> dict[str, Any]:
    """Return the swept keys of one run of a sweep, and their values, lists and quotes as text."""
    fixed = hydra.job.config.override_dirname.exclude_keys
    swept = [o for o in _parse(list(hydra.overrides.task)) if o.key_or_group not in fixed]
    values = {o.key_or_group: o.value() for o in swept}
    plain = bool | int | float | None
    return {key: value if isinstance(value, plain) else str(value) for key, value in values.items()}


def run_name(config: DictConfig) -> str:
    """Return a run's folder, ``3_dim=50,min_ratings=300``, safe for every file system.

    The number makes it unique where a search tries the same values again, or the name is long.
    """
    pairs = [
        f"{key.rpartition('.')[2]}={f'{value:.4g}' if isinstance(value, float) else value}"
        for key, value in swept_values(config.hydra).items()
    ]
    name = f"{config.hydra.job.num}_{','.join(pairs)}"
    return re.sub(r"[^\w.=,+-]+", "-", name, flags=re.ASCII)[:_LONGEST_NAME].rstrip("_-.")


# Here, since the processes of a parallel sweep import this module and run no script.
OmegaConf.register_new_resolver("run_name", lambda _root_: run_name(_root_), replace=True)


@contextmanager
def outcome_noted(run: Path, hydra: HydraConf, schema: type) -> Iterator[None]:
    """Write a run's swept values and its failure, if any, so that the sweep can go on."""
    note = {"number": int(hydra.job.num), "swept": swept_values(hydra)}
    write_text(run / _NOTE, json.dumps(note) + "\n")
    try:
        yield
    except Exception as error:
        reason = explain(error, schema)
        trace = "" if reason else traceback.format_exc()
        reason = reason or f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"{trace}error: {reason}", file=sys.stderr, flush=True)
        write_text(run / _NOTE, json.dumps(note | {"failure": reason, "trace": trace}) + "\n")


@contextmanager
def table_at_the_end() -> Iterator[None]:
    """Show and write the table of the sweep that ran in the block, also if it was interrupted.

    Raises
    ------
    MovieEmbedError
        No run succeeded.
    """
    try:
        yield
    finally:
        runs = _report(Start.folder) if Start.folder else []
    if runs and all(run["failure"] for run in runs):
        raise MovieEmbedError("no run succeeded")


def _row(note: dict[str, Any], run: Path, folder: Path) -> dict[str, Any]:
    """Return the swept keys of a run, its metrics or its failure, and its folder."""
    shown, metrics = dict.fromkeys((Start.objective, *_SHOWN)), run / "metrics.json"
    failure = note.get("failure")
    if not failure and metrics.exists():
        written = json.loads(metrics.read_text(encoding="utf-8"))
        shown = {key: written[key] for key in shown}
    elif not failure:
        begun = (run / "config.yaml").exists()
        way = f"; go on with: {program('train')} {setting('resume', str(run))}" if begun else ""
        failure = f"did not finish{way}"
    return {**note["swept"], **shown, "failure": failure, "folder": str(run.relative_to(folder))}


def _report(folder: Path) -> list[dict[str, Any]]:
    """Show and write the table of the runs in a folder, the best first, and return its rows."""
    notes = [(json.loads(path.read_text("utf-8")), path.parent) for path in folder.rglob(_NOTE)]
    notes.sort(key=lambda noted: noted[0]["number"])
    if not notes:
        return []
    import pandas as pd  # only now: a mistake in a setting is told before it has loaded

    runs = [_row(note, run, folder) for note, run in notes]
    table = pd.DataFrame(runs).convert_dtypes()
    table = table.sort_values(
        Start.objective,
        ascending=not METRICS[Start.objective].more_is_better,
        kind="stable",
        na_position="last",
    )
    runs = [runs[row] for row in table.index]
    write_text(folder / "sweep.csv", table.to_csv(index=False))
    write_text(folder / "sweep.json", json.dumps(runs, indent=2) + "\n")
    good, failed = table[table["failure"].isna()], [run for run in runs if run["failure"]]
    heading = f"{plural(len(runs), 'run')} in {folder}, {len(failed)} failed"
    print(f"\n{heading}; best {Start.objective} first")
    if len(good):
        shown = good.drop(columns="failure")
        print(shown.to_string(index=False, float_format="{:.5g}".format))
    for run in failed:
        print(f"{run['folder']} failed: {run['failure']}")
    print("The same is in sweep.csv and sweep.json there.", flush=True)
    return runs
