"""Random programs and baskets in the form of the examples of docs/semantics.md."""

import random
from typing import Any

from tests.semantics.examples import Sample

SAMPLE = Sample(
    program={
        "program": "random",
        "currency": {"code": "EUR", "exponent": 2},
        "purses": {
            "base": {"number": 1, "expires": {"month_end": 1}},
            "cash": {"number": 2, "decimals": 2, "pending_days": 3, "expires": {"days": 30}},
        },
        "tiers": {"plain": {"number": 0}, "gold": {"number": 1}},
        "segments": {"new": {"number": 0}, "vip": {"number": 65}},
    },
    catalogue={
        "products": [
            {"code": "101", "category": "FOOD/SOUP", "brand": "Alba", "vendor": "V1"},
            {"code": "102", "category": "FOOD/SOUP", "brand": "Borg", "vendor": "V1"}
            | {"cost": "0.61"},
            {"code": "4006381333931", "category": "FOOD/BREAD", "brand": "Alba"},
            {"code": "sku:paper-4", "category": "HOME/PAPER", "brand": "Borg", "vendor": "V2"},
            {
                "code": "104",
                "category": "FOOD",
                "brand": "Mill",
                "flags": "age_restricted",
                "legal_min": "0.80",
            },
            {"code": "105", "category": "SERVICE", "flags": "no_discount;no_earn"},
            {"code": "107", "category": "FUEL", "flags": "fuel", "cost": "0.55"},
            {"code": "108", "category": "FUEL", "brand": "Alba", "legal_min": "0.70"},
            {"code": "106", "category": "HOME", "department": "garden", "flags": "no_discount"},
        ],
        "stores": [
            {"store_id": "N1", "region": "north", "banner": "fresh", "price_zone": "A",
             "jurisdiction": "NORTH"},
            {"store_id": "S1", "region": "south", "banner": "mart", "price_zone": "B",
             "timezone": "America/New_York", "jurisdiction": "SOUTH"},
        ],
    },
    members=[
        {"member_id": "anna", "card": "1001", "tier": "gold", "segments": ["new", "vip"],
         "consent": "true", "birth_date": "1980-03-04", "wallet": ["w0", "w1"]},
        {"member_id": "ben", "card": "1002", "tier": "plain", "staff": "true", "wallet": ["w1"]},
        {"member_id": "carl", "card": "1003", "tier": "plain", "segments": ["vip"],
         "business": "true", "birth_date": "1999-03-20", "referrer": "ben"},
        {"member_id": "dora", "card": "1004", "tier": "plain", "referrer": "anna"},
        {"member_id": "emil", "card": "1005", "tier": "plain", "referrer": "nobody"},
    ],
)  # fmt: skip
CODES = [str(row["code"]) for row in SAMPLE.catalogue["products"]]
PRICES = (1, 33, 50, 99, 100, 100, 150, 199, 200, 200, 299, 300)
#: Mechanics whose applications are limited.
BY_TIMES = ("buy_get", "nth_item", "group_price", "coverage", "bonus")
EARNING = ("earn", "bonus", "multiply")
#: A serial is used for good: what was used by baskets under other programs is refused.
SERIALS = 60
#: Digital twins of the coupons that are scanned.
TWINS = ("gs1:4006381:654321", "gs1:400638:654321")
PERCENTS = ("5", "10", "12.5", "15", "25", "33.33", "50", "100")
#: The slow twin walks every way to use the units: more than these take it too long.
UNITS_MAX = 9


def money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


class Cases:
    """Draws programs and baskets from one stream of random numbers."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.gates = random.Random(f"gates {seed}")
        self.programs = 0

    def some(self, *chances: tuple[float, str, Any]) -> dict[str, Any]:
        """Return keys, each with its own chance; values are drawn when they are called for."""
        found = {}
        for chance, key, draw in chances:
            if self.random.random() < chance:
                found[key] = draw() if callable(draw) else draw
        return found

    def pick(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def selector(self, depth: int = 0) -> Any:
        kind = self.random.randrange(10 if depth == 0 else 5)
        if kind == 0:
            return {"category": self.pick("FOOD", "FOOD/SOUP", "HOME", ["HOME", "FOOD/BREAD"])}
        if kind == 1:
            return {"brand": self.pick("Alba", "Borg", ["Alba", "Mill"])}
        if kind in (2, 3):
            return {"items": self.random.sample(CODES, self.random.randint(1, 3))}
        if kind == 4:
            return self.pick(
                {"vendor": "V1"}, {"department": "garden"}, {"flags": "age_restricted"}
            )
        if kind == 5:
            return {"any": [self.selector(1), self.selector(1)]}
        if kind == 6:
            return {"not": self.selector(1)}
        if kind == 7:
            return {**self.selector(1), "unit_price": {"from": money(self.pick(50, 100, 200))}}
        if kind == 8:
            line = {"line": self.pick("fee", "charge", "charge")}
            return {**line, **self.some((0.3, "items", self.random.sample(CODES, 2)))}
        return "all"

    def reward(self, *kinds: str) -> dict[str, str]:
        kind = self.pick(*kinds)
        if kind == "percent":
            return {kind: self.pick(*PERCENTS)}
        return {kind: money(self.pick(1, 20, 50, 80, 100, 150))}

    def mechanic(self, files: dict[str, str]) -> dict[str, Any]:
        """Return the mechanic of one offer."""
        kinds = ("percent", "amount", "price")
        kind = self.pick("discount", "discount", "steps", "other", "same", "same", "nth", "group",
                         "meal", "coverage", "rows", "threshold", "threshold")  # fmt: skip
        if kind == "discount":
            return {"discount": {"of": self.selector(), **self.reward(*kinds)}}
        if kind in ("other", "same"):
            buy: Any = {"count": self.pick(1, 1, 2), "of": self.selector()}
            if kind == "other" and self.random.random() < 0.2:
                buy = [buy, {"count": 1, "of": self.selector()}]
            get: dict[str, Any] = {"count": self.pick(1, 1, 2), **self.reward(*kinds)}
            get |= {"same": True} if kind == "same" else {"of": self.selector()}
            get |= self.some((0.4, "choose", self.pick("cheapest", "dearest")))
            return {"buy_get": {"buy": buy, "get": get}}
        if kind == "nth":
            each = {"each": self.pick(2, 3), "of": self.selector()}
            return {"nth_item": {**each, **self.reward(*kinds)}}
        if kind == "group":
            return {
                "group_price": {"count": self.pick(2, 3), "of": self.selector(), **self.whole()}
            }
        if kind == "meal":
            slots = [{"of": self.selector()}, {"of": self.selector(), "count": self.pick(1, 2)}]
            return {"group_price": {"slots": slots, **self.whole()}}
        if kind == "coverage":
            part = {"products": self.pick(2, 2, 3), "of": self.selector()}
            if self.random.random() < 0.3:
                return {"coverage": {**part, "choose": "cheapest", **self.reward(*kinds)}}
            return {"coverage": {**part, **self.whole()}}
        if kind == "steps":
            if self.random.random() < 0.2:
                kilograms = {"per": "kilogram", **self.reward("amount", "price")}
                return {"discount": {"of": self.selector(), **kilograms}}
            return {"discount": {"of": self.selector(), "steps": self.steps(*kinds)}}
        if kind == "rows":
            rows = {
                (code, self.pick("", "A", "B")): (
                    # Not below what the law asks for.
                    max(self.pick(20, 90, 120), {"104": 80, "108": 70}.get(code, 0)),
                    self.pick("", "1", "2"),
                )
                for code in self.random.sample(CODES, 4)
            }
            name = f"prices{len(files)}.csv"
            lines = [f"{c},{z},{money(p)},{limit}" for (c, z), (p, limit) in rows.items()]
            files[name] = "\n".join(["item,zone,price,limit", *lines]) + "\n"
            return {"row_prices": {"file": name}}
        of = self.some((0.5, "of", self.selector))
        if self.random.random() < 0.2:
            reward = self.some((0.5, "of", self.selector), (0.3, "units", self.pick(1, 2)))
            return {"threshold": {"steps": self.steps("percent", "amount"), **of, "reward": reward}}
        reward = {
            **self.reward("percent", "amount", "amount", "each", "price"),
            **self.some((0.5, "of", self.selector)),
            **self.some((0.3, "units", self.pick(1, 2)), (0.3, "choose", "cheapest")),
        }
        if self.random.random() < 0.1:
            reward = {"gift": self.selector()}
        return {"threshold": {**self.reached(), **of, "reward": reward}}

    def whole(self) -> dict[str, str]:
        """Return the reward of an application."""
        if self.random.random() < 0.5:
            return {"price": money(self.pick(100, 250, 300, 500))}
        return self.reward("percent", "amount")

    def reached(self) -> dict[str, Any]:
        """Return what units must come to."""
        return self.pick(
            {"spend": money(self.pick(100, 300, 500))},
            {"count": self.pick(2, 4)},
            {"products": self.pick(2, 3)},
            {"measure": {"quantity": self.pick("0.5", "1"), "unit": "kilogram"}},
        )

    def steps(self, *kinds: str) -> list[dict[str, Any]]:
        """Return two steps of one kind."""
        low, high = self.pick(
            ({"spend": "1.00"}, {"spend": "4.00"}),
            ({"count": 1}, {"count": 3}),
            ({"products": 2}, {"products": 3}),
        )
        reward = self.reward(*kinds)
        kind = next(iter(reward))
        more = reward[kind] if kind == "percent" else money(self.pick(1, 50, 120))
        return [{**low, **reward}, {**high, kind: more}]

    def needs(self) -> Any:
        """Return what a basket must hold."""
        needs = [
            {**self.reached(), **self.some((0.7, "of", self.selector))}
            for _ in range(self.pick(1, 1, 2))
        ]
        return needs if len(needs) > 1 else needs[0]

    def tender(self) -> dict[str, Any]:
        """Return the mechanic of one tender offer."""
        rule = self.pick(
            {"kinds": "credit_card"}, {"kinds": ["cash", "credit_card"]}, {"schemes": "VISA"},
            {"kinds": "credit_card", "bins": ["4111", "55"]},
        )  # fmt: skip
        more = self.some(
            (0.5, "of", self.selector), (0.4, "spend", money(self.pick(100, 300, 500)))
        )
        return {"tender": {"with": rule, **self.reward("percent", "amount"), **more}}

    def redeem(self) -> dict[str, Any]:
        """Return the mechanic of one offer that lets points pay."""
        way = self.pick(
            {"points": 10, "pays": "1.00"}, {"points": 3, "pays": "0.07"},
            {"points": 5, "pays": "0.50", "steps": True}, {"points": 4, "item": True},
        )  # fmt: skip
        return {"redeem": {"purse": "base", **way, **self.some((0.5, "of", self.selector))}}

    def fuel(self) -> dict[str, Any]:
        """Return the mechanic of one offer for fuel."""
        way = self.some((0.3, "purse", "base"))
        if way:
            way["points"] = self.pick(3, 7, 10)
        return {
            "fuel": {
                "amount": self.pick("0.05", "0.1", "0.255", "0.00333"),
                "unit": self.pick("litre", "litre", "kilogram"),
                "floor": self.pick("0.001", "0.5", "0.755", "0.9"),
                **way,
                **self.some(
                    (0.3, "grades", lambda: self.pick("A", ["A", "B"])),
                    (0.3, "levels", lambda: self.pick("cash", ["cash", "credit"])),
                    (0.4, "most", lambda: self.pick("1", "2.5", "7.333")),
                    (0.3, "of", self.selector),
                ),
            }
        }

    def fill(self) -> list[Any]:
        """Return a line of fuel."""
        quantity, price = self.pick(500, 1000, 3000, 7333), self.pick(80, 95, 100, 121)
        more = {
            "measure": {"quantity": f"{quantity / 1000:.3f}", "unit": "litre"},
            "fuel": {"grade": self.pick("A", "B"), **self.some((0.5, "level", "cash"))},
            **self.some((0.3, "unit_price", f"{price / 100 - 0.001:.3f}"), (0.1, "source", "ad")),
        }
        return [self.pick("107", "108", "999"), 1, money(quantity * price // 1000), more]

    def requests(self, ids: list[str], lines: int) -> list[dict[str, Any]]:
        """Return the requests of one basket to pay with points."""
        return [
            {
                **self.pick({"offer": self.pick(*ids)}, {"purse": "base"}),
                **self.some(
                    (0.4, "points", self.random.randint(1, 40)),
                    (0.3, "amount", money(self.pick(20, 100, 250))),
                    (0.2, "line", self.random.randint(1, lines)),
                    (0.2, "count", self.random.randint(1, 3)),
                ),
            }
            for _ in range(self.random.randint(1, 3))
        ]

    def points(self) -> dict[str, Any]:
        """Return the mechanic of one earn offer."""
        purse = self.pick("base", "base", "cash")
        of = self.some((0.6, "of", self.selector))
        kind = self.pick("earn", "earn", "bonus", "multiply", "multiply")
        if kind == "earn":
            per = money(self.pick(100, 30, 7))
            return {"earn": {"purse": purse, "points": self.pick(1, 3), "per": per, **of}}
        if kind == "bonus":
            more = self.pick({"count": 2}, {"once_a_visit": True}, {})
            return {"bonus": {"purse": purse, "points": self.pick(5, 50), **of, **more}}
        return {"multiply": {"purse": purse, "by": self.pick("1.5", "2", "3"), **of}}

    def who(self) -> dict[str, Any]:
        segments = self.pick({"any": "new"}, {"all": ["new", "vip"]}, {"none": ["new"]})
        return self.pick(
            {"members": "members"}, {"members": "non_members"}, {"tiers": "gold"},
            {"segments": segments}, {"consent": True}, {"staff": True}, {"business": True},
            {"birthday": "day"}, {"birthday": "month"}, {"referred": True},
        )  # fmt: skip

    def when(self) -> dict[str, Any]:
        return self.pick(
            {"from": "2026-03-04"}, {"until": "2026-03-04"}, {"from": "2026-03-04T08:00"},
            {"weekdays": ["wednesday", "saturday"]}, {"blackout": ["2026-03-04"]},
            {"hours": [{"from": "22:00", "until": "06:00"}]},
            {"hours": [{"from": "09:00", "until": "10:00"}]},
        )  # fmt: skip

    def where(self) -> dict[str, Any]:
        return self.pick(
            {"stores": "N1"}, {"regions": "south"}, {"except_banners": ["mart"]},
            {"channels": ["store", "kiosk"]}, {"regions": ["north", "south"], "banners": "mart"},
        )  # fmt: skip

    def limits(self, mechanic: dict[str, Any], scopes: list[str]) -> dict[str, Any]:
        name = next(iter(mechanic))
        part = mechanic[name]
        basket: dict[str, Any] = {}
        if name in ("discount", "row_prices"):
            basket = self.some((0.5, "units", self.random.randint(1, 3)))
            if name == "discount" and self.random.random() < 0.2:
                return {"per_product": self.of_product()}
        elif name in BY_TIMES or "amount" in part.get("reward", {}):
            basket = self.some((0.5, "times", self.random.randint(1, 3)))
        if name not in ("earn", "bonus", "multiply"):
            basket |= self.some((0.15, "money", money(self.pick(20, 100))))
        found: dict[str, Any] = {"per_basket": basket} if basket else {}
        if name not in ("earn", "bonus", "multiply", "redeem", "tender"):
            found |= self.some(
                (0.1, "per_unit", {"money": money(self.pick(30, 90))}),
                (0.1, "whole", True),
            )
        reward = part.get("reward", {})
        if name == "threshold" and not {"amount", "price"} & set(reward) and "steps" not in part:
            found |= self.some((0.2, "per_product", self.of_product))
        if self.random.random() < 0.3 * len(scopes) / 8:
            window = self.some((0.7, "window", self.pick("day", "week", "month", "year")))
            measures: list[dict[str, Any]] = [{"uses": self.random.randint(1, 2)}]
            if name not in ("earn", "bonus", "multiply"):
                measures.append({"money": money(self.pick(50, 200))})
            if name not in ("earn", "bonus", "multiply", "redeem", "tender"):
                measures.append({"spend": money(self.pick(100, 250, 600))})
            if name in ("discount", "row_prices"):
                measures.append({"units": self.random.randint(1, 4)})
            found[self.pick(*scopes)] = {**self.random.choice(measures), **window}
        return found

    def of_product(self) -> dict[str, Any]:
        """Return a limit on what an offer gives of one product."""
        return self.pick({"units": self.pick(1, 2)}, {"money": money(self.pick(30, 120))})

    def offer(self, number: int, files: dict[str, str], *, of_station: bool) -> dict[str, Any]:
        """Return one offer, most often one for fuel where the program is of a fuel station."""
        of_station = of_station and self.random.random() < 0.7
        is_earn = self.random.random() < 0.25 and not of_station
        mechanic = self.points() if is_earn else self.mechanic(files)
        if self.random.random() < 0.1 and not is_earn:
            mechanic = self.tender()
        elif self.random.random() < 0.1 and not is_earn:
            mechanic = self.redeem()
        if of_station:
            mechanic = self.fuel()
        name = next(iter(mechanic))
        offer: dict[str, Any] = {"id": f"p{self.programs}o{number}"}
        wallet = self.random.random() < 0.1
        if wallet:
            offer = {"id": f"w{number % 3}", "wallet": True}
        who = self.some((0.15, "who", self.who))
        pays = name == "redeem" or "purse" in mechanic.get("fuel", {})
        if (is_earn or wallet or pays) and who.get("who") == {"members": "non_members"}:
            who = {}
        offer |= who
        offer |= self.some(
            (0.3, "class", self.random.randint(-1, 2)),
            (0.3, "priority", self.random.randint(-1, 2)),
            (0.1, "when", self.when),
            (0.1, "where", self.where),
            (0.05, "control_percent", self.pick("50", "100")),
            (0.15, "rounding", self.pick("floor", "ceil", "half_away")),
            (0.1, "reduced_items", "out"),
            (0.05, "price_sources", self.pick("shelf", ["ad", "shelf"])),
            (0.05, "chosen", True),
            (0.1, "requires", self.needs),
            (0.15, "coupon", {"codes": [f"C{number}"], **self.some((0.3, "serial", True))}),
            (0.1, "coupon", lambda: self.coupon(name, number)),
        )
        if not is_earn:
            offer |= self.some(
                (0.3, "stackable", True),
                (0.1 * (name != "fuel"), "base", "initial"),
                (0.1, "funding", self.funding),
            )
            if name not in ("tender", "redeem") and not pays:
                offer |= self.some(
                    (0.1, "exclusive", lambda: self.pick("x", "y")),
                    (0.1, "floor", lambda: self.pick({"cost": True}, {"margin_percent": "20"})),
                    (0.1 * (name != "fuel"), "reshare", True),
                )
            if name not in ("redeem", "fuel"):
                offer |= self.some((0.1, "floor_price", money(self.pick(50, 90))))
        # What a limit counts outlives the program, and so do the ids that stand in wallets.
        scopes = [] if wallet else ["per_store", "overall"]
        if not wallet and offer.get("who") != {"members": "non_members"}:
            scopes += ["per_member"] * 4 + ["per_household", "per_card"]
        limits = self.limits(mechanic, scopes)
        if name == "fuel":
            limits.pop("per_unit", None)
            if pays:
                limits = {
                    scope: limit
                    for scope, limit in limits.items()
                    if not (isinstance(limit, dict) and "spend" in limit)
                }
        if limits:
            offer["limits"] = limits
            if "money" in limits.get("per_product", {}):
                offer.pop("reshare", None)
        basket = limits.get("per_basket", {})
        if name == "discount" and offer.get("stackable") and "units" in basket:
            mechanic["discount"] |= self.some((0.5, "choose", "cheapest"))
        return offer | mechanic

    def funding(self) -> list[dict[str, Any]]:
        share = self.pick(25, 50, 100)
        maker = {"funder": "maker", "percent": share, "settlement": "third_party"}
        shop = {"funder": "shop", "percent": 100 - share}
        return [maker] if share == 100 else [maker, shop]

    def coupon(self, name: str, number: int) -> dict[str, Any]:
        """Return a coupon of a manufacturer or the store (K2), perhaps one of a face value (K4)."""
        twins = [TWINS[number]] if number < len(TWINS) and self.random.random() < 0.4 else []
        codes = [f"C{number}", *twins]
        coupon: dict[str, Any] = {"codes": codes, **self.some((0.2, "serial", True))}
        if name in ("discount", "buy_get", "nth_item", "threshold"):
            coupon |= self.some((0.4, "above_price", "refuse"))
        if name not in ("tender", "redeem", "fuel", "earn", "bonus", "multiply"):
            coupon["kind"] = self.pick("manufacturer", "manufacturer", "store")
        return coupon

    def program(self) -> dict[str, Any]:
        """Return the offers, files and policies of one program, and the coupons that it knows."""
        self.programs += 1
        files: dict[str, str] = {}
        offers: dict[str, dict[str, Any]] = {}
        of_station = self.random.random() < 0.15
        for number in range(self.random.randint(1, 6)):
            offer = self.offer(number, files, of_station=of_station)
            offers.setdefault(offer["id"], offer)
        if self.random.random() < 0.4:
            self.stack(list(offers.values()))
        if self.random.random() < 0.4:
            self.issue(offers)
        if self.random.random() < 0.3:
            self.refer(offers)
        if self.random.random() < 0.4:
            offers["scan"] = self.scanned(files)
            if self.random.random() < 0.4:
                offers["match"] = self.match()
        policies: dict[str, Any] = {
            "multiplier": self.pick("highest", "additive", "compound"),
            "points_rounding": self.pick("floor", "floor", "half_away"),
            "fuel": "any" if self.programs % 10 else "authorised",
        }
        if self.random.random() < 0.15:
            both = {"money": "2.00", "percent": "20"}
            policies["basket_discount"] = self.pick({"percent": "30"}, {"money": "1.00"}, both)
        written = {"offers": list(offers.values()), "files": files, "policies": policies}
        return {**written, "exclusions": self.exclusions()}

    def exclusions(self) -> list[dict[str, Any]]:
        """Return what the program keeps out of discounts, earning or redemption."""
        if self.random.random() < 0.7:
            return []
        return [
            {
                "of": self.selector(1),
                "from": self.random.sample(["discount", "earn", "burn"], self.pick(1, 1, 2)),
                **self.some((0.6, "jurisdictions", self.pick("NORTH", ["SOUTH"]))),
                **({"unless": "age_verified"} if self.gates.random() < 0.3 else {}),
            }
            for _ in range(self.pick(1, 2))
        ]

    def issue(self, offers: dict[str, dict[str, Any]]) -> None:
        """Let sales issue the coupons of an offer that has some, or of a new one."""
        opened = next((offer for offer in offers.values() if "coupon" in offer), None)
        if opened is None:
            opened = {"id": f"p{self.programs}o9", "discount": {"of": "all", "percent": 10}}
            opened["coupon"] = {"codes": ["C5"]}
            offers[opened["id"]] = opened
        opened["coupon"] |= {"serial": True, "issued": True}
        more = self.some(
            (0.3, "limits", lambda: self.pick({"per_basket": {"times": 2}},
                                              {"per_member": {"uses": 3}},
                                              {"overall": {"uses": 4}})),
            (0.2, "who", {"members": "members"}),
            (0.2, "priority", self.random.randint(-1, 2)),
            (0.2, "coupon", {"codes": ["C6"]}),
        )  # fmt: skip
        for number in range(self.pick(1, 1, 2)):
            rule = {"coupon": opened["id"], "valid_days": self.pick(1, 5, 30)}
            rule |= self.pick({"count": 2}, {"once_a_visit": True}, {})
            rule |= self.some((0.5, "of", self.selector))
            name = f"p{self.programs}i{number}"
            offers[name] = {"id": name, **(more if number == 0 else {}), "issue": rule}

    def refer(self, offers: dict[str, dict[str, Any]]) -> None:
        """Add an offer that gives points to whoever referred the member."""
        name = f"p{self.programs}r"
        rule = {"purse": self.pick("base", "cash"), "points": self.pick(0, 5, 50)}
        more = self.some(
            (0.2, "requires", self.needs),
            (0.2, "limits", {"overall": {"uses": 2}}),
            (0.2, "priority", self.random.randint(-1, 2)),
        )
        offers[name] = {
            "id": name,
            **more,
            "referral": rule | self.some((0.5, "of", self.selector)),
        }

    def stack(self, offers: list[dict[str, Any]]) -> None:
        """Let some competing offers stack after earlier ones of their layer and class."""

        def place(offer: dict[str, Any]) -> tuple[bool, int]:
            return "threshold" in offer, offer.get("class", 0)

        mechanics = (*EARNING, "issue", "referral", "tender", "redeem", "fuel")
        here = [
            offer
            for offer in offers
            if not offer.get("stackable") and not any(name in offer for name in mechanics)
        ]
        for at, offer in enumerate(here):
            before = [
                other["id"]
                for other in here[:at]
                if place(other)[0] == place(offer)[0] and place(other)[1] <= place(offer)[1]
            ]
            if before and self.random.random() < 0.7:
                offer["stack_after"] = self.random.sample(before, self.pick(1, len(before)))

    def line(self, fuels: float, charges: float) -> list[Any]:
        """Return a line; of fuel, or of another kind than goods, with these chances."""
        count = self.pick(1, 1, 1, 2, 3)
        amount = self.pick(*PRICES) * count + self.pick(0, 0, 0, 1)
        code = self.pick(*CODES, *CODES[:4], *CODES[:3], "999")
        more = self.some(
            (0.1, "source", self.pick("ad", "markdown", "member", "override")),
            (0.05, "no_discount", True),
            (0.05, "no_earn", True),
            (0.05, "no_redeem", True),
            (0.05, "pos_discount", money(self.pick(10, 20))),
            (0.04, "opaque", True),
        )
        if self.gates.random() < 0.3:
            more["age_verified"] = True
        if count == 1 and self.random.random() < 0.2:
            quantity = self.pick("0.25", "0.7", "1.333")
            more["measure"] = {"quantity": quantity, "unit": self.pick("kilogram", "litre")}
        if self.random.random() < fuels:
            return self.fill()
        if self.random.random() < charges:
            other = {"kind": self.pick("deposit", "fee", "charge", "charge"), **more}
            return [self.pick("", code), count, money(amount), other]
        return [code, count, money(amount), more] if more else [code, count, money(amount)]

    def shown(self) -> Any:
        """Return a coupon: a code, or the digits of one that says itself what it gives.

        Some are those that a sale before issued, if it did.
        """
        if self.random.random() < 0.15:
            return {"issued": self.random.randint(1, 9)}
        if self.random.random() < 0.7:
            code = f"C{self.random.randrange(7)}"
            code = self.pick(*TWINS) if self.random.random() < 0.05 else code
            serial = str(self.random.randrange(SERIALS))
            return {"code": code, "serial": serial} if self.random.random() < 0.2 else code
        prefix, random = self.pick("14006381", "0400638"), self.random

        def purchase() -> str:
            code = random.choice("0000123499")
            amount = random.choice(("1", "2", "3") if code == "0" else ("50", "120", "200"))
            return f"{len(amount)}{amount}{code}{self.pick('000', '000', '120', '100', '121')}"

        value = self.pick("1", "25", "50", "100", "250")
        scan = f"8110{prefix}654321{len(value)}{value}{purchase()}"
        several = random.random() < 0.4
        if several:
            scan += f"1{random.randrange(4)}{purchase()}9"
            if random.random() < 0.5:
                scan += f"2{purchase()}{self.pick('9', '0400638', '0501234')}"
        scan += "3260304" if random.random() < 0.1 else ""
        scan += f"50{123456 + random.randrange(SERIALS)}" if random.random() < 0.2 else ""
        scan += "610071234" if random.random() < 0.1 else ""
        if random.random() < 0.6:
            item = random.choice("001") if several else "0"
            scan += f"9{random.choice('01256')}{item}{random.choice('0001')}0"
        return {"scan": scan}

    def scanned(self, files: dict[str, str]) -> dict[str, Any]:
        """Return an offer for scanned coupons."""
        files["families.csv"] = "item,family\n4006381333931,121\n"
        rule: dict[str, Any] = self.some(
            (0.3, "coupons", "store"),
            (0.5, "families", "families.csv"),
            (0.5, "retailers", ["0071234"]),
            (0.3, "above_price", "refuse"),
            (0.1, "of", {"brand": "Alba"}),
        )
        offer = self.some(
            (0.3, "class", self.random.randint(-1, 2)),
            (0.2, "floor_price", money(self.pick(50, 90))),
        )
        return {"id": f"s{self.programs}", **offer, "scanned": rule}

    def match(self) -> dict[str, Any]:
        """Return an offer that doubles scanned coupons."""
        most = {"most": money(self.pick(20, 50, 100)), **self.some((0.3, "of", self.selector))}
        more = self.some(
            (0.4, "class", self.random.randint(-1, 2)),
            (0.2, "floor_price", money(self.pick(50, 90))),
            (0.2, "funding", self.maker_or_shop),
        )
        return {"id": f"m{self.programs}", **more, "scanned": {"coupons": "match", **most}}

    def maker_or_shop(self) -> list[dict[str, Any]]:
        return [{"funder": self.pick("maker", "shop"), "percent": 100, "settlement": "third_party"}]

    def tenders(self, lines: int) -> list[dict[str, Any]]:
        """Return the tenders of one basket of so many lines."""
        return [
            {
                "kind": self.pick("cash", "credit_card", "credit_card", "gift_card"),
                **self.some(
                    (0.5, "amount", money(self.pick(50, 100, 300, 700))),
                    (0.4, "scheme", self.pick("VISA", "MC")),
                    (0.4, "bin", self.pick("411111", "555555")),
                    (0.2, "lines", [self.random.randint(1, lines)]),
                ),
            }
            for _ in range(self.random.randint(1, 3))
        ]

    def basket(self, program: dict[str, Any]) -> dict[str, Any]:
        """Return one basket."""
        lines: list[list[Any]] = []
        units = 0
        fuels = 0.5 if any("fuel" in offer for offer in program["offers"]) else 0.02
        charges = 0.4 if "'line'" in str(program["offers"]) else 0.1
        for _ in range(self.random.randint(1, 6)):
            line = self.line(fuels, charges)
            units += line[1]
            if lines and units > UNITS_MAX:
                break
            lines.append(line)
        ids = [offer["id"] for offer in program["offers"]]
        return {
            **self.some(
                (0.7, "card", self.pick("1001", "1002", "1003", "1003", "1004", "1005", "7777")),
                (0.2, "store", "S1"),
                (0.2, "opened", self.pick("2026-03-04T03:30", "2026-03-05T01:59")),
                (0.1, "offset", self.pick(-300, 60)),
                (0.3, "date", self.pick("2026-03-03", "2026-03-04", "2026-03-09", "2026-04-01")),
                (0.1, "channel", "online_delivery"),
                (0.7, "coupons", [self.shown() for _ in range(6)]),
                (0.3, "chosen", self.random.sample(ids, min(2, len(ids)))),
                (0.5, "tenders", lambda: self.tenders(len(lines))),
                (0.6, "redeem", lambda: self.requests(ids, len(lines))),
            ),
            "lines": lines,
        }
