"""The part that all commands share: reading settings, and telling mistakes in one line."""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from movie_embed.config import LOGGERS, SCHEMAS, ServeConfig, TrainConfig
from movie_embed.errors import Interrupted, MovieEmbedError, cannot_write, did_you_mean

_GROUPS = {
    "data": "demo, files (your own), or a release: ml-100k, ml-1m, ..., ml-latest",
    "experiment": "settings that belong together: paper, fast, best, best_sweep",
    "sweep": "a search, with -m: optuna",
    "logger": f"where curves are logged: {', '.join(LOGGERS)}",
}
_USUAL = {
    "train": (
        *("data", "data.path", "data.min_ratings", "data.val_fraction", "experiment", "model.dim"),
        *("optimizer.learning_rate", "trainer.max_epochs", "seed", "resume"),
    ),
    "recommend": (
        *("movie", "movie_id", "user_id", "ratings", "rate", "k", "genres", "years", "explain"),
        "run",
    ),
}
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)


def setting(key: str, value: object) -> str:
    """Return ``key=value`` as it is typed: quoted for Hydra where it must be, and for the shell."""
    text = re.sub(r"(\\*)\$\{", r"\1\1\\${", str(value))  # no interpolation
    try:
        read = OverridesParser.create().parse_override(f"{key}={text}").value()
        plain = read == value or (read == text and isinstance(value, Path))
    except HydraException:
        plain = False
    return shlex.quote(f"{key}={text if plain else QuotedString(text, Quote.double).with_quotes()}")


def prepare(arguments: list[str], schema: type) -> None:
    """Make arguments fit for Hydra: a ``~`` becomes the folder, which Hydra does not know.

    Several values are refused here, where they are no sweep: Hydra's text names no way out.
    """
    sweeps = not {"-m", "--multirun"}.isdisjoint(arguments)
    for place, argument in enumerate(arguments):
        key, _, value = argument.partition("=")
        if value == "~" or value.startswith("~/"):
            arguments[place] = shlex.split(setting(key, Path(value).expanduser()))[0]
        elif not sweeps and "," in value and key in (kinds := keys_in(schema)):
            with suppress(HydraException):  # told when Hydra reads it
                if OverridesParser.create().parse_override(argument).is_sweep_override():
                    ways = _ways(argument, kinds[key], several=schema is TrainConfig)
                    raise MovieEmbedError(f"{argument}: {ways or 'must be one value'}")


def read_settings(cfg: DictConfig) -> Any:
    """Turn Hydra's config into its plain dataclass, whose values are checked.

    A key that was forced in with ``+`` is a ConfigKeyError.
    """
    schema = OmegaConf.structured(OmegaConf.get_type(cfg))
    return OmegaConf.to_object(OmegaConf.merge(schema, OmegaConf.to_container(cfg)))


@contextmanager
def one_line_errors(schema: type) -> Iterator[None]:
    """Show a mistake, Ctrl-C or SIGTERM as one line and exit; let a bug show its trace.

    The exit status is 1 for a mistake, and 130 or 143 for the signals. Near matches of unknown
    keys are those of `schema`, the dataclass of the script's settings.
    """
    if sys.stdout is None:
        sys.exit("error: the standard output is closed: send it to a file or to /dev/null")
    # Hydra would print several lines of its own for a mistake, and hide where a bug is.
    full, os.environ["HYDRA_FULL_ERROR"] = os.environ.get("HYDRA_FULL_ERROR"), "1"
    codecs.register_error("escape", _escape)
    stdout = sys.stdout if isinstance(sys.stdout, io.TextIOWrapper) else None
    as_before = stdout.errors if stdout else None
    if stdout:
        stdout.reconfigure(errors="escape")
    before = take_over(_stop)
    try:
        yield
        sys.stdout.flush()
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        sys.exit(128 + stop.number)
    except Exception as error:
        if isinstance(error, BrokenPipeError):  # `| head` has enough: end as by SIGPIPE
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(128 + signal.SIGPIPE)
        if line := explain(error, schema):
            sys.exit(f"error: {line}")
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if stdout and not stdout.closed:
            stdout.reconfigure(errors=as_before)
        os.environ.pop("HYDRA_FULL_ERROR")
        if full is not None:
            os.environ["HYDRA_FULL_ERROR"] = full


def take_over(handle: Callable[[int], None]) -> dict[int, Any]:
    """Let Ctrl-C and SIGTERM call a function, and return the handlers of before.

    A signal that is ignored, as Ctrl-C is in the background of a shell, stays so; and only the
    main thread can take signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    numbers: tuple[int, int] = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    taken = {number: old for number, old in before.items() if old not in (signal.SIG_IGN, None)}
    for number in taken:
        signal.signal(number, lambda number, _: handle(number))
    return taken


def _stop(number: int) -> None:
    raise Interrupted("stopped", number)


def _escape(error: UnicodeError) -> tuple[str, int]:
    """Return letters that the terminal lacks as JSON writes them, so that JSON stays valid."""
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def explain(error: Exception, schema: type) -> str | None:
    """Return a user's mistake in one line, and None for a bug."""
    text = str(error)
    if isinstance(error, MovieEmbedError):
        return text
    if isinstance(error, ModuleNotFoundError) and not str(error.name).startswith("movie_embed"):
        what = "'.[web]'" if schema is ServeConfig else "."
        return f"{error.name} is not installed: pip install {what} in a clone brings all"
    if isinstance(error, OSError) and error.errno in _UNWRITABLE:
        return cannot_write(error.filename or "a file", error)  # Hydra's or TensorBoard's
    if isinstance(error, RuntimeError) and "home directory" in text:  # pathlib's
        return "there is no home folder that ~ could stand for: give the whole path"
    if isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text:
        return f"not enough memory ({_first_line(error)}): take a smaller model or data set"
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    cause = error.__cause__ or error
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        key = str(cause.full_key)
        return f"unknown setting {key}{_near_keys(key, keys_in(schema))} (--help lists all)"
    if isinstance(cause, OmegaConfBaseException):
        return f"{cause.full_key}: {_first_line(cause)}"
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        near = did_you_mean(name, error.options)
        return f"{group}={name}: must be one of {', '.join(error.options)}{near}"
    if isinstance(error, OverrideParseException):
        key, equals, _ = (error.override or "").partition("=")
        if not equals:
            return f"{error.override}: must be KEY=VALUE, in quotes if there are spaces in it"
        ways = _ways(error.override, keys_in(schema).get(key, "str"))
        ways = ways or "put quotes round special characters"
        return f"{error.override}: {_first_line(error)}; {ways}"
    return _first_line(error)


def _ways(override: str, kind: str, several: bool | None = None) -> str:
    """Return how to type a setting that Hydra cannot read, or that lists several values."""
    key, _, value = override.partition("=")
    ways = ["add -m to train with each value"] if several else []
    if several is not None and re.search(r"\b(list|Any)\b", kind):
        ways.append(f"for a list type {shlex.quote(f'{key}=[{value}]')}")
    if re.search(r"\b(str|Any)\b", kind) and re.search(r"[^\d\s.,-]", value):
        ways.append(f"for a text type {setting(key, value)}")
    return ", ".join(ways)


def _near_keys(key: str, known: Iterable[str]) -> str:
    """Return the nearest settings: by their initials, as lr is learning_rate, or by letters."""
    section, _, leaf = key.rpartition(".")
    for each in known:
        inside, _, name = each.rpartition(".")
        if section in ("", inside) and leaf == "".join(word[0] for word in name.split("_")):
            return f"; did you mean {each}?"
    return did_you_mean(key, (each for each in known if "." not in key or "." in each))


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def keys_in(schema: type, prefix: str = "") -> dict[str, str]:
    """Return every key of a schema, those of nested dataclasses with dots, and its type's name."""
    keys = {}
    for field in fields(schema):
        kind = get_type_hints(schema)[field.name]
        keys[prefix + field.name] = str(kind)
        if isinstance(kind, type) and is_dataclass(kind):
            keys |= keys_in(kind, f"{prefix}{field.name}.")
    return keys


def settings_table(command: str, *, _root_: DictConfig) -> str:
    """Return the settings of a command, a line each: key, value now, meaning; the usual ones first.

    It is Hydra's resolver in the help texts. Meanings are beside the settings, in `config`.
    """
    rows = _described(SCHEMAS[command], _root_)
    usual = {key: rows.pop(key) for key in _USUAL.get(command, ()) if key in rows}
    sections = {"usual": usual}
    for key, row in rows.items():
        sections.setdefault(key.rpartition(".")[0], {})[key] = row
    width = max(len(key) for rows in sections.values() for key in rows)
    return "\n\n".join(
        "\n".join(f"  {key:<{width}}  {value:<14}  {told}" for key, (value, told) in rows.items())
        for rows in sections.values()
        if rows
    )


def _described(schema: Any, values: Any, prefix: str = "") -> dict[str, tuple[str, str]]:
    """Return the value and the meaning of each setting."""
    rows: dict[str, tuple[str, str]] = {}
    if not prefix and (groups := OmegaConf.select(values, "hydra.runtime.choices")):
        chosen = {name: groups[name] or "null" for name in _GROUPS if name in groups}
        rows = {name: (str(value), _GROUPS[name]) for name, value in chosen.items()}
    for field in fields(schema):
        kind = get_type_hints(schema, include_extras=True)[field.name]
        value = None if OmegaConf.is_missing(values, field.name) else values[field.name]
        if is_dataclass(kind):
            rows |= _described(kind, value, f"{prefix}{field.name}.")
        elif told := [each for each in getattr(kind, "__metadata__", ()) if isinstance(each, str)]:
            shown = "null" if value is None else str(value)
            shown = shown.lower() if isinstance(value, bool) else shown
            rows[prefix + field.name] = shown, told[0]
    return rows
