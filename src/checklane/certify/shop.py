"""The shop that lanes are certified against: three products, one member, a handful of offers."""

import time
from dataclasses import dataclass
from pathlib import Path

from checklane.program import compile_within, load_vocabulary
from checklane.snapshot.catalogue import CatalogueFeeds, build_catalogue
from checklane.snapshot.keys import create_keys
from checklane.snapshot.members import MemberFeeds, build_members
from checklane.snapshot.store import activate, snapshot_directory
from checklane.tables.catalogue_tables import open_catalogue
from checklane.tables.files import snapshot_hash, write_snapshot

__all__ = ["Product", "SHOP", "Shop", "prepare_shop"]


@dataclass(frozen=True, slots=True)
class Product:
    """What a till scans: its code and what one costs, in minor units."""

    code: str
    price_minor: int
    kind: str = "GTIN"


@dataclass(frozen=True, slots=True)
class Shop:
    """What a lane needs to know of the program that it is certified with.

    Attributes
    ----------
    store : str
    card : str
        Of a member; empty: none.
    products : tuple of Product
        The first one is what most steps sell.
    """

    store: str
    card: str
    products: tuple[Product, ...]


SHOP = Shop(
    store="S001",
    card="6029000000000001",
    products=(
        Product("9520000001018", 199),
        Product("9520000001117", 129),
        Product("9520000004118", 799),
    ),
)

#: Members, whose cards are 6029 and their number in twelve digits.
MEMBERS = 20

_PROGRAM = """\
# The program that `checklane certify` serves. Money is in dollars.
program: certify
locale: en
currency: {code: USD, exponent: 2}
purses:
  points: {number: 1}
tiers:
  basic: {number: 0}
issuer_ranges:
  - {kind: card, prefix: "6029", length: 16}
policies:
  returns: prorate
  claw_back: within_balance
  hold_minutes: 60
  return_days: 30
  returns_without_receipt: {most: 10.00, member: required}
  claim_days: 14
"""
OFFERS = """\
- id: soup-3-for-2
  name: Three soups for two
  near_miss: One more soup is free
  buy_get:
    buy: {count: 2, of: {category: GROCERY/SOUP}}
    get: {count: 1, same: true, percent: 100}

- id: pasta-20
  name: 20 % off pasta for members
  who: {members: members}
  discount: {of: {category: GROCERY/PASTA}, percent: 20}

- id: base-points
  name: 10 points for each dollar
  earn: {purse: points, points: 10, per: 1.00}

- id: pay-with-points
  name: Pay with points
  redeem: {purse: points, points: 100, pays: 1.00}

- id: fuel-cents
  name: 5 cents a gallon off, up to ten gallons a day
  limits: {per_member: {uses: 100, window: day}}
  fuel: {amount: 0.05, unit: gallon, floor: 0.999, most: 10, of: {flags: fuel}}
"""
_FEEDS = {
    "products.csv": """\
code_kind,code,name,category,department,brand,vendor,flags,cost,legal_min
gtin,9520000001018,Tomato soup 400 g,GROCERY/SOUP,Grocery,Harbor,Harbor Foods,,0.92,
gtin,9520000001117,Spaghetti 500 g,GROCERY/PASTA,Grocery,Corner,Corner Market,,0.48,
gtin,9520000004118,Ground coffee 340 g,DRINKS/COFFEE,Drinks,Roastery 9,Roastery Nine,,5.10,
sku,FUEL-93,"Premium, gallon",FUEL/PREMIUM,Fuel,,,fuel,3.31,
""",
    "stores.csv": """\
store_id,region,banner,franchise,price_zone,timezone,jurisdiction
S001,north,Corner Market,,city,UTC,
""",
    "members.csv": "member_id,tier,consent\n"
    + "".join(f"M{number:04},basic,true\n" for number in range(1, MEMBERS + 1)),
    "identifiers.csv": "member_id,kind,value\n"
    + "".join(f"M{number:04},card,6029{number:012}\n" for number in range(1, MEMBERS + 1)),
}


def prepare_shop(folder: Path, offers: str = OFFERS) -> Path:
    """Write the shop, build its snapshots, make them live for the next start.

    Parameters
    ----------
    folder : Path
        Gets the feeds, the program and the data directory.
    offers : str
        Other offers than the shop's own, as YAML.

    Returns
    -------
    Path
        The data directory.
    """
    feeds, program, data = folder / "feeds", folder / "program", folder / "data"
    for made in (feeds, program / "offers", data):
        made.mkdir(parents=True, exist_ok=True)
    for name, text in _FEEDS.items():
        (feeds / name).write_text(text)
    (program / "program.yaml").write_text(_PROGRAM)
    (program / "offers" / "offers.yaml").write_text(offers)
    keys = create_keys(data)
    directory = snapshot_directory(data)
    directory.mkdir(parents=True, exist_ok=True)
    catalogue = build_catalogue(
        CatalogueFeeds([feeds / "products.csv"], [feeds / "stores.csv"]), directory
    )
    tables = compile_within(program, open_catalogue(catalogue.path))
    compiled = write_snapshot(directory, "program", tables)
    member_feeds = MemberFeeds([feeds / "members.csv"], [feeds / "identifiers.csv"], [])
    members = build_members(member_feeds, load_vocabulary(program), keys, directory)
    for path in (compiled, members.path):
        kind, content_hash = snapshot_hash(path)
        activate(data, kind, content_hash, int(time.time()), keys)
    return data
