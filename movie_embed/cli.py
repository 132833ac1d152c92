"""What both scripts share: settings read once, and mistakes told in one line."""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from movie_embed.errors import MovieEmbedError, cannot_write, did_you_mean

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM)


def read_settings(cfg: DictConfig) -> Any:
    """Turn Hydra's config into its plain dataclass, checked.

    Raises
    ------
    MovieEmbedError
        A value is out of range, or a key was forced in with ``+``.
    """
    schema = OmegaConf.get_type(cfg) or dict
    known = set(_keys_in(schema))
    unknown = {key for key in _keys_of(cfg, known) if key not in known}
    for key in sorted(unknown):
        raise MovieEmbedError(_unknown_key(key, schema))
    return OmegaConf.to_object(cfg)


@contextmanager
def one_line_errors(schema: type) -> Iterator[None]:
    """Show a mistake as one line and exit with status 1; let a bug show its trace.

    Parameters
    ----------
    schema
        The dataclass of the script's settings, for near matches of unknown keys.
    """
    # Hydra would print several lines of its own for a mistake, and hide where a bug is.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
        sys.stdout.flush()
    except Exception as error:
        if isinstance(error, BrokenPipeError):  # Python would tell it again as it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if line := explain(error, schema):
            sys.exit(f"error: {line}")
        raise


def explain(error: Exception, schema: type) -> str | None:
    """Return a user's mistake in one line, and None for a bug."""
    text = str(error)
    if isinstance(error, MovieEmbedError):
        return text
    if isinstance(error, BrokenPipeError):
        return "what reads the output has ended"
    if isinstance(error, OSError) and error.errno in _UNWRITABLE:
        return cannot_write(error.filename or "a file", error)  # Hydra's or TensorBoard's
    if not isinstance(error, HydraException | OmegaConfBaseException):
        return None
    if found := re.search(r"Could not override '([^']+)'", text):
        return _unknown_key(found[1], schema)
    if found := re.search(r"Error merging override (.+)", text):
        return f"{found[1]}: {_first_line(error.__cause__ or error)}"
    if isinstance(error, MissingConfigException) and error.options is not None:
        group, _, name = (error.missing_cfg_file or "").rpartition("/")
        near = did_you_mean(name, error.options)
        return f"{group}={name}: must be one of {', '.join(error.options)}{near}"
    if isinstance(error, OverrideParseException):
        return f"{error.override}: {_first_line(error)}; put quotes round special characters"
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0]


def _unknown_key(key: str, schema: type) -> str:
    return f"unknown setting {key}{did_you_mean(key, _keys_in(schema))} (--help lists all)"


def _keys_in(schema: type, prefix: str = "") -> Iterator[str]:
    """Yield every key of a schema, those of nested dataclasses with dots."""
    for field in fields(schema):
        yield prefix + field.name
        if isinstance(field.default_factory, type):
            yield from _keys_in(field.default_factory, f"{prefix}{field.name}.")


def _keys_of(cfg: DictConfig, known: set[str], prefix: str = "") -> Iterator[str]:
    """Yield every key of a config, but not those inside a value that is a mapping itself."""
    for key, value in cfg.items_ex(resolve=False):
        name = f"{prefix}{key!s}"
        yield name
        if isinstance(value, DictConfig) and any(k.startswith(f"{name}.") for k in known):
            yield from _keys_of(value, known, f"{name}.")
