"""Ratings to a trained model."""
