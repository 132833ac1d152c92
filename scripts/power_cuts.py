"""Kill train.py as it touches files; nothing may be lost and the next start succeeds.

    python scripts/power_cuts.py        # 100 cuts
    python scripts/power_cuts.py 10 7   # 10 cuts, seed 7

Each cut forks a process that has torch loaded and runs ``train.py`` there, on an archive that it
downloads from this machine. As it opens, renames or removes one of its files, or up to a third of
a second later, it gets SIGKILL, or SIGINT or SIGTERM. The runs are new, replace a finished one or
go on with one. Then every file under a final name must load, whatever had been written whole must
still be there, and a second start, which resumes what had begun, must end with the embeddings of a
run that nobody disturbed.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import runpy
import shutil
import signal
import sys
import tempfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone need not be installed

from movie_embed.data import demo
from movie_embed.data.datasets import DATA_SETS
from movie_embed.embeddings.saved import FILE_NAME, SavedEmbeddings
from movie_embed.storage import read_columns
from movie_embed.training.checkpoints import AtomicCheckpointIO

ROOT = Path(__file__).resolve().parents[1]
NAME, USERS, MOVIES = "ml-latest-small", 100, 200
SETTINGS = (
    f"data={NAME} data.cache_dir=cache data.min_ratings=5 data.batch_size=256 model.dim=16 "
    "optimizer.learning_rate=0.01 trainer.max_epochs=3 hydra.run.dir=run"
)
STARTS = {
    "new": SETTINGS,
    "instead": f"{SETTINGS} overwrite=true",
    "longer": "resume=run trainer.max_epochs=5",
}
SIGNALS = (*[signal.SIGKILL] * 4, signal.SIGINT, signal.SIGTERM)
KINDS = {"ratings": "ratings", "embeddings": "embeddings", "map": "map"}
TOUCHES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}


def write_archive(path: Path) -> str:
    """Write a zip in MovieLens' layout with simulated ratings, and return its checksum."""
    titles = [(movie_id, *movie[:2]) for movie_id, movie in [*demo.movies().items()][:MOVIES]]
    movies = pd.DataFrame(titles, columns=["movieId", "title", "genres"])
    ratings = demo.draw_ratings(USERS).set_axis(["userId", "movieId", "rating"], axis=1)
    with zipfile.ZipFile(path, "w") as archive:
        for name, frame in {"ratings": ratings, "movies": movies}.items():
            known = frame[frame["movieId"].isin(movies["movieId"])]
            archive.writestr(f"{NAME}/{name}.csv", known.to_csv(index=False))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def train(folder: Path, arguments: str, at: int, number: int, delay: float) -> None:
    """Run train.py in this process, with a signal after so many touches, and never return."""
    os.chdir(folder)
    log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    told = os.open("told.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    touches = count()

    def touched(event: str, about: tuple[Any, ...]) -> None:
        reads = event == "open" and not about[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if event in TOUCHES and not reads and next(touches) == at:
            name = Path(str(about[0])).name.lstrip(".")
            os.write(
                told, f"cut {event.removeprefix('os.')} {name.partition('.')[0][:12]}\n".encode()
            )
            threading.Timer(delay, os.kill, (os.getpid(), number)).start()

    def telling(work: Callable[..., Any], before: str, after: str) -> Callable[..., Any]:
        def tell(*given: Any, **named: Any) -> None:
            os.write(told, before.encode())
            work(*given, **named)
            about = f"{Path(given[2]).name} {given[1]['epoch']}" if after else ""
            os.write(told, after.format(about).encode())

        return tell

    pl.Trainer.fit = telling(pl.Trainer.fit, "fit\n", "")  # type: ignore[method-assign]
    saving = telling(AtomicCheckpointIO.save_checkpoint, "", "saved {}\n")
    AtomicCheckpointIO.save_checkpoint = saving  # type: ignore[method-assign]
    sys.addaudithook(touched)
    sys.argv = ["train.py", *arguments.split()]
    status: Any = 0
    try:
        runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
    except SystemExit as error:
        print(status := error.code, flush=True)
    except BaseException as error:
        print(status := repr(error), flush=True)
    os.write(told, f"touches {next(touches)}\n".encode())
    os._exit(status if isinstance(status, int) else 1)


def run(folder: Path, arguments: str, at: int = -1, number: int = 0, delay: float = 0) -> list[str]:
    """Run train.py in a fork, and return what it told."""
    child = os.fork()
    if child == 0:
        train(folder, arguments, at, number, delay)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    log, told = (folder / "log.txt").read_text(), (folder / "told.txt").read_text().splitlines()
    # It may have ended before the signal; what is killed says nothing.
    require(code in (0, -number, 128 + number), f"{code}\n{log}")
    require("Traceback" not in log, log)
    (folder / "told.txt").unlink()
    return told


def check_files(folder: Path, digest: str, told: list[str]) -> int:
    """Load everything under a final name and return how many files that are."""
    readers: dict[str, Callable[[Path], object]] = {
        ".ckpt": AtomicCheckpointIO().load_checkpoint,
        ".json": lambda path: json.loads(path.read_text())["epochs"],
        ".safetensors": lambda path: read_columns(path, KINDS[path.stem]),
        ".yaml": lambda path: OmegaConf.load(path).seed,
        ".zip": lambda path: require(hashlib.sha256(path.read_bytes()).hexdigest() == digest, path),
    }
    files = [path for path in folder.rglob("*") if path.is_file() and path.name[0] != "."]
    whole = [path for path in files if path.suffix in readers]
    for path in whole:
        readers[path.suffix](path)
    if (folder / "outputs" / "latest").exists() and (folder / "run" / FILE_NAME).exists():
        SavedEmbeddings.load(folder / "outputs" / "latest")
    for name, epoch in [line.split()[1:] for line in told if line.startswith("saved")]:
        state = AtomicCheckpointIO().load_checkpoint(folder / "run" / "checkpoints" / name)
        require(state["epoch"] >= int(epoch), f"{name} of epoch {epoch}")
    return len(whole)


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
    run(folder, "resume=run" if begun else STARTS[start])


def main(cuts: int, seed: int) -> None:
    """Cut, check, start again; print where the cuts fell."""
    torch.set_num_threads(1)
    rng, fell, loaded = random.Random(seed), Counter[str](), 0  # noqa: S311
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch, f"{NAME}.zip")
        digest = write_archive(archive)
        handler = partial(SimpleHTTPRequestHandler, directory=scratch)
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{NAME}.zip"
        os.environ["no_proxy"] = "127.0.0.1"
        size = archive.stat().st_size
        about = {"urls": (url,), "size": size, "checksum": f"sha256:{digest}"}
        DATA_SETS[NAME] = DATA_SETS[NAME]._replace(**about)
        good, longer = Path(scratch, "good"), Path(scratch, "longer")
        good.mkdir()
        touches = {"new": int(run(good, STARTS["new"])[-1].split()[1])}
        touches["instead"] = touches["new"]
        shutil.copytree(good, longer)
        touches["longer"] = int(run(longer, STARTS["longer"])[-1].split()[1])
        for number in range(cuts):
            folder, start = Path(scratch, str(number)), rng.choice(list(STARTS))
            folder.mkdir()
            for part in ("run", "outputs") if start != "new" else ():
                shutil.copytree(good / part, folder / part)
            delay = rng.choice((0.0, rng.uniform(0, 0.33)))
            at = rng.randrange(touches[start])
            told = run(folder, STARTS[start], at, rng.choice(SIGNALS), delay)
            fell.update(line for line in told if line.startswith("cut"))
            loaded += check_files(folder, digest, told)
            begun = start == "new" and (folder / "run" / "config.yaml").exists()
            finish(folder, start, begun or "fit" in told)
            wanted = SavedEmbeddings.load((longer if start == "longer" else good) / "run").vectors
            again = SavedEmbeddings.load(folder / "run").vectors
            require(bool(np.array_equal(again, wanted)), "the answer of the next start")
            leftover = [path.name for path in folder.rglob(".*.tmp")]
            require(not leftover, f"a cleaned folder: {leftover}")
            shutil.rmtree(folder)
            print(f"{number + 1} of {cuts} cuts", file=sys.stderr, flush=True)
    print(f"{cuts} cuts, seed {seed}: {loaded} files under final names, all whole; every finished")
    print(f"checkpoint there; {cuts} next starts succeeded with the same vectors", dict(fell))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cuts", type=int, nargs="?", default=100)
    parser.add_argument("seed", type=int, nargs="?", default=0)
    main(**vars(parser.parse_args()))
