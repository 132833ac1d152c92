"""The HTTP API over `Recommender`, and the page that it serves."""
