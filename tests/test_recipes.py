"""What the documentation shows, run."""

import re
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RECIPES = ROOT / "docs" / "recipes.md"


def code(page: Path = RECIPES) -> list[str]:
    blocks = re.findall(r"^ *```python\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [textwrap.dedent(block) for block in blocks]


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


def test_the_readme_answers(
    demo_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(demo_folder)
    block, *_ = code(ROOT / "README.md")
    exec(block, {})
    assert capsys.readouterr().out.startswith("1 ")


def test_the_readme_and_the_help_show_every_setting() -> None:
    from dataclasses import fields

    from movie_embed.config import RecommendConfig

    shown = (ROOT / "README.md").read_text() + (ROOT / "conf" / "recommend.yaml").read_text()
    for field in fields(RecommendConfig):
        assert f"{field.name}=" in shown or f"{field.name}." in shown
