"""The flags of every setting, made from the settings themselves so that none can be missing."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from checklane.config import Configuration, Settings, load

__all__ = ["configuration", "setting_flags"]

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def setting_flags(command: CommandT) -> CommandT:
    """Add ``--config FILE`` and a flag for each setting to a command."""
    for name, field in reversed(Settings.model_fields.items()):
        flag = f"--{name.replace('_', '-')}"
        words = f"{field.description}  [default: {field.default or 'none'}]"
        command = click.option(flag, name, type=_type_of(field.annotation), help=words)(command)
    file = click.Path(dir_okay=False, path_type=Path)
    return click.option("--config", "config_file", type=file, help="A TOML file of settings.")(
        command
    )


def configuration(config_file: Path | None, flags: dict[str, Any]) -> Configuration:
    """Join the flags of a command with its environment and file."""
    return load(flags, os.environ, config_file)


def _type_of(annotation: Any) -> Any:
    if get_origin(annotation) is Literal:
        return click.Choice(get_args(annotation))
    if annotation is Path:
        return click.Path(path_type=Path)
    # A number out of its range is refused by the settings, wherever it comes from.
    return int if annotation is int else str
