"""Train a model with Lightning and leave a run folder behind."""

from __future__ import annotations

import json
import logging
import math
import sys
import time
import warnings
from dataclasses import asdict
from pathlib import Path

import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger

from movie_embed.config import TrainConfig
from movie_embed.data.packing import PackedSource
from movie_embed.data.triples import Triples
from movie_embed.embeddings.saved import LATEST
from movie_embed.errors import MovieEmbedError
from movie_embed.storage import ArrayFile, write_text
from movie_embed.training.baseline import bias_only_rmse
from movie_embed.training.callbacks import AtomicCheckpointIO, EpochLines, ProgressBar, Throughput
from movie_embed.training.datamodule import EVAL_BATCH, Batches, RatingsDataModule
from movie_embed.training.dot import in_blocks
from movie_embed.training.model import MovieEmbedding
from movie_embed.training.regression import RatingRegression, error_sums
from movie_embed.training.report import describe_data, describe_result
from movie_embed.training.saving import save_embeddings

_CORES = torch.get_num_threads()
_SHARED_BATCH = 8_192


def train(config: TrainConfig, run: Path) -> dict[str, float | int | None]:
    """Train on the configured data and leave a run folder behind.

    Parameters
    ----------
    config
        All settings.
    run
        The folder to write: ``config.yaml``, ``metrics.json``, ``checkpoints/``,
        ``embeddings.safetensors`` and TensorBoard events.

    Returns
    -------
    dict
        What ``metrics.json`` holds; RMSE and MAE in stars.

    Raises
    ------
    MovieEmbedError
        The data cannot be had, or training diverged.
    """
    _quiet_lightning()
    data = RatingsDataModule(config.data, config.seed)
    data.setup()
    torch.set_num_threads(_threads(config, data))
    module = _module(config, data)
    print(describe_data(config, data), module.model.summary(), sep="\n\n", flush=True)
    throughput = Throughput()
    logger = TensorBoardLogger(run, name="", version="", default_hp_metric=False)
    logger.log_hyperparams(asdict(config))
    trainer = _trainer(config, data, logger, [throughput, *_checkpoints(run, len(data.val) > 0)])
    started = time.perf_counter()
    trainer.fit(module, datamodule=data)
    seconds = time.perf_counter() - started
    best = len(data.val) > 0 and config.save.epoch != "last"
    best_epoch = _restore_epoch(module, run / "checkpoints" / f"{'best' if best else 'last'}.ckpt")
    metrics = {
        **_evaluate(data, module.model),
        "best_epoch": best_epoch,
        "epochs": trainer.current_epoch,
        "train_seconds": round(seconds, 3),
        "ratings_per_second": round(throughput.ratings / max(throughput.seconds, 1e-9)),
        **asdict(data.triples.counts),
        "parameters": sum(p.numel() for p in module.model.parameters()),
        "batch_size": data.batch_size,
        "seed": config.seed,
    }
    write_text(run / "config.yaml", OmegaConf.to_yaml(OmegaConf.structured(config)))
    write_text(run / "metrics.json", json.dumps(metrics, indent=2) + "\n")
    save_embeddings(config, data, module.model, module.l2, run)
    write_text(LATEST, f"{run.resolve()}\n")
    dots = "blocked" if in_blocks(trainer.strategy.root_device) else "plain"
    how = f"{dots} dot products, {torch.get_num_threads()} CPU threads"
    print(describe_result(data.triples, metrics, run, how))
    return metrics


def _quiet_lightning() -> None:
    """Keep Lightning's advertisements and internal deprecations out of the user's terminal."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning.utilities._pytree")
    # It counts workers of PyTorch's DataLoader; our batches are slices and need none.
    warnings.filterwarnings("ignore", message=".*does not have many workers")


def _threads(config: TrainConfig, data: RatingsDataModule) -> int:
    """Return how many CPU threads share a step; sharing a small one costs more than it saves."""
    return config.trainer.threads or (_CORES if data.batch_size >= _SHARED_BATCH else 1)


def _module(config: TrainConfig, data: RatingsDataModule) -> RatingRegression:
    counts = data.triples.counts
    module = RatingRegression(
        users=counts.users,
        movies=counts.movies,
        dim=config.model.dim,
        rating_range=data.triples.rating_range,
        learning_rate=config.optimizer.learning_rate,
        # The loss is a mean over ratings, so one pull on a row, whatever the data's size, is an
        # l2 that falls with their number.
        l2=config.model.ridge / len(data.train) if config.model.l2 is None else config.model.l2,
        seed=config.seed,
        implicit=config.model.implicit,
        schedule=config.optimizer.schedule,
    )
    if config.model.implicit != "none":
        if isinstance(data.train, ArrayFile):
            raise MovieEmbedError(
                f"model.implicit={config.model.implicit} needs all ratings in memory: leave it "
                f"out, or set data.window={len(data.triples)} if there is enough"
            )
        users, movies, _ = data.triples.unpack(data.train)
        module.model.set_ratings(torch.from_numpy(users), torch.from_numpy(movies))
    module.unseen = data.unseen
    module.log_every_n_steps = _log_every_n_steps(config, data)
    return module


def _checkpoints(run: Path, validates: bool) -> list[pl.Callback]:
    """Keep the last epoch and, where there is a validation split, the best one."""
    monitors = {"last": None, "best": "val_rmse"} if validates else {"last": None}
    return [
        ModelCheckpoint(
            dirpath=run / "checkpoints",
            filename=name,
            monitor=monitor,
            enable_version_counter=False,
            save_on_train_epoch_end=monitor is None,
        )
        for name, monitor in monitors.items()
    ]


def _trainer(
    config: TrainConfig,
    data: RatingsDataModule,
    logger: TensorBoardLogger,
    callbacks: list[pl.Callback],
) -> pl.Trainer:
    settings = asdict(config.trainer)
    del settings["threads"]
    settings["log_every_n_steps"] = _log_every_n_steps(config, data)
    if not len(data.val):
        settings["limit_val_batches"] = 0
    if config.trainer.enable_progress_bar and sys.stdout.isatty():
        callbacks = [*callbacks, ProgressBar(settings["log_every_n_steps"])]
    elif config.trainer.enable_progress_bar:
        settings["enable_progress_bar"] = False
        callbacks = [*callbacks, EpochLines()]
    return pl.Trainer(
        **settings,
        devices=1,
        callbacks=callbacks,
        logger=logger,
        plugins=[AtomicCheckpointIO()],
        num_sanity_val_steps=0,
        # Every epoch asks for its batches anew: their order is a function of the epoch.
        reload_dataloaders_every_n_epochs=1,
        enable_model_summary=False,
    )


def _log_every_n_steps(config: TrainConfig, data: RatingsDataModule) -> int:
    """Return the configured interval, or an epoch where that is shorter."""
    steps = len(data.train_dataloader())
    return min(config.trainer.log_every_n_steps, steps, config.trainer.limit_train_batches or steps)


def _restore_epoch(module: RatingRegression, checkpoint: Path) -> int:
    """Load a checkpoint's weights and return its epoch, from 1."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    module.cpu().load_state_dict(state["state_dict"])
    return int(state["epoch"]) + 1


def _evaluate(data: RatingsDataModule, model: MovieEmbedding) -> dict[str, float | None]:
    """Return RMSEs of the saved weights, and of the bias-only baseline on the same ratings."""
    validates = len(data.val) > 0
    val_rmse, val_mae = _errors(data.triples, data.val, model) if validates else (None, None)
    held_out = data.val if validates else data.train
    return {
        "train_rmse": _errors(data.triples, data.train, model)[0],
        "val_rmse": val_rmse,
        "val_mae": val_mae,
        "bias_only_rmse": bias_only_rmse(data.triples, data.train, held_out),
    }


def _errors(triples: Triples, packed: PackedSource, model: MovieEmbedding) -> tuple[float, float]:
    batches = Batches(triples, packed, EVAL_BATCH)
    sums = torch.stack([error_sums(model, batch) for batch in batches]).sum(0)
    squared, absolute, count = sums.tolist()
    return math.sqrt(squared / count), absolute / count
