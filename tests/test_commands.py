"""Commands that messages, help and documentation give: each can be pasted as it stands."""

from __future__ import annotations

import ast
import re
import runpy
import shlex
import shutil
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf
from running import composed as settings_of
from running import train_here

from movie_embed import Recommender, commands
from movie_embed.cli import one_line_errors, prepare, read_settings, setting
from movie_embed.config import PlotConfig
from movie_embed.embeddings.saved import name_latest

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(__file__).parent / "golden" / "v1"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
SCRIPTS = ("train.py", "recommend.py", "export.py", "plot.py", "serve.py")
OTHERS = {"tensorboard", "ray", "torchrun", "pipx", ".ci/run"}
STARTS = re.compile(
    r"(?:[A-Z_]+=\S+ )*(?:python|movie-embed|make|pip|tensorboard|ray|torchrun|pipx|\.ci/run) ?"
)
ARGUMENT = r"(?:'[^']*'|[a-z][\w./]*=(?:\"[^\"]*\"|\S)+|--?[\w-]+)"
INSIDE = re.compile(rf"python [\w/]+\.py(?: {ARGUMENT})*")


def of_pages() -> Iterator[str]:
    """Yield the commands in blocks, and in the text those of our scripts and bare settings."""
    for page in PAGES:
        text = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for line in re.findall(r"^    +(.*)", text.replace("\\\n", ""), re.MULTILINE):
            if STARTS.match(line):
                yield from re.sub(r" +# .*", "", line).split(" && ")
        for span in re.findall(r"`([^`]+)`", re.sub(r"^    +.*", "", text, flags=re.MULTILINE)):
            words = " ".join(span.split())
            if INSIDE.fullmatch(words) or words.startswith("make "):
                yield words
            elif re.fullmatch(rf"{ARGUMENT}(?: {ARGUMENT})*", words) and "=" in words:
                yield f"SETTINGS {words}"


def of_help() -> Iterator[str]:
    for page in (ROOT / "conf").rglob("*.yaml"):
        text = page.read_text().replace("${hydra.help.app_name}", f"python {page.stem}.py")
        for line in text.splitlines():
            if (found := INSIDE.search(line)) and "KEY=VALUE" not in line:
                yield found[0]


def of_messages() -> Iterator[str]:
    """Yield what strings in the package tell to type."""
    for source in (ROOT / "movie_embed").rglob("*.py"):
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield from commands_in("".join(map(filled, node.values)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield from commands_in(node.value)


def commands_in(text: str) -> Iterator[str]:
    """Yield whole commands, and settings whose brackets a shell would read."""
    yield from INSIDE.findall(text)
    for found in re.findall(r"(?<!\S)'?[a-z_.]+=(?:\[[^]]*]|{[^}]*})'?", text):
        yield f"SETTINGS {found}"


def filled(part: ast.expr) -> str:
    """Return a part of an f-string as it may look: of a setting, one that needs quotes."""
    if not isinstance(part, ast.FormattedValue):
        return str(ast.literal_eval(part))
    call = ast.unparse(part.value)
    if found := re.match(r"program\('(\w+)'", call):
        return f"python {found[1]}.py"
    key = re.match(r"setting\('(\w+)'", call)
    return setting(key[1], "a, b=c") if key else "1"


# Not whole, a program that is put together, and a form to fill in.
NO_COMMANDS = {
    "python recommend.py",
    "python 1.py",
    "SETTINGS 'data.rating_range=[lowest,highest]'",
}
COMMANDS = sorted({*of_pages(), *of_help(), *of_messages()} - NO_COMMANDS)
# Those that need no training; placeholders are no names of folders.
QUESTIONS = [
    command
    for command in COMMANDS
    if re.match(r"(python|movie-embed) (recommend|export)(\.py)? [^-]", command)
    and "a, b=c" not in command
]


def composed(script: str, arguments: list[str]) -> DictConfig:
    """Compose the settings of a command; of a sweep, those of its first run."""
    overrides = []
    for override in OverridesParser.create().parse_overrides(arguments):
        if override.value() in ("cluster", "ray") and not find_spec("ray"):
            continue
        if not override.is_sweep_override():
            overrides.append(override.input_line)
        elif override.is_discrete_sweep():
            overrides.append(f"{override.key_or_group}={next(override.sweep_string_iterator())}")
    return settings_of(script.removesuffix(".py"), overrides)


def arguments_of(command: str) -> tuple[str, list[str]]:
    """Return a command's program or script, and its arguments."""
    words = shlex.split(command)
    prepare(words, PlotConfig)
    while re.match(r"[A-Z_]+=", words[0]):
        del words[0]
    if "train.py" in words:  # torchrun has options of its own before it
        return "train.py", words[words.index("train.py") + 1 :]
    if words[0] == "movie-embed":
        return f"{words[1]}.py", words[2:]
    return (words[1], words[2:]) if words[0] == "python" else (words[0], words[1:])


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_can_be_pasted(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unquoted = re.sub(r"'[^']*'|\"[^\"]*\"", "", command)
    assert not re.search(r"[][(){}*?!$|&;<>]", unquoted), "a shell reads these itself"
    program, arguments = arguments_of(command)
    if program in SCRIPTS:
        given = [word for word in arguments if word not in ("-m", "--help")]
        config = read_settings(composed(program, given)) if "--help" not in arguments else None
        if "-m" in arguments:
            config.check_sweep()
    elif program == "SETTINGS":
        assert any(fits(script, arguments) for script in SCRIPTS)
    elif program == "make":
        assert set(arguments) <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M))
    elif program == "pip":
        extras = re.findall(r"^(\w+) =$", (ROOT / "setup.cfg").read_text(), re.M)
        assert set(re.findall(r"\[(\w+)\]", command)) <= set(extras)
    elif program not in OTHERS:
        monkeypatch.setattr(ArgumentParser, "parse_args", parsed_only)
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        with pytest.raises(SystemExit, match=r"^parsed$"):
            runpy.run_path(str(ROOT / program), run_name="__main__")


def parsed_only(parser: ArgumentParser) -> None:
    _, unknown = parser.parse_known_args()
    raise SystemExit(f"not understood: {unknown}" if unknown else "parsed")


def fits(script: str, arguments: list[str]) -> bool:
    try:
        return bool(composed(script, arguments))
    except ConfigCompositionException:
        return False


@pytest.fixture
def asked(demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the runs and the file that the examples name."""
    for run in ("outputs/2026-01-31", "multirun/2026-01-31/12-00-00"):
        (tmp_path / run).mkdir(parents=True)
    for run in (
        "outputs/2026-01-31/12-00-00",
        "multirun/2026-01-31/12-00-00/7_dim=50,min_ratings=300",
    ):
        (tmp_path / run).symlink_to(demo_folder / "run")
    monkeypatch.chdir(tmp_path)
    name_latest(Path("outputs/latest"), tmp_path / "outputs/2026-01-31/12-00-00")
    (tmp_path / "my.csv").write_text("title,stars,Film,Points\nToy Story,5,Toy Story,10\n")
    (tmp_path / "ratings.csv").write_text("Name,Year,Letterboxd URI,Rating\nToy Story,1995,,5\n")
    (tmp_path / "all.csv").write_text("user,title,stars\nann,Toy Story,5\nbob,Toy Story,4\n")
    for name in ("me.csv", "you.csv"):
        (tmp_path / name).write_text("title,rating\nToy Story,5\n")
    (tmp_path / "watchlist.csv").write_text("Name,Year\nMatrix,1999\nHeat,1995\n")
    (tmp_path / "seen.txt").write_text("Heat\n")
    return tmp_path


@pytest.mark.parametrize("command", QUESTIONS)
def test_each_question_is_answered(
    asked: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    script, arguments = arguments_of(command.replace("min_count=500", "min_count=5"))
    getattr(commands, script.removesuffix(".py"))(composed(script, arguments))
    assert capsys.readouterr().out


def test_a_search_goes_on_another_day(tmp_path: Path) -> None:
    (command,) = [command for command in COMMANDS if "storage=" in command]
    quick = (
        "data=demo data.users=200 data.cache_dir=cache data.batch_size=8192 trainer.max_epochs=1 "
        "save.figures=false hydra.sweeper.n_trials=1"
    )
    given = command.removeprefix("python train.py ")
    for day in ("one", "two"):
        train_here(f"{given} {quick} hydra.sweep.dir={day}", tmp_path)
    from optuna import load_study

    assert len(load_study("mine", f"sqlite:///{tmp_path}/search.db").trials) == 2


@given(st.text("aZ1.é \"'\\${}[]():,=~/#&-", max_size=12))
@settings(deadline=None)
def test_a_setting_comes_back_from_shell_and_hydra_as_it_was(text: str) -> None:
    (argument,) = shlex.split(setting("run", text))
    read = OverridesParser.create().parse_override(argument).value()
    assert OmegaConf.structured(PlotConfig(read)).run == text


def test_a_home_folder_is_read_in_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/a b")
    arguments = ["train.py", "hydra.run.dir=~/c", "data.path=~", "movie=~", "run=~a"]
    prepare(arguments, PlotConfig)
    assert arguments[1:] == [
        "hydra.run.dir=/home/a b/c",
        "data.path=/home/a b",
        "movie=/home/a b",
        "run=~a",
    ]
    with pytest.raises(SystemExit, match="no home folder"), one_line_errors(PlotConfig):
        Path("~nobody-of-this-name/x").expanduser()


def test_the_newest_run_is_found_after_both_were_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    shutil.copytree(GOLDEN, "outputs/run")
    name_latest(Path("outputs/latest"), Path("outputs/run"))
    (tmp_path / "here").rename(tmp_path / "there")
    assert Recommender.load(tmp_path / "there/outputs/latest")
    (tmp_path / "absolute").write_text(f"{GOLDEN}\n")
    assert Recommender.load(tmp_path / "absolute")
