"""Cases of the form of sylius.jsonl: offers of rules and actions over an order or its units.

Every offer that is not exclusive applies, those of higher priority first; a percentage of a unit
is one of its price on the shelf. So each action becomes a stackable offer.
"""

import re
from fractions import Fraction
from typing import Any

from tests.corpora.case import (
    CannotTranslateError,
    Expected,
    Goods,
    Step,
    Translated,
    basket,
    known,
    money,
    percent,
    program,
    whole_cents,
)

#: What a sentence on validity means. Each has one of these endings.
VALIDITY: tuple[tuple[str, dict[str, Any]], ...] = (
    ("has already expired", {"when": {"until": "2026-03-03"}}),
    ("expires tomorrow", {"when": {"until": "2026-03-05"}}),
    ("starts tomorrow", {"when": {"from": "2026-03-05"}}),
    ("started yesterday", {"when": {"from": "2026-03-03"}}),
)


class Reader:
    """Reads one case."""

    def __init__(self, case: dict[str, Any]) -> None:
        known(case, "id", "basket", "expect", "member", "offers", "products")
        known(case["member"], "coupons")
        self.case, self.goods = case, Goods()
        self.exclusive = self.is_exclusive()
        for sku, product in case["products"].items():
            known(product, "price", "cats")
            self.goods.code(sku)

    def selector(self, part: dict[str, Any]) -> Any:
        """Return which units the filters of an action or the scope of a rule mean."""
        products = self.case["products"]
        wanted: Any = {}
        for key in ("sku", "contains_sku"):
            if key in part:
                wanted = self.goods.selector([part[key]])
        for key in ("cat", "contains_cat"):
            if key in part:
                fitting = [sku for sku in products if part[key] in products[sku]["cats"]]
                wanted = self.goods.selector(fitting)
        prices = {
            end: money(part[key])
            for key, end in (("minimum_price", "from"), ("maximum_price", "until"))
            if key in part
        }
        if prices:
            return {**(wanted or {"all": []}), "unit_price": prices}
        return wanted or "all"

    def conditions(self, offer: dict[str, Any]) -> list[dict[str, Any]]:
        """Return what the rules of an offer ask of the basket."""
        found = []
        for rule in offer.get("rules", []):
            known(rule, "min_qty", "min_value", "contains_sku", "contains_cat")
            reach: dict[str, Any] = {"count": rule.get("min_qty", 1)}
            if "min_value" in rule:
                reach = {"spend": money(rule["min_value"])}
            found.append({**reach, "of": self.selector(rule)})
        return found

    def action(self, action: dict[str, Any]) -> dict[str, Any]:
        """Return the mechanic of one action."""
        known(action, "scope", "v", "minimum_price", "maximum_price", "cat", "sku")
        figure = re.fullmatch(r"[^\d.]*([\d.]+)(%?)", action["v"])
        if figure is None or action["scope"] not in ("order", "unit"):
            raise CannotTranslateError(f"action {action['scope']} {action['v']}")
        of = self.selector(action)
        if figure[2]:
            reward = {"percent": percent(figure[1])}
        else:
            reward = {"amount": money(whole_cents(figure[1]))}
        if action["scope"] == "unit" and not self.exclusive:
            return {"layer": "basket", "base": "initial", "discount": {"of": of, **reward}}
        if action["scope"] == "unit":
            reward = {"each" if key == "amount" else key: value for key, value in reward.items()}
            return {"base": "initial", "threshold": {"count": 1, "reward": {**reward, "of": of}}}
        return {"threshold": {"count": 1, "reward": {**reward, "of": of}}}

    def offer(self, number: int, offer: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the offers that one offer of the case becomes: one for each action."""
        known(offer, "name", "exclusive", "priority", "actions", "rules", "coupon", "validity")
        head: dict[str, Any] = {"stackable": True, "priority": offer.get("priority", 0)}
        if self.exclusive:
            # Each has a class of its own. The first that applies counts every unit, so none is
            # left for the next; an exclusive one comes before all others.
            head = {"class": self.order(number)}
        if "coupon" in offer:
            head["coupon"] = {"codes": [offer["coupon"]]}
        for sentence in offer.get("validity", []):
            meaning = next((m for ending, m in VALIDITY if sentence.endswith(ending)), None)
            if meaning is None:
                raise CannotTranslateError(f"validity: {sentence}")
            head |= meaning
        conditions = self.conditions(offer)
        if conditions:
            head["requires"] = conditions
        return [
            {"id": f"o{number}a{at}", **head, **self.action(action)}
            for at, action in enumerate(offer["actions"])
        ]

    def order(self, number: int) -> int:
        """Return the place of an offer among those of which at most one applies."""
        offers = self.case["offers"]

        def key(at: int) -> tuple[bool, int, int]:
            return not offers[at].get("exclusive"), -offers[at].get("priority", 0), at

        return sorted(range(len(offers)), key=key).index(number)

    def is_exclusive(self) -> bool:
        """Tell whether at most one of the offers applies."""
        offers = self.case["offers"]
        if not any(offer.get("exclusive") for offer in offers):
            return False
        sociable = sum(1 for offer in offers if not offer.get("exclusive"))
        if sociable > 1 or any(len(offer["actions"]) > 1 for offer in offers):
            raise CannotTranslateError("an exclusive offer keeps out several that go together")
        return True

    def lines(self) -> list[dict[str, Any]]:
        """Return the lines of the basket."""
        found = []
        for line in self.case["basket"]:
            known(line, "sku", "qty")
            price = self.case["products"][line["sku"]]["price"]
            amount = money(price * line["qty"])
            found.append(
                {"code": self.goods.code(line["sku"]), "count": line["qty"], "amount": amount}
            )
        return found

    def expected(self) -> Expected:
        """Return the figures of the case."""
        expect, case = self.case["expect"], self.case
        known(expect, "total", "discount", "lines", "coupon_invalid")
        gross = sum(case["products"][line["sku"]]["price"] * line["qty"] for line in case["basket"])
        figures = Expected(coupons_refused=bool(expect.get("coupon_invalid")))
        if "total" in expect:
            figures.discount = Fraction(gross - expect["total"])
        elif "discount" in expect:
            figures.discount = Fraction(expect["discount"])
        if expect.get("discount", figures.discount) != figures.discount:
            raise CannotTranslateError("total and discount do not make the prices")
        for number, line in enumerate(case["basket"], start=1):
            if line["sku"] in expect.get("lines", {}):
                figures.lines[number] = Fraction(expect["lines"][line["sku"]])
        return figures


def translate(case: dict[str, Any]) -> Translated:
    """Return a case in checklane's own form."""
    reader = Reader(case)
    offers = [
        offer
        for number, written in enumerate(case["offers"])
        for offer in reader.offer(number, written)
    ]
    shown = basket(reader.lines(), coupons=case["member"].get("coupons", []))
    steps = [Step(shown, reader.expected())]
    return Translated(program(offers), reader.goods.catalogue(), [], steps)
