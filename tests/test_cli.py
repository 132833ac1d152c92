"""The two scripts as a user runs them."""

import csv
import io
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from checkerboard import group_of, write_checkerboard
from omegaconf import OmegaConf
from running import ROOT, composed, run_script, start

from movie_embed.cli import explain, keys_in
from movie_embed.config import SCHEMAS, DataConfig, TrainConfig
from movie_embed.data.datasets import DATA_SETS
from movie_embed.errors import plural

QUICK = (
    "optimizer.learning_rate=0.02 model.dim=8 trainer.max_epochs=4 data.batch_size=256 "
    "save.figures=false"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which train.py has run once on a checkerboard."""
    folder = tmp_path_factory.mktemp("a folder with späces")
    write_checkerboard(folder / "data")
    result = run_script(
        "train.py", f"data=files data.path=data hydra.run.dir=my_run {QUICK}", folder
    )
    assert result.returncode == 0, result.stderr
    (folder / "shown.txt").write_text(result.stdout)
    return folder


def test_training_prints_the_line_to_try_next(trained: Path) -> None:
    shown = (trained / "shown.txt").read_text()
    line = shown.strip().splitlines()[-1].strip()
    assert line.startswith("python recommend.py movie_id=")
    answer = run_script("recommend.py", line.removeprefix("python recommend.py "), trained)
    assert answer.returncode == 0, answer.stderr
    for told in ("RMSE in stars", "bias only", "240", "6,723"):
        assert told in shown


def test_run_dir_is_honoured_and_complete(trained: Path) -> None:
    run = trained / "my_run"
    left = {path.name for path in run.iterdir()}
    assert {"config.yaml", "metrics.json", "checkpoints", "embeddings.safetensors"} <= left
    assert any(name.startswith("events.out.tfevents") for name in left)
    saved = OmegaConf.load(run / "config.yaml")
    assert saved.model.dim == 8
    assert OmegaConf.merge(OmegaConf.structured(TrainConfig), saved) == saved


def test_table_json_and_csv_agree(trained: Path) -> None:
    outputs = {
        name: run_script("recommend.py", f"movie_id=101 k=5 run=my_run format={name}", trained)
        for name in ("table", "json", "csv")
    }
    assert all(result.returncode == 0 for result in outputs.values())
    answers = json.loads(outputs["json"].stdout)
    names = ["rank", "movie_id", "title", "year", "genres", "similarity", "from_content"]
    names += ["imdb_id", "tmdb_id"]
    assert list(answers[0]) == names
    assert len(answers) == 5
    assert all(group_of(answer["movie_id"]) == group_of(101) for answer in answers)

    rows = list(csv.DictReader(io.StringIO(outputs["csv"].stdout)))
    assert [int(row["movie_id"]) for row in rows] == [answer["movie_id"] for answer in answers]
    assert rows[0]["title"] == answers[0]["title"] == f"Group 0, The {answers[0]['movie_id']}"

    table = outputs["table"].stdout
    assert "Group 0, The 101 (1999)" in table
    for answer in answers:
        assert f"{answer['similarity']:.2f}" in table
        assert answer["title"] in table


def test_a_question_by_title_and_one_about_a_rare_movie(trained: Path) -> None:
    titled = run_script("recommend.py", "'movie=\"Group 0, The 101\"' k=3 run=my_run", trained)
    assert (
        titled.stdout == run_script("recommend.py", "movie_id=101 k=3 run=my_run", trained).stdout
    )
    noted = run_script("recommend.py", "'movie=101 group' k=1 run=my_run", trained).stderr
    assert noted == '"101 group" is taken for Group 0, The 101 (1999)\n'
    noted = run_script("recommend.py", "movie_id=999 k=3 run=my_run format=json", trained)
    rare = "Never Rated (2001) (from content; 0 ratings, below data.min_ratings=1)"
    assert noted.stderr.startswith(rare)
    assert len(json.loads(noted.stdout)) == 3
    wide = "movie_id=101 k=40 include_rare=true run=my_run"
    assert "(from content)" in run_script("recommend.py", wide, trained).stdout
    new = run_script("recommend.py", "new_movie=Another new_genres=comedy run=my_run", trained)
    assert "Recommendations for Another (from content" in new.stdout


def test_questions_about_people(trained: Path) -> None:
    user = run_script("recommend.py", "user_id=3 k=2 explain=true run=my_run", trained)
    assert "predicted stars" in user.stdout
    assert "% from Group 3" in user.stdout
    assert "shared genres: Comedy, Drama" in user.stdout
    (trained / "my.csv").write_text('title,stars\n"Group 1, The 102",5\n"Group 0, The 105",1\n')
    mine = run_script("recommend.py", "ratings=my.csv k=3 format=json run=my_run", trained)
    rated = run_script(
        "recommend.py", "'rate={102: 5, 105: 1}' k=3 format=json run=my_run", trained
    )
    assert json.loads(mine.stdout) == json.loads(rated.stdout)
    matches = [answer["match"] for answer in json.loads(rated.stdout)]
    assert matches == sorted(matches, reverse=True)
    assert matches[0] == 1
    both = run_script(
        "recommend.py", "'ratings=[my.csv,my.csv]' k=3 format=json run=my_run", trained
    )
    for twice, once in zip(json.loads(both.stdout), json.loads(mine.stdout), strict=True):
        for number in ("predicted_stars", "match"):  # two rows are summed in another order
            assert twice.pop(number) == pytest.approx(once.pop(number))
        assert twice == once
    nobody = run_script("recommend.py", "'rate={}' run=my_run", trained)
    assert "popular and well-liked movies, as there are no ratings" in nobody.stdout
    (trained / "list.txt").write_text("Group 3, The 104\nGroup 2, The 107\n")
    few = run_script(
        "recommend.py", "'rate={102: 5}' among=list.txt format=json run=my_run", trained
    )
    assert {answer["movie_id"] for answer in json.loads(few.stdout)} == {104, 107}
    assert group_of(json.loads(rated.stdout)[0]["movie_id"]) == 1
    assert rated.stderr == mine.stderr == ""


def test_exports_name_their_files(trained: Path) -> None:
    result = run_script("export.py", "'to=[tsv,word2vec]' folder=out run=my_run", trained)
    assert result.returncode == 0, result.stderr
    written = ["out/vectors.tsv", "out/metadata.tsv", "out/vectors.txt"]
    assert result.stdout.split() == written
    assert all((trained / name).exists() for name in written)
    for arguments, told in (("to=onnx", "one of tsv, parquet"), ("run=nowhere", "train.py")):
        wrong = run_script("export.py", arguments, trained)
        assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)
        assert told in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("model.dims=3", "model.dim"),
        ("+model.extra=1", "model.extra"),
        ("optimizer.lr=1", "optimizer.lr; did you mean optimizer.learning_rate? (--help"),
        ("model.dim=fifty", "model.dim: Value 'fifty'"),
        ("model.dim=[1", "model.dim"),
        ("model.implicit=all", "none, users, movies, both"),
        ("optimizer.learning_rate=0", "above 0"),
        ("data.val_fraction=1", "below 1"),
        ("data.rating_range=[5,1]", "lowest,highest"),
        ("data=ml-20", "did you mean ml-20m"),
        ("data=files", "data.path"),
        ("data=files data.path=nowhere", "no such file or folder"),
        ("data.path=.", "data=demo"),
        ("data=ml-1m data.users=5", "data=demo"),
        ("trainer.max_epochs=1.5", "Integer"),
        ("trainer.accelerator=abacus", "one of auto, cpu"),
        ("trainer.accelerator=gpu trainer.devices=99", "set trainer.accelerator=cpu"),
        ("model.dim=9000000 data.min_ratings=1 data.users=9", "GB of memory"),
        ("trainer.check_val_every_n_epoch=7", "trainer.max_epochs=6"),
        ("save.epoch=best data.val_fraction=0", "save.epoch"),
        ("seed=-1", "seed"),
        ("model.dim=8,16", "add -m"),
        ("data.rating_range=1,5", "'data.rating_range=[1,5]'"),
        ("data.path=a=b", "'data.path=\"a=b\"'"),
        ("model.dim 8", "model.dim: must be KEY=VALUE"),
        ("objective=loss", "one of train_rmse, val_rmse"),
    ],
)
def test_bad_settings_fail_at_once_in_one_line(tmp_path: Path, arguments: str, told: str) -> None:
    result = run_script("train.py", arguments, tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert told in result.stderr
    assert not any(path.is_file() for path in (tmp_path / "outputs").rglob("*"))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "ask one thing"),
        ("movie_id=101 user_id=1", "ask one thing"),
        ("movie_id=abc", "movie_id=abc is not in files; nearest ids: "),
        ("movie_id=[]", "movie_id=[1,4896]"),
        ("movie_id=101,102", "type 'movie_id=[101,102]'"),
        ("'movie=Group 0, The 101'", "type 'movie=\"Group 0, The 101\"'"),
        ("movie=group", "fits 40 movies"),
        ("ratings=nowhere.csv", "nowhere.csv"),
        ("'rate={101: good}'", "rate="),
        ("user_id=1 metric=dot", "asked about"),
        ("movie_id=101 new_genres=Comedy", "new_movie"),
        ("movie_id=101 years=1950", "no movie to answer with: of 40 with vectors all are asked"),
        ("movie_id=101 years=2005-1990", "years=1990-2005"),
        ("movie_id=101 format=xml", "table, json, csv"),
        ("movie_id=101 run=nowhere", "python train.py"),
        ("movi=101", "did you mean movie"),
        ("show=vector", "needs a movie"),
        ("show=vector movie_id=101 k=3", "k=3: must be left out with show=vector"),
    ],
)
def test_bad_questions_fail_in_one_line(trained: Path, arguments: str, told: str) -> None:
    result = run_script("recommend.py", f"run=my_run {arguments}", trained)
    assert result.returncode == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    first, *candidates = result.stderr.splitlines()
    assert all(line.startswith("  ") for line in candidates)
    assert bool(candidates) == arguments.startswith("movie=")
    assert told in first


def test_a_reader_may_end_early_and_a_closed_output_is_told(trained: Path) -> None:
    command = [sys.executable, str(ROOT / "recommend.py"), "movie_id=101", "run=my_run"]
    with subprocess.Popen(
        command, cwd=trained, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as asked:
        assert asked.stdout
        assert asked.stderr
        asked.stdout.close()
        assert asked.stderr.read() == ""
    assert asked.returncode == 128 + signal.SIGPIPE
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", *command]
    asked_again = subprocess.run(closed, cwd=trained, stderr=subprocess.PIPE, text=True)
    told = "error: the standard output is closed: send it to a file or to /dev/null\n"
    assert (asked_again.returncode, asked_again.stderr) == (1, told)


def test_letters_that_a_terminal_lacks_are_escaped(trained: Path) -> None:
    question = [ROOT / "recommend.py", "new_movie='Amélie 😀'", "run=my_run"]
    table = start(question, trained, PYTHONIOENCODING="ascii")
    assert table.stdout.startswith(r"Recommendations for Am\u00e9lie \ud83d\ude00"), table.stderr
    vector = start([*question, "show=vector", "format=json"], trained, PYTHONIOENCODING="ascii")
    assert json.loads(vector.stdout)[0]["title"].startswith("Amélie 😀")


def test_answering_leaves_nothing_behind(trained: Path) -> None:
    before = sorted(trained.rglob("*"))
    assert run_script("recommend.py", "movie_id=101", trained).returncode == 0
    assert sorted(trained.rglob("*")) == before


@pytest.mark.parametrize("command", SCHEMAS)
def test_help_has_a_line_for_every_setting(tmp_path: Path, command: str) -> None:
    shown = run_script(f"{command}.py", "--help", tmp_path).stdout
    assert f"python {command}.py " in shown
    lines = [line.split(None, 2) for line in shown.splitlines() if line.startswith("  ")]
    told = {key: (value, *meaning) for key, value, *meaning in lines if key != "python"}
    keys = {key for key in keys_in(SCHEMAS[command]) if f"{key}." not in shown}
    assert keys - {"data", "data.name", "logger", "logger.name"} <= told.keys()
    if command == "train":
        assert list(told)[:2] == ["data", "data.path"]
        assert told["data"][0] == "demo"
        assert told["model.dim"] == ("50", "numbers in a vector")


@pytest.mark.parametrize("name", [name for name in DATA_SETS if name != "files"])
def test_a_data_set_means_the_same_in_python(name: str) -> None:
    assert OmegaConf.to_object(composed("train", [f"data={name}"]).data) == DataConfig(name)


@pytest.mark.parametrize("name", [path.stem for path in ROOT.glob("conf/experiment/*")])
def test_every_experiment_trains_one_batch(name: str, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(trained / "data")
    settings = f"experiment={name} data=files data.path=data data.min_ratings=150 "
    settings += "trainer.max_epochs=1 trainer.limit_train_batches=1 save.figures=false "
    settings += "hydra.run.dir=run"
    assert run_script("train.py", settings, tmp_path).returncode == 0
    assert (tmp_path / "run" / "embeddings.safetensors").exists()


def test_a_mistake_is_told_before_torch_has_loaded(tmp_path: Path) -> None:
    result = start(["-X", "importtime", ROOT / "train.py", "model.dim=0"], tmp_path)
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "hydra" in imported
    assert imported.isdisjoint({"torch", "pytorch_lightning", "pandas"})
    assert "error: model.dim=0: must be at least 1" in result.stderr


def test_an_error_that_says_nothing_is_named() -> None:
    assert "not enough memory (MemoryError)" in (explain(MemoryError(), TrainConfig) or "")


def test_counts_are_told_in_english() -> None:
    told = [plural(n, noun) for n, noun in ((1, "entry"), (2, "entry"), (1_000, "movie"))]
    assert told == ["1 entry", "2 entries", "1,000 movies"]
