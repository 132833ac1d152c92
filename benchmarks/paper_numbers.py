"""Check the numbers that the paper prints against each other.

    python benchmarks/paper_numbers.py TEXT

TEXT is the paper as text. Checked are the table of layers (section III.C), the vector before and
after normalising (III.F), and how the list for two movies comes from the lists for one (V).
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import numpy as np

LAYER = re.compile(r"^(\w+) \(Embedding\)\s+\(None, 1, (\d+)\)\s+(\d+)", re.MULTILINE)
ANSWER = re.compile(r"^\d+: (.+?)\s+----> Similarity: \", ([\d.]+)$", re.MULTILINE)
TOGETHER = re.compile(r"'Movie_Name': '(.+)', 'Similarity': ([\d.]+)}")


def check_layers(text: str) -> None:
    """Compare each table's parameters with rows times columns, and their sum with the total."""
    users, movies = 138_476, 1_005
    total = int(re.findall(r"Total params: ([\d,]+)", text)[0].replace(",", ""))
    right = 0
    for name, columns, printed in LAYER.findall(text):
        count = (users if name.startswith("users") else movies) * int(columns)
        right += count
        verdict = "as printed" if count == int(printed) else f"printed as {int(printed):,}"
        print(f"{name}: {count:,}, {verdict}")
    print(f"total: {right:,}, printed as {total:,}\n")


def check_vectors(text: str) -> None:
    """Compare the normalised vector with the raw one divided by its norm."""
    blocks = re.findall(r"\[([-\d.e+\s]{200,})\]", text)
    raw, normalised = (np.array(block.split(), dtype=np.float64) for block in blocks)
    norm = np.linalg.norm(raw)
    ratios = normalised * norm / raw
    print(
        f"{len(raw)} components, norm {norm:.7f}, after normalising "
        f"{np.linalg.norm(normalised):.9f}"
    )
    odd = np.flatnonzero(np.abs(ratios - 1) > 1e-6)
    for i in odd:
        print(
            f"component {i + 1}: raw {raw[i]:.8g}, divided by the norm {raw[i] / norm:.8g}, "
            f"printed {normalised[i]:.8g}"
        )
    kept = np.delete(ratios, odd)
    print(f"the other {len(kept)} agree to {np.abs(kept - 1).max():.1e}\n")


def check_two_movies(text: str) -> None:
    """Compare the list for two movies with the ranks 6 to 10 of their single lists, merged."""
    answers = [(title, float(similarity)) for title, similarity in ANSWER.findall(text)]
    merged = sorted(answers[5:10] + answers[15:20], key=lambda answer: -answer[1])
    together = [(title, round(float(s), 2)) for title, s in TOGETHER.findall(text)]
    print(
        f"two movies: the same ten and similarities as ranks 6 to 10 of both: "
        f"{sorted(merged) == sorted(together)}"
    )
    print(
        f"the least similar of the ten left out: {min(s for _, s in answers[:5] + answers[10:15])}"
    )
    print(f"the most similar of the ten listed: {max(s for _, s in together)}")


def main() -> None:
    """Check everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("text", type=Path)
    text = parser.parse_args().text.read_text(encoding="utf-8")
    check_layers(text)
    check_vectors(text)
    check_two_movies(text)


if __name__ == "__main__":
    main()
