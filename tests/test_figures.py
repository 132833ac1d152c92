"""Figures by what is drawn in them, and TensorBoard's files read back as it reads them."""

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from checkerboard import MOVIES, settings
from embedded import random_vectors, saved
from matplotlib.figure import Figure
from PIL import Image
from running import run_script
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from movie_embed import MovieEmbedError
from movie_embed.config import ModelConfig, SaveConfig, TrainConfig
from movie_embed.embeddings.layout import read_layout
from movie_embed.embeddings.saved import SavedEmbeddings
from movie_embed.figures import (
    FIGURES,
    losses_of,
    plot_genre_map,
    plot_losses,
    plot_movie_counts,
    plot_star_counts,
    show_run,
)
from movie_embed.storage import read_columns, write_columns
from movie_embed.training.run import train


@pytest.fixture(scope="module")
def run(board: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, with what training drew of it."""
    run = tmp_path_factory.mktemp("runs") / "run"
    train(drawn(board), run)
    return run


def drawn(board: Path, epochs: int = 3) -> TrainConfig:
    return settings(board, epochs, model=ModelConfig(dim=4), save=SaveConfig())


def texts(figure: Figure) -> str:
    (axes, *_) = figure.axes
    return axes.get_title("left")


def test_training_leaves_every_figure_in_the_folder_and_none_in_tensorboard(run: Path) -> None:
    assert EventAccumulator(str(run)).Reload().Tags()["images"] == []
    drawn = {path.stem: path for path in (run / "figures").glob("*.png")}
    assert drawn.keys() == {*FIGURES}
    assert all(
        min(Image.open(io.BytesIO(path.read_bytes())).size) >= 700 for path in drawn.values()
    )


def test_drawing_again_replaces_what_was_drawn(run: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    before = {path.name: path.read_bytes() for path in (copy / "figures").glob("*.png")}
    assert read_layout(copy, SavedEmbeddings.load(copy)).shape == (MOVIES, 2)
    result = run_script("plot.py", "run=copy", tmp_path)
    assert result.returncode == 0, result.stderr
    written = [*(f"figures/{name}.png" for name in FIGURES), "figures/map.html"]
    written += ["projector/vectors.tsv", "projector/metadata.tsv", "projector_config.pbtxt"]
    assert result.stdout.split() == [f"copy/{name}" for name in written]
    assert before == {path.name: path.read_bytes() for path in (copy / "figures").glob("*.png")}
    missing = run_script("plot.py", "run=nowhere", tmp_path)
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)
    assert "python train.py" in missing.stderr


def test_a_figure_that_fails_does_not_fail_the_run(
    board: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(run: Path, metrics: object) -> None:
        raise ValueError("no ink")

    monkeypatch.setattr("movie_embed.figures.show_run", broken)
    train(drawn(board, 1), tmp_path / "run")
    assert "the run is saved, but not its figures (ValueError: no ink)" in capsys.readouterr().err
    assert (tmp_path / "run" / "embeddings.safetensors").exists()
    train(settings(board, 1), tmp_path / "without")  # save.figures=false
    assert not capsys.readouterr().err


def test_a_figure_whose_data_are_gone_is_left_out_and_named(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(run, tmp_path / "copy")
    (copy / "epochs.csv").unlink()
    shutil.rmtree(copy / "figures")
    show_run(copy)
    assert {path.stem for path in (copy / "figures").iterdir()} == {*FIGURES, "map"} - {"loss"}
    assert capsys.readouterr().err.startswith("no figure loss: ")
    (copy / "metrics.json").unlink()
    with pytest.raises(MovieEmbedError, match=r"no whole run.*metrics\.json"):
        show_run(copy)


def test_ratings_per_movie() -> None:
    counts = np.array([3, 900, 0, 40, 200, 200])
    figure = plot_movie_counts(counts, min_ratings=200)
    (axes,) = figure.axes
    curve, threshold = axes.lines
    assert curve.get_ydata().tolist() == [900, 200, 200, 40, 3]
    assert curve.get_xdata().tolist() == [1, 2, 3, 4, 5]
    assert set(threshold.get_ydata()) == {200}
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert threshold.get_label() == "threshold: 200 or more ratings; movies that stay: 3"
    assert "3 of 6 movies" in texts(figure)
    assert "96.8% of all" in texts(figure)
    assert "1 movie without ratings not drawn" in texts(figure)


def test_frequency_of_each_rating_value() -> None:
    (axes,) = plot_star_counts({0.5: 10, 1.0: 30, 4.0: 60}).axes
    assert [bar.get_height() for bar in axes.patches] == [10, 30, 60]
    centers = [bar.get_x() + bar.get_width() / 2 for bar in axes.patches]
    assert centers == pytest.approx([0.5, 1, 4])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.5", "1", "4"]


def test_star_counts_are_those_of_the_ratings_kept(run: Path, tmp_path: Path) -> None:
    counts = SavedEmbeddings.load(run).star_counts
    assert sum(counts.values()) == json.loads((run / "metrics.json").read_text())["ratings"]
    assert list(counts) == [0.5, 1.0, 1.5, 5.0]
    columns, metadata = read_columns(run / "embeddings.safetensors", "embeddings")
    del metadata["star_counts"]  # as in a run saved before they were
    write_columns(tmp_path / "embeddings.safetensors", "embeddings", columns, metadata)
    with pytest.raises(MovieEmbedError, match="train it anew"):
        plot_star_counts(SavedEmbeddings.load(tmp_path).star_counts)


def test_the_losses_are_those_of_training(run: Path) -> None:
    losses = losses_of(run)
    metrics = json.loads((run / "metrics.json").read_text())
    assert list(losses) == ["training", "validation"]
    assert all(list(by_epoch) == [1, 2, 3] for by_epoch in losses.values())
    best = losses["validation"][metrics["best_epoch"]]
    assert best == pytest.approx(metrics["val_rmse"] ** 2, rel=1e-5)


def test_loss_per_epoch() -> None:
    losses = {"training": {1: 1.2, 2: 0.8}, "validation": {2: 0.9}}
    axes = plot_losses(losses, saved_epoch=2, bias_only_rmse=0.9).axes[0]
    training, validation, baseline, saved_line = axes.lines
    assert training.get_xydata().tolist() == [[1, 1.2], [2, 0.8]]
    assert validation.get_xydata().tolist() == [[2, 0.9]]
    assert baseline.get_ydata() == pytest.approx([0.81, 0.81])
    assert set(saved_line.get_xdata()) == {2}
    (roots,) = axes.child_axes
    assert roots.get_ylabel() == "RMSE (stars)"
    assert len(plot_losses({"training": {1: 1.0}}, 1, 0.9).axes[0].lines) == 3


def test_the_map_has_every_movie_once_in_its_genre() -> None:
    embeddings = saved(random_vectors(60))
    points = np.random.default_rng(0).random((60, 2))
    figure = plot_genre_map(embeddings, points)
    (axes,) = figure.axes
    drawn = [(points.get_label(), len(points.get_offsets())) for points in axes.collections]
    # Every other movie has no genre, the rest are Comedy and Drama alike.
    assert sorted(drawn) == [("Comedy (30)", 30), ("other (30)", 30)]
    assert len({tuple(p.get_facecolor()[0][:3]) for p in axes.collections}) == 2
    assert "all 60 movies" in texts(figure)
    few = plot_genre_map(embeddings, points, movies=20)
    assert sum(len(points.get_offsets()) for points in few.axes[0].collections) == 20
    assert "the 20 most rated of 60 movies" in texts(few)
    with pytest.raises(MovieEmbedError, match="3 movies"):
        plot_genre_map(embeddings, points[:3])


def test_tensorboards_own_plugin_serves_the_projector(run: Path) -> None:
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.projector.projector_plugin import ProjectorPlugin
    from werkzeug.test import Client

    for folder, name in ((run, "."), (run.parent, "run")):
        multiplexer = EventMultiplexer().AddRunsFromDirectory(str(folder))
        multiplexer.Reload()
        provider = MultiplexerDataProvider(multiplexer, str(folder))
        plugin = ProjectorPlugin(TBContext(data_provider=provider, logdir=str(folder)))
        client = {route: Client(app) for route, app in plugin.get_plugin_apps().items()}
        assert client["/runs"].get("/").json == [name]
        info = client["/info"].get("/", query_string={"run": name}).json
        assert info["embeddings"][0]["tensorShape"] == [MOVIES, 4]
        asked = {"run": name, "name": "movies"}
        tensor = client["/tensor"].get("/", query_string=asked).data
        assert tensor == SavedEmbeddings.load(run).vectors.tobytes()
        metadata = client["/metadata"].get("/", query_string=asked).text.splitlines()
        header, *rows = csv.reader(metadata, delimiter="\t", quoting=csv.QUOTE_NONE)
        assert header == ["movie_id", "title", "year", "genres", "rating_count"]
        movies = SavedEmbeddings.load(run).movies
        assert [int(row[0]) for row in rows] == movies.ids[:MOVIES].tolist()
        assert rows[0][1:4] == ["Group 0, The 101", "1999", "Comedy|Drama"]
        assert [int(row[4]) for row in rows] == movies.rating_counts[:MOVIES].tolist()
