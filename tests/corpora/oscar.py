"""Cases of the form of oscar.jsonl: a condition over one range of products, a benefit over another.

A benefit looks at the price on the shelf, takes the cheapest products first where it is bounded,
and gives down to whole cents. Offers apply by priority; one that is not exclusive goes together
with others. So each is a stackable offer of the basket layer.
"""

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

MULTIBUY = "MultibuyDiscountBenefit"
#: What a condition asks for, by its class.
CONDITIONS = {"CountCondition": "count", "ValueCondition": "spend", "CoverageCondition": "products"}


class Reader:
    """Reads one case."""

    def __init__(self, case: dict[str, Any]) -> None:
        known(
            case, "id", "kind", "basket", "benefit", "condition", "discount", "lines_after",
            "applications", "offers", "total_discount",
        )  # fmt: skip
        self.case, self.goods = case, Goods()
        for line in case["basket"]:
            known(line, "product", "qty", "unit")
            self.goods.code(line["product"])

    def range(self, part: dict[str, Any]) -> Any:
        """Return the products of a range."""
        products = part.get("range") or {"all": True}
        known(products, "all", "products")
        return "all" if products["all"] else self.goods.selector(products["products"])

    def reach(self, condition: dict[str, Any]) -> dict[str, Any]:
        """Return what a condition asks for."""
        known(condition, "cls", "type", "value", "range")
        measure = CONDITIONS.get(condition["cls"])
        if measure is None:
            raise CannotTranslateError(f"condition {condition['cls']}")
        value = condition["value"]
        least = money(whole_cents(value)) if measure == "spend" else int(Fraction(value))
        return {measure: least, "of": self.range(condition)}

    def offer(
        self, number: int, condition: dict[str, Any], benefit: dict[str, Any]
    ) -> dict[str, Any]:
        """Return condition and benefit as an offer."""
        known(benefit, "cls", "type", "value", "max_affected_items", "range")
        kind, value = benefit["cls"], benefit["value"]
        reward: dict[str, Any] = {"of": self.range(benefit)}
        if benefit["max_affected_items"] is not None:
            reward |= {"units": benefit["max_affected_items"], "choose": "cheapest"}
        if kind == "PercentageDiscountBenefit":
            reward["percent"] = percent(value)
        elif kind == "AbsoluteDiscountBenefit":
            reward["amount"] = money(whole_cents(value))
        elif kind == "FixedUnitDiscountBenefit":
            reward["each"] = money(whole_cents(value))
        elif kind == MULTIBUY:
            reward |= {"percent": 100, "units": 1, "choose": "cheapest"}
        elif kind == "FixedPriceBenefit" and condition["cls"] != "ValueCondition":
            count = int(Fraction(condition["value"]))
            reward = {"of": self.range(condition), "price": money(whole_cents(value))}
            reward |= {"units": count, "choose": "cheapest"}
            if condition["cls"] == "CoverageCondition":
                # One of each product: n different ones are the condition of the threshold.
                return self.head(number) | {"limits": {"per_product": {"units": 1}},
                                            **self.threshold(condition, reward)}  # fmt: skip
        elif kind == "FixedPriceBenefit" or kind.startswith("Shipping"):
            # Nothing off the goods: the peer gives nothing, or less to pay for the delivery.
            reward = {"of": {"line": "charge"}, "percent": 100}
        elif not benefit["type"]:
            # An action of the shop's own, after the order: points are one.
            known(benefit["range"] or {}, "all", "products")
            return {"id": f"o{number}", "requires": [self.reach(condition)],
                    "bonus": {"purse": "points", "points": 1, "once_a_visit": True}}  # fmt: skip
        else:
            raise CannotTranslateError(f"benefit {kind}")
        return self.head(number) | self.threshold(condition, reward)

    def head(self, number: int) -> dict[str, Any]:
        return {"id": f"o{number}", "base": "initial", "rounding": "floor"}

    def threshold(self, condition: dict[str, Any], reward: dict[str, Any]) -> dict[str, Any]:
        return {"threshold": {**self.reach(condition), "reward": reward}}

    def offers(self) -> list[dict[str, Any]]:
        """Return the offers of the case, those that apply first with the higher priority."""
        if self.case["kind"] == "benefit.apply":
            one = self.offer(0, self.case["condition"], self.case["benefit"])
            return [one]
        if self.case["kind"] != "apply_offers":
            raise CannotTranslateError(f"kind {self.case['kind']}")
        written = self.case["offers"]
        exclusive = any(offer["exclusive"] for offer in written)
        if exclusive and not all(offer["exclusive"] for offer in written):
            raise CannotTranslateError("exclusive offers among others")
        found = []
        for number, part in enumerate(written):
            known(part, "name", "priority", "exclusive", "benefit", "condition")
            offer = self.offer(number, part["condition"], part["benefit"])
            if "threshold" in offer and exclusive:
                # A product that one has is not there for the next: a class for each, in order.
                offer["class"] = -part["priority"] * len(written) + number
            elif "threshold" in offer and len(written) > 1:
                offer |= {"stackable": True, "priority": part["priority"]}
            found.append(offer)
        return found

    def expected(self) -> Expected:
        """Return the figures of the case."""
        total = self.case.get("total_discount", self.case.get("discount"))
        figures = Expected(discount=Fraction(total) * 100)
        parts = self.case.get("offers", [self.case])
        is_multibuy = any(part["benefit"]["cls"] == MULTIBUY for part in parts)
        for number, line in enumerate(self.case["lines_after"], start=1):
            known(line, "discount", "qty_with_discount")
            figures.lines[number] = Fraction(line["discount"]) * 100
            # What pays for a free product counts as used too.
            told = figures.consumed if is_multibuy else figures.units
            told[number] = line["qty_with_discount"]
        return figures


def translate(case: dict[str, Any]) -> Translated:
    """Return a case in checklane's own form."""
    reader = Reader(case)
    lines = [
        {
            "code": reader.goods.code(line["product"]),
            "count": line["qty"],
            "amount": money(whole_cents(Fraction(line["unit"]) * line["qty"])),
        }
        for line in case["basket"]
    ]
    purses = {"points": {"number": 1}}
    members = [{"member_id": "m", "card": "1001"}]
    head = program(reader.offers(), purses=purses)
    steps = [Step(basket(lines, card="1001"), reader.expected())]
    return Translated(head, reader.goods.catalogue(), members, steps)
