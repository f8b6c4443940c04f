"""Cases of the form of medusa.jsonl: promotions by code, over items or the order.

Promotions apply one after the other, each on what those before left: those that buy and get first,
then the one with the greatest value. So each is a stackable offer. A code opens its promotion as
often as it fits, so it is the customer's choice and no coupon, which is good for once. What a rule
asks of the customer is a segment, what it asks of anything else is where the offer runs: each call
has a store of its own.
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

#: The campaigns that the peer's tests always have; cases name them without saying what they are.
CAMPAIGNS: dict[str, dict[str, Any]] = {
    "campaign-id-1": {"type": "spend", "limit": 1000},
    "campaign-id-2": {"type": "usage", "limit": 1000},
}
CUSTOMER_KEYS = ("customer", "email")


def facts(part: Any, path: str = "") -> dict[str, list[Any]]:
    """Return the values of nested mappings and lists by their dotted names."""
    found: dict[str, list[Any]] = {}
    if isinstance(part, dict):
        for key, value in part.items():
            for name, values in facts(value, f"{path}.{key}" if path else key).items():
                found.setdefault(name, []).extend(values)
    elif isinstance(part, list):
        for value in part:
            for name, values in facts(value, path).items():
                found.setdefault(name, []).extend(values)
    elif part is not None:
        found[path] = [part]
    return found


def holds(rule: dict[str, Any], known_facts: dict[str, list[Any]]) -> bool:
    """Tell whether a rule holds for some facts."""
    known(rule, "attribute", "operator", "values")
    values = rule["values"] if isinstance(rule["values"], list) else [rule["values"]]
    wanted = [str(part.get("value", part)) if isinstance(part, dict) else str(part)
              for part in values]  # fmt: skip
    there = [str(value) for value in known_facts.get(rule["attribute"], [])]
    operator = rule["operator"]
    if operator in ("in", "eq"):
        return any(value in wanted for value in there)
    if operator == "ne":
        return bool(there) and not any(value in wanted for value in there)
    compare = {
        "gt": lambda a, b: a > b,
        "gte": lambda a, b: a >= b,
        "lt": lambda a, b: a < b,
        "lte": lambda a, b: a <= b,
    }.get(operator)
    if compare is None:
        raise CannotTranslateError(f"operator {operator}")
    return any(compare(Fraction(value), Fraction(end)) for value in there for end in wanted)


class Reader:
    """Reads one case."""

    def __init__(self, case: dict[str, Any]) -> None:
        known(case, "id", "calls", "campaign_updates", "campaigns", "promotions", "usage")
        self.case, self.goods = case, Goods()
        self.calls = case["calls"]
        self.items: dict[str, dict[str, Any]] = {}
        for call in self.calls:
            known(call, "codes", "context", "options", "expected")
            for item in call["context"]["items"]:
                self.items[item["id"]] = item
                self.goods.code(item["id"])
        self.segments: dict[str, int] = {}
        self.prevented = any(
            (call.get("options") or {}).get("prevent_auto_promotions") for call in self.calls
        )

    # ---------------------------------------------------------------- who, where -------------

    def segment(self, rule: dict[str, Any]) -> str:
        """Return the segment of those for whom a rule holds."""
        name = f"{rule['attribute']} {rule['operator']} {rule['values']}"
        return f"s{self.segments.setdefault(name, len(self.segments))}"

    def asks(self, promotion: dict[str, Any]) -> dict[str, Any]:
        """Return whom and where a promotion is for."""
        segments, stores = [], list(range(len(self.calls)))
        method = promotion["application_method"]
        for rule in promotion.get("rules") or []:
            if rule["attribute"].split(".")[0].split("_")[0] in CUSTOMER_KEYS:
                segments.append(self.segment(rule))
            else:
                stores = [n for n in stores if holds(rule, facts(self.calls[n]["context"]))]
        currency = method.get("currency_code")
        if currency is not None:
            stores = [
                n for n in stores if self.calls[n]["context"].get("currency_code") == currency
            ]
        found: dict[str, Any] = {}
        if segments:
            found["who"] = {"segments": {"all": segments}}
        if len(stores) < len(self.calls):
            found["where"] = {"stores": [f"N{n}" for n in stores] or ["none"]}
        return found

    def members(self) -> list[dict[str, Any]]:
        """Return a member for each different customer."""
        rows: dict[str, dict[str, Any]] = {}
        for call in self.calls:
            card = self.card(call)
            if not card:
                continue
            context = facts(call["context"])
            rules = [
                rule for promotion in self.case["promotions"]
                for rule in promotion.get("rules") or []
                if rule["attribute"].split(".")[0].split("_")[0] in CUSTOMER_KEYS
            ]  # fmt: skip
            held = {self.segment(rule) for rule in rules if holds(rule, context)}
            row = {"member_id": f"m{card}", "card": card, "segments": sorted(held)}
            if rows.setdefault(card, row) != row:
                raise CannotTranslateError("a customer changes between calls")
        return list(rows.values())

    def card(self, call: dict[str, Any]) -> str:
        """Return the card of the customer of a call, empty for nobody."""
        context = call["context"]
        who = {key: context[key] for key in CUSTOMER_KEYS if context.get(key)}
        if not who:
            return ""
        everybody = [
            {key: other["context"][key] for key in CUSTOMER_KEYS if other["context"].get(key)}
            for other in self.calls
        ]
        return str(1001 + everybody.index(who))

    # ---------------------------------------------------------------- offers -----------------

    def fitting(self, rules: list[dict[str, Any]] | None) -> list[Any]:
        """Return the items for which the target rules of a promotion hold."""
        found = []
        for name, item in self.items.items():
            own = {**facts(item), **facts(item, "items")}
            if all(holds(rule, own) for rule in rules or []):
                found.append(name)
        return found

    def mechanic(self, promotion: dict[str, Any]) -> dict[str, Any]:
        """Return the mechanic of a promotion with the limits that belong to it."""
        method = promotion["application_method"]
        known(
            method, "currency_code", "target_type", "type", "allocation", "value", "max_quantity",
            "target_rules", "buy_rules", "buy_rules_min_quantity", "apply_to_quantity",
        )  # fmt: skip
        if method["target_type"] not in ("items", "order"):
            raise CannotTranslateError(f"target {method['target_type']}")
        fixed = {"fixed": True, "percentage": False}[method["type"]]
        value = money(whole_cents(method["value"])) if fixed else percent(method["value"])
        reward = {"amount" if fixed else "percent": value}
        whole = method["target_type"] == "order"
        names = list(self.items) if whole else self.fitting(method.get("target_rules"))
        of = self.goods.selector(names)
        if promotion.get("type") == "buyget":
            return self.buy_get(method, of, reward)
        allocation = "across" if whole else method["allocation"]
        most = method.get("max_quantity")
        if allocation == "across" and fixed:
            return {"threshold": {"count": 1, "of": of, "reward": {**reward, "of": of}}}
        found: dict[str, Any] = {"layer": "basket", "discount": {"of": of, **reward}}
        if allocation == "once":
            found["limits"] = {"per_basket": {"units": most or 1}}
            found["discount"]["choose"] = "cheapest"
        elif allocation == "each" and most:
            found["limits"] = {"per_product": {"units": most}}
        elif allocation not in ("each", "across"):
            raise CannotTranslateError(f"allocation {allocation}")
        return found

    def buy_get(
        self, method: dict[str, Any], of: dict[str, Any], reward: dict[str, Any]
    ) -> dict[str, Any]:
        """Return buying some to get others."""
        bought = self.goods.selector(self.fitting(method.get("buy_rules")))
        get: dict[str, Any] = {"count": method["apply_to_quantity"], **reward}
        get |= {"same": True} if bought == of else {"of": of}
        found: dict[str, Any] = {
            "buy_get": {"buy": {"count": method["buy_rules_min_quantity"], "of": bought},
                        "get": get}
        }  # fmt: skip
        if method.get("max_quantity"):
            times = max(1, method["max_quantity"] // method["apply_to_quantity"])
            found["limits"] = {"per_basket": {"times": times}}
        return found

    def budget(self, promotion: dict[str, Any]) -> dict[str, Any]:
        """Return the limits that the budget of a promotion's campaign is."""
        name = promotion.get("campaign_id")
        campaigns = {c["id"]: c.get("budget") for c in self.case["campaigns"]}
        budget = dict(campaigns.get(name) or CAMPAIGNS.get(name) or {})
        if not name and len(campaigns) == 1:
            # The peer's tests tie the only campaign of a case to the only promotion.
            budget = dict(next(iter(campaigns.values())) or {})
        for update in self.case["campaign_updates"]:
            if update["id"] == name:
                budget |= update.get("budget") or {}
        if not budget or budget.get("limit") is None:
            return {}
        known(budget, "type", "limit", "used", "attribute", "currency_code")
        rest = Fraction(str(budget["limit"])) - Fraction(str(budget.get("used") or 0))
        scope = "per_member" if budget["type"].endswith("by_attribute") else "overall"
        measure = "uses" if budget["type"].startswith("us") else "money"
        if rest <= 0:
            return {"when": {"until": "2026-03-03"}}
        if measure == "money":
            # The peer gives nothing once a discount is greater than what the budget has left.
            return {"limits": {scope: {measure: money(whole_cents(rest))}, "whole": True}}
        return {"limits": {scope: {measure: int(rest)}}}

    def offers(self) -> list[dict[str, Any]]:
        """Return the promotions as offers, the first to apply with the highest priority."""
        ordered = sorted(
            self.case["promotions"],
            key=lambda p: (p.get("type") != "buyget", -p["application_method"]["value"]),
        )
        found = []
        for rank, promotion in enumerate(ordered):
            known(
                promotion, "id", "code", "type", "status", "campaign_id", "rules", "is_automatic",
                "application_method", "campaign",
            )  # fmt: skip
            is_automatic = promotion.get("is_automatic")
            if promotion.get("status", "active") != "active" or (is_automatic and self.prevented):
                continue
            offer = {"id": promotion["id"], "stackable": True, "priority": len(ordered) - rank}
            if not is_automatic:
                offer["chosen"] = True
            mechanic, budget = self.mechanic(promotion), self.budget(promotion)
            limits = {**mechanic.pop("limits", {}), **budget.pop("limits", {})}
            offer |= {**self.asks(promotion), **mechanic, **budget}
            found.append({**offer, "limits": limits} if limits else offer)
        return found

    # ---------------------------------------------------------------- baskets ----------------

    def step(self, number: int, call: dict[str, Any]) -> Step:
        """Return one call as a basket with what must come of it."""
        lines = []
        for item in call["context"]["items"]:
            line = {
                "code": self.goods.code(item["id"]),
                "count": item["quantity"],
                "amount": money(whole_cents(item["subtotal"])),
            }
            if item.get("is_discountable") is False:
                line["no_discount"] = True
            lines.append(line)
        chosen = [p["id"] for p in self.case["promotions"] if p["code"] in call["codes"]]
        shown = basket(lines, chosen=chosen, card=self.card(call))
        return Step({**shown, "store": f"N{number}"}, self.expected(call))

    def expected(self, call: dict[str, Any]) -> Expected:
        """Return the figures of a call: what the actions take off each line."""
        names = [item["id"] for item in call["context"]["items"]]
        figures = Expected(lines={number: Fraction(0) for number in range(1, len(names) + 1)})
        for action in call["expected"]:
            if action["action"] == "addItemAdjustment":
                amount = Fraction(str(action["amount"])) * 100
                figures.lines[names.index(action["item_id"]) + 1] += amount
            elif action["action"] not in ("removeItemAdjustment", "campaignBudgetExceeded"):
                raise CannotTranslateError(f"action {action['action']}")
        return figures


def translate(case: dict[str, Any]) -> Translated:
    """Return a case in checklane's own form."""
    reader = Reader(case)
    offers, members = reader.offers(), reader.members()
    steps = [reader.step(number, call) for number, call in enumerate(reader.calls)]
    # What was used is told for the whole case: it happened after the first call.
    for _ in case["usage"]:
        steps.insert(1, Step(steps[0].basket))
    segments = {name: {"number": int(name[1:])} for name in
                (f"s{n}" for n in range(len(reader.segments)))}  # fmt: skip
    stores = (*(f"N{number}" for number in range(len(reader.calls))), "none")
    head = program(offers, segments=segments, tiers={"plain": {"number": 0}})
    return Translated(head, reader.goods.catalogue(stores), members, steps)
