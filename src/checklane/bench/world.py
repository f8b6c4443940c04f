"""What is measured: a shop of seeded feeds, programs of many sizes, and baskets for them.

The goods lie in *blocks* and a rest. Every block has item offers of its own; a basket of one block
is touched by the offers of that block and by the base earn, and by no other, however many offers
are live. The other live offers lie on the rest of the goods. So the number of live offers and the
number that touch a basket vary independently.
"""

import csv
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from checklane._engine import Engine
from checklane.config import Settings
from checklane.program import LoadedProgram, Offer, compile_loaded, load_program, load_vocabulary
from checklane.program.checks import Attachments
from checklane.program.load import OFFERS_FOLDER, PROGRAM_FILE
from checklane.snapshot.catalogue import CatalogueFeeds, build_catalogue
from checklane.snapshot.keys import FILES, KEY_BYTES, Keys, load_keys
from checklane.snapshot.members import MemberFeeds, build_members
from checklane.snapshot.store import activate, snapshot_directory
from checklane.tables.catalogue_tables import CatalogueTables, open_catalogue
from checklane.tables.files import snapshot_hash, write_snapshot
from checklane.v1 import basket_pb2, checkout_pb2, common_pb2

#: Goods of a block: a basket of the most lines has a product a line.
BLOCK_GOODS = 520
BLOCK_BRANDS = 10
#: Brands of the rest; every other offer is for one of them.
REST_BRANDS = 4_000
STORES = 8
CARD_PREFIX = "5020"
#: Every basket is opened at this instant: Monday 2026-09-21, 15:00 UTC.
OPENED_UNIX_MS = 1_790_002_800_000
BUSINESS_DATE = 20260921

PROGRAM = f"""\
program: bench
locale: en
currency: {{code: USD, exponent: 2}}
purses:
  points: {{number: 1}}
tiers:
  basic: {{number: 0}}
issuer_ranges:
  - {{kind: card, prefix: "{CARD_PREFIX}", length: 12}}
"""
BASE_EARN = {
    "id": "base",
    "name": "One point for each dollar",
    "earn": {"purse": "points", "points": 1, "per": "1.00"},
}
READING = {"exponent": 2, "locale": "en"}


@dataclass(frozen=True)
class Block:
    """Goods of ten brands with item offers of their own.

    Attributes
    ----------
    name : str
    offers : int
        Offer n is for brand n, modulo the number of brands.
    brands_an_offer : int
        2: it is for the next brand too, so that all offers compete in one chain.
    """

    name: str
    offers: int
    brands_an_offer: int = 1


#: TEN has an offer a product. FORTY has four that compete for it. CHAIN is hard on purpose: one
#: best deal over all lines of the basket.
ONE, TEN, FORTY = Block("one", 1), Block("ten", 10), Block("forty", 40)
CHAIN = Block("chain", 10, brands_an_offer=2)
BLOCKS = (ONE, TEN, FORTY, CHAIN)
#: The program with the fewest offers: those of one block, and the base earn.
LIVE_LEAST = 1 + TEN.offers


@dataclass(frozen=True)
class ChainSizes:
    """How much the chain of many stores has.

    Attributes
    ----------
    products : int
        Goods in its catalogue, blocks included.
    usual, live_offers : int
        Offers of its smallest program and of the others.
    """

    products: int
    usual: int
    live_offers: int


@dataclass(frozen=True)
class Sizes:
    """How much there is of everything.

    Attributes
    ----------
    products : int
        Goods in the catalogue, blocks included.
    members : int
        Each with one card.
    live_offers : tuple of int
        One program for each number of live offers, ascending, the first `LIVE_LEAST`.
    chain : ChainSizes
    """

    products: int
    members: int
    live_offers: tuple[int, ...]
    chain: ChainSizes

    @property
    def rest(self) -> int:
        """Goods that are in no block."""
        return self.products - BLOCK_GOODS * len(BLOCKS)


FULL = Sizes(20_000, 10_000, (LIVE_LEAST, 1_000, 100_000), ChainSizes(1_000_000, 1_000, 100_000))
QUICK = Sizes(3_000, 200, (LIVE_LEAST, 200, 1_000), ChainSizes(4_000, 200, 4_000))


@dataclass(frozen=True)
class World:
    """A data directory and the snapshots in it.

    Attributes
    ----------
    data : Path
    keys : Keys
    catalogue, members : Path
    programs : dict of int to Path
        By the number of live offers.
    """

    data: Path
    keys: Keys
    catalogue: Path
    members: Path
    programs: dict[int, Path]

    @property
    def usual(self) -> Path:
        """The program that most rows are measured with: the second smallest, or the only one."""
        return self.programs[sorted(self.programs)[:2][-1]]

    def go_live(self) -> None:
        """Make the usual program live for a server that starts later."""
        for path in (self.usual, self.members):
            kind, content_hash = snapshot_hash(path)
            activate(self.data, kind, content_hash, OPENED_UNIX_MS // 1000, self.keys)


@contextmanager
def opened(world: World, program: Path, sessions: int) -> Iterator[Engine]:
    """Open the engine on a world's data directory with a program live; close it afterwards."""
    # A server without settings of its own opens it later: both must name the same node.
    settings = Settings.model_validate({})
    engine = Engine(
        str(world.data),
        sessions=sessions,
        checkpoint_pause_ms=settings.checkpoint_pause_ms,
        node=settings.node,
        partition=settings.partition,
        identity_key=world.keys.identity,
        hold_out_key=world.keys.hold_out,
    )
    try:
        engine.activate(str(program), str(world.catalogue), str(world.members))
        yield engine
    finally:
        engine.close()


@dataclass(frozen=True)
class Basket:
    """One basket: its message, and the number of the member whose card it carries."""

    message: basket_pb2.Basket
    member: int

    def quote(self) -> bytes:
        """Return a QuoteBasketRequest."""
        request = checkout_pb2.QuoteBasketRequest(basket=self.message)
        return request.SerializeToString(deterministic=True)


def make_world(folder: Path, sizes: Sizes, seed: int) -> World:
    """Write feeds and offers from a seed, and build their snapshots.

    Parameters
    ----------
    folder : Path
        Made when it is not there.
    sizes : Sizes
    seed : int
    """
    feeds, program, data = folder / "feeds", folder / "program", folder / "data"
    feeds.mkdir(parents=True, exist_ok=True)
    (program / OFFERS_FOLDER).mkdir(parents=True, exist_ok=True)
    (program / PROGRAM_FILE).write_text(PROGRAM)
    keys = seeded_keys(data, seed)
    directory = snapshot_directory(data)
    directory.mkdir(parents=True, exist_ok=True)
    stores = [(store_id(number), "here") for number in range(STORES)]
    write_feeds(feeds, sizes.products, sizes.members, stores)
    catalogue = build_catalogue(
        CatalogueFeeds([feeds / "products.csv"], [feeds / "stores.csv"]), directory
    )
    members = build_members(
        MemberFeeds([feeds / "members.csv"], [feeds / "identifiers.csv"], []),
        load_vocabulary(program),
        keys,
        directory,
    )
    opened = open_catalogue(catalogue.path)
    loaded = load_program(program)
    programs = {
        count: compile_offers(loaded, make_offers(count, sizes), opened, directory)
        for count in sizes.live_offers
    }
    return World(data, keys, catalogue.path, members.path, programs)


def seeded_keys(data: Path, seed: int) -> Keys:
    """Write keys that the seed decides: equal runs then have equal tables and answers."""
    folder = data / "keys"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, file in FILES.items():
        path = folder / file
        path.write_bytes(blake2b(f"{seed}:{name}".encode(), digest_size=KEY_BYTES).digest())
        path.chmod(0o600)
    return load_keys(data)


def compile_offers(
    loaded: LoadedProgram,
    offers: Sequence[dict[str, Any]],
    catalogue: CatalogueTables,
    to: Path,
    attachments: Attachments | None = None,
) -> Path:
    """Compile offers to a program snapshot.

    Each is validated as if it came from YAML. What YAML costs, and the check of all names against
    the catalogue, is left out: that would be most of the time of a run.
    """
    loaded.offers = [Offer.model_validate(offer, context=READING) for offer in offers]
    compiled = compile_loaded(loaded, attachments or Attachments(), catalogue)
    return write_snapshot(to, "program", compiled.tables)


# ---- feeds ----


def write_csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a feed."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


def block_sku(block: Block, index: int) -> str:
    """Return the code of one product of a block."""
    return f"{block.name}-{index:04d}"


def rest_sku(index: int) -> str:
    """Return the code of one product of the rest."""
    return f"rest-{index:06d}"


def store_id(number: int) -> str:
    """Return the id of a store."""
    return f"store-{number % STORES}"


def card_number(member: int) -> str:
    """Return the card of a member."""
    return f"{CARD_PREFIX}{member:08d}"


def block_brand(block: Block, index: int) -> str:
    """Return the brand of one product of a block."""
    return f"brand {block.name} {index % BLOCK_BRANDS}"


def rest_brand(index: int) -> str:
    """Return the brand of one product of the rest."""
    return f"brand rest {index % REST_BRANDS}"


def write_feeds(
    folder: Path, product_count: int, member_count: int, stores: Iterable[tuple[str, str]]
) -> None:
    """Write the feeds of a shop: goods of the blocks and the rest, stores with regions, members."""
    products = [
        ("sku", block_sku(block, index), f"{block.name}/{index % 7}", block_brand(block, index))
        for block in BLOCKS
        for index in range(BLOCK_GOODS)
    ]
    products += [
        ("sku", rest_sku(index), f"rest/{index % 40}/{index % 400}", rest_brand(index))
        for index in range(product_count - len(products))
    ]
    write_csv(folder / "products.csv", ("code_kind", "code", "category", "brand"), products)
    rows = [(name, region, "America/Chicago") for name, region in stores]
    write_csv(folder / "stores.csv", ("store_id", "region", "timezone"), rows)
    members = range(member_count)
    write_csv(
        folder / "members.csv",
        ("member_id", "tier", "consent"),
        [(f"M{member}", "basic", "true") for member in members],
    )
    write_csv(
        folder / "identifiers.csv",
        ("member_id", "kind", "value"),
        [(f"M{member}", "card", card_number(member)) for member in members],
    )


# ---- offers ----


def mechanic(number: int, goods: dict[str, Any]) -> dict[str, Any]:
    """Return what offer `number` does with some goods: the five kinds by turns."""
    one_half = {"count": 1, "same": True, "percent": 50}
    return (
        {"discount": {"of": goods, "percent": 5 + number % 20}},
        {"buy_get": {"buy": {"count": 2, "of": goods}, "get": one_half}},
        {"discount": {"of": goods, "amount": f"0.{20 + number % 50}"}},
        {"group_price": {"count": 3, "of": goods, "price": f"{8 + number % 5}.00"}},
        {"discount": {"of": goods, "price": f"{3 + number % 3}.49"}},
    )[number % 5]


def block_offers(block: Block) -> list[dict[str, Any]]:
    """Return the offers of a block."""
    offers = []
    for number in range(block.offers):
        brands = [block_brand(block, number + more) for more in range(block.brands_an_offer)]
        name = f"{block.name}-{number:02d}"
        offers.append({"id": name, "name": name, **mechanic(number, {"brand": brands})})
    return offers


def make_offers(count: int, sizes: Sizes) -> list[dict[str, Any]]:
    """Return the offers of a program of `count` live offers.

    Beside the base earn and the blocks, each offer is for one brand of the rest.
    """
    offers: list[dict[str, Any]] = [BASE_EARN]
    for block in (TEN,) if count == LIVE_LEAST else BLOCKS:
        offers += block_offers(block)
    brands = min(REST_BRANDS, sizes.rest)
    return offers + rest_offers(count - len(offers), brands)


def rest_offers(count: int, brands: int = REST_BRANDS) -> list[dict[str, Any]]:
    """Return so many offers, each for one of so many brands of the rest."""
    offers = []
    for number in range(count):
        name = f"rest-{number:06d}"
        goods = {"brand": [rest_brand(number % brands)]}
        offers.append({"id": name, "name": name, **mechanic(number, goods)})
    return offers


# ---- baskets ----


def make_baskets(
    name: str,
    how_many: int,
    *,
    seed: int,
    lines: int = 10,
    block: Block = TEN,
    count: int | None = None,
    members: int = 1,
    first_member: int = 0,
) -> list[Basket]:
    """Return baskets of one block.

    Parameters
    ----------
    name : str
        Tells draws of one seed apart.
    how_many : int
    seed : int
    lines : int
        Lines of each, range [1, BLOCK_GOODS], both inclusive; each another product.
    block : Block
        Of the goods.
    count : int, optional
        Units of every line. Default: 1 to 3, drawn.
    members, first_member : int
        So many members, from this one on, come by turns.
    """
    draw = random.Random(f"{seed}:{name}")
    baskets = []
    for number in range(how_many):
        member = first_member + number % members
        message = _basket(draw, f"{name}-{number}", member, lines, block, count)
        baskets.append(Basket(message, member))
    return baskets


def _basket(
    draw: random.Random, basket_id: str, member: int, lines: int, block: Block, count: int | None
) -> basket_pb2.Basket:
    basket = basket_pb2.Basket(
        basket_id=basket_id,
        store_id=store_id(member),
        till_id="1",
        opened_time_unix_ms=OPENED_UNIX_MS,
        channel=basket_pb2.CHANNEL_STORE,
    )
    basket.identifiers.add(kind=common_pb2.IDENTIFIER_KIND_CARD, value=card_number(member))
    first = draw.randrange(BLOCK_GOODS)
    for line in range(lines):
        # Neighbours have different brands, so that ten lines meet every offer of the block.
        index = (first + line) % BLOCK_GOODS
        units = draw.randint(1, 3) if count is None else count
        unit_minor = 150 + index * 37 % 850
        basket.lines.add(
            line_id=line + 1,
            product_code=block_sku(block, index),
            code_kind=basket_pb2.PRODUCT_CODE_KIND_SKU,
            count=units,
            amount_minor=unit_minor * units,
            kind=basket_pb2.LINE_KIND_SALE,
            price_source=basket_pb2.PRICE_SOURCE_SHELF,
        )
    return basket
