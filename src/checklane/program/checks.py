"""What the models cannot see: whether the parts of a program fit together and to the catalogue."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import numpy as np
from pydantic_core import PydanticCustomError

from checklane._layout import OFFER_SLOTS_MAX, PROGRESS_MAX, STORES_MAX
from checklane.program.codes import code_fault, near_gtins, product_codes
from checklane.program.fields import MINUTES_A_DAY, exact_number
from checklane.program.load import LoadedProgram
from checklane.program.mechanics import mechanic_slots, pays_steps, progress_decimals
from checklane.program.model import (
    CHANNELS,
    Limits,
    Offer,
    Progress,
    Selector,
    Weekday,
    When,
    WindowLimit,
)
from checklane.program.problems import Problem, did_you_mean, list_names
from checklane.program.rows import (
    Cell,
    PriceRow,
    read_families,
    read_items,
    read_prices,
    resolve_file,
)
from checklane.program.selectors import normal_path, walk
from checklane.program.yaml_tree import Path_
from checklane.tables.catalogue_tables import CatalogueTables
from checklane.tables.hashing import name_keys

#: Points of one step or bonus, in smallest units: 5.12 * 10^8 units in a basket times 10^10 are
#: 5.1 * 10^18, inside 63 bits.
POINTS_MAX = 10_000_000_000
#: The same of points that pay: 32 bits of an offer's record.
POINTS_STEP_MAX = 4_000_000_000
#: Unknown items of one list that are named one by one.
UNKNOWN_ITEMS_TOLD = 20
WEEKDAYS = get_args(Weekday)
#: 1970-01-01 was a Thursday.
EPOCH_WEEKDAY = 3
ALLOWED_LAYERS = {
    "discount": ("item", "basket"),
    "buy_get": ("item", "basket"),
    "nth_item": ("item", "basket"),
    "group_price": ("item", "basket"),
    "coverage": ("item", "basket"),
    "row_prices": ("item", "basket"),
    "threshold": ("basket",),
    "redeem": ("redemption",),
    "tender": ("tender",),
    "fuel": ("item",),
    "scanned": ("item",),
    "earn": ("earn",),
    "bonus": ("earn",),
    "multiply": ("earn",),
    "issue": ("earn",),
    "referral": ("earn",),
}
BY_TIMES = ("buy_get", "nth_item", "group_price", "coverage", "bonus", "issue")
BY_UNITS = ("discount", "row_prices")
WITH_FACE_VALUE = ("discount", "buy_get", "nth_item", "threshold")


@dataclass
class Attachments:
    """What the files beside the offers say.

    Attributes
    ----------
    items : dict of (folder, name) to list of str
        Product codes of items files.
    prices : dict of int to list of PriceRow
        Rows by the number of the offer in the loaded program.
    families : dict of int to list of (Cell, int)
        Item and family code of scanned coupons, likewise.
    """

    items: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    prices: dict[int, list[PriceRow]] = field(default_factory=dict)
    families: dict[int, list[tuple[Cell, int]]] = field(default_factory=dict)


def selectors_of(offer: Offer) -> Iterator[tuple[Path_, Selector]]:
    """Yield the selectors of an offer in the order of its slots, with their paths of keys."""
    if offer.discount is not None:
        yield ("discount", "of"), offer.discount.of
    elif offer.buy_get is not None:
        for index, part in enumerate(offer.buy_get.buy):
            several = len(offer.buy_get.buy) > 1
            yield ("buy_get", "buy", *((index,) if several else ()), "of"), part.of
        if offer.buy_get.get.of is not None:
            yield ("buy_get", "get", "of"), offer.buy_get.get.of
    elif offer.coverage is not None:
        yield ("coverage", "of"), offer.coverage.of
    elif offer.nth_item is not None:
        yield ("nth_item", "of"), offer.nth_item.of
    elif offer.group_price is not None:
        for index, place in enumerate(offer.group_price.places):
            slots = offer.group_price.slots is not None
            yield ("group_price", *(("slots", index) if slots else ()), "of"), place.of
    elif offer.threshold is not None:
        yield ("threshold", "of"), offer.threshold.of
        key = "gift" if offer.threshold.reward.gift is not None else "of"
        yield ("threshold", "reward", key), offer.threshold.reward.products
    elif offer.redeem is not None:
        yield ("redeem", "of"), offer.redeem.of
    elif offer.tender is not None:
        yield ("tender", "of"), offer.tender.of
    elif offer.fuel is not None:
        yield ("fuel", "of"), offer.fuel.of
    elif offer.scanned is not None:
        yield ("scanned", "of"), offer.scanned.of
    elif offer.earn is not None:
        yield ("earn", "of"), offer.earn.of
    elif offer.bonus is not None:
        yield ("bonus", "of"), offer.bonus.of
    elif offer.multiply is not None:
        yield ("multiply", "of"), offer.multiply.of
    elif offer.issue is not None:
        yield ("issue", "of"), offer.issue.of
    elif offer.referral is not None:
        yield ("referral", "of"), offer.referral.of
    for index, need in enumerate(offer.requires or []):
        several = len(offer.requires or []) > 1
        yield ("requires", *((index,) if several else ()), "of"), need.of


def check_program(loaded: LoadedProgram, catalogue: CatalogueTables | None) -> Attachments:
    """Judge a program; problems go to ``loaded.problems``.

    Parameters
    ----------
    loaded : LoadedProgram
    catalogue : CatalogueTables or None
        Without one, references to products and stores are not looked up.

    Returns
    -------
    Attachments
        What the files beside the offers say.
    """
    attachments = Attachments()
    names = CatalogueNames(catalogue) if catalogue is not None else None
    check_numbers(loaded)
    check_purses(loaded)
    check_progress(loaded)
    check_exclusions(loaded)
    check_unique(loaded)
    for number, offer in enumerate(loaded.offers):
        check_references(loaded, number, offer)
        check_shape(loaded, number, offer)
        check_benefits(loaded, number, offer)
        check_points(loaded, number, offer)
        check_window(loaded, number, offer)
        check_meetable(loaded, number, offer)
        read_attachments(loaded, number, offer, attachments)
        if names is not None:
            names.check_offer(loaded, number, offer, attachments)
    if names is not None:
        names.check_progress(loaded)
        names.check_exclusions(loaded)
    if catalogue is not None and len(catalogue.store_ids) > STORES_MAX:
        what = f"the catalogue has {len(catalogue.store_ids)} stores, more than {STORES_MAX}"
        loaded.blame(None, (), what, "split the program by banner")
    return attachments


def check_numbers(loaded: LoadedProgram) -> None:
    """Refuse a number that two purses, tiers, segments or channels share."""
    program = loaded.program
    spaces: dict[str, dict[str, int]] = {
        "purses": {name: purse.number for name, purse in program.purses.items()},
        "tiers": {name: tier.number for name, tier in program.tiers.items()},
        "segments": {name: segment.number for name, segment in program.segments.items()},
        "channels": {name: channel.number for name, channel in program.channels.items()},
    }
    for space, numbers in spaces.items():
        owner: dict[int, str] = {}
        for name, number in numbers.items():
            if number in owner:
                free = min(set(range(1, len(numbers) + 2)) - set(numbers.values()))
                what = f"number {number} belongs to '{owner[number]}' already"
                mend = f"take a free number, such as {free}"
                if space == "channels":
                    mend = "see the contract's enum Channel: " + ", ".join(
                        f"{n} {channel}" for channel, n in CHANNELS.items()
                    )
                loaded.blame(None, (space, name, "number"), what, mend)
            owner.setdefault(number, name)
    for index, issuer in enumerate(program.issuer_ranges):
        if issuer.length_max is not None and issuer.length_max < issuer.length:
            path: Path_ = ("issuer_ranges", index, "length_max")
            loaded.blame(None, path, "the range of lengths is empty", "swap the two lengths")
        if len(issuer.prefix) > (issuer.length_max or issuer.length):
            path = ("issuer_ranges", index, "prefix")
            loaded.blame(None, path, "the prefix is longer than a value", "correct the length")


def check_purses(loaded: LoadedProgram) -> None:
    """Judge what points are worth."""
    for name, purse in loaded.program.purses.items():
        if purse.worth is not None:
            path: Path_ = ("purses", name, "worth", "points")
            points = points_of(loaded, None, path, purse.worth.points, purse.decimals)
            if points == 0:
                loaded.blame(None, path, "0 points are worth something", "write at least 1")


def check_progress(loaded: LoadedProgram) -> None:
    """Judge the counts towards goals, and the tiers that they lead to."""
    program = loaded.program
    wallets = {offer.id: offer.wallet for offer in loaded.offers}
    for name, progress in program.progress.items():
        check_reward(loaded, name, progress, wallets)
        base: Path_ = ("progress", name, "of")
        check_selector_shape(loaded, None, base, progress.of)
        for inner_path, inner in walk(base, progress.of):
            if inner.items_file is not None:
                what = "a progress has no files beside it"
                loaded.blame(None, (*inner_path, "items_file"), what, "write items")
        if progress.purse is not None and progress.purse not in program.purses:
            unknown(loaded, None, ("progress", name, "purse"), "purse", progress.purse,
                    program.purses)  # fmt: skip
        if progress.goal is not None:
            path: Path_ = ("progress", name, "goal")
            if goal_of(loaded, path, progress.goal, progress) == 0:
                loaded.blame(None, path, "a goal of 0 is none", "write a goal above 0")
    if len(program.progress) > PROGRESS_MAX:
        what = f"{len(program.progress)} counts, more than {PROGRESS_MAX}"
        loaded.blame(None, ("progress",), what, "remove some that no offer and no tier asks for")
    for name, tier in program.tiers.items():
        if tier.reached_by is None:
            continue
        base = ("tiers", name, "reached_by")
        known = program.progress.get(tier.reached_by.progress)
        if known is None:
            unknown(loaded, None, (*base, "progress"), "progress", tier.reached_by.progress,
                    program.progress)  # fmt: skip
        else:
            goal_of(loaded, (*base, "goal"), tier.reached_by.goal, known)
            if known.window in ("day", "week"):
                what = f"a tier by {known.window}"
                loaded.blame(None, (*base, "progress"), what, "count by month, year or rolling")


def check_exclusions(loaded: LoadedProgram) -> None:
    """Judge what is kept out of promotions: products, wherever they are sold."""
    for index, rule in enumerate(loaded.program.exclusions):
        base: Path_ = ("exclusions", index, "of")
        check_selector_shape(loaded, None, base, rule.of)
        for path, inner in walk(base, rule.of):
            for key in ("unit_price", "line", "items_file"):
                if getattr(inner, key) is not None:
                    what = f"an exclusion is about products, not {key}"
                    mend = "write items" if key == "items_file" else "remove it"
                    loaded.blame(None, (*path, key), what, mend, at_key=True)


def check_reward(
    loaded: LoadedProgram, name: str, progress: Progress, wallets: dict[str, bool]
) -> None:
    """Judge what a goal gives."""
    path: Path_ = ("progress", name, "reward")
    if progress.reward is not None and progress.reward not in wallets:
        mend = did_you_mean(progress.reward, wallets, "write the id of an offer")
        loaded.blame(None, path, f"unknown offer '{progress.reward}'", mend)
    elif progress.reward is not None and not wallets[progress.reward]:
        what = f"the offer '{progress.reward}' is for everybody, granted or not"
        loaded.blame(None, path, what, "give that offer wallet: true")
    given = progress.reward_points
    if given is None:
        return
    purse = loaded.program.purses.get(given.purse)
    base: Path_ = ("progress", name, "reward_points")
    if purse is None:
        unknown(loaded, None, (*base, "purse"), "purse", given.purse, loaded.program.purses)
    elif points_of(loaded, None, (*base, "points"), given.points, purse.decimals) == 0:
        loaded.blame(None, (*base, "points"), "0 points are no reward", "write more, or remove it")


def goal_of(loaded: LoadedProgram, path: Path_, text: str, progress: Progress) -> int | None:
    """Return a goal in the unit of its measure; a problem when it has too many decimals."""
    return points_of(loaded, None, path, text, progress_decimals(progress, loaded.program))


def points_of(
    loaded: LoadedProgram, number: int | None, path: Path_, text: str, decimals: int
) -> int | None:
    """Return a number in its smallest unit; None and a problem when it has too many decimals."""
    try:
        return exact_number(text, decimals, "a number", "10" if decimals == 0 else "0.5")
    except PydanticCustomError as error:
        context = error.context or {}
        loaded.blame(number, path, context["what"], context["mend"])
        return None


def check_unique(loaded: LoadedProgram) -> None:
    """Refuse an offer id or a coupon that two offers share."""
    by_id: dict[str, int] = {}
    by_coupon: dict[str, int] = {}
    for number, offer in enumerate(loaded.offers):
        if offer.id in by_id:
            first = loaded.place_of(by_id[offer.id])
            what = f"the id '{offer.id}' is taken, in {first}"
            loaded.blame(number, ("id",), what, "give this offer an id of its own")
        by_id.setdefault(offer.id, number)
        for index, code in enumerate(offer.coupon.codes if offer.coupon else []):
            if code in by_coupon:
                owner = loaded.offers[by_coupon[code]].id
                what = f"the coupon '{code}' opens offer '{owner}' already"
                mend = "give each offer coupon codes of its own"
                loaded.blame(number, ("coupon", "codes", index), what, mend)
            by_coupon.setdefault(code, number)
    keys = name_keys("offer", sorted(by_id))
    if len(np.unique(keys)) != len(keys):
        loaded.blame(None, (), "two offer ids hash to one key", "rename the newest offer")
    coupon_keys = name_keys("coupon", sorted(by_coupon))
    if len(np.unique(coupon_keys)) != len(coupon_keys):
        loaded.blame(None, (), "two coupon codes hash to one key", "rename the newest coupon")


def unknown(
    loaded: LoadedProgram,
    number: int | None,
    path: Path_,
    what: str,
    name: str,
    known: Iterable[str],
) -> None:
    """Keep the problem of a name that nothing has; the remedy names the nearest."""
    known = list(known)
    otherwise = f"known: {list_names(known)}" if known else f"declare it in program.yaml ({what})"
    loaded.blame(number, path, f"unknown {what} '{name}'", did_you_mean(name, known, otherwise))


def check_references(loaded: LoadedProgram, number: int, offer: Offer) -> None:
    """Look up what an offer names in the program file."""
    program = loaded.program
    for mechanic in ("earn", "bonus", "multiply", "redeem", "fuel", "referral"):
        part = getattr(offer, mechanic)
        if part is not None and part.purse is not None and part.purse not in program.purses:
            unknown(loaded, number, (mechanic, "purse"), "purse", part.purse, program.purses)
    lists: list[tuple[Path_, str, Sequence[str] | None, Iterable[str]]] = [
        (("who", "tiers"), "tier", offer.who.tiers, program.tiers),
        (("where", "channels"), "channel", offer.where.channels, program.channels),
    ]
    rule = offer.who.segments
    if rule is not None:
        for key, segments in (("any", rule.any_), ("all", rule.all_), ("none", rule.none_)):
            lists.append((("who", "segments", key), "segment", segments, program.segments))
    if offer.who.progress is not None:
        rule_path: Path_ = ("who", "progress")
        counted = program.progress.get(offer.who.progress.of)
        if counted is None:
            named = offer.who.progress.of
            unknown(loaded, number, (*rule_path, "of"), "progress", named, program.progress)
        else:
            decimals = progress_decimals(counted, program)
            for key in ("at_least", "below"):
                text = getattr(offer.who.progress, key)
                if text is not None:
                    points_of(loaded, number, (*rule_path, key), text, decimals)
    for path, what, names, known in lists:
        for index, name in enumerate(names or []):
            if name not in known:
                unknown(loaded, number, (*path, index), what, name, known)


def check_shape(loaded: LoadedProgram, number: int, offer: Offer) -> None:
    """Refuse settings that the mechanic of an offer cannot follow."""
    mechanic = offer.mechanic
    allowed = ALLOWED_LAYERS[mechanic]
    if offer.fuel is not None and offer.fuel.purse is not None:
        allowed = ("redemption",)
    if offer.layer_name not in allowed:
        mend = f"write {' or '.join(allowed)}, or remove it"
        loaded.blame(number, ("layer",), f"{mechanic} has no place in this layer", mend)
    basket = offer.limits.per_basket
    if basket is not None:
        if basket.units is not None and mechanic not in BY_UNITS:
            path: Path_ = ("limits", "per_basket", "units")
            loaded.blame(number, path, f"{mechanic} is not limited by units", "write times")
        by_times = mechanic in BY_TIMES or (
            offer.threshold is not None and offer.threshold.reward.amount is not None
        )
        by_times |= offer.redeem is not None and offer.redeem.item
        by_times |= pays_steps(offer)
        if basket.times is not None and not by_times:
            path = ("limits", "per_basket", "times")
            mend = "write units" if mechanic in BY_UNITS else "remove it"
            loaded.blame(number, path, f"{mechanic} is not limited by times", mend)
        if basket.money is not None and offer.layer_name == "earn":
            path = ("limits", "per_basket", "money")
            loaded.blame(number, path, f"{mechanic} takes no money off", "remove it")
    check_spend_limits(loaded, number, offer)
    check_choice(loaded, number, offer)
    check_coupon(loaded, number, offer)
    check_issue(loaded, number, offer)
    if offer.redeem is not None:
        check_redemption(loaded, number, offer)
    if offer.fuel is not None:
        check_fuel(loaded, number, offer)
    check_stacking(loaded, number, offer)
    check_scanned(loaded, number, offer)
    shares = sum(share.percent for share in offer.funding or [])
    if offer.funding is not None and shares != 10_000:
        what = f"the shares make {shares / 100:g} percent"
        loaded.blame(number, ("funding",), what, "make them 100")
    if offer.who.members == "non_members" and offer.for_members_only:
        mend = "write members: members, or remove the wallet or the limit per member"
        loaded.blame(number, ("who", "members"), "only members can have this offer", mend)
    for path, selector in selectors_of(offer):
        check_selector_shape(loaded, number, path, selector)


def check_redemption(loaded: LoadedProgram, number: int, offer: Offer) -> None:
    """Refuse what bounds a discount: points pay, and to the end of a price."""
    refused: tuple[tuple[bool, Path_], ...] = (
        (offer.floor_price > 0, ("floor_price",)),
        (offer.floor.cost or offer.floor.margin_percent is not None, ("floor",)),
        (offer.limits.per_unit is not None, ("limits", "per_unit")),
        (offer.limits.per_product is not None, ("limits", "per_product")),
        (offer.limits.whole, ("limits", "whole")),
    )
    for is_there, path in refused:
        if is_there:
            loaded.blame(number, path, "points pay to the end of a price", "remove it")


def check_fuel(loaded: LoadedProgram, number: int, offer: Offer) -> None:
    """Refuse what bounds units sold: fuel has a price, a floor and a ceiling by measure."""
    what = "a fill is one unit, whose price is by measure"
    refused: tuple[tuple[bool, Path_, str], ...] = (
        (offer.floor_price > 0, ("floor_price",), "write fuel.floor"),
        (offer.base == "initial", ("base",), "remove it"),
        (offer.reshare, ("reshare",), "remove it"),
        (offer.limits.per_unit is not None, ("limits", "per_unit"), "write fuel.most"),
    )
    for is_there, path, mend in refused:
        if is_there:
            loaded.blame(number, path, what, mend)
    if offer.stack_after is not None:
        stacked = "fuel offers apply one after the other already"
        loaded.blame(number, ("stack_after",), stacked, "say the order by class and priority")
    for path, limit in window_limits(offer):
        if limit.units is not None:
            loaded.blame(number, (*path, "units"), what, "write uses or money")


def check_selector_shape(
    loaded: LoadedProgram, number: int | None, path: Path_, selector: Selector
) -> None:
    """Refuse what no selector can be: a price inside, a code that is none."""
    for inner_path, inner in walk(path, selector):
        for key in ("unit_price", "line"):
            if getattr(inner, key) is not None and inner_path != path:
                mend = "move it to the top of the selector"
                loaded.blame(number, (*inner_path, key), f"{key} stands inside", mend, at_key=True)
        for index, code in enumerate(inner.items or []):
            fault = code_fault(code)
            if fault is not None:
                loaded.blame(number, (*inner_path, "items", index), *fault)


def check_benefits(loaded: LoadedProgram, number: int, offer: Offer) -> None:
    """Refuse an offer that depends on a benefit tender without a waiver."""
    if offer.tender is None or offer.waiver is not None:
        return
    rule, declared = offer.tender.with_, loaded.program.benefit_tenders
    lists: list[tuple[str, Sequence[str], Sequence[str]]] = [
        ("kinds", rule.kinds or [], declared.kinds),
        ("schemes", rule.schemes or [], declared.schemes),
    ]
    for key, asked, benefits in lists:
        for index, name in enumerate(asked):
            if name in benefits:
                what = f"the offer depends on the benefit tender '{name}'"
                mend = "remove it, or name the waiver that allows it: waiver: TEXT"
                loaded.blame(number, ("tender", "with", key, index), what, mend)
    if rule.kinds is None and declared.kinds:
        what = "the offer asks for no kind of tender, so a benefit card may meet it"
        mend = "add kinds, such as credit_card and debit_card"
        loaded.warn(number, ("tender", "with"), what, mend)


def check_coupon(loaded: LoadedProgram, number: int, offer: Offer) -> None:
    """Refuse what a coupon asks for where the mechanic has no units or no amount."""
    coupon = offer.coupon
    if coupon is None:
        return
    if coupon.kind is not None and offer.layer_name not in ("item", "basket"):
        what = "an offer that takes nothing off units has no kind of coupon"
        loaded.blame(number, ("coupon", "kind"), what, "remove it")
    if coupon.above_price == "refuse" and offer.mechanic not in WITH_FACE_VALUE:
        what = f"{offer.mechanic} has no face value to compare with a price"
        loaded.blame(number, ("coupon", "above_price"), what, "remove it")


def check_issue(loaded: LoadedProgram, number: int, offer: Offer) -> None:
    """Judge the coupons that sales issue: that there is an offer for them, and one that does."""
    by_id = {other.id: other for other in loaded.offers}
    if offer.issue is not None:
        path: Path_ = ("issue", "coupon")
        name = offer.issue.coupon
        opened = by_id.get(name)
        if opened is None:
            unknown(loaded, number, path, "offer", name, by_id)
        elif opened.coupon is None or not opened.coupon.issued:
            what = f"the offer '{name}' takes no coupons that a sale issues"
            mend = "give that offer coupon: {codes: CODE, serial: true, issued: true}"
            loaded.blame(number, path, what, mend)
    if offer.coupon is not None and offer.coupon.issued:
        issuers = (other.issue for other in loaded.offers if other.issue is not None)
        if not any(issue.coupon == offer.id for issue in issuers):
            what = "the offer can never apply: no offer issues its coupons"
            mend = f"let an offer issue them, with issue: {{coupon: {offer.id}}}"
            loaded.warn(number, ("coupon", "issued"), what, mend)


def check_scanned(loaded: LoadedProgram, number: int, offer: Offer) -> None:
    """Refuse what an offer for scanned coupons cannot have: they bring their own rules."""
    if offer.scanned is None:
        return
    for key in ("coupon", "exclusive", "reshare", "rounding"):
        if getattr(offer, key):
            what = f"{key} has no place here: each coupon brings its own rules"
            loaded.blame(number, (key,), what, "remove it")
    if offer.limits != Limits():
        loaded.blame(number, ("limits",), "scanned coupons have no limits", "remove it")
    if len(offer.funding or []) > 1:
        loaded.blame(number, ("funding",), "one funder pays for a scanned coupon", "keep one")
    if loaded.program.currency.exponent != 2:
        what = "the values of these coupons are hundredths, which the currency has not"
        loaded.blame(number, ("scanned",), what, "remove the offer")
    for other in loaded.offers[:number]:
        if other.scanned is not None and other.scanned.coupons == offer.scanned.coupons:
            what = f"the offer '{other.id}' takes these coupons already"
            loaded.blame(number, ("scanned",), what, "keep one of the two")


def check_spend_limits(loaded: LoadedProgram, number: int, offer: Offer) -> None:
    """Refuse a limit on what units cost where an offer takes nothing off units."""
    for path, limit in window_limits(offer):
        if limit.spend is not None and offer.layer_name not in ("item", "basket"):
            what = f"{offer.mechanic} is not limited by what units cost"
            loaded.blame(number, (*path, "spend"), what, "write uses or money")


def window_limits(offer: Offer) -> Iterator[tuple[Path_, WindowLimit]]:
    """Yield the limits of an offer in a span of time, with their paths of keys."""
    for scope in ("per_member", "per_household", "per_card", "per_store", "overall"):
        limits = getattr(offer.limits, scope) or []
        for index, limit in enumerate(limits):
            yield ("limits", scope, *((index,) if len(limits) > 1 else ())), limit


def check_choice(loaded: LoadedProgram, number: int, offer: Offer) -> None:
    """Refuse choices of units that the mechanic cannot make, and too many slots."""
    places = len(mechanic_slots(number, offer)) + len(offer.requires or [])
    if places > OFFER_SLOTS_MAX:
        what = f"the offer has {places} groups of products, more than {OFFER_SLOTS_MAX}"
        loaded.blame(number, ("requires",), what, "require fewer things")
    product = offer.limits.per_product
    reward = offer.threshold.reward if offer.threshold is not None else None
    on_units = offer.discount is not None or (
        reward is not None and reward.amount is None and reward.price is None
    )
    if product is not None and not on_units:
        what = f"{offer.mechanic} is not limited by product"
        loaded.blame(number, ("limits", "per_product"), what, "remove it")
    if product is not None and product.money is not None and offer.reshare:
        what = "what a product cannot give would be taken off the others"
        loaded.blame(number, ("reshare",), what, "keep reshare or limits.per_product.money")
    for key in ("exclusive", "reshare", "stack_after"):
        if getattr(offer, key) and offer.layer_name not in ("item", "basket"):
            mend = "remove it"
            loaded.blame(number, (key,), f"{key} has no place in this layer", mend)
    if offer.discount is None or offer.discount.choose != "cheapest":
        return
    path: Path_ = ("discount", "choose")
    basket = offer.limits.per_basket
    if basket is None or basket.units is None:
        loaded.blame(number, path, "nothing limits the units", "add limits.per_basket.units")
    if not offer.stackable and offer.layer_name == "item":
        mend = "write stackable: true, or layer: basket"
        loaded.blame(number, path, "it competes for the units worth most", mend)
    if product is not None:
        loaded.blame(number, path, "the limit per product chooses too", "keep one of the two")


def check_stacking(loaded: LoadedProgram, number: int, offer: Offer) -> None:
    """Judge the offers that an offer stacks after (Y6)."""
    by_id = {other.id: other for other in loaded.offers}
    if offer.stack_after is not None and offer.stackable:
        what = "a stackable offer sees every unit already"
        loaded.blame(number, ("stack_after",), what, "remove 'stack_after' or 'stackable'")
    for index, name in enumerate(offer.stack_after or []):
        path: Path_ = ("stack_after", index)
        other = by_id.get(name)
        if other is None:
            unknown(loaded, number, path, "offer", name, by_id)
        elif offer.id in reached_from(other, by_id):
            what = f"'{name}' stacks after '{offer.id}' already"
            loaded.blame(number, path, what, "let one of the two come first")
        elif other.layer_name != offer.layer_name:
            what = f"'{name}' is in the {other.layer_name} layer"
            loaded.blame(number, path, what, "name offers of the same layer; later layers see all")
        elif other.class_ > offer.class_:
            what = f"'{name}' is in class {other.class_}, which runs later"
            mend = f"write class: {other.class_} or more here, or name it the other way round"
            loaded.blame(number, path, what, mend)
        elif other.stackable:
            what = f"'{name}' is stackable and takes no units from anybody"
            loaded.blame(number, path, what, "remove it")


def reached_from(offer: Offer, by_id: dict[str, Offer]) -> set[str]:
    """Return an offer and all those after which it stacks, directly or not."""
    found: set[str] = set()
    open_ids = [offer.id]
    while open_ids:
        name = open_ids.pop()
        if name not in found and name in by_id:
            found.add(name)
            open_ids += by_id[name].stack_after or []
    return found


def check_points(loaded: LoadedProgram, number: int, offer: Offer) -> None:
    """Judge the points of an offer in the decimals of its purse."""
    parts = (
        ("earn", offer.earn), ("bonus", offer.bonus), ("redeem", offer.redeem),
        ("fuel", offer.fuel), ("referral", offer.referral),
    )  # fmt: skip
    for mechanic, part in parts:
        if part is None or part.purse is None or part.points is None:
            continue
        purse = loaded.program.purses.get(part.purse)
        if purse is None:
            continue
        path = (mechanic, "points")
        points = points_of(loaded, number, path, part.points, purse.decimals)
        pays = mechanic in ("redeem", "fuel")
        ceiling = POINTS_STEP_MAX if pays else POINTS_MAX
        if points == 0 and pays:
            loaded.blame(number, path, "nothing is paid for 0 points", "write at least 1")
        elif points == 0:
            loaded.warn(number, path, "it gives 0 points", "write at least 1, or remove it")
        elif points is not None and points > ceiling:
            most = ceiling // 10**purse.decimals
            loaded.blame(number, path, f"'{part.points}' is out of range", f"write at most {most}")
        if mechanic == "referral" and purse.awaits_confirmation:
            what = f"the points of '{part.purse}' await the confirmation of their own sale"
            loaded.blame(number, ("referral", "purse"), what, "take a purse with pending_days")


def check_window(loaded: LoadedProgram, number: int, offer: Offer) -> None:
    """Warn of an offer that runs at no time."""
    when = offer.when
    if when.from_ is not None and when.until is not None and when.until <= when.from_:
        what = "the offer can never apply: it ends before it begins"
        loaded.warn(number, ("when", "until"), what, "correct 'from' or 'until'")
    elif not has_day(when):
        what = "the offer can never apply: no day of its window is left"
        key = "weekdays" if when.weekdays is not None else "blackout"
        loaded.warn(
            number, ("when", key), what, "correct the window, the weekdays or the black-out"
        )


def has_day(when: When) -> bool:
    """Tell whether some day of a short window is neither another weekday nor blacked out."""
    if when.from_ is None or when.until is None:
        return True
    first, last = when.from_ // MINUTES_A_DAY, (when.until - 1) // MINUTES_A_DAY
    asked = {WEEKDAYS.index(day) for day in when.weekdays or WEEKDAYS}
    # A window longer than this has a week that is free of so many black-out dates.
    if last - first > 7 * (len(when.blackout or []) + 1):
        return True
    closed = set(when.blackout or [])
    days = range(first, last + 1)
    return any((day + EPOCH_WEEKDAY) % 7 in asked and day not in closed for day in days)


def check_meetable(loaded: LoadedProgram, number: int, offer: Offer) -> None:
    """Warn of conditions that nobody meets, and of limits that leave nothing."""
    rule = offer.who.segments
    if rule is not None and rule.none_ is not None:
        place: Path_ = ("who", "segments", "none")
        both = sorted(set(rule.none_) & set(rule.all_ or []))
        if rule.any_ is not None and set(rule.any_) <= set(rule.none_):
            both = both or sorted(set(rule.any_))
        if both:
            what = f"the offer can never apply: '{both[0]}' is asked for and left out"
            loaded.warn(number, place, what, "remove it from 'none', or from 'any' and 'all'")
    basket = offer.limits.per_basket
    if basket is not None and basket.money == 0:
        warn_of_nothing(loaded, number, ("limits", "per_basket", "money"))
    for path, limit in window_limits(offer):
        for key in ("money", "spend"):
            if getattr(limit, key) == 0:
                warn_of_nothing(loaded, number, (*path, key))


def warn_of_nothing(loaded: LoadedProgram, number: int, path: Path_) -> None:
    """Warn of a limit of money that leaves nothing."""
    what = "the offer can never apply: the limit leaves no money"
    loaded.warn(number, path, what, "write an amount above 0, or remove the offer")


def read_attachments(
    loaded: LoadedProgram, number: int, offer: Offer, attachments: Attachments
) -> None:
    """Read the files that an offer names."""
    folder = folder_of(loaded, number)
    if offer.row_prices is not None:
        path = attached(loaded, number, ("row_prices", "file"), offer.row_prices.file)
        if path is not None:
            file = path.relative_to(loaded.root.resolve()).as_posix()
            exponent = loaded.program.currency.exponent
            rows = read_prices(path, file, exponent, loaded.problems)
            attachments.prices[number] = rows
    if offer.scanned is not None and offer.scanned.families is not None:
        path = attached(loaded, number, ("scanned", "families"), offer.scanned.families)
        if path is not None:
            file = path.relative_to(loaded.root.resolve()).as_posix()
            attachments.families[number] = read_families(path, file, loaded.problems)
    for base, selector in selectors_of(offer):
        for inner_path, inner in walk(base, selector):
            if inner.items_file is None or (str(folder), inner.items_file) in attachments.items:
                continue
            path = attached(loaded, number, (*inner_path, "items_file"), inner.items_file)
            items: list[Cell] = []
            if path is not None:
                file = path.relative_to(loaded.root.resolve()).as_posix()
                items = read_items(path, file, loaded.problems)
            attachments.items[str(folder), inner.items_file] = [item.text for item in items]


def attachments_file(loaded: LoadedProgram, number: int) -> str:
    """Return the name of an offer's price file as its author knows it."""
    rows = loaded.offers[number].row_prices
    file = folder_of(loaded, number) / (rows.file if rows is not None else "")
    return file.resolve().relative_to(loaded.root.resolve()).as_posix()


def folder_of(loaded: LoadedProgram, number: int) -> Path:
    """Return the folder that the file names of an offer are relative to."""
    return loaded.sources[number].folder if number < len(loaded.sources) else loaded.root


def attached(loaded: LoadedProgram, number: int, path: Path_, name: str) -> Path | None:
    """Return the file that an offer names, or None with a problem."""
    folder = folder_of(loaded, number)
    file = resolve_file(name, folder, loaded.root)
    if file is None:
        mend = "put the file beside the offers and name it without a path"
        loaded.blame(number, path, f"'{name}' lies outside the program", mend)
    elif not file.is_file():
        beside = [found.name for found in folder.glob("*.csv")]
        mend = did_you_mean(name, beside, "put the file beside the offers")
        loaded.blame(number, path, f"the file '{name}' is missing", mend)
        return None
    return file


class CatalogueNames:
    """Names of a catalogue, to look up what offers refer to."""

    def __init__(self, catalogue: CatalogueTables) -> None:
        self._catalogue = catalogue
        self._categories = {
            "/".join(parts[: depth + 1])
            for parts in (path.split("/") for path in catalogue.category_paths if path)
            for depth in range(len(parts))
        }
        self._known = {
            "brand": set(catalogue.brand_names),
            "vendor": set(catalogue.vendor_names),
            "department": set(catalogue.department_names) - {""},
            "store": set(catalogue.store_ids),
            "price zone": set(catalogue.zone_names) - {""},
            "jurisdiction": set(catalogue.jurisdiction_names) - {""},
        }

    def check_offer(
        self, loaded: LoadedProgram, number: int, offer: Offer, attachments: Attachments
    ) -> None:
        """Look up the products, stores and zones that an offer names."""
        for base, selector in selectors_of(offer):
            for path, inner in walk(base, selector):
                self._check_selector(loaded, number, path, inner)
        where = offer.where
        for key in ("stores", "except_stores"):
            self._check_names(loaded, number, ("where", key), "store", getattr(where, key))
        for key in ("regions", "banners", "franchises"):
            for prefix in ("", "except_"):
                self._check_places(loaded, number, prefix + key, getattr(where, prefix + key))
        rows = attachments.prices.get(number, [])
        self._check_legal_prices(loaded, number, rows)
        self._check_items(loaded, number, ("row_prices", "file"), [row.item.text for row in rows])
        for zone in sorted({row.zone.text for row in rows} - {""} - self._known["price zone"]):
            path = ("row_prices", "file")
            unknown(loaded, number, path, "price zone", zone, self._known["price zone"])

    def _check_legal_prices(
        self, loaded: LoadedProgram, number: int, rows: Sequence[PriceRow]
    ) -> None:
        """Refuse a price for a product that the law forbids."""
        good = [row for row in rows if code_fault(row.item.text) is None]
        found = self._catalogue.find_products(product_codes([row.item.text for row in good]))
        for row, product in zip(good, found.tolist(), strict=True):
            least = int(self._catalogue.products["legal_min_minor"][product]) if product >= 0 else 0
            if row.price_minor < least:
                decimals = loaded.program.currency.exponent
                what = f"the price of '{row.item.text}' is below its legal minimum"
                mend = f"write at least {least / 10**decimals:.{decimals}f}"
                source = attachments_file(loaded, number)
                problem = Problem(source, row.item.line, row.item.column, what, mend)
                loaded.problems.add(problem)

    def check_progress(self, loaded: LoadedProgram) -> None:
        """Look up the products that counts towards goals name."""
        for name, progress in loaded.program.progress.items():
            for path, inner in walk(("progress", name, "of"), progress.of):
                self._check_selector(loaded, None, path, inner)

    def check_exclusions(self, loaded: LoadedProgram) -> None:
        """Look up the products and jurisdictions that exclusions name."""
        for number, rule in enumerate(loaded.program.exclusions):
            for path, inner in walk(("exclusions", number, "of"), rule.of):
                self._check_selector(loaded, None, path, inner)
            place: Path_ = ("exclusions", number, "jurisdictions")
            self._check_names(loaded, None, place, "jurisdiction", rule.jurisdictions)

    def _check_selector(
        self, loaded: LoadedProgram, number: int | None, path: Path_, selector: Selector
    ) -> None:
        for index, category in enumerate(selector.category or []):
            if normal_path(category) not in self._categories:
                place = (*path, "category", index)
                unknown(loaded, number, place, "category", category, self._categories)
        for key in ("brand", "vendor", "department"):
            self._check_names(loaded, number, (*path, key), key, getattr(selector, key))
        self._check_items(loaded, number, (*path, "items"), selector.items or [])

    def _check_names(
        self,
        loaded: LoadedProgram,
        number: int | None,
        path: Path_,
        what: str,
        names: list[str] | None,
    ) -> None:
        for index, name in enumerate(names or []):
            if name not in self._known[what]:
                unknown(loaded, number, (*path, index), what, name, self._known[what])

    def _check_places(
        self, loaded: LoadedProgram, number: int, key: str, names: list[str] | None
    ) -> None:
        """Look up regions, banners and franchises: the catalogue keeps their keys only."""
        space = key.removeprefix("except_").removesuffix("s")
        for index, name in enumerate(names or []):
            if not np.any(self._catalogue.stores[f"{space}_key"] == name_keys(space, [name])[0]):
                what = f"no store is of {space} '{name}'"
                loaded.blame(number, ("where", key, index), what, "see the stores feed")

    def _check_items(
        self, loaded: LoadedProgram, number: int | None, path: Path_, texts: Sequence[str]
    ) -> None:
        """Warn of items that the catalogue does not hold: an offer outlives some of its items."""
        good = [(at, text) for at, text in enumerate(texts) if code_fault(text) is None]
        if not good:
            return
        found = self._catalogue.find_products(product_codes([text for _, text in good]))
        missing = [good[at] for at in np.flatnonzero(found < 0).tolist()]
        for at, text in missing[:UNKNOWN_ITEMS_TOLD]:
            near = near_gtins(text)
            known = [
                code
                for code, product in zip(
                    near, self._catalogue.find_products(product_codes(near)).tolist(), strict=True
                )
                if product >= 0
            ]
            mend = f"did you mean {' or '.join(known[:3])}?" if known else "see the products feed"
            what = f"the item '{text}' is not in the catalogue"
            loaded.warn(number, (*path, at), what, mend)
        if len(missing) > UNKNOWN_ITEMS_TOLD:
            what = f"{len(missing)} items are not in the catalogue"
            loaded.warn(number, path, what, "see the products feed")
