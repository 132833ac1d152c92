"""Triples to a trained model."""
