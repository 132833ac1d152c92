"""What a finished run left in its folder, as figures need it."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from movie_embed.embeddings.saved import SavedEmbeddings, folder_of
from movie_embed.errors import MovieEmbedError


@dataclass(frozen=True)
class FinishedRun:
    """A run folder, read.

    Attributes
    ----------
    folder
        The run folder.
    saved
        Its embeddings.
    metrics
        Its ``metrics.json``.
    implicit
        Its ``model.implicit``.
    """

    folder: Path
    saved: SavedEmbeddings
    metrics: dict[str, Any]
    implicit: str

    @classmethod
    def load(cls, run: Path, metrics: dict[str, Any] | None = None) -> FinishedRun:
        """Read a run.

        Parameters
        ----------
        run
            A run folder, or a file that names one.
        metrics
            What its ``metrics.json`` is to hold, where that is not yet written.

        Raises
        ------
        MovieEmbedError
            The run is not there or not whole.
        """
        folder = folder_of(run)
        try:
            if metrics is None:
                metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
            implicit = OmegaConf.load(folder / "config.yaml").model.implicit
        except OSError as error:
            raise MovieEmbedError(f"{folder} is no whole run: {error}") from error
        return cls(folder, SavedEmbeddings.load(folder), dict(metrics), implicit)

    def star_counts(self) -> dict[float, int]:
        """Return how many ratings of the learned movies have each value, in stars.

        Raises
        ------
        MovieEmbedError
            The run was saved before they were, and without users to count them from.
        """
        if self.saved.star_counts:
            return self.saved.star_counts
        users = SavedEmbeddings.load_users(self.folder)
        stars = users.levels[users.stars[users.rated < self.saved.movies.embedded]]
        return {float(level): int((stars == level).sum()) for level in users.levels}

    def losses(self) -> dict[str, dict[int, float]]:
        """Return the mean squared error of every epoch, from 1, in stars squared.

        Returns
        -------
        dict
            ``"training"`` and, where ratings were held out, ``"validation"``: errors by epoch.

        Raises
        ------
        MovieEmbedError
            The folder has no TensorBoard events.
        """
        # It tells of every file that it comes to the end of, and of what a resumed run logged anew.
        logging.getLogger("tensorboard").setLevel(logging.ERROR)
        events = EventAccumulator(str(self.folder), size_guidance={"scalars": 0}).Reload()
        tags = events.Tags()["scalars"]
        if "train_loss_epoch" not in tags:
            raise MovieEmbedError(f"{self.folder} has no TensorBoard events with the loss")
        training = events.Scalars("train_loss_epoch")
        steps = min(np.diff([-1, *(event.step for event in training)]))  # of an epoch
        losses = {"training": {-(-(e.step + 1) // steps): e.value for e in training}}
        if "val_rmse" in tags:
            validation = events.Scalars("val_rmse")
            losses["validation"] = {-(-(e.step + 1) // steps): e.value**2 for e in validation}
        return losses
