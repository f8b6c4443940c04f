"""A chain of many stores: a million products, wallets, and offers of regions, timed as decisions.

Each large program stands beside one with nothing but the offers that its baskets can have: the
decisions must be the same, and the times tell what the others cost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from checklane.bench.evaluator import SECTION, Row
from checklane.bench.figures import BenchError, Effort, Figure
from checklane.bench.world import (
    BASE_EARN,
    PROGRAM,
    STORES,
    TEN,
    Basket,
    ChainSizes,
    World,
    block_brand,
    block_offers,
    compile_offers,
    make_baskets,
    mechanic,
    opened,
    rest_brand,
    rest_offers,
    seeded_keys,
    write_csv,
    write_feeds,
)
from checklane.program import load_program, load_vocabulary
from checklane.program.load import OFFERS_FOLDER, PROGRAM_FILE
from checklane.snapshot.catalogue import CatalogueFeeds, build_catalogue
from checklane.snapshot.members import MemberFeeds, build_members
from checklane.snapshot.store import snapshot_directory
from checklane.tables.catalogue_tables import open_catalogue

CHAIN_STORES = 64
REGIONS = 16
#: Wallet offers of each member: one in eight is for everything, one in eight for goods of the
#: baskets, the others for the rest.
WALLET = 64
WALLET_KINDS = 8
#: Offers of each region: for the goods of the baskets, and for everything.
REGION_WIDE = 4
MIB = 1024 * 1024

Offers = list[dict[str, Any]]


@dataclass(frozen=True)
class ChainCase:
    """One row: a program, baskets for it, and the row that must decide alike."""

    name: str
    offers: Offers
    baskets: list[Basket]
    versus: str = ""
    is_alike: bool = False


def store_name(number: int) -> str:
    """Return the id of one of the chain's stores."""
    return f"store-{number}"


def region_name(number: int) -> str:
    """Return the region of a store."""
    return f"region {number % REGIONS}"


def wallet_offers(count: int) -> Offers:
    """Return wallet offers: some for everything, some for goods of the baskets."""
    offers = []
    for number in range(count):
        name, kind = f"wallet-{number:06d}", number % WALLET_KINDS
        body: dict[str, Any] = {"discount": {"of": "all", "percent": 1 + number % 9}}
        if kind:
            brand = block_brand(TEN, number // WALLET_KINDS) if kind == 1 else rest_brand(number)
            body = mechanic(number // WALLET_KINDS, {"brand": [brand]})
        offers.append({"id": name, "name": name, "wallet": True, **body})
    return offers


def wallet_of(member: int) -> range:
    """Return the numbers of the wallet offers that a member holds."""
    return range(WALLET * member, WALLET * (member + 1))


def regional_offers(region: int) -> Offers:
    """Return the offers of a region: those of the block, and some for everything."""
    bodies = block_offers(TEN)
    for number in range(REGION_WIDE):
        bodies.append({"discount": {"of": "all", "percent": 1 + number}})
    return [
        {**body, "id": name, "name": name, "where": {"regions": [region_name(region)]}}
        for number, body in enumerate(bodies)
        for name in [f"regional-{region:02d}-{number:02d}"]
    ]


def regional_rest(count: int) -> Offers:
    """Return offers for the rest of the goods, each of one region."""
    return [
        {**offer, "where": {"regions": [region_name(number)]}}
        for number, offer in enumerate(rest_offers(count))
    ]


def chain_cases(sizes: ChainSizes, how_many: int, seed: int, base: str) -> list[ChainCase]:
    """Return all rows."""
    baskets = make_baskets(SECTION, how_many, seed=seed, members=how_many)
    held = wallet_offers(WALLET * how_many)
    usual = [BASE_EARN, *block_offers(TEN)]
    half = sizes.live_offers // 2
    wallets = max(half, len(held))
    few, alone = f"chain: wallets of {WALLET}, only what they hold is live", "chain: one region"
    regions = [offer for region in range(REGIONS) for offer in regional_offers(region)]
    in_region = [in_first_region(basket) for basket in baskets]
    return [
        ChainCase(
            f"chain: {sizes.products:,} products, {sizes.usual:,} live",
            usual + rest_offers(sizes.usual - len(usual)),
            baskets,
            versus=base,
            is_alike=True,
        ),
        ChainCase(few, usual + held, baskets),
        ChainCase(
            f"chain: the same wallets, {sizes.live_offers:,} live, half of them wallet offers",
            usual + rest_offers(half - len(usual)) + wallet_offers(wallets),
            baskets,
            versus=few,
            is_alike=True,
        ),
        ChainCase(alone, [BASE_EARN, *regional_offers(0)], in_region),
        ChainCase(
            f"chain: the same region of {REGIONS}, {CHAIN_STORES} stores,"
            f" {sizes.live_offers:,} live",
            [BASE_EARN, *regions, *regional_rest(sizes.live_offers - len(regions) - 1)],
            in_region,
            versus=alone,
            is_alike=True,
        ),
    ]


def in_first_region(basket: Basket) -> Basket:
    """Return a basket in a store of region 0."""
    message = type(basket.message)()
    message.CopyFrom(basket.message)
    message.store_id = store_name(basket.member * REGIONS % CHAIN_STORES)
    return Basket(message, basket.member)


class Chain:
    """The chain's catalogue and members, and a program for each row.

    Parameters
    ----------
    folder : Path
    sizes : ChainSizes
    effort : Effort
    seed : int
    base : str
        Name of the evaluator's usual row.
    """

    def __init__(
        self, folder: Path, sizes: ChainSizes, effort: Effort, seed: int, base: str
    ) -> None:
        self.cases = chain_cases(sizes, effort.baskets, seed, base)
        feeds, program, data = folder / "feeds", folder / "program", folder / "data"
        feeds.mkdir(parents=True)
        (program / OFFERS_FOLDER).mkdir(parents=True)
        (program / PROGRAM_FILE).write_text(PROGRAM)
        keys = seeded_keys(data, seed)
        directory = snapshot_directory(data)
        directory.mkdir(parents=True)
        assert CHAIN_STORES >= STORES
        stores = [(store_name(number), region_name(number)) for number in range(CHAIN_STORES)]
        write_feeds(feeds, sizes.products, effort.baskets, stores)
        wallets = [
            (f"M{member}", f"wallet-{number:06d}")
            for member in range(effort.baskets)
            for number in wallet_of(member)
        ]
        write_csv(feeds / "wallets.csv", ("member_id", "offer_id"), wallets)
        catalogue = build_catalogue(
            CatalogueFeeds([feeds / "products.csv"], [feeds / "stores.csv"]), directory
        )
        members = build_members(
            MemberFeeds(
                [feeds / "members.csv"], [feeds / "identifiers.csv"], [feeds / "wallets.csv"]
            ),
            load_vocabulary(program),
            keys,
            directory,
        )
        tables, loaded = open_catalogue(catalogue.path), load_program(program)
        programs = {
            number: compile_offers(loaded, case.offers, tables, directory)
            for number, case in enumerate(self.cases)
        }
        self.world = World(data, keys, catalogue.path, members.path, programs)

    def words(self) -> str:
        """Return what the programs of the rows take in memory."""
        parts = [
            f"{len(case.offers):,} offers {path.stat().st_size / MIB:.1f} MiB"
            for case, path in zip(self.cases, self.world.programs.values(), strict=True)
        ]
        catalogue = self.world.catalogue.stat().st_size / MIB
        return f"{', '.join(parts)}; its catalogue {catalogue:.1f} MiB"


def measure(
    folder: Path,
    sizes: ChainSizes,
    effort: Effort,
    seed: int,
    usual: Figure,
    tell: Callable[[str], None],
) -> tuple[list[Figure], str]:
    """Measure every row; return the figures, and what the programs take in memory.

    Raises
    ------
    BenchError
        A row decided otherwise than the one that it is held against.
    """
    tell(f"chain: building {sizes.products:,} products and {sizes.live_offers:,} offers, twice")
    chain = Chain(folder / "chain", sizes, effort, seed, usual.name)
    rows = [
        Row(Figure(SECTION, case.name, versus=case.versus), [b.quote() for b in case.baskets])
        for case in chain.cases
    ]
    with opened(chain.world, chain.world.programs[0], sessions=2) as engine:
        for run in range(effort.runs):
            tell(f"chain: run {run + 1} of {effort.runs}")
            for number, path in chain.world.programs.items():
                engine.activate(str(path), None, None)
                rows[number].run(engine, effort.decide_s)
    checksums = {figure.name: figure.checksum for figure in [usual, *(r.figure for r in rows)]}
    for case, row in zip(chain.cases, rows, strict=True):
        if case.is_alike and row.figure.checksum != checksums[case.versus]:
            raise BenchError(f"{case.name}: decided otherwise than {case.versus}")
    return [row.figure for row in rows], chain.words()
