"""``checklane config``: show every setting and where it comes from."""

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from checklane.cli.settings import configuration, setting_flags
from checklane.config import to_toml

__all__ = ["config"]


@click.command("config")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["table", "toml"]),
    default="table",
    show_default=True,
    help="A table with the sources, or a file for --config.",
)
@setting_flags
def config(output_format: str, config_file: Path | None, **flags: Any) -> None:
    """Show every setting as `checklane serve` would use it, and where it comes from.

    A flag wins over the environment (CHECKLANE_<NAME>), that over the file (--config or
    CHECKLANE_CONFIG), that over the default.
    """
    found = configuration(config_file, flags)
    if output_format == "toml":
        click.echo(to_toml(found.settings))
        return
    table = Table("setting", "value", "from")
    for name, source in found.sources.items():
        table.add_row(name, str(getattr(found.settings, name)), source)
    Console().print(table)
