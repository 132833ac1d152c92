"""The model card of a run: its data, its quality, and its limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from movie_embed import __version__
from movie_embed.config import TrainConfig
from movie_embed.data.ratings import DataSet
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.evaluation import METRICS, RANKING

_MOVIELENS = (
    "MovieLens data are for research: no commercial use without GroupLens' permission, and cite "
    "Harper and Konstan 2015, doi 10.1145/2827872."
)
_LICENCES = {
    "demo": "Simulated ratings that movie_embed draws: no real person's opinions.",
    "files": "Ratings from the user's own files; their licence is that of their source.",
}
_SHOWN = ("model", "optimizer", "ranking", "trainer.max_epochs", "data.min_ratings", "seed")


def model_card(
    config: TrainConfig,
    data_set: DataSet,
    saved: SavedEmbeddings,
    metrics: Mapping[str, Any],
) -> str:
    """Return the card as Markdown, with the metadata block that model hubs read."""
    counts, name = data_set.counts, config.data.name
    settings = OmegaConf.structured(config)
    chosen = {key: OmegaConf.select(settings, key) for key in _SHOWN}
    measured = {metric.label: metrics.get(metric.name) for metric in METRICS.values()} | {
        f"{metric.label} of the most popular movies": metrics[f"popularity_{metric.name}"]
        for metric in RANKING
    }
    heads = "predicted stars and who rated what" if saved.ease else "predicted stars"
    shown = {key: f"{value:,.4f}" for key, value in measured.items() if value is not None}
    rows = [f"| {key} | {value.rstrip('0').rstrip('.')} |" for key, value in shown.items()]
    return f"""---
library_name: movie_embed
pipeline_tag: other
license: other
tags: [recommender-system, collaborative-filtering, movies, embeddings]
datasets: [{name}]
metrics: [rmse, ndcg, recall]
---

# Movie embeddings of {name}

Embeddings of {saved.movies.embedded:,} movies and {counts.users:,} users, learned from
{counts.ratings:,} ratings by movie_embed {__version__}: {saved.vectors.shape[1]} numbers and a bias
each. Recommendations rank by {heads}.

## Data and licence

{_LICENCES.get(name, _MOVIELENS)}
Movies with fewer than {config.data.min_ratings:,} ratings were left out of the training.

## Measured

| measure | value |
| --- | --- |
{chr(10).join(rows)}

{config.data.val_fraction:.0%} of the ratings were held out, at random. Those of 4 of 5 stars or
more are ranked among all movies.

## Not for

Decisions about people, such as hiring, credit or policing: tastes tell of age, gender and origin.
The model knows only movies that were rated, favours those that are rated often, and repeats
whatever bias its raters have. `embeddings.safetensors` holds the users' ratings unless
`save.users=false`: share it only where the data may be shared.

## Load

```python
from movie_embed import Recommender

recommender = Recommender.load("this folder")
recommender.similar({saved.movies.ids.item(0)!r})
recommender.for_ratings({{{saved.movies.ids.item(0)!r}: {saved.rating_range[1]:g}}})
```

## Settings

```yaml
{OmegaConf.to_yaml(OmegaConf.create(chosen)).strip()}
```
"""
