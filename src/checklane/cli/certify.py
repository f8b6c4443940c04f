"""``checklane certify``: tries lanes and services where it hurts, and judges what they did."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

import click
from rich.console import Console

if TYPE_CHECKING:
    from checklane.certify.run import Result, Session
    from checklane.certify.shop import Shop
    from checklane.certify.step import Phase, Step

__all__ = ["certify"]

HELP = """\
Certify a lane or a service: answers get lost, services go away, and the books must be right.

\b
checklane certify --self              our client, our service, every step
checklane certify --target HOST:PORT  our client drives another service
checklane certify serve               plays the service to YOUR lane
checklane certify steps               what the steps are
checklane certify outage              a store without its service for six hours
checklane certify till                a simulated till's day at a service

Each step prints pass, or FAIL and what to mend. Ends with status 0 when none failed.
"""

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


def _shared(command: CommandT) -> CommandT:
    """Add the options of every run of steps."""
    for option in (
        click.option(
            "--pictures",
            type=click.Path(dir_okay=False, path_type=Path),
            help="Draw what went over the wire: a new Markdown file with a Mermaid sequence picture"
            " of each step, or a page that has places for them.",
        ),
        click.option(
            "--json",
            "json_file",
            type=click.Path(dir_okay=False, allow_dash=True),
            help="Write the report as JSON to this file; - is the standard output, and what is"
            " printed for people then goes to the standard error.",
        ),
        click.option(
            "--step",
            "names",
            multiple=True,
            metavar="NAME",
            help="Only this step. May be given more than once; `checklane certify steps` has them.",
        ),
    ):
        command = option(command)
    return command


@click.group("certify", help=HELP, invoke_without_command=True)
@click.option("--self", "is_self", is_flag=True, help="Our own client against our own service.")
@click.option("--target", metavar="HOST:PORT", help="Our own client against this service.")
@click.option(
    "--management",
    metavar="HOST:PORT",
    help="The target's management port, to read its journal. Without it answers alone judge.",
)
@click.option("--store", help="A store of the target. Default: S001.")
@click.option("--card", help="A member's card of the target. Default: the example's.")
@click.option(
    "--product",
    "products",
    multiple=True,
    metavar="GTIN=MINOR",
    help="A product of the target and its price in minor units; three of them. Default: the"
    " example's.",
)
@click.option(
    "--break",
    "broken",
    multiple=True,
    metavar="STEP",
    help="Play this step with a lane that does it wrong, to see that it fails.",
)
@_shared
@click.pass_context
def certify(
    context: click.Context,
    /,
    is_self: bool,
    target: str | None,
    management: str | None,
    broken: tuple[str, ...],
    names: tuple[str, ...],
    json_file: str | None,
    pictures: Path | None,
    **of_shop: Any,
) -> None:
    """Run the steps, unless a command of the group does something else."""
    if context.invoked_subcommand is not None:
        return
    if is_self == (target is not None):
        click.echo(context.get_help())
        context.exit(2 if is_self else 0)
    with _told() as run, TemporaryDirectory(prefix="checklane-certify-") as temporary:
        from checklane.certify.door import Door
        from checklane.certify.record import Journal

        steps, _ = run.steps_named(names), run.steps_named(broken)
        console = _console(json_file)
        if target is None:
            with run.own_session() as session:
                results = _collect(console, run.play(session, steps, broken))
        else:
            journal = Journal(management) if management else None
            with Door(target) as door:
                session = run.Session(door, _shop(**of_shop), journal, Path(temporary))
                results = _collect(console, run.play(session, steps, broken))
        _finish(console, results, json_file, pictures)


@certify.command("serve")
@click.option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:7072",
    show_default=True,
    help="Where your lane calls.",
)
@_shared
def serve(
    listen: str, names: tuple[str, ...], json_file: str | None, pictures: Path | None
) -> None:
    """Play the service to your lane: lose answers, come late, go away, come back; then judge.

    Starts a service with a small shop and a door in front of it. Point your lane at the door, do at
    the till what each step says, and press Enter when the lane is done. What your lane sent and
    what the journal has are then held against each other: the same key on every retry, one receipt
    a sale, nothing lost and nothing twice.

    The standard input is read line by line, so a script can press Enter too.
    """
    with _told() as run:
        console = _console(json_file)
        with run.own_session(listen=listen) as session:
            _introduce(console, session)
            results = _collect(
                console, run.watch(session, run.steps_named(names), _cashier(console))
            )
        _finish(console, results, json_file, pictures)


@certify.command("steps")
def steps() -> None:
    """List the steps, and what the lane of `--break` does wrong in each."""
    with _told() as run:
        for step in run.STEPS:
            whose = "" if step.is_for_lanes else "  (not in `certify serve`)"
            click.secho(f"{step.name}{whose}", bold=True)
            click.echo(f"    {step.title}")
            click.echo(f"    broken: {step.broken}")


@certify.command("outage")
@click.option("--lanes", type=click.IntRange(1, 200), default=40, show_default=True)
@click.option("--hours", type=click.FloatRange(0.01, 1000), default=6.0, show_default=True)
@click.option(
    "--sales-per-hour", type=click.IntRange(1, 1000), default=30, show_default=True,
    help="Of each lane.",
)  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="Decides what is sold.")
def outage(lanes: int, hours: float, sales_per_hour: int, seed: int) -> None:
    """Live through a day on which the service is gone for hours.

    Kills a service, lets every lane sell on into its spool with the clock running through the
    hours, starts the service again, and measures live quotes while the backlog drains. Ends with
    status 0 when every sale is entered once and in the order of its lane.
    """
    with _told(), TemporaryDirectory(prefix="checklane-outage-") as work:
        from checklane.certify.outage import OutageOptions, run_outage
        from checklane.certify.report import show_outage

        console = _console(None)
        options = OutageOptions(Path(work), lanes, hours, sales_per_hour, seed)
        report = run_outage(options, lambda words: console.print(words, style="dim"))
        show_outage(console, report)
    sys.exit(0 if report.is_right else 1)


@certify.command("till")
@click.option("--target", metavar="HOST:PORT", help="The service. Default: one of our own.")
@click.option("--visits", type=click.IntRange(1, 1_000_000), default=100, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="Decides every customer.")
@click.option("--store", help="A store of the target. Default: S001.")
@click.option("--card", help="A member's card of the target. Default: the example's.")
@click.option(
    "--product", "products", multiple=True, metavar="GTIN=MINOR", help="As for `certify`."
)
def till(target: str | None, visits: int, seed: int, **of_shop: Any) -> None:
    """Simulate a till: scans, quotes, totals, suspended baskets, sales, voids and returns."""
    with _told() as run:
        from checklane.certify.simulator import serve_visits

        shop = _shop(**of_shop)
        if target is None:
            with run.own_session() as session:
                tally = serve_visits(session.door.address, shop, visits, seed)
        else:
            tally = serve_visits(target, shop, visits, seed)
        click.echo(
            f"{tally.scans} scans quoted, {tally.totals} totals, {tally.sales} sales,"
            f" {tally.voids} voids, {tally.returns} returns; due {tally.due_minor}"
        )


# ---- what the commands share


@contextmanager
def _told() -> Iterator[Any]:
    """Import what runs, late, and turn what ends a run into a message."""
    # Services go away here on purpose: what the transport has to say about it is no news.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    from checklane.certify import run
    from checklane.certify.failure import CertifyError
    from checklane.demo.failure import DemoError

    try:
        yield run
    except (CertifyError, DemoError) as failure:
        raise click.ClickException(str(failure)) from None


def _console(json_file: str | None) -> Console:
    console = Console(stderr=json_file == "-", highlight=False)
    return (
        console
        if console.is_terminal
        else Console(stderr=json_file == "-", highlight=False, width=110)
    )


def _collect(console: Console, results: "Iterator[Result]") -> "list[Result]":
    from checklane.certify.report import show_result

    found = []
    for result in results:
        show_result(console, result)
        found.append(result)
    return found


def _finish(
    console: Console, results: "list[Result]", json_file: str | None, pictures: Path | None
) -> None:
    from checklane.certify.picture import write_pictures
    from checklane.certify.report import as_json, show_sum

    is_good = show_sum(console, results)
    if json_file is not None:
        with click.open_file(json_file, "w") as file:
            file.write(as_json(results))
    if pictures is not None:
        console.print(f"{write_pictures(pictures, results)} pictures: {pictures}")
    sys.exit(0 if is_good else 1)


def _shop(store: str | None, card: str | None, products: tuple[str, ...]) -> "Shop":
    """Return the shop that a target has."""
    from checklane.certify.shop import SHOP, Product, Shop

    goods = []
    for text in products:
        code, _, price = text.partition("=")
        if not code or not price.isdecimal():
            raise click.BadParameter(f"{text!r} is not GTIN=MINOR", param_hint="--product")
        goods.append(Product(code, int(price)))
    if goods and len(goods) < len(SHOP.products):
        raise click.BadParameter("the steps need three products", param_hint="--product")
    return Shop(store or SHOP.store, SHOP.card if card is None else card,
                tuple(goods) or SHOP.products)  # fmt: skip


def _introduce(console: Console, session: "Session") -> None:
    console.print(f"Your lane calls {session.door.address}, without TLS.")
    console.print(f"Its store is {session.shop.store}; a member's card is {session.shop.card}.")
    for number, product in enumerate(session.shop.products, 1):
        console.print(f"Product {number}: GTIN {product.code}, {product.price_minor} minor units.")


def _cashier(console: Console) -> "Callable[[Step, int, Phase], None]":
    """Return what tells the person at the till what to do, and waits for Enter."""
    from checklane.certify.step import NotOfferedError

    def act(step: "Step", number: int, phase: "Phase") -> None:
        if number == 0:
            console.print(f"\n{step.name}: {step.title}", style="bold")
        console.print(f"  {phase.say}", soft_wrap=True)
        console.print("  Enter when the lane is done; skip and Enter passes over it.", style="dim")
        line = sys.stdin.readline()
        if not line:
            raise click.ClickException("the input ended before the steps did")
        if line.strip() == "skip":
            raise NotOfferedError("passed over at the till")

    return act
