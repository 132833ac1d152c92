"""One Recommender for many threads."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import load

GOLDEN = Path(__file__).parent / "golden" / "v1"


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
def test_threads_get_the_answers_of_one_in_flat_memory() -> None:
    different, _, memory = load.share(GOLDEN, 4_000, 8)
    assert different == 0
    assert memory[-1] - memory[2] < 5
    assert (
        len(
            {str(load.answer(load.Recommender.load(GOLDEN), q)) for q in load.questions(GOLDEN, 40)}
        )
        > 30
    )
