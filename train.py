"""Train movie embeddings: `python train.py --help`."""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from movie_embed.cli import one_line_errors, read_settings
from movie_embed.config import TrainConfig, register_schemas
from movie_embed.training.resume import resumed_settings, run_folder


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> None:
    """Train one run."""
    with one_line_errors(TrainConfig):
        hydra_config = HydraConfig.get()
        run = Path(hydra_config.runtime.output_dir)
        if cfg.resume is not None:
            cfg = resumed_settings(cfg, hydra_config.overrides.task, run)
        config = read_settings(cfg)
        # Imported only now: a mistake in a setting is told before torch has loaded.
        from movie_embed.training.run import train

        train(config, run)


if __name__ == "__main__":
    register_schemas()
    OmegaConf.register_new_resolver("run_folder", run_folder)
    with one_line_errors(TrainConfig):
        main()
