"""Real baskets as quotes, for `checklane bench`: the data set with its own campaigns."""

import random
from pathlib import Path
from typing import Any

from checklane.demo.data import UTC_OFFSET_MINUTES, DataError, Dataset, find_data, read_dataset
from checklane.demo.feeds import card_number, store_id, write_feeds
from checklane.demo.lane import wire_line
from checklane.demo.prepare import prepare
from checklane.demo.program import write_program
from checklane.v1 import basket_pb2, checkout_pb2, common_pb2


def journey_quote(basket: Any, lines: Any) -> bytes:
    """Return a quote of one basket of the data set, as its till would send it at payment.

    Parameters
    ----------
    basket : record of checklane.demo.data.BASKET
    lines : records of checklane.demo.data.LINE
    """
    card = common_pb2.Identifier(
        kind=common_pb2.IDENTIFIER_KIND_CARD, value=card_number(int(basket["household"]))
    )
    message = basket_pb2.Basket(
        store_id=store_id(int(basket["store"])),
        till_id="1",
        identifiers=[card],
        opened_time_unix_ms=int(basket["opened_unix_ms"]),
        utc_offset_minutes=UTC_OFFSET_MINUTES,
        business_date=int(basket["business_date"]),
        lines=[wire_line(number, line) for number, line in enumerate(lines, 1)],
    )
    request = checkout_pb2.QuoteBasketRequest(basket=message)
    return request.SerializeToString(deterministic=True)


def draw_quotes(dataset: Dataset, how_many: int, seed: int) -> list[bytes]:
    """Return quotes of baskets that a seed draws."""
    count = len(dataset.baskets)
    chosen = sorted(random.Random(f"{seed}:journeys").sample(range(count), min(how_many, count)))
    quotes = []
    for basket in dataset.baskets[chosen]:
        first = int(basket["first_line"])
        lines = dataset.lines[first : first + int(basket["line_count"])]
        quotes.append(journey_quote(basket, lines))
    return quotes


def make_journeys(data: Path, how_many: int, seed: int) -> tuple[Path, list[bytes]] | None:
    """Prepare the data set and return the data directory and quotes; None where it is missing.

    Nothing was committed before: every member's limits and coupons are untouched.

    Parameters
    ----------
    data : Path
        The data directory; keys that it has are kept. Feeds and program are made in it too.
    how_many : int
        Quotes, of baskets that the seed draws.
    seed : int
    """
    try:
        source = find_data()
    except DataError:
        return None
    dataset = read_dataset(source)
    feeds = write_feeds(dataset, data / "feeds")
    program = write_program(dataset, data / "program")
    prepare(feeds, program, data, lambda _: None)
    return data, draw_quotes(dataset, how_many, seed)
