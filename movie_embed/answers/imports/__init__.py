"""People's own files: ratings, watchlists and lists of movies seen, as they have them."""
