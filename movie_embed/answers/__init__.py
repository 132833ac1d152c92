"""Questions to answers, from saved embeddings."""
