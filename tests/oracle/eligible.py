"""Who, where, when: the first check of an offer that fails (rules E1 to E13, L1)."""

import calendar
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle.basket import Unit
from tests.oracle.deal import base_of
from tests.oracle.gs1 import Scanned, is_of_kind
from tests.oracle.program import (
    EPOCH,
    MINUTES_A_DAY,
    WEEKDAYS,
    Limit,
    Offer,
    clock,
    day_number,
    minute_number,
)
from tests.oracle.values import is_true, listed, member_number, name_key, scaled, siphash


@dataclass
class Given:
    """What a committed basket took of an offer.

    Attributes
    ----------
    counted_for : dict of str to str
        Who had it, by scope of a limit (L2).
    spend : int
        What the rewarded units cost before, as far as a limit counts it (L4).
    """

    offer: str
    day: int
    uses: int
    units: int
    money: int
    counted_for: dict[str, str]
    spend: int = 0


@dataclass
class Scene:
    """Who asks, where and when: all that eligibility looks at.

    Attributes
    ----------
    member : dict or None
        The row of the member; None when nobody, or a blocked one, is identified.
    serials : list of str
        Serials of the coupons.
    used : frozenset of (str, str)
        Code and serial of coupons that sales before used (K1).
    referrer : dict or None
        The row of whoever referred the member, as far as that one may get points (P11).
    issued : dict of (str, str) to int
        Code and serial of coupons that sales before issued, with their last days (K3).
    scans : dict of int to Scanned or None
        Scanned coupons by their places; None: it cannot be read.
    given : list of Given
        What was given before, to anybody.
    keys : (bytes, bytes)
        Identity key and hold-out key.
    """

    member: dict[str, Any] | None
    store: dict[str, Any]
    channel: str
    local_minute: int
    business_day: int
    coupons: list[str]
    chosen: list[str]
    given: list[Given] = field(default_factory=list)
    stopped: frozenset[str] = frozenset()
    keys: tuple[bytes, bytes] = (bytes(16), bytes(16))
    hold_out: bool = True
    card: str = ""
    tenders: list[dict[str, Any]] = field(default_factory=list)
    scans: dict[int, Scanned | None] = field(default_factory=dict)
    serials: list[str] = field(default_factory=list)
    used: frozenset[tuple[str, str]] = frozenset()
    issued: dict[tuple[str, str], int] = field(default_factory=dict)
    referrer: dict[str, Any] | None = None
    redeem: list[dict[str, Any]] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)
    progress: dict[str, int] = field(default_factory=dict)
    grants: dict[str, int] = field(default_factory=dict)

    @property
    def counted_for(self) -> dict[str, str]:
        """Return for whom limits count now, by their scope (L2)."""
        found = {"per_store": str(self.store["store_id"]), "overall": ""}
        if self.member is not None:
            number = str(self.member["member_id"])
            group = str(self.member.get("group_id") or number)
            found |= {"per_member": number, "per_household": group, "per_card": self.card}
        return found

    @property
    def local_date(self) -> date:
        return EPOCH + timedelta(days=self.local_minute // MINUTES_A_DAY)


def read_instant(text: str) -> datetime:
    """Return an instant written as 2026-03-04T10:00 in UTC."""
    return datetime.fromisoformat(str(text).removesuffix("Z")).replace(tzinfo=UTC)


def local_minute(instant: datetime, offset: Any, zone: str) -> int:
    """Return the store-local minutes since 1970 (E2)."""
    minutes = int(instant.timestamp()) // 60
    if offset is not None:
        return minutes + int(offset)
    shift = instant.astimezone(ZoneInfo(zone or "UTC")).utcoffset() or timedelta()
    return minutes + shift // timedelta(minutes=1)


def first_failure(offer: Offer, scene: Scene) -> str | None:
    """Return the first check that fails, as the contract's OfferOutcome names it."""
    checks = (_stopped, _when, _where, _who, _wallet, _held_out, _coupon, _chosen, _limit)
    checks = (*checks, _progress)
    if is_promised(offer, scene):
        return _coupon(offer, scene) or _limit(offer, scene) or _requires(offer, scene)
    for check in (*checks, _tender, _requires):
        failure = check(offer, scene)
        if failure is not None:
            return failure
    return None


def _stopped(offer: Offer, scene: Scene) -> str | None:
    return "STOPPED" if offer.id in scene.stopped else None


def _when(offer: Offer, scene: Scene) -> str | None:
    when = offer.written.get("when") or {}
    now = scene.local_minute
    if "from" in when and now < minute_number(when["from"]):
        return "NOT_STARTED"
    if "until" in when:
        bare = len(str(when["until"])) == len("2026-01-01")
        if now >= minute_number(when["until"]) + (MINUTES_A_DAY if bare else 0):
            return "ENDED"
    day, minute = divmod(now, MINUTES_A_DAY)
    weekdays = listed(when.get("weekdays"))
    if weekdays and WEEKDAYS[scene.local_date.weekday()] not in weekdays:
        return "OUTSIDE_HOURS"
    if day in [day_number(text) for text in listed(when.get("blackout"))]:
        return "OUTSIDE_HOURS"
    spans = [(clock(span["from"]), clock(span["until"])) for span in listed(when.get("hours"))]
    inside = [
        begin <= minute < end if end > begin else minute >= begin or minute < end
        for begin, end in spans
    ]
    return "OUTSIDE_HOURS" if spans and not any(inside) else None


def _where(offer: Offer, scene: Scene) -> str | None:
    where = offer.written.get("where") or {}
    kinds = (("stores", "store_id"), ("regions", "region"), ("banners", "banner"))
    kinds = (*kinds, ("franchises", "franchise"))
    for key, column in kinds:
        wanted = [str(name) for name in listed(where.get(key))]
        if wanted and str(scene.store.get(column, "")) not in wanted:
            return "STORE"
        if str(scene.store.get(column, "")) in map(str, listed(where.get(f"except_{key}"))):
            return "STORE"
    channels = listed(where.get("channels"))
    return "CHANNEL" if channels and scene.channel not in channels else None


def _who(offer: Offer, scene: Scene) -> str | None:
    member, who = scene.member, offer.who
    if member is None:
        return "NO_MEMBER" if offer.for_members_only else None
    if who.get("members") == "non_members":
        return "MEMBERS_EXCLUDED"
    if "tiers" in who and member.get("tier", "") not in listed(who["tiers"]):
        return "TIER"
    rule = who.get("segments") or {}
    segments = [str(name) for name in listed(member.get("segments"))]
    any_of, all_of = listed(rule.get("any")), listed(rule.get("all"))
    if any_of and not any(name in segments for name in any_of):
        return "SEGMENT"
    if not all(name in segments for name in all_of):
        return "SEGMENT"
    if any(name in segments for name in listed(rule.get("none"))):
        return "SEGMENT"
    for key in ("consent", "staff", "business"):
        if is_true(who.get(key)) and not is_true(member.get(key)):
            return "ATTRIBUTE"
    if is_true(who.get("referred")) and not member.get("referrer"):
        return "ATTRIBUTE"
    if "birthday" in who:
        born = str(member.get("birth_date", "")).removeprefix("--")[-5:]
        today = scene.local_date.strftime("%m-%d")
        length = 2 if who["birthday"] == "month" else 5
        if not born or born[:length] != today[:length]:
            return "ATTRIBUTE"
    return None


def _wallet(offer: Offer, scene: Scene) -> str | None:
    if not offer.wallet:
        return None
    held = _in_wallet(offer, scene) or scene.grants.get(offer.id, 0) > 0
    return None if held else "NOT_IN_WALLET"


def _in_wallet(offer: Offer, scene: Scene) -> bool:
    held = listed(scene.member.get("wallet")) if scene.member is not None else []
    return offer.id in [str(name) for name in held]


def is_granted(offer: Offer, scene: Scene) -> bool:
    """Tell whether an offer is in the wallet by a grant only (G3)."""
    return offer.wallet and not _in_wallet(offer, scene)


def _progress(offer: Offer, scene: Scene) -> str | None:
    """Judge how far the member has come (G5)."""
    rule = offer.who.get("progress")
    if rule is None:
        return None
    value = scene.progress[rule["of"]]
    decimals = offer.progress_decimals
    holds = "nth" not in rule or value + 1 == int(rule["nth"])
    holds &= "every" not in rule or (value + 1) % int(rule["every"]) == 0
    holds &= "at_least" not in rule or value >= scaled(rule["at_least"], decimals)
    holds &= "below" not in rule or value < scaled(rule["below"], decimals)
    return None if holds else "PROGRESS"


def _held_out(offer: Offer, scene: Scene) -> str | None:
    if offer.control == 0 or scene.member is None or not scene.hold_out:
        return None
    identity, hold_out = scene.keys
    number = member_number(identity, str(scene.member["member_id"]))
    words = name_key("offer", offer.id).to_bytes(8, "little") + number.to_bytes(8, "little")
    return "HELD_OUT" if siphash(hold_out, words) % 10_000 < offer.control else None


def is_promised(offer: Offer, scene: Scene) -> bool:
    """Tell whether a fill of the basket was authorised with an offer (F7)."""
    fills = [unit.fill for unit in scene.units if unit.fill is not None]
    return any(offer.id in fill.promised for fill in fills)


def coupons_of(offer: Offer, scene: Scene) -> list[int]:
    """Return the places of the presented coupons that open an offer (M7)."""
    found = [at for at, code in enumerate(scene.coupons) if code in offer.coupons]
    if not offer.serial:
        return found
    shown = list(zip(scene.coupons, scene.serials, strict=True))
    return [
        at
        for at in found
        if shown.index(shown[at]) == at
        and shown[at] not in scene.used
        and is_good(offer, scene, shown[at])
    ]


def is_good(offer: Offer, scene: Scene, coupon: tuple[str, str]) -> bool:
    """Tell whether a sale issued a coupon for which it must have, and it has not expired (K3)."""
    return not offer.issued or scene.issued.get(coupon, -1) >= scene.business_day


def _coupon(offer: Offer, scene: Scene) -> str | None:
    if offer.mechanic == "scanned":
        shown = any(is_of_kind(scan, offer.kind) for scan in scene.scans.values())
        return None if shown else "COUPON_MISSING"
    if not offer.coupons or coupons_of(offer, scene):
        return None
    shown = [
        coupon
        for coupon in zip(scene.coupons, scene.serials, strict=True)
        if coupon[0] in offer.coupons
    ]
    if not all(is_good(offer, scene, coupon) for coupon in shown):
        return "COUPON_INVALID"
    return "COUPON_USED" if shown else "COUPON_MISSING"


def _chosen(offer: Offer, scene: Scene) -> str | None:
    return "NOT_SELECTED" if offer.chosen and offer.id not in scene.chosen else None


def _limit(offer: Offer, scene: Scene) -> str | None:
    spent = [limit.scope for limit in offer.limits if left_of(offer, limit, scene) <= 0]
    if not spent:
        return None
    return "BUDGET_SPENT" if set(spent) == {"overall"} else "LIMIT_REACHED"


def accepts(offer: Offer, tender: dict[str, Any]) -> bool:
    """Tell whether an offer is for a tender (T3)."""
    asked = offer.tenders
    bins = asked.get("bins")
    return (
        str(tender["kind"]) in asked.get("kinds", [str(tender["kind"])])
        and str(tender.get("scheme", "")) in asked.get("schemes", [str(tender.get("scheme", ""))])
        and (bins is None or any(str(tender.get("bin", "")).startswith(bin) for bin in bins))
    )


def _tender(offer: Offer, scene: Scene) -> str | None:
    if offer.mechanic != "tender" or any(accepts(offer, tender) for tender in scene.tenders):
        return None
    return "TENDER_MISSING"


def _requires(offer: Offer, scene: Scene) -> str | None:
    """Return what the basket lacks of what the offer asks of it, at the prices charged (E14)."""
    for reach in offer.requires:
        fitting = [u for u in scene.units if reach.selector is None or reach.selector.fits(u)]
        if not fitting:
            return "GOODS_MISSING"
        if base_of(reach, fitting) < reach.least:
            return "THRESHOLD"
    return None


def window_start(day: int, window: str) -> int:
    """Return the first day of the window that a business day is in (L1)."""
    today = EPOCH + timedelta(days=day)
    if window == "campaign":
        return -1 << 40
    if window == "week":
        return day - today.weekday()
    if window == "month":
        return day - today.day + 1
    if window == "year":
        return day - today.timetuple().tm_yday + 1
    return day


def window_end(day: int, window: str) -> int:
    """Return the last day of the window that a business day is in."""
    today = EPOCH + timedelta(days=day)
    if window == "campaign":
        return 1 << 40
    if window == "week":
        return day - today.weekday() + 6
    if window == "month":
        return day - today.day + calendar.monthrange(today.year, today.month)[1]
    if window == "year":
        return (date(today.year, 12, 31) - EPOCH).days
    return day


def left_of(offer: Offer, limit: Limit, scene: Scene) -> int:
    """Return what a limit of an offer leaves."""
    first = window_start(scene.business_day, limit.window)
    last = window_end(scene.business_day, limit.window)
    whom = scene.counted_for[limit.scope]
    return limit.most - sum(
        getattr(given, limit.measure)
        for given in scene.given
        if given.offer == offer.id
        and first <= given.day <= last
        and given.counted_for.get(limit.scope) == whom
    )


def room(offer: Offer, scene: Scene, measure: str) -> int | None:
    """Return what the limits of one measure leave, or None without such a limit."""
    limits = [limit for limit in offer.limits if limit.measure == measure]
    left = [left_of(offer, limit, scene) for limit in limits]
    if measure == "uses" and is_granted(offer, scene):
        left.append(scene.grants.get(offer.id, 0))
    return min(left, default=None)
