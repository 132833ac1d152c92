"""Raw files to ratings."""
