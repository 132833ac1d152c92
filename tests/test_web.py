"""The server's answers beside the library's, and what it does with hostile questions."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from embedded import HOSTILE, MOVIES, hostile, random_vectors, saved

pytest.importorskip("fastapi", reason="needs the extra [web]")
import schemathesis
import uvicorn
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, settings
from running import ROOT, run_script
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from movie_embed import Filters, Recommendation, Recommender
from movie_embed.answers.results import Reason
from movie_embed.config import ServeConfig
from movie_embed.embeddings.saved import SavedEmbeddings, name_latest
from movie_embed.web import app as app_module
from movie_embed.web import models, server
from movie_embed.web.app import create_app
from movie_embed.web.safety import MOST_BYTES, MOST_FILE_BYTES, Guard

RECOMMENDER = Recommender(hostile())


def guard(**settings: Any) -> Guard:
    return Guard(APP, ServeConfig(**settings), lambda *_: None)


def client_of(app: Any) -> TestClient:
    return TestClient(app, base_url="http://localhost:8000")


APP = create_app(RECOMMENDER)
CLIENT = client_of(APP)


def get(path: str, **settings: Any) -> Any:
    answer = CLIENT.get(f"/api/{path}", params=settings)
    assert answer.status_code == 200, answer.text
    return answer.json()


def as_json(answers: list[Recommendation]) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = json.loads(json.dumps([each.to_dict() for each in answers]))
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
    asked = {"people": ["5", {"10": 5}], "k": 3}
    mine = CLIENT.post("/api/people", json=asked).json()
    assert mine == [
        as_json(RECOMMENDER.for_user(5, 3)),
        as_json(RECOMMENDER.for_ratings({10: 5}, 3)),
    ]


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
    none = client_of(create_app(Recommender(replace(hostile(), users=None))))
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
    mine = "who,film,mark\na,Alien (1979),8\nb,Aliens (1986),3\n"
    read = {"columns": ["title=film", "rating=mark", "user=who"], "scale": 10, "rated_by": "a"}
    answer = CLIENT.post("/api/read", params=read, content=mine).json()
    assert answer["ratings"] == {"20": 4.0}
    assert {"title": "film", "rating": "mark"}.items() <= answer["columns"].items()
    many = "title,rating\n" + 300 * "Alien (1979),4\n"
    page = CLIENT.post("/api/read", params={"first": 290, "most": 7}, content=many).json()
    assert (page["rows"], page["first"], len(page["matches"])) == (300, 290, 7)
    assert page["matches"][0]["line"] == 292
    huge = CLIENT.post("/api/read", content="title,rating\n" + 100_001 * "Alien,4\n")
    assert (huge.status_code, "100,000 rows" in huge.json()["error"]) == (422, True)
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
        ("users/5?order=match", 422, "order=match: the run has no implicit model"),
        ("similar", 422, "movie_id: Field required"),
        ("similar?movie_id=10&genre=Drama", 422, "genre: Extra"),
        ("similar?movie_id=10&genres=Dramma", 422, "unknown genre Dramma; did you mean drama?"),
        ("similar?movie_id=10&years=1990-1980", 422, "years=1990-1980"),
        ("similar?movie_id=10&k=100000", 422, "k: Input should be less"),
        ("similar?movie_id=10&k=5&k=6", 422, "k: given 2 times"),
        ("search?q=a&q=b", 422, "q: given 2 times"),
        ("search?q=a&k=3", 422, "k: Extra"),
        ("users/5?k=3&k=3", 422, "k: given 2 times"),
        ("similar?movie_id=10&k=201&diversity=0.1", 422, "k=201: at most 200 with diversity"),
        ("similar?movie_id=010", 404, "id=010: the data has whole numbers as ids"),
        ("users/05", 404, "user_id"),
        ("similar?movie_id=10&exclude=11", 404, "movie_id=11 is not in ml-test"),
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


@pytest.mark.parametrize(
    ("path", "body", "status", "told"),
    [
        ("recommendations", {"ratings": {"10": 5, "010": 4}}, 404, "id=010"),
        ("recommendations", {"ratings": {"10": True}}, 422, "valid number"),
        ("recommendations", {"ratings": {"10": "5"}}, 422, "valid number"),
        ("recommendations", {"ratings": [{}] * 21}, 422, "ratings: 1 to 20 people, not 21"),
        ("recommendations", {"ratings": []}, 422, "ratings: 1 to 20 people, not 0"),
        ("recommendations", {"ratings": {}, "k": 300, "explain": True}, 422, "at most 200"),
        ("people", {"people": [{}] * 101, "k": 100}, 422, "number of people: at most 10,000"),
        ("people", {"people": [{"10": 5}, "99"]}, 404, "user_id=99 is not in ml-test"),
        ("read?scale=a", "", 422, "scale"),
        ("read?page=2", "", 422, "page: Extra"),
        ("read?rated=false&scale=10", "", 422, "scale: without effect where rated=false"),
        ("read?seen=true", "", 422, "seen: without effect where rated=true"),
        ("read?columns=title", "", 422, "columns.0: String should match pattern"),
    ],
)
def test_a_body_with_a_mistake_is_one_line(path: str, body: Any, status: int, told: str) -> None:
    answer = CLIENT.post(f"/api/{path}", json=body)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert told in answer.json()["error"]


def test_bodies_are_bounded_and_may_be_broken() -> None:
    large = CLIENT.post("/api/recommendations", content=b" " * (MOST_BYTES + 1))
    unannounced = CLIENT.post("/api/read", content=iter([b"a" * 2**20] * (MOST_FILE_BYTES >> 19)))
    assert (large.status_code, unannounced.status_code) == (413, 413)
    assert large.json() == {"error": "the request is larger than 1 MB"}
    for body in (b"{", b"\xff", b"[]", b'{"ratings": {"10": NaN}}', b'{"ratings": {"10": 9}}'):
        assert CLIENT.post("/api/recommendations", content=body).status_code == 422
    negative = CLIENT.post("/api/read", content=b"a", headers={"content-length": "-1"})
    assert negative.status_code == 413
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
    asyncio.run(guard()(scope, receive, send))
    assert sent[0]["status"] == 408


@pytest.mark.parametrize("before", [0, 1])
@pytest.mark.parametrize("start", [b"GET /api", b"GET / HTTP/1.1\r\na: " + 2**17 * b"a"])
def test_the_head_of_a_request_that_is_slow_or_large_is_given_up(
    start: bytes, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SECONDS", 0.2 if len(start) < 100 else 60)
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
        slow.sendall(start)
        with suppress(ConnectionResetError):  # where the server has not read all
            assert b"HTTP/1.1" not in b"".join(iter(lambda: slow.recv(2**16), b""))
    serving.should_exit = True
    thread.join()


def test_only_our_own_names_are_answered() -> None:
    for name in ("evil.example", "localhost.evil.example", "", "localhost:8000:1", "localhost/a"):
        assert CLIENT.get("/api/health", headers={"host": name}).status_code == 400, name
    for name in ("[::1]:8000", "127.0.0.1:80", "LOCALHOST"):
        assert CLIENT.get("/api/health", headers={"host": name}).status_code == 200, name
    assert guard(host="movies.lan").is_ours("movies.lan:8000")
    assert guard(host="0.0.0.0").is_ours("192.168.1.7:8000")
    assert not guard().is_ours("192.168.1.7:8000")
    assert not guard(host="0.0.0.0").is_ours("evil.example")
    named = guard(host="0.0.0.0", hosts=["movies.example.com", "[2001:db8::1]"])
    assert named.is_ours("Movies.example.com:443")
    assert not named.is_ours("a.movies.example.com")
    behind = guard(hosts=["2001:db8::1"])
    assert behind.is_ours("[2001:db8::1]:8000")
    assert not behind.is_ours("[2001:db8::2]:8000")
    for wrong in ("[::1", "[::1]x", "[::1]:", "::1:80"):
        assert not behind.is_ours(wrong)


# What browsers send, and whether the server answers.
SITES: list[tuple[dict[str, str], str, bool]] = [
    ({}, "/api/similar?movie_id=10", True),  # no browser
    ({"sec-fetch-site": "same-origin"}, "/api/similar?movie_id=10", True),
    ({"sec-fetch-site": "none"}, "/api/similar?movie_id=10", True),  # typed
    ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "image"}, "/api/health", False),
    ({"sec-fetch-site": "same-site", "sec-fetch-dest": "empty"}, "/api/health", False),
    ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}, "/", True),  # a link
    ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "document"}, "/api/map", False),
    ({"sec-fetch-site": "cross-site", "sec-fetch-dest": "iframe"}, "/", False),
    ({"origin": "http://localhost:8000"}, "/api/health", True),
    ({"origin": "http://evil.example"}, "/api/health", False),
    ({"origin": "null"}, "/api/health", False),
    ({"origin": "https://mine.example", "sec-fetch-site": "cross-site"}, "/api/health", True),
]


@pytest.mark.parametrize(("headers", "path", "answered"), SITES)
def test_pages_of_other_sites_cannot_ask(
    headers: dict[str, str], path: str, answered: bool
) -> None:
    client = client_of(create_app(RECOMMENDER, ServeConfig(origins=["https://mine.example"])))
    answer = client.get(path, headers=headers)
    assert answer.status_code == (200 if answered else 403)
    ours = headers.get("origin") == "https://mine.example"
    assert ("access-control-allow-origin" in answer.headers) == ours
    asked = {"access-control-request-method": "POST", "origin": "https://mine.example"}
    asked |= {"access-control-request-headers": "content-type", "sec-fetch-site": "cross-site"}
    assert client.options("/api/recommendations", headers=asked).status_code == 200


def test_head_is_get_without_its_body() -> None:
    for path in ("/", "/api/health", "/api/similar?movie_id=10", "/static/app.js", "/api/map"):
        shown, whole = CLIENT.head(path), CLIENT.get(path)
        assert (shown.status_code, shown.content) == (200, b"")
        assert shown.headers["content-type"] == whole.headers["content-type"]
    assert CLIENT.head("/api/recommendations").status_code == 405


def test_the_map_is_sent_once_and_compressed() -> None:
    plain = CLIENT.get("/api/map", headers={"accept-encoding": "identity"})
    zipped = CLIENT.get("/api/map", headers={"accept-encoding": "gzip"})
    assert zipped.headers["content-encoding"] == "gzip"
    assert int(zipped.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert zipped.json() == plain.json()
    tag = plain.headers["etag"]
    again = CLIENT.get("/api/map", headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert CLIENT.get("/api/map", headers={"if-none-match": 'W/"other"'}).status_code == 200


def test_under_a_path_of_its_own(page: str = "/movies") -> None:
    app = create_app(RECOMMENDER, ServeConfig(root_path=page, hosts=["example.com"]))
    client = TestClient(app, base_url="http://example.com", follow_redirects=False)
    for prefix in ("", page):  # whether the proxy takes the path off or not
        for path in ("/", "/docs", "/api/health", "/static/app.js", "/api/similar?movie_id=10"):
            assert client.get(prefix + path).status_code == 200, prefix + path
    assert client.get("/movies").headers["location"] == "http://example.com/movies/"
    assert client.get("/api/openapi.json").json()["servers"] == [{"url": "/movies"}]
    for path in ("/", "/docs"):
        addresses = re.findall(r'(?:src|href)="([^"]+)"', client.get(path).text)
        assert addresses
        assert not [each for each in addresses if each.startswith(("/", "http"))]


def test_requests_are_counted_and_logged(capsys: pytest.CaptureFixture[str]) -> None:
    client = TestClient(create_app(RECOMMENDER), base_url="http://localhost")
    client.get("/api/similar?movie_id=10")
    client.get("/api/movies/11")
    client.head("/api/no%0Awhere?q=secret")
    lines = capsys.readouterr().err.splitlines()
    told = [re.sub(r"[\d.]+ ms$", "", line) for line in lines]
    assert told == [
        "testclient GET /api/similar 200 ",
        "testclient GET /api/movies/11 404 ",
        "testclient HEAD '/api/no\\nwhere' 404 ",
    ]
    numbers = client.get("/metrics").text
    assert 'movie_embed_requests_total{route="similar",status="200"} 1.0' in numbers
    assert 'movie_embed_requests_total{route="movie",status="404"} 1.0' in numbers
    assert 'movie_embed_request_seconds_count{route="similar"} 1.0' in numbers
    assert capsys.readouterr().err
    quiet = TestClient(create_app(RECOMMENDER, ServeConfig(log=False)), base_url="http://localhost")
    quiet.get("/api/ready")
    assert not capsys.readouterr().err


def test_a_route_reads_a_question_as_fastapi_reads_it() -> None:
    slow = create_app(RECOMMENDER)
    slow.router.routes[:] = [each for each in slow.router.routes if not is_quick(each)]
    client = TestClient(slow, base_url="http://localhost")
    questions = [
        "similar?movie_id=10&movie_id=20&weights=1&weights=2&k=3&explain=true",
        "similar?movie_id=10&k=x",
        "similar?movie_id=10&k=1&k=2",
        "similar",
        "similar?movie_id=10&some=1",
    ]
    for question in questions:
        answers = [each.get(f"/api/{question}") for each in (client, CLIENT)]
        assert len({(each.status_code, each.text) for each in answers}) == 1, question
    for body in ({"ratings": {"10": 5}}, {"ratings": [1]}, {"ratings": {}, "k": 0}, []):
        answers = [each.post("/api/recommendations", json=body) for each in (client, CLIENT)]
        told = {(each.status_code, each.text.partition(": ")[0]) for each in answers}
        assert len(told) == 1, body


def is_quick(route: Any) -> bool:
    quick = ("/api/similar", "/api/recommendations")
    return getattr(route, "path", "") in quick and not isinstance(route, APIRoute)


class Waiting(Recommender):
    """Answers that wait until they may go on."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.asked, self.go_on = threading.Event(), threading.Event()

    def similar(self, *parts: Any, **settings: Any) -> Any:
        self.asked.set()
        assert self.go_on.wait(20)
        return super().similar(*parts, **settings)


def test_a_slow_answer_lets_others_pass_and_is_of_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "FOLLOWED", 0.05)
    run, other, latest = tmp_path / "run", tmp_path / "other", tmp_path / "latest"
    first = hostile()
    first.save(run)
    ids = first.movies.ids[::-1].copy()
    replace(first, movies=replace(first.movies, ids=ids), data_name="other").save(other)
    name_latest(latest, run)
    slow = Waiting(SavedEmbeddings.load(latest))
    with (
        TestClient(create_app(slow, follow=latest), base_url="http://localhost") as client,
        ThreadPoolExecutor(1) as pool,
    ):
        answer = pool.submit(client.get, "/api/similar?movie_id=10&k=60")
        assert slow.asked.wait(20)
        assert client.get("/api/health").json()["data_name"] == "ml-test"
        assert client.get("/").status_code == 200
        latest.write_text("gone\n")  # names no run for a while
        time.sleep(0.2)
        assert client.get("/api/users/5").json() == as_json(RECOMMENDER.for_user(5))
        name_latest(latest, other)
        until(lambda: client.get("/api/health").json()["data_name"] == "other")
        expected = Recommender.load(other).similar(10)
        assert client.get("/api/similar?movie_id=10").json() == as_json(expected)
        slow.go_on.set()
        assert answer.result().json() == as_json(RECOMMENDER.similar(10, 60))
        first.save(other)  # the same folder holds another run now
        until(lambda: client.get("/api/health").json()["data_name"] == "ml-test")


def until(holds: Callable[[], bool]) -> None:
    for _ in range(400):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError


SLOW_SERVER = """
import sys, time
from movie_embed import commands
from movie_embed.answers.recommender import Recommender

def read_ratings(*_, **__):
    print("reading", flush=True)
    time.sleep(60)

Recommender.read_ratings = read_ratings
if __name__ == "__main__":
    commands.run("serve")
"""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_whatever_runs(
    workers: int, number: signal.Signals, tmp_path: Path
) -> None:
    hostile().save(tmp_path / "run")
    (tmp_path / "slow.py").write_text(SLOW_SERVER)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "slow.py", "run=run", f"port={port}", f"workers={workers}"]
    places = os.environ | {"PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=tmp_path, env=places, stdout=pipe, stderr=pipe, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as server:  # fmt: skip
        try:
            assert server.stdout
            assert server.stderr
            assert server.stdout.readline().startswith(f"http://127.0.0.1:{port}  ")
            until(lambda: answers_at(port))
            with socket.create_connection(("127.0.0.1", port), timeout=20) as asked:
                head = b"POST /api/read HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\n1"
                asked.sendall(head)
                assert server.stdout.readline() == "reading\n"
                server.send_signal(number)
                assert server.wait(20) == 128 + number
                assert "Traceback" not in server.stderr.read()
        finally:
            server.kill()


def answers_at(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as asked:
            asked.sendall(b"GET /api/ready HTTP/1.1\r\nhost: localhost\r\n\r\n")
            return asked.recv(2**16).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


@pytest.mark.parametrize("path", ["/", "/docs", "/api/health", "/api/nothing", "/static/app.js"])
def test_every_answer_has_the_headers(path: str) -> None:
    headers = CLIENT.get(path, headers={"origin": "http://evil.example"}).headers
    assert "default-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert not [name for name in headers if name.startswith("access-control")]


def test_the_description_is_whole_for_generators_of_clients() -> None:
    described = APP.openapi()
    operations = [each for path in described["paths"].values() for each in path.values()]
    names = [each["operationId"] for each in operations]
    assert len({*names}) == len(names) == 11
    assert max(map(len, names)) <= 15
    told = [part for each in operations for part in each.get("parameters", ())]
    schemas = described["components"]["schemas"]
    asked = {*schemas} & {"ForEach", "ForRatings", "Wanted", "WantedMovies"}
    told += [part for name in asked for part in schemas[name]["properties"].values()]
    assert len(told) > 50
    for part in told:
        assert part["description"], part
        assert (part.get("schema") or part)["examples"], part
    for each in operations:
        assert each["tags"]
        assert each["description"]
        errors = {status for status in each["responses"] if status > "300"}
        assert errors == {"400", "403", "404", "408", "413", "422", "500", "503"}


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
        "client = TestClient(create_app(Recommender.load(run)), 'http://localhost'); "
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
