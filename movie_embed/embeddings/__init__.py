"""The saved embeddings, and all that is computed from them without training."""
