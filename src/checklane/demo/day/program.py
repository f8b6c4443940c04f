"""The programs of the day: the year's own offers, and what only a day at the till needs.

The year's campaigns are over. The second program decides the same as the first; it is there to be
made live while baskets are put aside.
"""

from pathlib import Path

from checklane.demo.data import Dataset
from checklane.demo.program import ENDED, write_ours

__all__ = ["CARD_PURSE", "PAY", "write_programs"]

#: The purse that is spent, and the offer by which it pays.
CARD_PURSE = "points"
PAY = "pay-with-points"

POLICIES = """\
  claim_days: 7
  hold_minutes: 30
  returns_without_receipt: {most: 20.00, member: required}
"""

OFFERS = """\
- id: pay-with-points
  name: Pay with points
  redeem: {purse: points, points: 10, pays: 0.10}

- id: credit-card
  name: 1 % off with a credit card, paid by its bank
  tender: {with: {kinds: credit_card}, spend: 10.00, percent: 1}
  funding: [{funder: bank, percent: 100, settlement: tender}]

- id: issue-next-time
  name: A coupon for the next visit with each basket of 5.00
  limits: {per_basket: {times: 1}}
  requires: {spend: 5.00}
  issue: {coupon: next-time, valid_days: 28}

- id: next-time
  name: 1.00 off, paid by the maker
  coupon: {codes: NEXT-TIME, serial: true, issued: true, kind: store}
  funding: [{funder: maker, percent: 100, settlement: third_party}]
  threshold: {spend: 1.00, reward: {amount: 1.00}}

- id: cash
  name: 5 cents a gallon off for cash
  fuel: {amount: 0.05, unit: gallon, floor: 1.999, levels: cash, of: {flags: fuel}}
- id: by-step
  name: Points at the pump in whole steps
  fuel:
    of: {flags: fuel}
    purse: points
    points: 10
    amount: 0.10
    unit: gallon
    floor: 0.999
    most: 20
- id: by-volume
  name: Points at the pump by the volume
  fuel:
    of: {flags: fuel}
    purse: points
    points: 10
    amount: 0.10
    unit: gallon
    floor: 0.999
    most: 20
    consume: by_volume
"""


def write_programs(dataset: Dataset, folder: Path) -> tuple[Path, Path]:
    """Write both programs and return their folders, in the order in which they go live."""
    written = []
    for number in range(2):
        program = folder / str(number)
        write_ours(dataset, program, policies=POLICIES)
        (program / "offers" / "day.yaml").write_text(OFFERS)
        written.append(program)
    (written[1] / "offers" / "ended.yaml").write_text(ENDED)
    return written[0], written[1]
