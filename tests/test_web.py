"""The server's answers beside the library's, and what it does with hostile questions."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedded import HOSTILE, MOVIES, hostile, random_vectors, saved

pytest.importorskip("fastapi", reason="needs the extra [web]")
import schemathesis
import uvicorn
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from running import run_script
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from movie_embed import Filters, Recommendation, Recommender
from movie_embed.answers.results import Reason
from movie_embed.web import models, server
from movie_embed.web.app import create_app
from movie_embed.web.safety import MOST_BYTES, MOST_FILE_BYTES, Guard

RECOMMENDER = Recommender(hostile())
APP = create_app(RECOMMENDER)
CLIENT = TestClient(APP, base_url="http://localhost:8000")


def get(path: str, **settings: Any) -> Any:
    answer = CLIENT.get(f"/api/{path}", params=settings)
    assert answer.status_code == 200, answer.text
    return answer.json()


def as_json(answers: list[Recommendation]) -> list[dict[str, Any]]:
    shown = [answer.to_dict() for answer in answers]
    for each in shown:
        each["genres"] = list(each["genres"])
        for reason in each.get("reasons", ()):
            reason["shared_genres"] = list(reason["shared_genres"])
    return shown


def test_similar_is_the_librarys_answer() -> None:
    assert get("similar", movie_id=10) == as_json(RECOMMENDER.similar(10))
    mine = get(
        "similar", movie_id=[10, 20], not_like=30, weights=[1, 2], metric="dot", k=7,
        genres="drama", years="1950-1980", min_count=10, include_rare=True, diversity=0.3,
        explain=True, exclude=[40, 50],
    )  # fmt: skip
    filters = Filters("drama", (), "1950-1980", 10, True, None, [40, 50])
    settings: dict[str, Any] = {"filters": filters, "diversity": 0.3, "explain": True}
    settings |= {"not_like": 30, "weights": [1, 2], "metric": "dot", "k": 7}
    assert mine == as_json(RECOMMENDER.similar([10, 20], **settings))
    among = get("similar", movie_id=10, among=[20, 30, 40], combine="max")
    assert {each["movie_id"] for each in among} == {20, 30, 40}


def test_recommendations_are_the_librarys_answer() -> None:
    asked: dict[str, Any] = {"ratings": {"10": 5, "20": 1.5}, "k": 4, "explain": True}
    mine = CLIENT.post("/api/recommendations", json=asked)
    assert mine.json() == as_json(RECOMMENDER.for_ratings({10: 5, 20: 1.5}, 4, explain=True))
    asked = {"ratings": [{"10": 5}, {"20": 1.5}], "together": "least", "order": "stars"}
    mine = CLIENT.post("/api/recommendations", json=asked)
    people = [{10: 5}, {20: 1.5}]
    assert mine.json() == as_json(RECOMMENDER.for_people(people, together="least", order="stars"))
    assert get("users/5", k=3) == as_json(RECOMMENDER.for_user(5, 3))


def test_ids_may_be_text() -> None:
    made = saved(random_vectors())
    ids = np.array([f"a/{i}" for i in made.movies.ids], dtype=object)
    users = replace(made.users, ids=np.array(["7", "007", "x"], dtype=object))
    recommender = Recommender(replace(made, movies=replace(made.movies, ids=ids), users=users))
    client = TestClient(create_app(recommender), base_url="http://localhost")
    answers = client.get("/api/similar", params={"movie_id": "a/10"}).json()
    assert answers[0]["movie_id"].startswith("a/")
    assert client.get("/api/users/007").json() == as_json(recommender.for_user("007"))
    assert client.get("/api/users/07").status_code == 404


def test_titles_are_found_as_they_are_typed() -> None:
    assert [each["title"] for each in get("search", q="alie")] == ["Aliens", "Alien"]
    assert [each["title"] for each in get("search", q="alien 1979")] == ["Alien"]
    assert [each["title"] for each in get("search", q="aliesn")] == ["Alien", "Aliens"]  # misspelt
    assert len(get("search", q="movie")) == 10
    assert get("search", q="") == get("search", q="!?") == []
    assert get("search", q="img")[0]["title"] == HOSTILE.removesuffix(" (1999)")
    assert get("movies/10")["year"] == 1999


def test_movies_of_another_run_are_found_by_title() -> None:
    asked = [
        {"movie_id": "20"},
        {"movie_id": "20", "title": "Alien", "year": 1979},
        {"movie_id": "20", "title": "Aliens", "year": 1986},  # this id is another movie's here
        {"movie_id": "no", "title": "Aliens", "year": 1986},
        {"movie_id": "20", "title": "Nowhere", "year": 1979},
        {"movie_id": "no"},
    ]
    found = CLIENT.post("/api/movies", json={"movies": asked})
    ids = [each and each["movie_id"] for each in found.json()]
    assert ids == [20, 20, 30, 30, None, None]


def test_a_movie_tells_its_rating_values() -> None:
    values = get("movies/20")["values"]
    assert [(each["stars"], each["count"]) for each in values] == [(0.5, 0), (2, 1), (5, 0)]
    none = TestClient(
        create_app(Recommender(replace(hostile(), users=None))), base_url="http://localhost"
    )
    assert none.get("/api/movies/20").json()["values"] == []


def test_the_map_has_every_learned_movie(tmp_path: Path) -> None:
    columns = get("map")
    assert columns["movie_id"] == RECOMMENDER.embeddings.movies.ids[:MOVIES].tolist()
    movies = ("movie_id", "x", "y", "title", "year", "genres", "ratings")
    assert {len(columns[name]) for name in movies} == {MOVIES}
    styles = [len(columns[name]) for name in ("colors", "dark_colors", "shapes")]
    assert styles == [len(columns["genre_names"]) + 1] * 3
    assert max(map(abs, columns["x"] + columns["y"])) == 1
    assert get("health")["movies"] == MOVIES


def test_a_file_is_read_as_the_library_reads_it_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    content = "title,year,rating\nAlien,1979,4\nNowhere,1990,3\n"
    answer = CLIENT.post("/api/read", params={"name": "../../a b.csv"}, content=content)
    assert answer.status_code == 200, answer.text
    assert answer.json()["ratings"] == {"20": 4}
    assert [row["movie_id"] for row in answer.json()["matches"]] == [20, None]
    assert answer.json()["notes"][0].startswith("a b.csv: ")
    params = {"name": "list.txt", "rated": "false"}
    listed = CLIENT.post("/api/read", params=params, content="Alien (1979)\nNowhere\n").json()
    assert listed["ratings"] == {}
    assert [row["movie_id"] for row in listed["matches"]] == [20, None]
    wrong = CLIENT.post("/api/read", params={"name": "x.pdf"}, content=b"%PDF-1.4")
    assert (wrong.status_code, wrong.json()["error"][:14]) == (422, "x.pdf is a PDF")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("movies/11", 404, "movie_id=11 is not in ml-test; nearest ids: 10"),
        ("movies/abc", 404, "id=abc"),
        (f"movies/{'9' * 90}", 404, "id=999"),
        ("users/99", 404, "user_id=99 is not in ml-test"),
        ("users/5?order=match", 422, "order=match: the run has no second head"),
        ("similar", 422, "movie_id: Field required"),
        ("similar?movie_id=10&genre=Drama", 422, "genre: Extra"),
        ("similar?movie_id=10&genres=Dramma", 422, "unknown genre Dramma; did you mean drama?"),
        ("similar?movie_id=10&years=1990-1980", 422, "years=1990-1980"),
        ("similar?movie_id=10&k=100000", 422, "k: Input should be less"),
        ("similar?movie_id=10&not_like=10", 422, "both liked and disliked"),
        (f"search?q={'a' * 201}", 422, "q: String should have at most 200"),
        ("nothing", 404, "Not Found"),
    ],
)
def test_a_mistake_is_one_line(path: str, status: int, told: str) -> None:
    answer = CLIENT.get(f"/api/{path}")
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert told in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_bodies_are_bounded_and_may_be_broken() -> None:
    large = CLIENT.post("/api/recommendations", content=b" " * (MOST_BYTES + 1))
    unannounced = CLIENT.post("/api/read", content=iter([b"a" * 2**20] * (MOST_FILE_BYTES >> 19)))
    assert (large.status_code, unannounced.status_code) == (413, 413)
    assert large.json() == {"error": "the request is larger than 1 MB"}
    for body in (b"{", b"\xff", b"[]", b'{"ratings": {"10": NaN}}', b'{"ratings": {"10": 9}}'):
        assert CLIENT.post("/api/recommendations", content=body).status_code == 422
    assert CLIENT.delete("/api/health").json() == {"error": "Method Not Allowed"}


def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("movie_embed.web.safety.SECONDS", 0.01)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(5)
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-length", b"9")]
    scope = {"type": "http", "method": "POST", "path": "/api/read", "headers": headers}
    asyncio.run(Guard(APP, "127.0.0.1")(scope, receive, send))
    assert sent[0]["status"] == 408


@pytest.mark.parametrize("before", [0, 1])
def test_the_head_of_a_request_that_does_not_come_is_given_up(
    before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SECONDS", 0.2)
    serving = uvicorn.Server(uvicorn.Config(APP, port=0, http=server.Connection, log_config=None))
    thread = threading.Thread(target=serving.run, daemon=True)
    thread.start()
    while not serving.started:
        time.sleep(0.01)
    port = serving.servers[0].sockets[0].getsockname()[1]
    with socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
        for _ in range(before):
            slow.sendall(b"GET /api/health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert slow.recv(2**16).startswith(b"HTTP/1.1 200 OK")
        slow.sendall(b"GET /api")
        assert b"HTTP/1.1" not in b"".join(iter(lambda: slow.recv(2**16), b""))
    serving.should_exit = True
    thread.join()


def test_only_our_own_names_are_answered() -> None:
    for name in ("evil.example", "localhost.evil.example", "", "localhost:8000:1", "localhost/a"):
        assert CLIENT.get("/api/health", headers={"host": name}).status_code == 400, name
    for name in ("[::1]:8000", "127.0.0.1:80", "LOCALHOST"):
        assert CLIENT.get("/api/health", headers={"host": name}).status_code == 200, name
    assert Guard(APP, "movies.lan").is_ours("movies.lan:8000")
    assert Guard(APP, "0.0.0.0").is_ours("192.168.1.7:8000")
    assert not Guard(APP, "127.0.0.1").is_ours("192.168.1.7:8000")
    assert not Guard(APP, "0.0.0.0").is_ours("evil.example")


@pytest.mark.parametrize("path", ["/", "/docs", "/api/health", "/api/nothing", "/static/app.js"])
def test_every_answer_has_the_headers(path: str) -> None:
    headers = CLIENT.get(path, headers={"origin": "http://evil.example"}).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert not [name for name in headers if name.startswith("access-control")]


def test_models_are_the_command_lines_json() -> None:
    assert set(models.Answer.model_fields) == set(Recommendation._fields)
    assert set(models.Because.model_fields) == set(Reason.__annotations__)


SCHEMA = schemathesis.openapi.from_asgi("/api/openapi.json", APP, headers={"host": "localhost"})
CHECKS = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@SCHEMA.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_question_that_the_schema_allows_fails(case: schemathesis.Case) -> None:
    case.call_and_validate(headers={"host": "localhost"}, checks=CHECKS)


def test_the_server_loads_no_torch_and_no_pandas(tmp_path: Path) -> None:
    hostile().save(tmp_path / "run")
    code = (
        "import sys; from pathlib import Path; from fastapi.testclient import TestClient; "
        "from movie_embed import Recommender; from movie_embed.web.app import create_app; "
        "run = Path('run'); import movie_embed.web.server; "
        "client = TestClient(create_app(Recommender.load(run), run), 'http://localhost'); "
        "paths = ['health', 'search?q=toy', 'similar?movie_id=10', 'users/5'];"
        "assert all(client.get('/api/' + p).status_code == 200 for p in paths); "
        "print([m for m in ('torch', 'pytorch_lightning', 'pandas') if m in sys.modules])"
    )
    asked = [sys.executable, "-c", code]
    ended = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.stdout == "[]\n", ended.stderr


def test_mistakes_of_the_command_are_one_line(tmp_path: Path) -> None:
    for settings_, told in (("run=nowhere", "no trained model"), ("port=0", "port=0: must be")):
        ended = run_script("serve.py", settings_, tmp_path)
        assert (ended.returncode, ended.stderr.count("\n")) == (1, 1), ended.stderr
        assert told in ended.stderr
