"""`python -m tests.fuzz`: libFuzzer over the targets, each for so many seconds."""

import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from tests.fuzz.targets import TARGETS, build, lane_environment, write_inputs, write_tables

STATED = re.compile(
    r"^(Done .*|stat::(number_of_executed_units|average_exec_per_sec):.*)$", re.MULTILINE
)
COVERED = re.compile(r"cov: (\d+) ft: (\d+)")


@click.command()
@click.option("--seconds", default=60, show_default=True, help="How long each target runs.")
@click.option("--only", multiple=True, type=click.Choice(list(TARGETS)), help="Only this target.")
@click.option(
    "--crashes",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("fuzz-out"),
    show_default=True,
    help="Where an input that broke something is kept.",
)
def fuzz(seconds: int, only: tuple[str, ...], crashes: Path) -> None:
    """Feed changed bytes to the code that reads bytes from outside, under ASan and UBSan.

    Each target begins with inputs that are made from a seed. An input that breaks something is
    kept, and the command fails: run the printed command on that file to see it again.
    """
    crashes.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        environment = dict(os.environ)
        if not only or "snapshot" in only:
            tables = write_tables(crashes / "tables", folder / "data")
            environment["CHECKLANE_TABLES"] = str(tables)
        if not only or "lane" in only:
            environment |= lane_environment(folder / "lane-data")
        broken = [
            name for name in only or TARGETS if not run(name, seconds, folder, crashes, environment)
        ]
    if broken:
        click.echo(f"broken: {', '.join(broken)}; the inputs are in {crashes}", err=True)
        sys.exit(1)
    click.echo("nothing broke")


def run(name: str, seconds: int, folder: Path, crashes: Path, environment: dict[str, str]) -> bool:
    """Run one target and print what it tried; False when an input broke it."""
    binary = build(TARGETS[name], crashes / name, with_libfuzzer=True)
    write_inputs(TARGETS[name], folder / name / "inputs")
    command = [
        str(binary), f"-max_total_time={seconds}", "-print_final_stats=1", "-timeout=10",
        "-max_len=16384", f"-artifact_prefix={crashes}/{name}-", str(folder / name / "inputs"),
    ]  # fmt: skip
    click.echo(f"{name}: {seconds} s")
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        click.echo(done.stderr[-4000:], err=True)
        return False
    edges, features = COVERED.findall(done.stderr)[-1]
    for line in STATED.finditer(done.stderr):
        click.echo(f"  {line.group()}")
    click.echo(f"  edges {edges}, features {features}")
    return True


if __name__ == "__main__":
    fuzz()
