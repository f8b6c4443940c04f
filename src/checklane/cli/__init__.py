"""Everything that an operator types: one file a verb, imported when it is called."""

import difflib
import importlib
import sys
from typing import Any

import click

from checklane import __version__

__all__ = ["main"]

#: Each verb with its line of help. Listing them imports none: some need extras, all take time.
VERBS = {
    "bench": "Measure decisions, quotes and durable commits on this machine.",
    "certify": "Try lanes and services with lost answers and outages, and judge the books.",
    "config": "Show every setting and where it comes from.",
    "demo": "Replay real baskets and a day with every flow, and reconcile the books.",
    "explain": "Decide a committed sale again, and tell why each offer applied or did not.",
    "forecourt": "Simulate a day at the pumps, and hold every purse against the books.",
    "ledger": "Check, rebuild, back up, restore, prune and read the ledger.",
    "offers": "Check program files, and say what is wrong with them and what they cost.",
    "report": "Read the books from the journal: periods, settlement, points owed.",
    "serve": "Serve a data directory over gRPC.",
    "snapshot": "Build, publish, list, activate and prune snapshots.",
}


class _Verbs(click.Group):
    """A group whose commands are the functions of their names in the modules beside this one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"checklane.cli.{cmd_name}")
        command = getattr(module, cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(VERBS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as failure:
            near = difflib.get_close_matches(args[0], VERBS, n=1)
            if near and failure.message.startswith("No such command"):
                words = f"No such command {args[0]!r}. Did you mean {near[0]!r}?"
                raise click.UsageError(words, ctx) from None
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb; a refusal becomes one line and its exit code, never a stack trace."""
        try:
            return super().invoke(ctx)
        except Exception as failure:
            exit_code = _exit_code_of(failure)
            if exit_code is None:
                raise
            click.secho(f"checklane: {failure}", fg="red", err=True)
            sys.exit(exit_code)


def _exit_code_of(failure: Exception) -> int | None:
    """Return the exit code of a refusal of ours; None for anything else."""
    from checklane.errors import ChecklaneError

    return failure.exit_code if isinstance(failure, ChecklaneError) else None


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="checklane")
def main() -> None:
    """Decide promotions and loyalty at the till, and record them durably."""
