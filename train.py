"""Train movie embeddings: `python train.py --help`."""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from movie_embed.cli import one_line_errors, read_settings
from movie_embed.config import TrainConfig, register_schemas


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(cfg: DictConfig) -> None:
    """Train one run."""
    with one_line_errors(TrainConfig):
        config = read_settings(cfg)
        # Imported only now: a mistake in a setting is told before torch has loaded.
        from movie_embed.training.run import train

        train(config, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    register_schemas()
    with one_line_errors(TrainConfig):
        main()
