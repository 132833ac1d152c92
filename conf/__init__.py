"""The settings as YAML, which Hydra finds as pkg://movie_embed.conf."""
