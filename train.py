"""Train movie embeddings: `python train.py --help`."""

if __name__ == "__main__":
    import stopping  # noqa: F401

import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from movie_embed.cli import expand_home, one_line_errors, read_settings
from movie_embed.config import TrainConfig, register_schemas
from movie_embed.training.folders import check_free
from movie_embed.training.resume import resumed_settings
from movie_embed.training.sweep import outcome_noted, swept_values, table_at_the_end


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> float | None:
    """Train one run and return its objective; None is for a run of a sweep that failed."""
    job = HydraConfig.get()
    run = Path(job.runtime.output_dir)
    sweeps = job.mode == RunMode.MULTIRUN
    with outcome_noted(run, job, TrainConfig) if sweeps else one_line_errors(TrainConfig):
        if cfg.resume is not None and not sweeps:
            cfg = resumed_settings(cfg, job.overrides.task, run)
        config = read_settings(cfg)
        if sweeps:
            config.check_sweep()
        check_free(run, config)
        # Imported only now: a mistake in a setting is told before torch has loaded.
        from movie_embed.training.process import OwnProcess, quiet_lightning
        from movie_embed.training.run import train

        quiet_lightning()
        swept = swept_values(job) if sweeps else {}
        own = OwnProcess(config)
        return train(config, run, callbacks=[own], swept=swept).get(config.objective)
    return None


if __name__ == "__main__":
    register_schemas()
    with one_line_errors(TrainConfig), table_at_the_end():
        expand_home(sys.argv)
        main()
