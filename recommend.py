"""Movies like the ones you name: `python recommend.py --help`."""

import csv
import json
import sys
from dataclasses import asdict

import hydra
from omegaconf import DictConfig

from movie_embed import Recommendation, Recommender
from movie_embed.cli import one_line_errors, read_settings
from movie_embed.config import RecommendConfig, register_schemas


def print_table(query: list[str], answers: list[Recommendation]) -> None:
    """Print the query and its answers, as the paper does."""
    print(f"Recommendations for {' and '.join(query)}\n")
    width = max((len(answer.title) for answer in answers), default=0)
    print(f"{'rank':>4}  {'title':<{width}}  year  similarity  genres")
    for answer in answers:
        print(
            f"{answer.rank:>4}  {answer.title:<{width}}  {answer.year or '':>4}  "
            f"{answer.similarity:>10.2f}  {', '.join(answer.genres)}"
        )


def print_json(query: list[str], answers: list[Recommendation]) -> None:
    """Print a list of objects."""
    print(json.dumps([asdict(answer) for answer in answers], indent=2, ensure_ascii=False))


def print_csv(query: list[str], answers: list[Recommendation]) -> None:
    """Print a header and a row per answer; genres are joined by ``|`` as in MovieLens."""
    names = ["rank", "movie_id", "title", "year", "genres", "similarity"]
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(answer) | {"genres": "|".join(answer.genres)} for answer in answers)


@hydra.main(version_base="1.3", config_path="conf", config_name="recommend")
def main(cfg: DictConfig) -> None:
    """Answer one question."""
    with one_line_errors(RecommendConfig):
        config = read_settings(cfg)
        movies = config.movie_id if isinstance(config.movie_id, list) else [config.movie_id]
        recommender = Recommender.load(config.run)
        answers = recommender.similar(movies, config.k, config.combine)
        query = [recommender.title(movie) for movie in movies]
        {"table": print_table, "json": print_json, "csv": print_csv}[config.format](query, answers)


if __name__ == "__main__":
    register_schemas()
    with one_line_errors(RecommendConfig):
        main()
