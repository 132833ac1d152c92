"""Movies for the movies, the user or the ratings you name: `python recommend.py --help`."""

import csv
import json
import sys
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

from movie_embed import (
    Filters,
    MovieEmbedError,
    Recommendation,
    Recommendations,
    Recommender,
)
from movie_embed.cli import one_line_errors, read_settings
from movie_embed.config import RecommendConfig, register_schemas
from movie_embed.own_ratings import read_own_ratings

NUMBERS = ("similarity", "dot_product", "predicted_stars")


def ask(recommender: Recommender, config: RecommendConfig) -> tuple[str, Recommendations]:
    """Return what was asked, in words, and the answers."""
    years = (config.years[0], config.years[1]) if config.years else None
    settings: dict[str, Any] = {
        "filters": Filters(
            config.genres, config.exclude_genres, years, config.min_count, config.include_rare
        ),
        "diversity": config.diversity,
        "explain": config.explain,
    }
    if config.user_id is not None:
        return f"user {config.user_id}", recommender.for_user(config.user_id, config.k, **settings)
    if config.ratings is not None or config.rate is not None:
        ratings = config.rate
        if config.ratings is not None:
            ratings = read_own_ratings(Path(config.ratings).expanduser())
        answers = recommender.for_ratings(ratings, config.k, **settings)
        return f"the ratings given ({len(ratings)})", answers
    movies = [*config.movie_id, *(recommender.movie_id(title) for title in config.movie)]
    if config.new_movie is not None:
        recommender, new = recommender.with_movie(config.new_movie, config.new_genres)
        movies.append(new)
    settings |= {"weights": config.weights, "not_like": config.not_like, "metric": config.metric}
    answers = recommender.similar(movies, config.k, config.combine, **settings)
    return " and ".join(recommender.title(movie) for movie in movies), answers


def print_table(query: str, answers: Recommendations) -> None:
    """Print the query and its answers, as the paper does."""
    print(f"Recommendations for {query}\n")
    width = max(len(answer.title) for answer in answers)
    label = next(name for name in NUMBERS if name in answers[0].to_dict())
    print(f"{'rank':>4}  {'title':<{width}}  year  {label.replace('_', ' ')}  genres")
    for answer in answers:
        number = f"{answer.to_dict()[label]:>{len(label)}.2f}"
        mark = "  (from content)" if answer.from_content else ""
        print(
            f"{answer.rank:>4}  {answer.title:<{width}}  {answer.year or '':>4}  {number}  "
            f"{', '.join(answer.genres)}{mark}"
        )
        print_reason(answer)


def print_reason(answer: Recommendation) -> None:
    """Print which movie an answer is nearest to, if that was asked."""
    if reason := answer.reason:
        stars = "" if reason.nearest_stars is None else f", given {reason.nearest_stars:g} stars"
        print(
            f"{'':>6}nearest to {reason.nearest}{stars}: similarity "
            f"{reason.nearest_similarity:.2f}, shared genres: "
            f"{', '.join(reason.shared_genres) or 'none'}"
        )


def print_json(query: str, answers: Recommendations) -> None:
    """Print a list of objects."""
    print(json.dumps([answer.to_dict() for answer in answers], indent=2, ensure_ascii=False))


def print_csv(query: str, answers: Recommendations) -> None:
    """Print a header and a row per answer; genres are joined by ``|`` as in MovieLens."""
    rows = [answer.to_dict() for answer in answers]
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(rows[0])
    for row in rows:
        writer.writerow("|".join(v) if isinstance(v, tuple) else v for v in row.values())


@hydra.main(version_base="1.3", config_path="conf", config_name="recommend")
def main(cfg: DictConfig) -> None:
    """Answer one question."""
    with one_line_errors(RecommendConfig):
        config = read_settings(cfg)
        query, answers = ask(Recommender.load(config.run), config)
        if not answers:
            raise MovieEmbedError("no movie passes the filters")
        if config.format != "table" and "(from content" in query:
            print(query, file=sys.stderr)
        {"table": print_table, "json": print_json, "csv": print_csv}[config.format](query, answers)


if __name__ == "__main__":
    register_schemas()
    with one_line_errors(RecommendConfig):
        main()
