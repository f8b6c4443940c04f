"""``checklane serve``: serve a data directory over gRPC."""

import sys
from pathlib import Path
from typing import Any

import click

from checklane.cli.settings import configuration, setting_flags

__all__ = ["serve"]


@click.command("serve")
@setting_flags
def serve(config_file: Path | None, **flags: Any) -> None:
    """Serve a data directory over gRPC until a signal ends it.

    An empty directory is made ready: it serves health checks as NOT_SERVING and refuses baskets
    with PROGRAM_MISSING until a program is activated. SIGTERM or Ctrl-C drains and ends with 0; a
    second one ends at once. Every flag can be CHECKLANE_<NAME> in the environment or a key of the
    file; see `checklane config`.
    """
    settings = configuration(config_file, flags).settings
    # Imported late: a wrong flag should not wait for the engine to be loaded.
    from checklane.server import run

    sys.exit(run(settings))
