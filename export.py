"""Vectors and titles for other tools: `python export.py --help`."""

if __name__ == "__main__":
    import stopping  # noqa: F401

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig

from movie_embed.cli import expand_home, one_line_errors, read_settings
from movie_embed.config import ExportConfig, register_schemas
from movie_embed.embeddings.export import export
from movie_embed.embeddings.saved import SavedEmbeddings


@hydra.main(version_base="1.3", config_path="conf", config_name="export")
def main(cfg: DictConfig) -> None:
    """Write files and name them."""
    with one_line_errors(ExportConfig):
        config = read_settings(cfg)
        saved = SavedEmbeddings.load(Path(config.run))
        for path in export(saved, config.to, Path(config.folder).expanduser()):
            print(path)


if __name__ == "__main__":
    register_schemas()
    with one_line_errors(ExportConfig):
        expand_home(sys.argv)
        main()
