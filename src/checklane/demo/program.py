"""Writes the program that the demo runs: the data set's campaigns, and mechanics of ours.

Each coupon of a campaign is a wallet offer: some money off one unit of the products that it is good
for, once a member, paid by the maker. The card prices are one offer with a row a product. Two group
offers compete with them for the same units, so that there is a best deal to find; coupons then come
off what is left. One offer is held back from a tenth of the members.
"""

import json
from hashlib import blake2b
from pathlib import Path

from checklane.demo.data import Campaign, Dataset, Ints
from checklane.demo.feeds import CARD_DIGITS, CARD_PREFIX, offer_id

#: The purses of the program, in the order in which sums of points are kept.
PURSES = ("points", "stamps")
CAMPAIGN_PREFIX = "campaign-"
MEMBER_PRICES = "member-prices"
#: What an offer does, in the words of the summary; anything else is a campaign's coupon.
MECHANICS = {
    MEMBER_PRICES: "member prices",
    "yogurt-ten": "ten for a price",
    "soup-two-and-one": "cheapest of three free",
    "baby-week": "percent off",
    "spend-hundred": "basket threshold",
}

PROGRAM = f"""\
# The program of `checklane demo`. Money is in dollars.
program: complete-journey
locale: en
currency: {{code: USD, exponent: 2}}
purses:
  points: {{number: 1}}
  stamps: {{number: 2}}
tiers:
  basic: {{number: 0}}
  gold: {{number: 1}}
segments:
  kids: {{number: 0}}
issuer_ranges:
  - {{kind: card, prefix: "{CARD_PREFIX}", length: {CARD_DIGITS}}}
policies:
  returns: prorate
  claw_back: within_balance
"""

OURS = f"""\
# Card prices: the usual price of each product with the card, as rows.
- id: {MEMBER_PRICES}
  name: Member price
  who: {{members: members}}
  row_prices: {{file: member-prices.csv}}

# These two compete with the card prices for the same units: the best deal for the customer wins.
- id: yogurt-ten
  name: Ten yogurts for 4.00
  near_miss: Ten yogurts cost 4.00
  group_price: {{count: 10, of: {{category: GROCERY/YOGURT}}, price: 4.00}}
- id: soup-two-and-one
  name: Buy two soups, the cheapest of three is free
  who: {{members: members}}
  limits: {{per_basket: {{times: 4}}}}
  buy_get:
    buy: {{count: 2, of: {{category: GROCERY/SOUP}}}}
    get: {{count: 1, same: true, percent: 100}}

# Held back from one member in ten, to see what it does.
- id: baby-week
  name: 10 % off baby food
  control_percent: 10
  who: {{segments: {{any: kids}}}}
  discount: {{of: {{category: DRUG GM/BABY FOODS}}, percent: 10}}

- id: spend-hundred
  name: 5.00 off a basket of 100.00, once a week
  limits: {{per_member: {{uses: 1, window: week}}}}
  threshold: {{spend: 100.00, reward: {{amount: 5.00}}}}

- id: base
  name: One point for each dollar
  earn: {{purse: points, points: 1, per: 1.00}}
- id: gold
  name: Gold members get half as much again
  who: {{tiers: gold}}
  multiply: {{purse: points, by: 1.5}}
- id: produce-stamp
  name: A stamp for each visit with fresh produce
  bonus: {{purse: stamps, points: 1, once_a_visit: true, of: {{department: PRODUCE}}}}
"""


#: An offer that changes the program's hash and nothing else.
ENDED = """\
- id: ended
  name: Over long ago
  when: {from: 2001-01-01, until: 2001-01-02}
  discount: {of: {department: GROCERY}, percent: 1}
"""


def mechanic_of(offer: str) -> str:
    """Return what an offer does, in the words of the summary."""
    return MECHANICS.get(offer, "campaign coupons")


def write_program(dataset: Dataset, folder: Path) -> Path:
    """Write the program's directory.

    Parameters
    ----------
    dataset : Dataset
    folder : Path
        Made when it is not there.

    Returns
    -------
    Path
        The folder, with ``program.yaml`` and ``offers/``.
    """
    write_ours(dataset, folder)
    offers = folder / "offers"
    (offers / "goods").mkdir(exist_ok=True)
    for campaign in dataset.campaigns:
        texts = [
            _coupon_offer(campaign, upc, goods, dataset.coupon_worth[campaign.number, upc], offers)
            for upc, goods in sorted(campaign.coupons.items())
        ]
        if texts:
            path = offers / f"{CAMPAIGN_PREFIX}{campaign.number:02d}.yaml"
            path.write_text(f"# Campaign {campaign.number}, {campaign.kind}.\n" + "".join(texts))
    return folder


def write_ours(dataset: Dataset, folder: Path, *, policies: str = "") -> None:
    """Write a program of our own mechanics alone.

    Parameters
    ----------
    dataset : Dataset
    folder : Path
        Made when it is not there.
    policies : str
        More policies, as the rest of their mapping.
    """
    offers = folder / "offers"
    offers.mkdir(parents=True, exist_ok=True)
    (folder / "program.yaml").write_text(PROGRAM + policies)
    (offers / "ours.yaml").write_text(OURS)
    rows = [f"sku:{code},{price // 100}.{price % 100:02d}" for code, price in _card_rows(dataset)]
    (offers / "member-prices.csv").write_text("\n".join(["item,price", *rows]) + "\n")


def _card_rows(dataset: Dataset) -> list[tuple[int, int]]:
    return sorted(dataset.card_prices.items())


def _coupon_offer(campaign: Campaign, upc: int, goods: Ints, worth_minor: int, offers: Path) -> str:
    """Return the offer of one coupon, and write the list of its products."""
    items = "item\n" + "".join(f"sku:{product}\n" for product in goods.tolist())
    # Coupons come back in later campaigns with the same products: one list serves them all.
    name = f"goods/{blake2b(items.encode(), digest_size=8).hexdigest()}.csv"
    path = offers / name
    if not path.exists():
        path.write_text(items)
    worth = f"{worth_minor // 100}.{worth_minor % 100:02d}"
    return (
        f"- id: {offer_id(campaign.number, upc)}\n"
        f"  name: {json.dumps(f'{worth} off, campaign {campaign.number}')}\n"
        "  class: 10\n"
        "  stackable: true\n"
        "  wallet: true\n"
        f"  when: {{from: {campaign.from_day}, until: {campaign.until_day}}}\n"
        "  limits: {per_basket: {units: 1}, per_member: {uses: 1}}\n"
        "  funding: [{funder: maker, percent: 100, settlement: third_party}]\n"
        f"  discount: {{of: {{items_file: {name}}}, amount: {worth}}}\n"
    )
