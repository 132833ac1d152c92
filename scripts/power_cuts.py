"""Kill train.py at random moments of every phase; nothing may be lost and the next start succeeds.

    python scripts/power_cuts.py        # 100 cuts
    python scripts/power_cuts.py 10 7   # 10 cuts, seed 7

Each cut forks a process that has torch loaded, runs ``train.py`` there on an archive that it
downloads from this machine, waits for one phase to begin and sends SIGKILL, or SIGINT or SIGTERM,
at a random moment of it. The runs are new, replace a finished one or go on with one. Then every
file under a final name must load, whatever had been written whole must still be there, and a second
start, which resumes what had begun, must end with the embeddings of a run that nobody disturbed.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import runpy
import select
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # noqa: F401 - so that no fork spends its time on it
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf

from movie_embed.data import demo, loading, movielens
from movie_embed.embeddings import saved
from movie_embed.embeddings.saved import FILE_NAME, SavedEmbeddings
from movie_embed.storage import read_columns
from movie_embed.training import run as training
from movie_embed.training.checkpoints import AtomicCheckpointIO

ROOT = Path(__file__).resolve().parents[1]
NAME, USERS, MOVIES = "ml-latest-small", 100, 200
PHASES = {
    "download": [(movielens, "_download")],
    "cache": [(loading, "_read"), (loading, "_write_cache")],
    "train": [(pl.Trainer, "fit")],
    "checkpoint": [(AtomicCheckpointIO, "save_checkpoint")],
    "save": [
        *((training, name) for name in ("write_text", "save_embeddings", "_show")),
        (saved, "name_latest"),
    ],
}
SETTINGS = (
    f"data={NAME} data.cache_dir=cache data.min_ratings=5 data.batch_size=256 model.dim=16 "
    "optimizer.learning_rate=0.01"
)
STARTS = {
    "new": f"{SETTINGS} trainer.max_epochs=3 hydra.run.dir=run",
    "instead": f"{SETTINGS} trainer.max_epochs=3 hydra.run.dir=run overwrite=true",
    "longer": "resume=run trainer.max_epochs=5",
}
SIGNALS = (*[signal.SIGKILL] * 4, signal.SIGINT, signal.SIGTERM)
Event = tuple[str, str, str, int]  # phase, begin or end, a checkpoint's name and epoch


class SlowServer(BaseHTTPRequestHandler):
    """Serves one archive at some megabytes a second, the rest of it where that is asked for."""

    body: bytes

    def do_GET(self) -> None:
        """Answer in small pieces."""
        start = int(self.headers.get("Range", "bytes=0-")[6:-1])
        self.send_response(206 if start else 200)
        last = len(self.body) - 1
        self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
        self.send_header("Content-Length", str(len(self.body) - start))
        self.end_headers()
        for at in range(start, len(self.body), 1 << 12):
            self.wfile.write(self.body[at : at + (1 << 12)])
            time.sleep(0.005)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def archive() -> bytes:
    """Return a zip in MovieLens' layout with simulated ratings."""
    movies = dict(list(demo.movies().items())[:MOVIES])
    rows = zip(*(column.tolist() for column in demo.draw_ratings(USERS)), strict=True)
    ratings = [f"{user},{movie},{stars},0\n" for user, movie, stars in rows if movie in movies]
    titles = [f'{number},"{movie.title}",{movie.genres}\n' for number, movie in movies.items()]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as whole:
        heading = "userId,movieId,rating,timestamp\n"
        whole.writestr(f"{NAME}/ratings.csv", heading + "".join(ratings))
        whole.writestr(f"{NAME}/movies.csv", "movieId,title,genres\n" + "".join(titles))
    return file.getvalue()


def serve(body: bytes, port: Any) -> None:
    """Serve until killed."""
    SlowServer.body = body
    server = ThreadingHTTPServer(("127.0.0.1", 0), SlowServer)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    port.send(server.server_port)
    server.serve_forever()


def announced(pipe: int, phase: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that tells the pipe when it begins and ends."""

    @wraps(work)
    def tell(*arguments: Any, **named: Any) -> Any:
        _, state, path, *_ = arguments if phase == "checkpoint" else (None, {"epoch": 0}, "-")
        about = f"{Path(path).name} {state['epoch']}"
        os.write(pipe, f"{phase} begin {about}\n".encode())
        result = work(*arguments, **named)
        os.write(pipe, f"{phase} end {about}\n".encode())
        return result

    return tell


def train(folder: Path, arguments: str, pipe: int) -> None:
    """Run train.py in this process, telling its phases, and never return."""
    os.chdir(folder)
    log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for phase, works in PHASES.items():
        for owner, name in works:
            setattr(owner, name, announced(pipe, phase, getattr(owner, name)))
    sys.argv = ["train.py", *arguments.split()]
    status: Any = 0
    try:
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
    except SystemExit as error:
        print(status := error.code, flush=True)
    except BaseException as error:
        print(status := repr(error), flush=True)
    os._exit(status if isinstance(status, int) else 1)


@contextmanager
def started(folder: Path, arguments: str) -> Iterator[tuple[int, int]]:
    """Start train.py in a fork; yield its process id and where it tells its phases."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        train(folder, arguments, writing)
    os.close(writing)
    try:
        yield child, reading
    finally:
        os.close(reading)


def to_the_end(folder: Path, arguments: str) -> dict[str, list[float]]:
    """Run train.py to its end and return how long each time of each phase took, in seconds."""
    begun: dict[str, float] = {}
    taken: dict[str, list[float]] = defaultdict(list)
    with started(folder, arguments) as (child, pipe):
        with os.fdopen(os.dup(pipe)) as lines:
            for line in lines:
                phase, what, *_ = line.split()
                if what == "begin":
                    begun[phase] = time.perf_counter()
                else:
                    taken[phase].append(time.perf_counter() - begun[phase])
        _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"a start failed:\n{(folder / 'log.txt').read_text()}")
    return taken


def cut(
    folder: Path, arguments: str, number: int, phase: str, occurrence: int, delay: float
) -> tuple[str, list[Event]]:
    """Signal train.py so long after a phase began; return where that was and what it had told."""
    told = ""
    with started(folder, arguments) as (child, pipe):
        while told.count(f"{phase} begin") <= occurrence and (some := os.read(pipe, 4096)):
            told += some.decode()
        time.sleep(delay)
        os.kill(child, number)
        _, status = os.waitpid(child, 0)
        if number != signal.SIGKILL and status:  # it may have ended before
            log = (folder / "log.txt").read_text()
            require(os.waitstatus_to_exitcode(status) == 128 + number, log)
            require("Traceback" not in log, log)
        while select.select([pipe], [], [], 0)[0] and (some := os.read(pipe, 4096)):
            told += some.decode()
    lines = [line.split() for line in told.splitlines()]
    events = [(name, what, path, int(epoch)) for name, what, path, epoch in lines]
    inside = ["between phases"]
    for name, what, *_ in events:
        if what == "begin":
            inside.append(name)
        else:
            inside.remove(name)
    return inside[-1], events


def check_files(folder: Path, digest: str) -> int:
    """Load everything under a final name and return how many files that are."""

    def check_columns(path: Path) -> None:
        read_columns(path, "triples" if "triples" in path.parts else "embeddings")

    readers: dict[str, Callable[[Path], object]] = {
        ".ckpt": AtomicCheckpointIO().load_checkpoint,
        ".json": lambda path: json.loads(path.read_text())["epochs"],
        ".safetensors": check_columns,
        ".yaml": lambda path: OmegaConf.load(path).seed,
        ".zip": lambda path: require(hashlib.sha256(path.read_bytes()).hexdigest() == digest, path),
    }
    files = [path for path in folder.rglob("*") if path.is_file() and path.name[0] != "."]
    whole = [path for path in files if path.suffix in readers]
    for path in whole:
        readers[path.suffix](path)
    if (folder / "outputs" / "latest").exists() and (folder / "run" / FILE_NAME).exists():
        SavedEmbeddings.load(folder / "outputs" / "latest")
    return len(whole)


def check_checkpoints(run: Path, events: list[Event]) -> None:
    """Require each checkpoint that was finished, or a later one in its place."""
    for phase, what, name, epoch in events:
        if (phase, what) == ("checkpoint", "end"):
            state = AtomicCheckpointIO().load_checkpoint(run / "checkpoints" / name)
            require(state["epoch"] >= epoch, f"{name} of epoch {epoch}")


def require(condition: bool, what: object) -> None:
    """Stop with a message unless the condition holds."""
    if not condition:
        raise SystemExit(f"lost or damaged: {what}")


def finish(folder: Path, start: str, begun: bool) -> None:
    """Start again, unless the run had ended before it was cut."""
    metrics, epochs = folder / "run" / "metrics.json", 5 if start == "longer" else 3
    if begun and metrics.exists() and json.loads(metrics.read_text())["epochs"] == epochs:
        return
    for leftover in (folder / "outputs").glob(".*.tmp"):
        # Let a minute go by: all runs in a place write outputs/latest, so a younger one stays.
        os.utime(leftover, (time.time() - 61,) * 2)
    to_the_end(folder, "resume=run" if begun else STARTS[start])


def main(cuts: int, seed: int) -> None:
    """Cut, check, start again; print where the cuts fell."""
    torch.set_num_threads(1)
    body = archive()
    digest = hashlib.sha256(body).hexdigest()
    parent_end, child_end = get_context("fork").Pipe()
    server = get_context("fork").Process(target=serve, args=(body, child_end), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{parent_end.recv()}/{NAME}.zip"
    os.environ["no_proxy"] = "127.0.0.1"
    movielens.RELEASES[NAME] = movielens.Release(NAME, (url,), len(body), f"sha256:{digest}")
    rng, phases = random.Random(seed), list(PHASES)  # noqa: S311
    with tempfile.TemporaryDirectory() as scratch:
        good, longer = Path(scratch, "good"), Path(scratch, "longer")
        good.mkdir()
        taken = to_the_end(good, STARTS["new"])
        shutil.copytree(good, longer)
        to_the_end(longer, STARTS["longer"])
        wanted = dict.fromkeys(STARTS, SavedEmbeddings.load(good / "run").vectors)
        wanted["longer"] = SavedEmbeddings.load(longer / "run").vectors
        fell: Counter[str] = Counter()
        loaded = 0
        for number in range(cuts):
            folder = Path(scratch, str(number))
            folder.mkdir()
            start, phase = rng.choice(list(STARTS)), phases[number % len(phases)]
            for part in ("run", "outputs") if start != "new" else ():
                shutil.copytree(good / part, folder / part)
            occurrence = rng.randrange(len(taken[phase]))
            delay = rng.uniform(0, taken[phase][occurrence])
            kind = rng.choice(SIGNALS)
            where, events = cut(folder, STARTS[start], kind, phase, occurrence, delay)
            fell[where] += 1
            loaded += check_files(folder, digest)
            check_checkpoints(folder / "run", events)
            finish(folder, start, any(event[:2] == ("train", "begin") for event in events))
            again = SavedEmbeddings.load(folder / "run").vectors
            require(bool(np.array_equal(again, wanted[start])), "the answer of the next start")
            leftover = [path.name for path in folder.rglob(".*.tmp")]
            require(not leftover, f"a cleaned folder: {leftover}")
            shutil.rmtree(folder)
            print(f"{number + 1} of {cuts} cuts {dict(fell)}", file=sys.stderr, flush=True)
    server.kill()
    print(
        f"\n{cuts} cuts, seed {seed}: {loaded} files under final names, all whole; every finished"
        f"\ncheckpoint there; {cuts} of {cuts} next starts succeeded with the same vectors\n"
    )
    print("| killed during | times |\n| --- | --- |")
    for where in (*PHASES, "between phases"):
        print(f"| {where} | {fell[where]} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cuts", type=int, nargs="?", default=100)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    main(**vars(parser.parse_args()))
