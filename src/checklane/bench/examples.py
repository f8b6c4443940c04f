"""The shop of examples/: its own feeds, offers and goods, as one row beside the made ones."""

import csv
import random
from pathlib import Path

from checklane.bench.world import OPENED_UNIX_MS, Basket, World, seeded_keys
from checklane.program import compile_program, load_vocabulary
from checklane.program.compile import array_of
from checklane.snapshot.catalogue import CatalogueFeeds, build_catalogue
from checklane.snapshot.members import MemberFeeds, build_members
from checklane.snapshot.store import snapshot_directory
from checklane.tables.catalogue_tables import open_catalogue
from checklane.tables.files import write_snapshot
from checklane.v1 import basket_pb2, common_pb2

LINES = 12
CODE_KINDS = {
    "gtin": basket_pb2.PRODUCT_CODE_KIND_GTIN,
    "plu": basket_pb2.PRODUCT_CODE_KIND_PLU,
    "sku": basket_pb2.PRODUCT_CODE_KIND_SKU,
}


def find_examples() -> Path | None:
    """Return examples/ of the checkout that this package runs from; None when installed."""
    found = Path(__file__).resolve().parents[3] / "examples"
    return found if (found / "program" / "program.yaml").is_file() else None


def make_examples(examples: Path, folder: Path, seed: int) -> World:
    """Build the snapshots of examples/ in a data directory of their own."""
    feeds, data = examples / "feeds", folder / "examples"
    keys = seeded_keys(data, seed)
    directory = snapshot_directory(data)
    catalogue = build_catalogue(
        CatalogueFeeds([feeds / "products.csv"], [feeds / "stores.csv"]), directory
    )
    program = examples / "program"
    tables = compile_program(program, open_catalogue(catalogue.path))
    members = build_members(
        MemberFeeds([feeds / "members.csv"], [feeds / "identifiers.csv"], [feeds / "wallets.csv"]),
        load_vocabulary(program),
        keys,
        directory,
    )
    compiled = write_snapshot(directory, "program", tables)
    return World(
        data, keys, catalogue.path, members.path, {len(array_of(tables["offers"])): compiled}
    )


def example_baskets(examples: Path, how_many: int, seed: int) -> list[Basket]:
    """Return baskets of goods of examples/, of its members by turns."""
    draw = random.Random(f"{seed}:examples")
    products = _rows(examples / "feeds" / "products.csv")
    stores = _rows(examples / "feeds" / "stores.csv")
    cards = [row for row in _rows(examples / "feeds" / "identifiers.csv") if row["kind"] == "card"]
    baskets = []
    for number in range(how_many):
        member = number % len(cards)
        message = basket_pb2.Basket(
            basket_id=f"example-{number}",
            store_id=stores[number % len(stores)]["store_id"],
            till_id="1",
            opened_time_unix_ms=OPENED_UNIX_MS,
            channel=basket_pb2.CHANNEL_STORE,
        )
        message.identifiers.add(kind=common_pb2.IDENTIFIER_KIND_CARD, value=cards[member]["value"])
        for line, product in enumerate(draw.sample(products, min(LINES, len(products)))):
            units = draw.randint(1, 3)
            message.lines.add(
                line_id=line + 1,
                product_code=product["code"],
                code_kind=CODE_KINDS[product["code_kind"]],
                count=units,
                amount_minor=draw.randint(79, 799) * units,
                kind=basket_pb2.LINE_KIND_SALE,
                price_source=basket_pb2.PRICE_SOURCE_SHELF,
            )
        baskets.append(Basket(message, member))
    return baskets


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
