"""What a version writes, for the tests to load forever: python tests/golden/make.py FOLDER.

``v1`` was made by version 0.1.0 from the simulated ratings of `checkerboard`. A later format gets
a folder of its own; the ones here stay as they are.
"""

import shutil
import sys
import tempfile
from contextlib import chdir
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from checkerboard import write_checkerboard

from movie_embed.config import DataConfig, ModelConfig, OptimizerConfig, TrainConfig, TrainerConfig
from movie_embed.training.checkpoints import AtomicCheckpointIO
from movie_embed.training.run import train


def main(target: Path) -> None:
    """Train for twelve epochs and keep the embeddings and the last checkpoint."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        data = write_checkerboard(Path(folder) / "data", share=0.4)
        config = TrainConfig(
            data=DataConfig("files", str(data), str(data / "cache"), batch_size=64, val_fraction=0),
            model=ModelConfig(dim=4),
            optimizer=OptimizerConfig(0.02),
            trainer=TrainerConfig(max_epochs=12, enable_progress_bar=False),
        )
        train(config, Path(folder))
        checkpoints = AtomicCheckpointIO()
        state = checkpoints.load_checkpoint(Path(folder, "checkpoints", "last.ckpt"))
        state["callbacks"] = {}  # they name the folder
        checkpoints.save_checkpoint(state, target / "last.ckpt")
        shutil.copy(Path(folder, "embeddings.safetensors"), target)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
