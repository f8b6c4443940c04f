"""What the verbs that measure share: options, the console, the work folder, progress."""

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = [
    "a_console",
    "only_option",
    "out_option",
    "quick_option",
    "seed_option",
    "shown",
    "work_folder",
]

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

quick_option: Decorator = click.option(
    "--quick",
    "is_quick",
    is_flag=True,
    help="Small and short: shows that it runs, not how fast.",
)
seed_option: Decorator = click.option(
    "--seed", type=int, default=1, show_default=True, help="Decides every draw."
)


def only_option(parts: Sequence[str]) -> Decorator:
    """Return an option for some of the parts of a run."""
    return click.option(
        "--only",
        multiple=True,
        type=click.Choice(parts),
        help="Measure this part only. May be given more than once.",
    )


def out_option(folder: str) -> Decorator:
    """Return an option for the folder of the report."""
    return click.option(
        "--out",
        type=click.Path(file_okay=False, path_type=Path),
        default=Path(folder),
        show_default=True,
        help="Folder of the report, on the disk that is measured. Made when missing.",
    )


def a_console() -> Console:
    """Return the console; where there is no terminal, one that is wide enough for the tables."""
    console = Console()
    return console if console.is_terminal else Console(width=140)


@contextmanager
def work_folder(out: Path) -> Iterator[Path]:
    """Yield a folder beside the report, on the disk that is measured; removed afterwards."""
    out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=out))
    try:
        yield work
    finally:
        shutil.rmtree(work)


@contextmanager
def shown(
    console: Console,
) -> Iterator[tuple[Callable[[str], None], Callable[[int, int, int], None]]]:
    """Yield what tells of the next step and of calls so far; a failed run is one line."""
    from checklane.bench.figures import BenchError

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(
        *columns,
        TextColumn("{task.fields[calls]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("starting", total=None, calls="")

        def tell(what: str) -> None:
            progress.update(task, description=what, calls="")
            if not console.is_terminal:
                print(what, file=sys.stderr, flush=True)

        def watch(issued: int, answered: int, faults: int) -> None:
            words = f"{answered:,} of {issued:,} answered"
            progress.update(task, calls=words + (f", {faults:,} faults" if faults else ""))

        try:
            yield tell, watch
        except BenchError as failure:
            raise click.ClickException(str(failure)) from None
