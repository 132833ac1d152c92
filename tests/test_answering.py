"""Answers only: what `answering.txt` lists is enough to answer with, from a run of old."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
from running import GOLDEN, ROOT

pytest.importorskip("fastapi", reason="needs the extra [web]")
PINS = [line for line in (ROOT / "answering.txt").read_text().splitlines() if line[0] != "#"]
PORT = 8766
Run = Callable[..., "subprocess.CompletedProcess[str]"]

# Runs a command where nothing but the list is there.
WITHOUT = """
import sys
from importlib.metadata import packages_distributions

def plain(name):
    return name.lower().replace("_", "-")

class Absent:
    def find_spec(self, name, *_):
        top = name.partition(".")[0]
        homes = set(map(plain, owners.get(top, ())))
        if homes and not homes & listed:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

owners = packages_distributions()
listed = {plain(pin.partition("==")[0]) for pin in sys.argv.pop(1).split()} | {"movie-embed"}
sys.meta_path.insert(0, Absent())
from movie_embed.__main__ import main
main()
"""


def test_the_list_has_the_versions_of_the_tests() -> None:
    pins = {pin.partition(" ;")[0] for pin in PINS}
    assert pins <= set((ROOT / "constraints.txt").read_text().splitlines())
    assert not [pin for pin in pins if pin.startswith(("torch", "pandas", "scikit-learn"))]


@pytest.fixture
def without(tmp_path: Path) -> Run:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        names = " ".join(pin.partition(" ;")[0] for pin in PINS)
        return started([sys.executable, "-c", WITHOUT, names, *arguments], tmp_path)

    return run


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """An environment of its own with what the list has, and no more."""
    if "ANSWERING" not in os.environ:
        pytest.skip("installs packages: ANSWERING=1 pytest tests/test_answering.py")
    folder = tmp_path_factory.mktemp("answering")
    shutil.copytree(ROOT, folder / "source", ignore=shutil.ignore_patterns(".*", "outputs"))
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder / "env"], check=True)
    python = str(folder / "env" / "bin" / "python")
    pip = [python, "-m", "pip", "install", "--quiet", "--no-deps"]
    wheels = ["--only-binary=:all:", "--no-binary=antlr4-python3-runtime"]
    for command in ([*pip, *wheels, "-r", "source/answering.txt"], [*pip, "./source"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if "No matching distribution" in done.stderr or "connection" in done.stderr.lower():
            pytest.skip(f"pip reaches no index: {done.stderr.splitlines()[-1]}")
        assert done.returncode == 0, done.stderr
    packages = next((folder / "env" / "lib").glob("python*/site-packages"))
    size = sum(
        f.stat().st_size for f in packages.rglob("*") if f.is_file() and "/pip" not in str(f)
    )
    print(f"{size / 1e6:.0f} MB")
    assert size < 200e6

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return started([python, "-m", "movie_embed", *arguments], folder)

    return run


def started(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, or `serve` until its page and API have answered."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if "-c" in command:
        environment["PYTHONPATH"] = str(ROOT)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=folder, env=environment, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            if "serve" in command:
                assert process.stdout.readline().startswith("http://"), process.stderr.read()
                ask_all()
                process.terminate()
            out, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    return subprocess.CompletedProcess(command, process.returncode, out, errors)


def ask_all() -> None:
    until_it_answers()
    assert "<title>movie_embed" in ask("/").decode()
    assert b"swagger" in ask("/docs")
    assert ask("/static/app.js")
    similar = json.loads(ask("/api/similar?movie_id=101&k=3&explain=true&include_rare=true"))
    assert len(similar) == 3
    (user,) = json.loads(ask("/api/users/1?k=1"))
    assert user["rank"] == 1
    rated = json.dumps({"ratings": {"101": 5}}).encode()
    assert len(json.loads(ask("/api/recommendations", rated))) == 10
    read = json.loads(ask("/api/read?name=mine.csv", b"movieId,rating\n101,4\n102,3\n"))
    assert len(read["ratings"]) == 2
    assert json.loads(ask("/api/search?q=group"))
    assert b"movie_embed_requests_total" in ask("/metrics")


def until_it_answers() -> None:
    for _ in range(400):
        try:
            ask("/api/ready")
            return
        except URLError:
            time.sleep(0.05)
    raise AssertionError


def ask(path: str, body: bytes | None = None) -> bytes:
    headers = {"content-type": "application/json"}
    address = f"http://localhost:{PORT}{path}"
    with urlopen(Request(address, body, headers), timeout=60) as answer:
        content: bytes = answer.read()
    return content


@pytest.mark.parametrize("where", ["without", "installed"])
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("recommend movie_id=101 include_rare=true explain=true", r"Recommendations for Group"),
        ("recommend user_id=1 format=json", r'"rank": 1'),
        ("recommend 'movie=\"Gruop 0, The 117\"'", r"Group 0, The 117"),
        ("export to=[tsv,word2vec]", r"vectors\.txt"),
        (f"serve port={PORT}", r"GET /api/similar 200"),
        ("export to=[parquet]", r"^error: (duckdb|pandas) is not installed: pip install \. in"),
        ("train", r"^error: \w+ is not installed: pip install \. in a clone"),
        ("plot", r"^error: \w+ is not installed: pip install \. in a clone"),
    ],
)
def test_it_answers(where: str, asked: str, told: str, request: pytest.FixtureRequest) -> None:
    run: Run = request.getfixturevalue(where)
    place = [] if asked == "train" else [f"run={GOLDEN}"]
    ended = run(*shlex.split(asked), *place)
    assert re.search(told, ended.stdout + ended.stderr), ended
    expected = 1 if told.startswith("^") else 143 if "serve" in asked else 0
    assert ended.returncode == expected, ended.stderr
    if expected == 1:
        assert ended.stderr.count("\n") == 1
