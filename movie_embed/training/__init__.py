"""Triples to a trained model."""

import os

# Torch allocates a table's gradient anew at every step. In large pages, where Linux has them, that
# is a fourth faster for tables of a few hundred thousand users, which no cache of malloc's holds.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
