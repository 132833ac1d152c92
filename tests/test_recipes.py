"""What the documentation shows, run."""

import re
from pathlib import Path

import pytest

RECIPES = Path(__file__).resolve().parents[1] / "docs" / "recipes.md"


def code() -> list[str]:
    blocks = re.findall(r"^ *```python\n(.*?)^ *```", RECIPES.read_text(), re.DOTALL | re.MULTILINE)
    return [re.sub(r"^ +", "", block, flags=re.MULTILINE) for block in blocks]


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
