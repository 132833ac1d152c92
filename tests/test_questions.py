"""What may be asked besides look-alikes: filters, taste, users, ratings, reasons."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from embedded import DIM, DROPPED_ID, MOVIES, UNTRAINED_ID, random_vectors, saved

from movie_embed import Filters, MovieEmbedError, Recommendations, Recommender
from movie_embed.answers.filters import Catalogue
from movie_embed.embeddings.spaces import half_whitened

ALL = MOVIES + 2


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    return Recommender(saved(random_vectors()))


def ids(answers: Recommendations) -> list[int]:
    return [answer.movie_id for answer in answers]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def vector(recommender: Recommender, movie_id: int) -> np.ndarray:
    return recommender.embeddings.vectors[movie_id // 10 - 1].astype(np.float64)


ASK: dict[str, Callable[..., Recommendations]] = {
    "similar": lambda r, **settings: r.similar(10, **settings),
    "similar, max": lambda r, **settings: r.similar([10, 20], combine="max", **settings),
    "for_user": lambda r, **settings: r.for_user(6, **settings),
    "for_ratings": lambda r, **settings: r.for_ratings({10: 5.0, 30: 1.5}, **settings),
}


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
def test_filters_keep_the_order_of_what_passes(recommender: Recommender, ask: Callable) -> None:
    every = ask(recommender, k=ALL)
    for filters, passes in (
        (Filters(genres=["comedy"]), lambda a: "Comedy" in a.genres),
        (Filters(exclude_genres=["Drama"]), lambda a: "Drama" not in a.genres),
        (Filters(years=(1960, 1980)), lambda a: 1960 <= a.year <= 1980),
        (Filters(years=(1700, 1750)), lambda a: False),
        (Filters(min_count=501), lambda a: False),
        (Filters(["Drama"], ["Comedy"]), lambda a: False),
    ):
        kept = ask(recommender, k=ALL, filters=filters)
        assert ids(kept) == [answer.movie_id for answer in every if passes(answer)]
        assert [answer.rank for answer in kept] == list(range(1, len(kept) + 1))


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
def test_diversity_reorders_and_its_first_answer_stays(
    recommender: Recommender, ask: Callable
) -> None:
    plain, diverse = ask(recommender, k=10), ask(recommender, k=10, diversity=0.7)
    assert ids(ask(recommender, k=10, diversity=0.0)) == ids(plain)
    assert ids(diverse)[0] == ids(plain)[0]
    assert len(set(ids(diverse))) == 10

    def likeness(answers: Recommendations) -> float:
        chosen = [vector(recommender, movie_id) for movie_id in ids(answers)]
        return float(np.mean([cosine(a, b) for a in chosen for b in chosen]))

    assert likeness(diverse) < likeness(plain)


@pytest.mark.parametrize("ask", ASK.values(), ids=ASK)
def test_rare_movies_are_answers_only_when_asked_for(
    recommender: Recommender, ask: Callable
) -> None:
    assert {DROPPED_ID, UNTRAINED_ID}.isdisjoint(ids(ask(recommender, k=ALL)))
    answers = ask(recommender, k=ALL, filters=Filters(include_rare=True))
    assert {a.movie_id for a in answers if a.from_content} == {DROPPED_ID, UNTRAINED_ID}


def test_a_rare_movie_can_be_asked_about(recommender: Recommender) -> None:
    content = recommender.embeddings.content
    assert content is not None
    best = recommender.similar(DROPPED_ID, k=1)[0]
    expected = max(cosine(content.vectors[0], v) for v in recommender.embeddings.vectors)
    assert best.similarity == pytest.approx(expected, abs=1e-6)
    assert not best.from_content


def test_a_movie_the_data_does_not_have_gets_a_vector_from_content(
    recommender: Recommender,
) -> None:
    content = recommender.embeddings.content
    assert content is not None
    longer, movie_id = recommender.with_movie("Brand New (2030)", ["comedy"])
    assert movie_id == UNTRAINED_ID + 1
    assert longer.title("brand new").startswith("Brand New (2030) (from content; 0 ratings")
    expected = content.weights[0] + content.weights[-1]
    best = longer.similar(movie_id, k=1)[0]
    cosines = [cosine(expected[:-1], v) for v in recommender.embeddings.vectors]
    assert best.similarity == pytest.approx(max(cosines), abs=1e-6)
    every = longer.for_user(5, k=ALL + 1, filters=Filters(include_rare=True))
    assert movie_id in ids(every)
    assert movie_id not in recommender.embeddings.movies.ids
    assert longer.for_user(5) == recommender.for_user(5)


def test_the_reason_is_the_nearest_of_the_movies_asked_about(recommender: Recommender) -> None:
    for answer in recommender.similar([10, 20, 30], explain=True):
        cosines = {
            q: cosine(vector(recommender, q), vector(recommender, answer.movie_id))
            for q in (10, 20, 30)
        }
        (reason,) = answer.reasons
        assert reason.movie_id == max(cosines, key=cosines.__getitem__)
        assert reason.similarity == pytest.approx(max(cosines.values()), abs=1e-6)
        assert reason.stars is reason.share is None
        if reason.movie_id != 20:  # which has no genres
            assert reason.shared_genres == answer.genres
    rated = recommender.for_user(6, explain=True)
    assert {(r.movie_id, r.stars) for a in rated for r in a.reasons} == {(30, 5.0)}


def test_dot_products_are_those_of_the_vectors_as_trained(recommender: Recommender) -> None:
    answers = recommender.similar([10, 20], k=ALL, metric="dot")
    mean = (vector(recommender, 10) + vector(recommender, 20)) / 2
    for answer in answers:
        product = mean @ vector(recommender, answer.movie_id)
        assert answer.dot_product == pytest.approx(product, abs=1e-4)
        assert answer.similarity is answer.predicted_stars is None
    products = [answer.dot_product for answer in answers]
    assert products == sorted(products, reverse=True)


def test_whitened_cosines_weigh_a_direction_by_the_root_of_its_singular_value(
    recommender: Recommender,
) -> None:
    vectors = recommender.embeddings.vectors.astype(np.float64)
    normalised = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    left, singular, _ = np.linalg.svd(normalised - normalised.mean(0), full_matrices=False)
    expected = left * np.sqrt(singular)
    answers = recommender.similar(10, k=ALL, metric="whitened")
    for answer in answers:
        alike = cosine(expected[0], expected[answer.movie_id // 10 - 1])
        assert answer.similarity == pytest.approx(alike, abs=1e-5)
    # Movies that training left out change nothing between those it did not.
    whole = recommender.similar(10, k=ALL, metric="whitened", filters=Filters(include_rare=True))
    assert [m for m in ids(whole) if m not in (DROPPED_ID, UNTRAINED_ID)] == ids(answers)


@pytest.mark.parametrize("vectors", [np.ones((1, DIM)), np.ones((4, DIM)), np.eye(3, 1)])
def test_whitening_leaves_out_what_does_not_differ(vectors: np.ndarray) -> None:
    whitened = half_whitened(vectors, vectors)
    assert whitened.shape[0] == len(vectors)
    assert np.isfinite(whitened).all()
    assert whitened.shape[1] == np.linalg.matrix_rank(vectors - vectors.mean(0))


def test_weights_move_the_query(recommender: Recommender) -> None:
    equal, heavy = (recommender.similar([10, 20], weights=w) for w in ([1, 1], [1000, 1]))
    assert equal == recommender.similar([10, 20])
    assert ids(heavy) == [i for i in ids(recommender.similar(10, k=11)) if i != 20][:10]


@pytest.mark.parametrize("combine", ["mean", "max"])
def test_disliked_movies_push_their_like_away(recommender: Recommender, combine: str) -> None:
    plain = recommender.similar(10, k=ALL, combine=combine)  # type: ignore[arg-type]
    away = recommender.similar(10, k=ALL, combine=combine, not_like=20)  # type: ignore[arg-type]
    assert 20 not in ids(away)
    near = [
        i
        for i in ids(plain)
        if cosine(vector(recommender, i), vector(recommender, 20))
        > cosine(vector(recommender, i), vector(recommender, 10))
    ]
    if combine == "max":
        assert set(ids(plain)) - set(ids(away)) == set(near)
    else:
        assert np.mean([ids(away).index(i) for i in near if i != 20]) > np.mean(
            [ids(plain).index(i) for i in near if i != 20]
        )


def test_a_user_gets_what_somebody_new_with_the_same_ratings_gets(
    recommender: Recommender,
) -> None:
    settings = {"k": ALL, "filters": Filters(include_rare=True)}
    answers = recommender.for_user(5, **settings)
    assert answers == recommender.for_ratings({10: 5.0, 20: 2.0, DROPPED_ID: 0.5}, **settings)
    assert len(answers) == ALL - 3
    numbers = [answer.predicted_stars for answer in answers]
    assert numbers == sorted(numbers, reverse=True)
    assert recommender.for_user(7, k=ALL) == recommender.for_ratings({}, k=ALL)  # rated nothing
    assert len(recommender.for_user(7, k=ALL)) == MOVIES


def test_a_list_keeps_answers_to_it_and_another_leaves_them_out(recommender: Recommender) -> None:
    every = ids(recommender.for_ratings({10: 5.0}, k=ALL))
    among, exclude = [every[7], every[3], 10], [every[0], every[3]]
    for filters, wanted in (
        (Filters(among=among), [every[3], every[7]]),
        (Filters(exclude=exclude), [i for i in every if i not in exclude]),
        (Filters(among=among, exclude=exclude), [every[7]]),
        (Filters(among=[]), []),
    ):
        assert ids(recommender.for_ratings({10: 5.0}, k=ALL, filters=filters)) == wanted


def test_similar_users_are_those_of_the_highest_cosine(recommender: Recommender) -> None:
    users = recommender.embeddings.users
    assert users is not None
    expected = {
        user: cosine(users.vectors[0], users.vectors[row]) for row, user in ((1, 6), (2, 7))
    }
    found = recommender.similar_users(5)
    assert [user.user_id for user in found] == sorted(expected, key=lambda u: -expected[u])
    assert [u.similarity for u in found] == pytest.approx(sorted(expected.values())[::-1], abs=1e-6)


def test_somebodys_ratings_are_predicted_back(recommender: Recommender) -> None:
    ratings = {10: 5.0, 20: 0.5, 30: 4.5, DROPPED_ID: 3.0}
    fitted = recommender.fold_in(ratings)
    assert (fitted.shape, fitted.dtype) == ((DIM + 1,), np.float64)
    answers = recommender.for_ratings(ratings, k=ALL)
    assert set(ratings).isdisjoint(ids(answers))
    biases = recommender.embeddings.biases
    scores = [vector(recommender, i) @ fitted[:-1] + fitted[-1] + biases[i // 10 - 1]
              for i in ids(answers)]  # fmt: skip
    predicted = 0.5 + 4.5 / (1 + np.exp(-np.array(scores)))
    assert [a.predicted_stars for a in answers] == pytest.approx(predicted.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda r: r.for_people([]), "people="),
        (lambda r: r.for_people([5, 6], together="best"), "together=best: must be one of average"),
        (lambda r: r.for_user(5, order="best"), "order=best: must be one of match, choice, stars"),
        (lambda r: r.for_user(5, order="match"), "no implicit model .ranking.enabled=false"),
        (lambda r: r.similar(10, metric="mixed"), "no implicit model"),
        (lambda r: r.for_ratings({10: 5.5}), r"Movie, The 10 .*5.5 stars are off the scale"),
        (lambda r: r.for_ratings({10: 5, "movie, the 10": 4}), "rated twice"),
        (lambda r: r.for_ratings({11: 5}), "movie_id=11 is not in ml-test; .* 10 Movie, The"),
        (lambda r: r.for_user(8), "user_id=8 is not in ml-test; nearest ids: 5, 6, 7"),
        (lambda r: r.similar([10, 20], not_like=[20]), "both liked and disliked"),
        (lambda r: r.similar(10, weights=[1, 2]), "one a movie"),
        (lambda r: r.similar(10, weights=[1], combine="max"), "combine=mean"),
        (lambda r: r.similar(10, filters=Filters(["Dramma"])), "unknown genre Dramma; did you"),
        (lambda r: r.similar(10, filters=Filters(exclude_genres=["zzz"])), "one of Comedy, Drama"),
        (lambda r: r.similar([]), "at least one movie"),
        (lambda r: r.with_movie("New", ["Comdy"]), "did you mean comedy"),
        (lambda r: r.similar("nothing like it"), "no movie is called"),
        (
            lambda r: r.similar(10, metric="euclid"),
            "metric=euclid: must be one of mixed, cosine, whi",
        ),
        (lambda r: r.similar(10, combine="min"), "combine=min: must be one of mean, max"),
        (lambda r: r.similar(10, diversity=5), "diversity=5: must be a number from 0 to 1"),
        (lambda r: r.similar(10, k=2.5), "k=2.5: must be a whole number"),
        (lambda r: r.similar(10, explain="no"), "explain=no: must be true or false"),
        (lambda r: r.similar(10, filters={"genres": "Drama"}), "must be Filters"),
        (lambda r: r.similar([10, 20], weights=[1, np.inf]), "above 0"),
        (lambda r: r.similar("11"), "movie_id=11 is not in ml-test; nearest ids: 10 Movie, The"),
        (lambda r: r.similar(10, not_like={"a": 1}), "not_like={'a': 1}: must be a whole number"),
        (lambda r: r.similar(10, not_like=11), "not_like=11 is not in ml-test"),
        (lambda r: r.similar(10.5), "movie_id=10.5: must be a whole number"),
        (lambda r: r.similar(True), "movie_id=True: must be a whole number"),
        (lambda r: r.for_user("5"), "user_id='5': must be a whole number; did you mean 5 without"),
        (lambda r: r.for_user(-(10**30)), "nearest ids: 5, 6, 7"),
        (lambda r: r.similar_users(5, k=-1), "k=-1"),
        (lambda r: r.for_ratings([10, 20]), "must be a whole number"),
        (lambda r: r.for_ratings({10: "5"}), "stars of 10=5: must be a number"),
        (lambda r: r.with_movie(""), "title="),
        (lambda r: Filters(years=(2005, 1990)), "years=.*must be a year, or the first and the la"),
        (lambda r: Filters(years="ninety"), "years=ninety"),
        (lambda r: Filters(years=-1980), "years=-1980: must be a year, or the first and the last"),
        (lambda r: r.similar(10, filters=Filters(["science fiction"])), "one of Comedy, Drama"),
        (lambda r: Filters(genres=[1980]), "genres=.*must be a name or a list"),
        (lambda r: Filters(min_count=-1), "min_count=-1: must be at least 0"),
        (lambda r: Filters(include_rare="no"), "include_rare=no: must be true or false"),
    ],
)
def test_mistakes_are_told(recommender: Recommender, ask: Callable, told: str) -> None:
    with pytest.raises(MovieEmbedError, match=told):
        ask(recommender)


SAME: dict[str, tuple[Callable, Callable]] = {
    "a NumPy integer": (lambda r: r.similar(np.int64(10)), lambda r: r.similar(10)),
    "an array": (lambda r: r.similar(np.array([10, 20])), lambda r: r.similar([10, 20])),
    "a Series": (lambda r: r.similar(pd.Series([10, 20])), lambda r: r.similar([10, 20])),
    "floats, as pandas has ids beside missing ones": (
        lambda r: r.similar([10.0, np.float32(20)], np.float64(3)),
        lambda r: r.similar([10, 20], 3),
    ),
    "an id as text": (lambda r: r.similar("10"), lambda r: r.similar(10)),
    "titles": (lambda r: r.similar(pd.Series(["movie the 10"])), lambda r: r.similar(10)),
    "weights": (
        lambda r: r.similar([10, 20], np.int8(3), weights=np.array([3, 1]), not_like=None),
        lambda r: r.similar([10, 20], 3, weights=[3, 1]),
    ),
    "a user": (lambda r: r.for_user(np.uint32(5)), lambda r: r.for_user(5)),
    "like users": (lambda r: r.similar_users(np.int16(5)), lambda r: r.similar_users(5)),
    "ratings": (
        lambda r: r.for_ratings(pd.Series([5, 1.5], index=[10, 30])),
        lambda r: r.for_ratings({10: 5, 30: 1.5}),
    ),
    "one genre": (
        lambda r: r.similar(10, filters=Filters("Comedy", years=np.array([1960, 1980]))),
        lambda r: r.similar(10, filters=Filters(["Comedy"], years=(1960, 1980))),
    ),
    "years as typed": (lambda r: Filters(years="1960-1980"), lambda r: Filters(years=(1960, 1980))),
    "one year": (lambda r: Filters(years=1960), lambda r: Filters(years=(1960, 1960))),
    "a new movie": (
        lambda r: r.with_movie("New", "Comedy")[0].similar("new"),
        lambda r: r.with_movie("New", ["Comedy"])[0].similar("new"),
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_what_numpy_and_pandas_hand_over_is_understood(recommender: Recommender, case: str) -> None:
    given, plain = SAME[case]
    assert given(recommender) == plain(recommender)


def test_an_id_that_is_text_is_named_and_a_title_of_digits_is_a_title(
    recommender: Recommender, caplog: pytest.LogCaptureFixture
) -> None:
    recommender.title("10")
    assert caplog.messages == ['"10" is taken for movie_id=10, Movie, The 10 (1960)']
    movies = recommender.embeddings.movies
    titles = ["Movie (1999)", "10 (1979)", *movies.titles[2:]]
    table = dataclasses.replace(movies, titles=titles)
    named = Recommender(dataclasses.replace(recommender.embeddings, movies=table))
    assert named.title("10") == "10 (1979)"


@pytest.mark.parametrize("asked", ["science fiction", "Sci-Fi", "SciFi", "sf"])
@pytest.mark.parametrize("written", ["Sci-Fi", "Science Fiction"])
def test_a_genre_may_be_called_as_other_sites_call_it(asked: str, written: str) -> None:
    movies = dataclasses.replace(saved(random_vectors()).movies, genres=[written] * ALL)
    assert Catalogue(movies).allowed(Filters([asked])).all()


def test_estimates_do_not_crowd_out_what_was_learned(recommender: Recommender) -> None:
    content = recommender.embeddings.content
    assert content is not None
    wide = recommender.similar(10, k=ALL, filters=Filters(include_rare=True))
    plain = cosine(vector(recommender, 10), content.vectors[0])
    (rare,) = (answer for answer in wide if answer.movie_id == DROPPED_ID)
    assert rare.similarity == pytest.approx(0.8 * plain, abs=1e-6)


def test_without_users_a_question_about_one_says_so(tmp_path: Path) -> None:
    left_out = dataclasses.replace(saved(random_vectors()), users=None)
    left_out.save(tmp_path)
    for recommender in (Recommender(left_out), Recommender.load(tmp_path)):
        with pytest.raises(MovieEmbedError, match=r"save\.users=false"):
            recommender.for_user(5)
        assert recommender.for_ratings({10: 5.0})


def test_answers_become_a_data_frame(recommender: Recommender) -> None:
    frame = recommender.similar(10, k=3).to_pandas()
    assert frame.columns.tolist() == [
        "rank", "movie_id", "title", "year", "genres", "similarity", "from_content",
        "imdb_id", "tmdb_id",
    ]  # fmt: skip
    assert frame.movie_id.tolist() == ids(recommender.similar(10, k=3))
    told = recommender.for_user(6, k=3, explain=True).to_pandas()
    assert {"predicted_stars", "reasons"} <= set(told.columns)
