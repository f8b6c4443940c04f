"""Real baskets as quotes, for `checklane bench`: the data set with its own campaigns."""

import random
from pathlib import Path
from typing import Any

from checklane.demo.data import UTC_OFFSET_MINUTES, DataError, Dataset, find_data, read_dataset
from checklane.demo.feeds import card_number, store_id, write_feeds
from checklane.demo.lane import wire_line
from checklane.demo.prepare import prepare
from checklane.demo.program import ENDED, write_program
from checklane.program import compile_program
from checklane.snapshot.store import read_live, snapshot_directory
from checklane.tables.catalogue_tables import open_catalogue
from checklane.tables.files import snapshot_name, write_snapshot
from checklane.v1 import basket_pb2, checkout_pb2, common_pb2


def journey_quote(basket: Any, lines: Any) -> bytes:
    """Return a quote of one basket of the data set, as its till would send it at payment.

    Parameters
    ----------
    basket : record of checklane.demo.data.BASKET
    lines : records of checklane.demo.data.LINE
    """
    request = checkout_pb2.QuoteBasketRequest(basket=journey_basket(basket, lines, "1"))
    return request.SerializeToString(deterministic=True)


def journey_basket(basket: Any, lines: Any, till: str) -> basket_pb2.Basket:
    """Return one basket of the data set, as it stands at payment."""
    card = common_pb2.Identifier(
        kind=common_pb2.IDENTIFIER_KIND_CARD, value=card_number(int(basket["household"]))
    )
    return basket_pb2.Basket(
        store_id=store_id(int(basket["store"])),
        till_id=till,
        identifiers=[card],
        opened_time_unix_ms=int(basket["opened_unix_ms"]),
        utc_offset_minutes=UTC_OFFSET_MINUTES,
        business_date=int(basket["business_date"]),
        lines=[wire_line(number, line) for number, line in enumerate(lines, 1)],
    )


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
    dataset = _prepare(data)
    if dataset is None:
        return None
    return data, draw_quotes(dataset, how_many, seed)


def make_store(
    data: Path, lanes: int, calls_a_lane: int, seed: int
) -> tuple[list[list[basket_pb2.Basket]], Path] | None:
    """Prepare the data set and return each lane's baskets by time; None where it is missing.

    A household shops at one lane only, so that what one lane commits changes no other's decisions.

    Parameters
    ----------
    data : Path
        The data directory. Feeds and programs are made in it too.
    lanes : int
    calls_a_lane : int
        Enough baskets for so many calls: a quote for each line and a commit.
    seed : int
        Draws the households.

    Returns
    -------
    tuple or None
        The baskets, and a program that is not live and decides the same: it has an offer more,
        which ended long ago.
    """
    dataset = _prepare(data)
    if dataset is None:
        return None
    following = write_program(dataset, data / "program-next")
    (following / "offers" / "ended.yaml").write_text(ENDED)
    directory = snapshot_directory(data)
    live = read_live(data).now.catalogue
    assert live is not None
    catalogue = open_catalogue(directory / snapshot_name("catalogue", live))
    tables = compile_program(following, catalogue)
    return _by_lane(dataset, lanes, calls_a_lane, seed), write_snapshot(
        directory, "program", tables
    )


def _prepare(data: Path) -> Dataset | None:
    """Read the data set and make its feeds and program live in a data directory."""
    try:
        source = find_data()
    except DataError:
        return None
    dataset = read_dataset(source)
    feeds = write_feeds(dataset, data / "feeds")
    prepare(feeds, write_program(dataset, data / "program"), data, lambda _: None)
    return dataset


def _by_lane(
    dataset: Dataset, lanes: int, calls_a_lane: int, seed: int
) -> list[list[basket_pb2.Basket]]:
    """Return baskets of households that the seed draws, each household's all at one lane."""
    households = dataset.households.tolist()
    random.Random(f"{seed}:store").shuffle(households)
    lane_of = {household: number % lanes for number, household in enumerate(households)}
    baskets: list[list[basket_pb2.Basket]] = [[] for _ in range(lanes)]
    calls = [0] * lanes
    for row in dataset.baskets:
        lane = lane_of[int(row["household"])]
        if calls[lane] >= calls_a_lane:
            continue
        first, count = int(row["first_line"]), int(row["line_count"])
        lines = dataset.lines[first : first + count]
        baskets[lane].append(journey_basket(row, lines, f"lane-{lane}"))
        calls[lane] += count + 1
    return baskets
