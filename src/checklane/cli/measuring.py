"""Decides baskets in process, in a data directory that is thrown away, for ``offers check``."""

import csv
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import numpy as np
from google.protobuf.json_format import Parse, ParseError

from checklane import _layout
from checklane._engine import METHODS, Engine
from checklane.program.compile import Compiled, in_order
from checklane.program.cost import Analysis
from checklane.program.load import LoadedProgram
from checklane.program.model import CostBudget
from checklane.program.stages import Stages, Visitor, probe_code
from checklane.program.vocabulary import load_vocabulary
from checklane.program.worst import Measured, Searcher, measure_given
from checklane.snapshot.keys import Keys, create_keys
from checklane.snapshot.members import MemberFeeds, build_members
from checklane.snapshot.store import snapshot_directory
from checklane.tables.catalogue_tables import CatalogueTables
from checklane.tables.files import read_snapshot, write_snapshot
from checklane.tables.hashing import sku_codes
from checklane.tables.open_addressing import Table, mix64, open_addressed
from checklane.v1 import checkout_pb2, common_pb2, decision_pb2, program_pb2

QUOTE = METHODS["CheckoutService.QuoteBasket"]
STOP = METHODS["ProgramService.StopOffer"]
PAUSE_MS = 20


class EngineDoor:
    """The evaluator, as program.worst asks for it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._changes = 0

    def decide(self, request: bytes) -> decision_pb2.Decision | str:
        """Decide a quote; or the name of the refusal."""
        status, answer = self._engine.call(QUOTE, request)
        if isinstance(answer, str):
            return f"{status_name(status)} {answer}".strip()
        return checkout_pb2.QuoteBasketResponse.FromString(answer).decision

    def time_ns(self, request: bytes, times: int) -> int:
        """Return the median time of one decision."""
        return int(statistics.median(self._engine.time_decisions(request, times)[0].tolist()))

    def stop(self, offer: str, *, resume: bool) -> None:
        """Stop an offer, or let it go on."""
        self._changes += 1
        context = common_pb2.RequestContext(idempotency_key=f"probe-{self._changes}")
        request = program_pb2.StopOfferRequest(context=context, offer_id=offer, resume=resume)
        status, answer = self._engine.call(STOP, request.SerializeToString())
        if status != 0:
            raise click.ClickException(f"offer {offer}: {status_name(status)} at {answer!r}")


def status_name(number: int) -> str:
    """Return the name of a status."""
    names = (name for name, (known, *_) in _layout.STATUSES.items() if known == number)
    return next(names, str(number))


def measure(
    path: Path,
    loaded: LoadedProgram,
    compiled: Compiled,
    analysis: Analysis,
    catalogue: tuple[Path, CatalogueTables],
    *,
    budget: CostBudget,
    given: Path | None,
    climb: int,
    seed: int,
) -> Measured:
    """Decide baskets that are built to be dear, and given ones.

    Parameters
    ----------
    path : Path
        The program's directory.
    loaded, compiled, analysis
        What a check of it made.
    catalogue : tuple of Path and CatalogueTables
    budget : CostBudget
    given : Path or None
        A QuoteBasketRequest in JSON a line.
    climb : int
        Decisions spent on changing the worst basket.
    seed : int
    """
    stores = catalogue[1].store_ids
    offers = in_order(loaded.offers)
    stages = Stages(analysis, compiled, loaded.program, offers, stores, budget.wallet_offers)
    ready, regular = stages.all(), stages.regular()
    visitors = [stage.visitor for stage in ready if stage.visitor is not None]
    requests = read_given(given, regular.card) if given is not None else []
    with TemporaryDirectory(prefix="checklane-cost-") as name:
        data = Path(name)
        keys = create_keys(data)
        products = sorted({product for stage in ready for product in stage.products})
        catalogue_path = with_probe_codes(catalogue[0], catalogue[1], products, data)
        program_path = write_program(compiled, catalogue_path, data)
        members_path = write_visitors([*visitors, regular], path, keys, data)
        with opened(data, keys) as engine:
            engine.activate(str(program_path), str(catalogue_path), str(members_path))
            door = EngineDoor(engine)
            cost = analysis.cost
            searcher = Searcher(
                door,
                ready,
                budget.basket_lines,
                step_budget=cost.step_budget,
                dearest=cost.decision,
                seed=seed,
            )
            measured = searcher.search(climb)
            if given is not None:
                measured.given = measure_given(door, requests, cost.decision)
    return measured


@contextmanager
def opened(data: Path, keys: Keys) -> Iterator[Engine]:
    """Open the engine on a data directory; close it afterwards."""
    engine = Engine(
        str(data),
        sessions=1,
        checkpoint_pause_ms=PAUSE_MS,
        node=0,
        partition=0,
        identity_key=keys.identity,
        hold_out_key=keys.hold_out,
    )
    try:
        yield engine
    finally:
        engine.close()


def read_given(path: Path, card: str) -> list[tuple[int, bytes]]:
    """Return the quotes of a file with their lines; identified ones come with the regular's card.

    Raises
    ------
    click.ClickException
        A line is no QuoteBasketRequest.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        request = checkout_pb2.QuoteBasketRequest()
        try:
            Parse(line, request)
        except ParseError as failure:
            raise click.ClickException(f"{path}:{number}: {failure}") from None
        if request.basket.identifiers:
            del request.basket.identifiers[:]
            request.basket.identifiers.add(kind=common_pb2.IDENTIFIER_KIND_CARD, value=card)
        request.explain = True
        found.append((number, request.SerializeToString(deterministic=True)))
    return found


def with_probe_codes(
    path: Path, catalogue: CatalogueTables, products: Sequence[int], data: Path
) -> Path:
    """Write a copy of a catalogue in which some products have one code more.

    A catalogue keeps hashes of SKUs, not their texts, so a basket could not name every product.
    """
    tables: dict[str, Table | np.ndarray[tuple[int], np.dtype[np.void]]] = {}
    for name, value in read_snapshot(path).items():
        head = np.frombuffer(value, dtype=_layout.TABLE_HEADER, count=1)[0]
        record = np.dtype((np.void, int(head["record_bytes"])))
        records = np.frombuffer(
            value, dtype=record, count=int(head["capacity"]), offset=_layout.TABLE_HEADER.itemsize
        )
        tables[name] = Table(records, int(head["count"]))
    more = np.zeros(len(products), dtype=_layout.CODE_SLOT)
    more["code"] = sku_codes([probe_code(product) for product in products])
    more["product"] = products
    known = catalogue.codes[catalogue.codes["code"] != 0]
    slots = np.concatenate([known, more])
    tables["codes"] = open_addressed(slots, mix64(slots["code"]))
    return write_snapshot(snapshot_directory(data), "catalogue", tables)


def write_program(compiled: Compiled, catalogue: Path, data: Path) -> Path:
    """Write a program, bound to a catalogue with the same products."""
    header = compiled.tables["header"]
    assert isinstance(header, np.ndarray)
    header = header.copy()
    content_hash = bytes.fromhex(catalogue.stem.rpartition("-")[2])
    header["catalogue_hash"][0] = np.frombuffer(content_hash, dtype=np.uint8)
    return write_snapshot(
        snapshot_directory(data), "program", {**compiled.tables, "header": header}
    )


def write_visitors(visitors: Sequence[Visitor], program: Path, keys: Keys, data: Path) -> Path:
    """Write a members snapshot of the visitors."""

    def feed(name: str, columns: Sequence[str], rows: list[list[str]]) -> Path:
        path = data / f"{name}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([list(columns), *rows])
        return path

    head = ("member_id", "tier", "segments", "consent", "staff", "business", "birth_date")
    members = feed(
        "members",
        head,
        [
            [v.member_id, v.tier, ";".join(v.segments), "true", "true", "true", v.birth_date]
            for v in visitors
        ],
    )
    cards = feed(
        "identifiers",
        ("member_id", "kind", "value"),
        [[visitor.member_id, "card", visitor.card] for visitor in visitors],
    )
    wallets = feed(
        "wallets",
        ("member_id", "offer_id"),
        [[visitor.member_id, offer] for visitor in visitors for offer in visitor.wallet],
    )
    feeds = MemberFeeds([members], [cards], [wallets])
    built = build_members(feeds, load_vocabulary(program), keys, snapshot_directory(data))
    assert not built.report.rejected
    return built.path
