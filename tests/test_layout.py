"""The map: who lies beside whom, how parts are named, and colours that everybody tells apart."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from embedded import random_vectors

from movie_embed import Recommender
from movie_embed.embeddings import layout
from movie_embed.embeddings.genres import _STYLES, OTHER, by_telling, style_of
from movie_embed.embeddings.layout import nearest, place
from movie_embed.web.map import regions


def test_near_on_the_map_is_near_in_the_list(demo_folder: Path) -> None:
    recommender = Recommender.load(demo_folder / "run")
    spaces, size = recommender._spaces, recommender.embeddings.movies.embedded
    assert spaces.ease is not None
    counts = recommender.embeddings.movies.rating_counts[:size]
    rows = np.arange(size)
    near, scores = nearest(spaces.learned, spaces.ease, rows, rows, 50)
    ids = recommender.embeddings.movies.ids
    for row in (0, 5, size - 1):
        answers = recommender.similar(ids.item(row), k=50)
        assert ids[near[row]].tolist() == [answer.movie_id for answer in answers]
        assert scores[row] == pytest.approx([answer.similarity for answer in answers], abs=1e-5)
    points = place(recommender.embeddings.vectors, counts, spaces.ease, seed=0)
    away = np.linalg.norm(points[:, None] - points, axis=2) + np.diag(np.full(size, np.inf))
    ten = np.argsort(away, axis=1)[:, :10]
    shared = np.mean([np.isin(a, b).mean() for a, b in zip(ten, near, strict=True)])
    assert shared > 0.4  # at random 0.05


def test_the_map_repeats_with_its_seed_and_keeps_groups_together() -> None:
    groups = np.repeat(np.eye(4, 8), 15, axis=0)
    vectors = (groups + 0.1 * np.random.default_rng(0).standard_normal((60, 8))).astype(np.float32)
    counts = np.arange(60)
    points = place(vectors, counts, None, seed=1)
    assert points.tobytes() == place(vectors, counts, None, seed=1).tobytes()
    distances = np.linalg.norm(points[:, None] - points, axis=2) + np.diag(np.full(60, np.inf))
    assert (distances.argmin(axis=1) // 15 == np.arange(60) // 15).all()
    assert np.isfinite(place(vectors[:4, :1], counts[:4], None, seed=0)).all()
    assert place(vectors[:2], counts[:2], None, seed=0).shape == (2, 2)


def test_movies_beyond_those_of_t_sne_lie_by_those_like_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layout, "MOST_FITTED", 60)
    centers = random_vectors(3) * 10
    group = np.arange(240) % 3
    vectors = centers[group] + random_vectors(240, seed=1)
    points = place(vectors, np.arange(240)[::-1], None, seed=0)
    middles = np.stack([points[:60][group[:60] == g].mean(axis=0) for g in range(3)])
    distances = np.linalg.norm(points[60:, None] - middles, axis=2)
    assert (distances.argmin(axis=1) == group[60:]).all()


def test_parts_have_the_names_of_what_is_common_there() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(-1, 1, (2_000, 2))
    titles = [f"Some title {chr(97 + i % 26)}{i} ({1950 + i % 60})" for i in range(2_000)]
    genres = [["Drama"], ["Comedy"], ["Action"], ["Comedy", "Drama"]] * 500
    west, old = slice(0, 100), slice(100, 200)
    places[west] = rng.normal((0.5, 0.5), 0.1, (100, 2))
    genres[west] = [["Western", "Drama"]] * 100
    places[old] = rng.normal((-0.6, -0.5), 0.1, (100, 2))
    titles[old] = [f"Old {chr(97 + i % 26)}{i} title (194{i % 10})" for i in range(100)]
    places[200:208] = rng.normal((0.6, -0.6), 0.005, (8, 2))
    titles[200:208] = [f"Night Train: Part {i}, The ({1960 + 5 * i})" for i in range(8)]
    found = regions(np.clip(places, -1, 1), titles, genres)
    at = {name: (x, y) for name, x, y, level in found if level == 1}
    assert {"Western", "1940s"} <= set(at) <= {"Western", "1940s", "Night Train"}
    assert at["Western"] == pytest.approx((0.5, 0.5), abs=0.1)
    assert at["1940s"] == pytest.approx((-0.6, -0.5), abs=0.1)
    (series,) = [each for each in found if each.name == "Night Train" and each.level == 3]
    assert (series.x, series.y) == pytest.approx((0.6, -0.6), abs=0.05)
    assert regions(places[:0], [], []) == []


def test_the_most_telling_genre_is_drawn_the_same_in_every_run() -> None:
    assert by_telling(["Drama", "Comedy", "Western"]) == ["Western", "Comedy", "Drama"]
    assert by_telling(["Drama", "Zombies", "Children's"]) == ["Children's", "Drama", "Zombies"]
    assert style_of("Science Fiction") == style_of("Sci-Fi")
    assert style_of("Zombies") == style_of("Zombies")


# Machado, Oliveira and Fernandes 2009: linear colours as red-, green- and blue-blind eyes see them.
SIGHTS = [
    np.eye(3),
    [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9308, 0.1476], [0.0047, 0.6914, 0.3039]],
]


def linear(color: str) -> np.ndarray:
    parts = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def oklab(light: np.ndarray) -> np.ndarray:
    cones = [[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]
    lab = [[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]
    return 100 * np.array(lab) @ np.cbrt(np.array(cones) @ np.clip(light, 0, 1))


@pytest.mark.parametrize(("ground", "side"), [("#ffffff", "light"), ("#181820", "dark")])
def test_everybody_tells_the_genres_apart(ground: str, side: str) -> None:
    styles = [*_STYLES.values(), OTHER]
    for a, b in combinations(styles, 2):
        seen = [[oklab(sight @ linear(getattr(s, side))) for s in (a, b)] for sight in SIGHTS]
        least = min(np.linalg.norm(one - other) for one, other in seen)
        assert least > (10 if a.shape == b.shape and OTHER not in (a, b) else 4.5), (a, b)
    for style in styles:
        lights = [
            linear(each) @ [0.2126, 0.7152, 0.0722] for each in (getattr(style, side), ground)
        ]
        assert (max(lights) + 0.05) / (min(lights) + 0.05) >= 3
