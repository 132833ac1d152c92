"""Train a model with Lightning and leave a run folder behind."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.loggers import Logger

from movie_embed.cli import setting
from movie_embed.config import TrainConfig
from movie_embed.data.ratings import Columns
from movie_embed.data.splits import TEST, TRAIN, VAL
from movie_embed.errors import plural, program
from movie_embed.evaluation import METRICS, RANKING, Errors, errors, fit_biases
from movie_embed.storage import remove_leftovers, write_text
from movie_embed.threads import is_forked
from movie_embed.training.callbacks import (
    EarlyStopping,
    Epochs,
    StopOnSignal,
    Throughput,
    Unprofiled,
)
from movie_embed.training.card import model_card
from movie_embed.training.checkpoints import (
    AtomicCheckpointIO,
    BackgroundCheckpointIO,
    Keep,
    restore_epoch,
    resumed_step,
)
from movie_embed.training.datamodule import EVAL_BATCH, RatingsDataModule
from movie_embed.training.divided import ByUsers, others_may_end
from movie_embed.training.folders import begin, claimed, going_on
from movie_embed.training.loggers import log_outcome, log_settings, logger_of
from movie_embed.training.machine import (
    check_devices,
    check_memory,
    set_threads,
    threads_given_back,
)
from movie_embed.training.model import MovieEmbedding
from movie_embed.training.regression import RatingRegression
from movie_embed.training.report import describe_data, describe_result
from movie_embed.training.saving import save_embeddings
from movie_embed.training.scores import is_compiled
from movie_embed.training.update import start_from

_MAIN_SETTINGS = (
    "data.name",
    "data.min_ratings",
    "model.dim",
    "model.ridge",
    "optimizer.learning_rate",
    "trainer.max_epochs",
)


def train(
    config: TrainConfig,
    run: str | Path,
    *,
    data: RatingsDataModule | None = None,
    module: RatingRegression | None = None,
    logger: Logger | Sequence[Logger] | None = None,
    callbacks: Sequence[pl.Callback] = (),
    swept: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, float | int | None]:
    """Train on the configured data and leave a run folder behind.

    Parameters
    ----------
    config
        All settings. With `resume` the run in the folder goes on from its last checkpoint; with
        `init` users and movies begin where those of another run have ended.
    run
        The folder to write: ``config.yaml``, ``metrics.json``, ``checkpoints/``,
        ``embeddings.safetensors``, ``epochs.csv``, ``README.md``, what the logger writes and,
        unless ``save.figures=false``, ``figures/`` and what TensorBoard's projector reads.
    data
        In place of ``RatingsDataModule(config.data, config.seed)``.
    module
        In place of ``RatingRegression.for_data(data, config.model, config.optimizer)``.
    logger
        One of Lightning's, or several, in place of the one that ``config.logger`` names.
    callbacks
        Lightning's, to call besides its own.
    swept
        What tells this run of a sweep from the others, for TensorBoard's table of runs.

    Returns
    -------
    dict
        What ``metrics.json`` holds; RMSE and MAE in stars. Empty in all but the first of several
        processes.

    Raises
    ------
    MovieEmbedError
        The data cannot be had, training diverged or was interrupted, or the folder holds another
        run.
    """
    run = Path(run)
    check_devices(config.trainer)
    with threads_given_back(), claimed(run, config):
        for folder in (run, *run.glob("*/")):
            remove_leftovers(folder)
        data = data or RatingsDataModule(config.data, config.seed)
        data.setup()
        config = replace(config, data=data.config, seed=data.seed)
        check_memory(config, data.data_set.counts)
        module = module or RatingRegression.for_data(data, config.model, config.optimizer)
        # A resumed run ends as an uninterrupted one; it is told against the same run.
        changed = start_from(config.init, module, data) if config.init else None
        last = run / "checkpoints" / "last.ckpt"
        step = resumed_step(config, data, last) if config.resume else None
        # What a killed run logged after its last checkpoint is logged anew.
        logger = logger or logger_of(config.logger, run, step)
        throughput = Throughput()
        trainer = _trainer(config, data, module, run, logger, [throughput, *callbacks])
        if trainer.is_global_zero:
            print(describe_data(config, data), module.model.summary(), sep="\n\n", flush=True)
            begin(run, config)
            log_settings(trainer.loggers, asdict(config))
        set_threads(config, data.batch_size)
        with going_on(run):
            with others_may_end(trainer):
                trainer.fit(module, datamodule=data, ckpt_path=last if step else None)
            metrics = _finish(config, run, data, module, trainer, throughput, swept)
            if changed and trainer.is_global_zero:
                print(changed(), flush=True)
            return metrics


def _finish(
    config: TrainConfig,
    run: Path,
    data: RatingsDataModule,
    module: RatingRegression,
    trainer: pl.Trainer,
    throughput: Throughput,
    swept: Mapping[str, Any],
) -> dict[str, float | int | None]:
    """Save the model and its metrics, in the first of several processes."""
    if not trainer.is_global_zero:
        return {}
    began = time.perf_counter()
    # Gradients and moments, three times the model's size, make room for the checkpoint.
    module.zero_grad()
    for optimizer in trainer.optimizers:
        optimizer.state.clear()
    best = data.val_size > 0 and config.save.epoch != "last"
    best_epoch = restore_epoch(module, run / "checkpoints" / f"{'best' if best else 'last'}.ckpt")
    metrics = {
        **_evaluate(data, module.model),
        "best_epoch": best_epoch,
        "epochs": trainer.current_epoch,
        "train_seconds": round(throughput.time_elapsed(), 3),
        "ratings_per_second": round(throughput.ratings / max(throughput.seconds, 1e-9)),
        **asdict(data.data_set.counts),
        "parameters": sum(p.numel() for p in module.model.parameters()),
        "batch_size": data.batch_size,
        "seed": config.seed,
    }
    saved, ranked = save_embeddings(config, data, module.model, module.l2, run)
    metrics |= ranked
    write_text(run / "README.md", model_card(config, data.data_set, saved, metrics))
    settings = OmegaConf.structured(config)
    main = {key: OmegaConf.select(settings, key) for key in _MAIN_SETTINGS if key not in swept}
    names = [*METRICS, *(f"popularity_{metric.name}" for metric in RANKING)]
    final = {name: metrics[name] for name in names if metrics.get(name) is not None}
    log_outcome(trainer.loggers, {**swept, **main}, final, trainer.global_step)
    if config.trainer.profiler:
        print(trainer.profiler.summary())  # type: ignore[attr-defined]
    how = "compiled loops" if is_compiled(trainer.strategy.root_device) else "plain loops"
    how += f", {plural(torch.get_num_threads(), 'CPU thread')}"
    how += " in a forked process (a spawned one may have more)" if is_forked() else ""
    saving = time.perf_counter() - began
    print(describe_result(data.data_set, metrics, run, how, saving), flush=True)
    if config.save.figures:
        _show(run, metrics)
    # The last file: without it the run has not finished, and resume= does all of this again.
    write_text(run / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    return metrics


def _show(run: Path, metrics: dict[str, Any]) -> None:
    """Write the figures; whatever fails there, the run is whole."""
    try:
        from movie_embed.figures import show_run  # loads matplotlib and scikit-learn

        show_run(run, metrics)
    except Exception as error:
        why = f"{type(error).__name__}: {error}"
        again = f"{program('plot')} {setting('run', run)}"
        print(f"the run is saved, but not its figures ({why}); try {again}", file=sys.stderr)


def _trainer(
    config: TrainConfig,
    data: RatingsDataModule,
    module: RatingRegression,
    run: Path,
    logger: Logger | Sequence[Logger] | None,
    callbacks: Sequence[pl.Callback],
) -> pl.Trainer:
    settings = asdict(config.trainer)
    for own in ("early_stopping", "threads", "timeout"):
        del settings[own]
    divided = config.trainer.devices * config.trainer.num_nodes > 1
    settings["strategy"] = ByUsers(config.trainer.timeout) if divided else "auto"
    # Where an epoch is shorter than the interval, once an epoch.
    steps = -(-data.train_size // data.batch_size)
    steps = min(steps, config.trainer.limit_train_batches or steps)
    settings["log_every_n_steps"] = min(config.trainer.log_every_n_steps, steps)
    if not data.val_size:
        settings["limit_val_batches"] = 0
    settings["profiler"] = config.trainer.profiler or Unprofiled()
    bar = config.trainer.enable_progress_bar and sys.stdout.isatty()
    lines = config.trainer.enable_progress_bar and not bar
    metric = METRICS.get(module.monitor)
    mode = "max" if metric and metric.more_is_better else "min"
    folder = run / "checkpoints"
    callbacks = [
        *callbacks,
        Epochs(run / "epochs.csv", module.monitor, lines),
        StopOnSignal(folder / "last.ckpt"),
        Keep(folder, module.monitor, mode, config.save.every_n_steps),
    ]
    if patience := config.trainer.early_stopping:
        stop = partial(EarlyStopping, patience=patience, check_on_train_epoch_end=False)
        callbacks.append(stop(module.monitor, mode=mode))
    if bar:
        callbacks.append(TQDMProgressBar(settings["log_every_n_steps"]))
    settings["enable_progress_bar"] = bar
    return pl.Trainer(
        **settings,
        callbacks=callbacks,
        logger=logger or False,
        # Divided users' rows are written before the checkpoint that names them, not beside it.
        plugins=[AtomicCheckpointIO() if divided else BackgroundCheckpointIO()],
        num_sanity_val_steps=0,
        enable_model_summary=False,
    )


def _evaluate(data: RatingsDataModule, model: MovieEmbedding) -> dict[str, float | None]:
    """Return errors of the saved weights, and of the bias-only baseline on the same ratings."""
    ratings, counts = data.data_set.ratings, data.data_set.counts
    train, val, test = (partial(ratings.blocks, data.chosen(part)) for part in (TRAIN, VAL, TEST))
    found = _errors(val(size=EVAL_BATCH), model) if data.val_size else None
    tested = _errors(test(size=EVAL_BATCH), model) if data.test_size else None
    biases = fit_biases(train, counts.users, counts.movies)
    baseline = errors(
        (biases.predict(users, movies, data.data_set.rating_range), stars)
        for users, movies, stars in (test() if tested else val() if found else train())
    )
    return {
        "train_rmse": _errors(train(size=EVAL_BATCH), model).rmse,
        "val_rmse": found and found.rmse,
        "val_mae": found and found.mae,
        "test_rmse": tested and tested.rmse,
        "test_mae": tested and tested.mae,
        "bias_only_rmse": baseline.rmse,
    }


@torch.no_grad()
def _errors(blocks: Iterable[Columns], model: MovieEmbedding) -> Errors:
    return errors(
        (model(torch.from_numpy(users), torch.from_numpy(movies)).cpu().numpy(), stars)
        for users, movies, stars in blocks
    )
