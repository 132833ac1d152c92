"""Figures of a finished run: `python plot.py --help`."""

if __name__ == "__main__":
    import stopping  # noqa: F401

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from movie_embed.cli import expand_home, one_line_errors, read_settings
from movie_embed.config import PlotConfig, register_schemas


@hydra.main(version_base="1.3", config_path="conf", config_name="plot")
def main(cfg: DictConfig) -> None:
    """Write files and name them."""
    with one_line_errors(PlotConfig):
        config = read_settings(cfg)
        # Imported only now: a mistake in a setting is told before matplotlib has loaded.
        from movie_embed.figures import show_run

        for path in show_run(Path(config.run)):
            print(path)


if __name__ == "__main__":
    register_schemas()
    with one_line_errors(PlotConfig):
        expand_home(sys.argv)
        main()
