"""Answers against a full argsort, and the promises about them."""

import csv
import html
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from embedded import DIM, DROPPED_ID, HOSTILE, MOVIES, UNTRAINED_ID, hostile, saved

from movie_embed import MovieEmbedError, Recommendations, Recommender
from movie_embed.answers.formats import norm, vectors_as
from movie_embed.answers.ranking import best_rows
from movie_embed.answers.recommender import Metric
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.embeddings.spaces import Spaces

FLOAT32_STEP = float(np.finfo(np.float32).eps)


@pytest.fixture
def recommender() -> Recommender:
    vectors = np.random.default_rng(0).standard_normal((MOVIES, DIM)).astype(np.float32)
    return Recommender(saved(vectors))


def full_ranking(vectors: np.ndarray, rows: list[int], combine: str) -> list[int]:
    """Return all other rows by a full argsort of cosines computed pair by pair in float64."""
    unit = vectors.astype(np.float64)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    if combine == "mean":
        query = unit[rows].mean(0)
        cosines = unit @ query / np.linalg.norm(query)
    else:
        cosines = (unit @ unit[rows].T).max(1)
    return [row for row in np.argsort(-cosines, kind="stable").tolist() if row not in rows]


@pytest.mark.parametrize("combine", ["mean", "max"])
@pytest.mark.parametrize("rows", [[0], [3, 77], [199, 5, 60]])
def test_ranking_equals_a_full_argsort(
    recommender: Recommender, rows: list[int], combine: str
) -> None:
    query = [(row + 1) * 10 for row in rows]
    expected = full_ranking(recommender.embeddings.vectors, rows, combine)
    for k in (1, 10, MOVIES - len(rows)):
        answers = recommender.similar(query, k, combine)  # type: ignore[arg-type]
        assert [answer.movie_id // 10 - 1 for answer in answers] == expected[:k]
        assert [answer.rank for answer in answers] == list(range(1, k + 1))


@pytest.mark.parametrize("share", [1.0, 0.5, 0.0002])
@pytest.mark.parametrize("k", [1, 10, 37])
def test_the_best_of_many_scores_are_those_of_a_full_sort(k: int, share: float) -> None:
    rng = np.random.default_rng(k)
    scores = rng.integers(-500, 500, 40_003).astype(np.float32)  # with ties
    allowed = rng.random(len(scores)) < share
    order = np.argsort(-scores, kind="stable")
    assert best_rows(scores, allowed, k).tolist() == order[allowed[order]][:k].tolist()


def test_similarity_is_the_cosine(recommender: Recommender) -> None:
    a, b = recommender.embeddings.vectors[:2].astype(np.float64)
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    answer = next(x for x in recommender.similar(10, MOVIES) if x.movie_id == 20)
    assert answer.similarity == pytest.approx(cosine, abs=1e-6)
    twin = recommender.similar([10, 10], MOVIES)
    assert [x.movie_id for x in twin] == [x.movie_id for x in recommender.similar(10, MOVIES)]


def test_queries_are_never_answers_and_k_may_exceed_the_movies(recommender: Recommender) -> None:
    answers = recommender.similar([10, 20, 20], k=10_000)
    assert len(answers) == MOVIES - 2
    assert {10, 20}.isdisjoint(answer.movie_id for answer in answers)


def test_ties_go_to_the_first_row() -> None:
    answers = Recommender(saved(np.ones((MOVIES, DIM), np.float32))).similar(30, k=5)
    assert [answer.movie_id for answer in answers] == [10, 20, 40, 50, 60]


@pytest.mark.parametrize("metric", ["cosine", "whitened", "dot"])
def test_a_zero_vector_is_neither_asked_about_nor_an_answer(metric: Metric) -> None:
    vectors = np.random.default_rng(0).standard_normal((4, DIM)).astype(np.float32)
    vectors[1] = 0
    recommender = Recommender(saved(vectors))
    with pytest.raises(MovieEmbedError, match=r"Movie, The 20 .*pulled its vector to 0; .*ridge"):
        recommender.similar([10, 20], metric=metric)
    assert {answer.movie_id for answer in recommender.similar(10, metric=metric)} == {30, 40}
    shown = [recommender.vector(20)]
    assert "none: it has no direction" in vectors_as("table", shown)
    assert json.loads(vectors_as("json", shown))[0]["normalised"] is None


@pytest.mark.parametrize("size", [1e-42, 1e-24, 1.0, 1e30])
def test_no_cosine_leaves_its_bounds_however_long_the_vectors(size: float) -> None:
    vectors = np.random.default_rng(0).standard_normal((MOVIES, DIM)).astype(np.float32)
    vectors[::2] = vectors[0]  # of which rounding makes products beyond 1
    vectors *= np.float32(size)
    recommender = Recommender(saved(vectors))
    for metric in ("cosine", "whitened"):
        answers = recommender.similar(10, MOVIES, metric=metric, explain=True)  # type: ignore[arg-type]
        assert all(-1 <= answer.similarity <= 1 for answer in answers)
        assert all(-1 <= r.similarity <= 1 for a in answers for r in a.reasons)
    assert norm(recommender.vector(20).normalised) == pytest.approx(1, abs=FLOAT32_STEP)


def test_answers_carry_title_year_and_genres(recommender: Recommender) -> None:
    answers = {answer.movie_id: answer for answer in recommender.similar(20, MOVIES)}
    assert answers[10].title == "Movie, The 10"
    assert answers[10].year == 1960
    assert answers[10].genres == ("Comedy", "Drama")
    assert answers[40].genres == ()


def test_a_notebook_shows_a_table_in_which_titles_are_text() -> None:
    answers = Recommender(hostile()).similar([20, 30], MOVIES, explain=True)
    shown = answers._repr_html_()
    assert "<img" not in shown
    assert html.escape(HOSTILE.removesuffix(" (1999)")) in shown
    assert shown.count("<tr>") == 1 + len(answers) + sum(len(a.reasons) for a in answers)
    assert f"<td>{answers[0].similarity:.2f}</td>" in shown
    assert Recommendations()._repr_html_().count("<tr>") == 1  # no answers are no error


def test_a_movie_left_out_says_why_its_vector_is_from_content(recommender: Recommender) -> None:
    assert recommender.title(10) == "Movie, The 10 (1960)"
    assert "from content; 3 ratings, below data.min_ratings=100" in recommender.title(DROPPED_ID)
    assert "300 ratings, all held out for validation" in recommender.title(UNTRAINED_ID)


def test_saving_and_loading_changes_no_bit(recommender: Recommender, tmp_path: Path) -> None:
    recommender.embeddings.save(tmp_path)
    loaded = SavedEmbeddings.load(tmp_path)
    original = recommender.embeddings
    assert loaded.vectors.tobytes() == original.vectors.tobytes()
    assert loaded.biases.tobytes() == original.biases.tobytes()
    assert loaded.movies.titles == original.movies.titles
    assert loaded.rating_range == original.rating_range
    again = Recommender.load(tmp_path).similar([10, 50])
    assert again == recommender.similar([10, 50])
    assert Recommender.load(tmp_path).similar(DROPPED_ID) == recommender.similar(DROPPED_ID)
    assert Recommender.load(tmp_path).for_user(5) == recommender.for_user(5)
    users = Spaces(SavedEmbeddings.load(tmp_path)).users
    assert original.users is not None
    assert users.vectors.tobytes() == original.users.vectors.tobytes()


def test_answering_imports_neither_torch_nor_lightning_nor_pandas() -> None:
    code = (
        "import sys; from movie_embed import Recommender;"
        "loaded = {name.split('.')[0] for name in sys.modules};"
        "print(*loaded & {'torch', 'pytorch_lightning', 'pandas', 'pyarrow', 'hydra'})"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout.strip()) == (0, "")


def test_vectors_are_shown_raw_and_normalised(recommender: Recommender) -> None:
    shown = recommender.vector(20)
    assert shown.vector.tolist() == recommender.embeddings.vectors[1].tolist()
    assert norm(shown.normalised) == pytest.approx(1, abs=FLOAT32_STEP)
    cosine = shown.normalised @ recommender.vector(30).normalised
    (nearest,) = (a for a in recommender.similar(20, k=MOVIES) if a.movie_id == 30)
    assert cosine == pytest.approx(nearest.similarity, abs=1e-6)
    rare = recommender.vector(DROPPED_ID)
    assert "from content" in rare.title
    assert norm(rare.normalised) == pytest.approx(1, abs=FLOAT32_STEP)


def test_vectors_as_text(recommender: Recommender) -> None:
    shown = [recommender.vector(20), recommender.vector(30)]
    table = vectors_as("table", shown)
    blocks = re.findall(r"\[([^]]*)\]\nnorm (\S+)", table)
    numbers = [np.array(text.split(), np.float32) for text, _ in blocks]
    assert [block.shape for block in numbers] == [(DIM,)] * 4
    for movie, raw, unit in zip(shown, numbers[::2], numbers[1::2], strict=True):
        assert raw == pytest.approx(movie.vector, rel=1e-6, abs=1e-7)
        assert unit == pytest.approx(movie.normalised, rel=1e-6, abs=1e-7)
    printed = [float(length) for _, length in blocks]
    assert printed[1::2] == pytest.approx([1, 1], abs=FLOAT32_STEP)
    assert printed[0] == pytest.approx(norm(shown[0].vector), abs=1e-9)

    objects = json.loads(vectors_as("json", shown))
    assert [movie["movie_id"] for movie in objects] == [20, 30]
    assert objects[1]["normalised"] == shown[1].normalised.tolist()
    rows = list(csv.DictReader(vectors_as("csv", shown).splitlines()))
    assert [int(row["dimension"]) for row in rows] == [*range(1, DIM + 1)] * 2
    assert [float(row["vector"]) for row in rows[:DIM]] == shown[0].vector.tolist()
