"""Best deals by family and size, two cases that others are known to be slow at, and real baskets.

All made deals lie in one catalogue and one program, each on products of its own, so that its offers
and no others apply to its basket.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from checklane.bench import deals
from checklane.bench.deals import FAMILIES, Deal, DealLine, DealOffer, make_deal
from checklane.bench.evaluator import Row, answers_of
from checklane.bench.figures import BenchError, Effort, Figure, plain_decision
from checklane.bench.optimum import PARTS, Solver, build_programme, highs_model
from checklane.bench.world import (
    OPENED_UNIX_MS,
    PROGRAM,
    World,
    compile_offers,
    mechanic,
    opened,
    seeded_keys,
    write_csv,
)
from checklane.program import load_program, load_vocabulary
from checklane.program.checks import Attachments
from checklane.program.load import OFFERS_FOLDER, PROGRAM_FILE
from checklane.program.rows import Cell, PriceRow
from checklane.snapshot.catalogue import CatalogueFeeds, build_catalogue
from checklane.snapshot.keys import load_keys
from checklane.snapshot.members import MemberFeeds, build_members
from checklane.snapshot.store import list_snapshots, snapshot_directory
from checklane.tables.catalogue_tables import open_catalogue
from checklane.v1 import basket_pb2, checkout_pb2

SECTION = "best deals"
SIZES = ((20, 10), (40, 20))
#: Whose deals HiGHS solves too; it takes seconds for one of the dense family.
SOLVED = ("realistic", "clustered")
ONE_UNIT = "1 unit on 1 line, 20 offers compete for it"
ONE_LINE = "1 line, 1 promotion"
STORE = "store-0"

#: Makes real baskets in a data directory, keeping its keys: so many, by a seed. Answers the data
#: directory with its snapshots and the quotes; None where their data set is not installed.
RealBaskets = Callable[[Path, int, int], tuple[Path, list[bytes]] | None]
#: An offer as the program has it, without its id, and its price rows.
Written = tuple[dict[str, Any], list[PriceRow]]


@dataclass(frozen=True)
class Good:
    """A feed's row of one product."""

    code: str
    brand: str = ""


@dataclass(frozen=True)
class Shop:
    """What one program and one catalogue are made of."""

    goods: list[Good]
    offers: list[dict[str, Any]]
    attachments: Attachments


@dataclass(frozen=True)
class Plan:
    """One row of the table before it is measured."""

    name: str
    quotes: list[bytes]
    deals: tuple[Deal, ...] = ()
    versus: str = ""


def make_shop_world(shop: Shop, folder: Path, seed: int) -> World:
    """Build the snapshots of a shop with one store and no members."""
    feeds, program, data = folder / "feeds", folder / "program", folder / "data"
    feeds.mkdir(parents=True)
    (program / OFFERS_FOLDER).mkdir(parents=True)
    (program / PROGRAM_FILE).write_text(PROGRAM)
    keys = seeded_keys(data, seed)
    directory = snapshot_directory(data)
    directory.mkdir(parents=True)
    goods = [("sku", good.code, "goods", good.brand) for good in shop.goods]
    write_csv(feeds / "products.csv", ("code_kind", "code", "category", "brand"), goods)
    stores = [(STORE, "here", "America/Chicago")]
    write_csv(feeds / "stores.csv", ("store_id", "region", "timezone"), stores)
    write_csv(feeds / "members.csv", ("member_id",), [("nobody",)])
    write_csv(feeds / "identifiers.csv", ("member_id", "kind", "value"), [])
    catalogue = build_catalogue(
        CatalogueFeeds([feeds / "products.csv"], [feeds / "stores.csv"]), directory
    )
    members = build_members(
        MemberFeeds([feeds / "members.csv"], [feeds / "identifiers.csv"], []),
        load_vocabulary(program),
        keys,
        directory,
    )
    found = open_catalogue(catalogue.path)
    compiled = compile_offers(
        load_program(program), shop.offers, found, directory, shop.attachments
    )
    return World(data, keys, catalogue.path, members.path, {len(shop.offers): compiled})


def quote_of(lines: Sequence[tuple[str, int, int]]) -> bytes:
    """Return a quote of nobody's basket: product code, count and amount of each line."""
    basket = basket_pb2.Basket(
        store_id=STORE,
        till_id="1",
        opened_time_unix_ms=OPENED_UNIX_MS,
        channel=basket_pb2.CHANNEL_STORE,
    )
    for number, (code, count, amount_minor) in enumerate(lines, 1):
        basket.lines.add(
            line_id=number,
            product_code=code,
            code_kind=basket_pb2.PRODUCT_CODE_KIND_SKU,
            count=count,
            amount_minor=amount_minor,
            kind=basket_pb2.LINE_KIND_SALE,
            price_source=basket_pb2.PRICE_SOURCE_SHELF,
        )
    request = checkout_pb2.QuoteBasketRequest(basket=basket)
    return request.SerializeToString(deterministic=True)


# ---- deals as programs write them ----


def money(minor: int) -> str:
    """Return money as a program writes it."""
    return f"{minor // 100}.{minor % 100:02d}"


def _reward(offer: DealOffer) -> dict[str, Any]:
    if offer.reward == deals.PERCENT:
        return {"percent": f"{offer.value / 100:g}"}
    return {offer.reward: money(offer.value)}


def written(offer: DealOffer, codes: Sequence[str]) -> Written:
    """Return an offer of a deal as a program writes it.

    Parameters
    ----------
    offer : DealOffer
    codes : sequence of str
        Of the deal's products, by number.
    """
    groups = [{"items": [f"sku:{codes[product]}" for product in g]} for g in offer.groups]
    of_units = offer.kind in (deals.UNITS, deals.ROWS)
    limits = {"per_basket": {"units" if of_units else "times": offer.most}}
    body: dict[str, Any] = {"limits": limits} if offer.most else {}
    rows: list[PriceRow] = []
    if offer.kind == deals.UNITS:
        body["discount"] = {"of": groups[0], **_reward(offer)}
    elif offer.kind == deals.ROWS:
        body["row_prices"] = {"file": "rows.csv"}
        rows = [
            PriceRow(Cell(f"sku:{codes[product]}", 1, 1), Cell("", 1, 1), price, most)
            for product, price, most in offer.rows
        ]
    elif offer.kind == deals.CHEAPEST:
        buy = {"count": offer.counts[0] - offer.free, "of": groups[0]}
        body["buy_get"] = {"buy": buy, "get": {"count": offer.free, "same": True, **_reward(offer)}}
    elif offer.kind == deals.BUY_GET:
        buy, get = (
            {"count": n, "of": group} for n, group in zip(offer.counts, groups, strict=True)
        )
        body["buy_get"] = {"buy": buy, "get": {**get, **_reward(offer)}}
    else:
        slots = [{"count": n, "of": group} for n, group in zip(offer.counts, groups, strict=True)]
        body["group_price"] = {"slots": slots, "price": money(offer.value)}
    return body, rows


class _ShopBuilder:
    """Gathers the rows of the table with their goods and offers."""

    def __init__(self) -> None:
        self.goods: list[Good] = []
        self.offers: list[dict[str, Any]] = []
        self.attachments = Attachments()
        self.plans: list[Plan] = []

    def add_codes(self, name: str, count: int, brand: str = "") -> list[str]:
        """Add so many products; return their codes."""
        codes = [f"{name}-{number:03d}" for number in range(count)]
        self.goods += [Good(code, brand) for code in codes]
        return codes

    def add_offer(self, body: dict[str, Any], rows: Sequence[PriceRow] = ()) -> None:
        """Add an offer; of equals the earlier one has the better rank."""
        number = len(self.offers)
        self.offers.append({"id": f"offer-{number:06d}", "name": f"Offer {number}", **body})
        if rows:
            self.attachments.prices[number] = list(rows)

    def add_family(self, family: deals.Family, size: tuple[int, int], effort: Effort) -> None:
        """Add the row of a family and a size."""
        quotes, made = [], []
        for number in range(effort.deals):
            deal = make_deal(family, number, *size)
            name = f"{family.name.replace(' ', '-')}-{size[0]}-{number}"
            codes = self.add_codes(name, size[0])
            for offer in deal.offers:
                self.add_offer(*written(offer, codes))
            quotes.append(quote_of(_lines(deal.lines, codes)))
            made.append(deal)
        name = f"{family.name}, {size[0]} lines x {size[1]} offers"
        self.plans.append(Plan(name, quotes, tuple(made)))

    def add_counts(self) -> None:
        """Add one line for which 20 offers of all kinds compete, of 1, 12 and 5,000 units.

        One unit is too few for most of them; from 12 on all can apply.
        """
        (code,) = self.add_codes("many-units", 1)
        for number in range(20):
            self.add_offer(mechanic(number, {"items": [f"sku:{code}"]}))
        for count in (1, 12, 5_000):
            quotes = [quote_of([(code, count, 999 * count)])]
            name = ONE_UNIT if count == 1 else f"{count:,} units on 1 line, the same offers"
            self.plans.append(Plan(name, quotes, versus="" if count == 1 else ONE_UNIT))

    def add_lines(self) -> None:
        """Add one promotion on one line, and on a hundred."""
        codes = self.add_codes("many-lines", 100, brand="lines")
        self.add_offer({"discount": {"of": {"brand": "lines"}, "percent": 15}})
        for name, count in ((ONE_LINE, 1), ("100 lines, the same promotion", 100)):
            lines = [(code, 1, 199 + 7 * number) for number, code in enumerate(codes[:count])]
            versus = "" if count == 1 else ONE_LINE
            self.plans.append(Plan(name, [quote_of(lines)], versus=versus))


def _lines(lines: Sequence[DealLine], codes: Sequence[str]) -> list[tuple[str, int, int]]:
    return [(codes[line.product], line.count, line.amount_minor) for line in lines]


def make_plans(effort: Effort) -> tuple[Shop, list[Plan]]:
    """Return a shop and the rows that are measured in it."""
    builder = _ShopBuilder()
    for size in SIZES:
        for family in FAMILIES:
            builder.add_family(family, size, effort)
    builder.add_counts()
    builder.add_lines()
    return Shop(builder.goods, builder.offers, builder.attachments), builder.plans


# ---- measuring ----


def measure(
    folder: Path,
    effort: Effort,
    seed: int,
    tell: Callable[[str], None],
    real_baskets: RealBaskets,
) -> list[Figure]:
    """Measure every row.

    Parameters
    ----------
    folder : Path
        Where the shop is built.
    effort : Effort
    seed : int
        Of the keys; the deals are the same in every run.
    tell : callable
        Called with what comes next.
    real_baskets : callable
        Makes those of the Complete Journey.
    """
    tell("best deals: building their shop")
    shop, plans = make_plans(effort)
    world = make_shop_world(shop, folder / "deals", seed)
    rows = [Row(Figure(SECTION, plan.name, versus=plan.versus), plan.quotes) for plan in plans]
    solvers: list[Solved] = []
    with opened(world, world.usual, sessions=2) as engine:
        for plan in plans:
            if plan.name.startswith(SOLVED) and plan.deals:
                quotes = plan.quotes[: effort.solved]
                solvers.append(Solved(plan, answers_of(engine, quotes)))
        for run in range(effort.runs):
            tell(f"best deals: run {run + 1} of {effort.runs}")
            for row in rows:
                row.run(engine, effort.decide_s)
    for run in range(effort.runs):
        tell(f"best deals: HiGHS, run {run + 1} of {effort.runs}")
        for solved in solvers:
            solved.run()
    found = [row.figure for row in rows] + [solved.figure for solved in solvers]
    if effort.journeys > 0:
        tell("best deals: the Complete Journey")
        # Who is held out hangs on a key: it comes from the seed, so that runs decide alike.
        seeded_keys(folder / "journeys", seed)
        made = real_baskets(folder / "journeys", effort.journeys, seed)
        if made is not None:
            return [*found, measure_real(*made, effort)]
        tell("best deals: the Complete Journey is not installed, its row is left out")
    return found


def measure_real(data: Path, quotes: Sequence[bytes], effort: Effort) -> Figure:
    """Measure quotes of real baskets over the snapshots of a data directory."""
    paths = {found.kind: found.path for found in list_snapshots(data)}
    world = World(
        data, load_keys(data), paths["catalogue"], paths["members"], {0: paths["program"]}
    )
    name = f"{len(quotes):,} baskets of the Complete Journey"
    row = Row(Figure(SECTION, name), quotes)
    with opened(world, world.usual, sessions=2) as engine:
        for _ in range(effort.runs):
            row.run(engine, effort.decide_s)
    return row.figure


class Solved:
    """Some deals of a row in HiGHS: presolve to proof, on one thread, without writing the model.

    Parameters
    ----------
    plan : Plan
    answers : sequence of bytes
        The engine's answers to the first quotes of the plan; so many deals are solved.
    """

    def __init__(self, plan: Plan, answers: Sequence[bytes]) -> None:
        chosen = plan.deals[: len(answers)]
        self.figure = Figure(SECTION, f"{plan.name}: {len(chosen)} in HiGHS", versus=plan.name)
        self._programmes = [build_programme(deal) for deal in chosen]
        self._models = [highs_model(programme) for programme in self._programmes]
        self._answers = [plain_decision(answer) for answer in answers]
        self.figure.exact_share = 1.0

    def run(self) -> None:
        """Solve them once more.

        Raises
        ------
        BenchError
            The engine gave another discount than the optimum, and said that it is the best.
        """
        solver, times_ns = Solver(), []
        for programme, model, answer in zip(
            self._programmes, self._models, self._answers, strict=True
        ):
            begin_ns = time.perf_counter_ns()
            solver.run(model)
            times_ns.append(time.perf_counter_ns() - begin_ns)
            check_optimum(answer, programme.value(solver.solution()))
        self.figure.add(np.array(times_ns, dtype=np.int64), sum(times_ns) / 1e9)
        self.figure.medians_ns.append([float(time_ns) for time_ns in times_ns])


def check_optimum(answer: Any, optimum_parts: int) -> None:
    """Hold a decision against the optimum of its deal.

    Raises
    ------
    BenchError
        It gives more than that, or misses more than it says.
    """
    given = PARTS * answer.totals.discount_minor
    # Each offer is rounded once, so each may lie half a minor unit beside its worth.
    slack = PARTS // 2 * max(1, len(answer.applied_offers))
    gap = PARTS * answer.optimality.gap_minor
    if not given - slack <= optimum_parts <= given + gap + slack:
        raise BenchError(f"a best deal gives {given} parts, HiGHS found {optimum_parts}")
