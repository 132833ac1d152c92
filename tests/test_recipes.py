"""What the documentation shows, run."""

import re
import textwrap
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from running import ROOT, run_script, start

from movie_embed import Recommender

README, DOCS = ROOT / "README.md", ROOT / "docs"
RECIPES = DOCS / "recipes.md"


def code(page: Path = RECIPES) -> list[str]:
    blocks = re.findall(r"^ *```python\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for block in blocks]


def headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings."""
    found = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in found}


def test_there_are_ten_one_line_recipes() -> None:
    setup, *recipes = code()
    assert len([line for line in setup.splitlines() if line]) == 2
    assert [len(recipe.splitlines()) for recipe in recipes] == [1] * 10


@pytest.mark.parametrize("recipe", code()[1:])
def test_each_recipe_answers(
    demo_folder: Path, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(demo_folder)
    names: dict[str, object] = {}
    exec(code()[0], names)
    assert len(eval(recipe, names)) > 0


@pytest.mark.parametrize("page", [README, DOCS / "api.md"], ids=lambda page: page.name)
def test_a_page_answers(
    demo_folder: Path, page: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(demo_folder)
    exec(code(page)[0], {})
    assert capsys.readouterr().out.startswith("1 ")


def test_a_page_reads_own_ratings(
    demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.csv").write_text("Film,Points\nToy Story,10\n")
    names: dict[str, Any] = {"recommender": Recommender.load(demo_folder / "run")}
    exec(code(DOCS / "your_ratings.md")[0], names)
    assert len(names["answers"]) == 5


def test_a_page_lists_movies_for_many(demo_folder: Path) -> None:
    names: dict[str, Any] = {"recommender": Recommender.load(demo_folder / "run")}
    names["ratings"] = pd.DataFrame({"user": ["me", "you"], "movie": [1, 4896], "rating": [5, 4]})
    exec(code(DOCS / "api.md")[1], names)
    assert len(names["new"]) == 20
    assert names["numbers"]["score"].to_numpy() == pytest.approx(names["lists"]["score"], abs=1e-6)


def test_a_page_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names: dict[str, Any] = {}
    exec(code(DOCS / "api.md")[2].replace("max_epochs=6", "fast_dev_run=True"), names)
    assert names["module"].trainer.state.finished


def test_a_page_composes_in_another_application(tmp_path: Path) -> None:
    page = (DOCS / "inside_your_project.md").read_text()
    for kind, name in (("yaml", "config.yaml"), ("python", "app.py")):
        (block,) = re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)
        (tmp_path / name).write_text(block)
    ours = "data.users=60 data.min_ratings=1 save.figures=false trainer.max_epochs=1 model.dim=4"
    settings = [f"movies.{each}" for each in ours.split()] + ["movies.data.cache_dir=cache"]
    done = start(["app.py", *settings], tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("hello ")
    assert done.stdout.splitlines()[-1].endswith(" 4 demo")
    assert "pkg://" not in done.stderr + done.stdout
    shown = start(["app.py", "data@movies.data=ml-1m", "--cfg", "job"], tmp_path).stdout
    assert "name: ml-1m" in shown


def test_the_readme_is_a_front_page() -> None:
    lines = README.read_text().splitlines()
    assert len(lines) <= 110
    assert any(line.startswith("![") for line in lines[:10])


def test_the_readme_shows_what_its_commands_print(tmp_path: Path) -> None:
    page = README.read_text()
    (ratings,) = re.findall(r"^    printf '(.*)' > my\.csv$", page, re.MULTILINE)
    (tmp_path / "my.csv").write_text(ratings.replace(r"\n", "\n"))
    shown = re.findall(r"^    python (\w+\.py) ?(.*)\n\n```text\n([^`]*)```", page, re.MULTILINE)
    assert [script for script, *_ in shown] == ["train.py", "recommend.py", "recommend.py"]
    for script, arguments, block in shown:
        quiet = " save.figures=false" * (script == "train.py")
        printed = run_script(script, arguments + quiet, tmp_path).stdout.splitlines()
        # Of a table that is cut short, columns are as wide as what was left out.
        lines = [line.split() for line in block.splitlines() if line != "..."]
        assert [line for line in lines if line not in map(str.split, printed)] == []


def test_every_link_leads_to_a_file_or_a_heading() -> None:
    """As written, on a code host; those of the site stay within it."""
    for page in (*ROOT.glob("*.md"), *DOCS.glob("*.md")):
        for link in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
            name, _, anchor = link.partition("#")
            target = (page.parent / name).resolve() if name else page
            assert target.is_file(), f"{page.name}: {link}"
            assert page.parent != DOCS or target.parent == DOCS, f"{page.name}: {link}"
            assert not anchor or anchor in headings(target), f"{page.name}: {link}"


def test_the_map_of_the_code_names_what_is_there() -> None:
    for name in re.findall(r"`([\w/]+(?:/|\.py))`", (DOCS / "how_it_is_built.md").read_text()):
        assert (ROOT / name).exists(), name
