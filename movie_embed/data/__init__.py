"""Raw files to triples."""
