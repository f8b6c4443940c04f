"""Sequence pictures in Mermaid, drawn from what went over the wire; never from what should have."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from checklane.certify.failure import CertifyError
from checklane.certify.record import ANSWERED, LOST, TURNED_AWAY, Exchange
from checklane.certify.run import Result
from checklane.v1 import basket_pb2, checkout_pb2, decision_pb2

__all__ = ["BLOCK", "picture_of", "write_pictures"]

#: A picture in a page: its name stands in a comment before it.
BLOCK = re.compile(r"<!-- picture: (\S+) -->\n```mermaid\n(.*?)```\n", re.DOTALL)

_OUTCOMES: Mapping[str, Any] = {
    "CommitTransaction": (checkout_pb2.CommitOutcome, "COMMIT_OUTCOME_"),
    "VoidTransaction": (checkout_pb2.VoidOutcome, "VOID_OUTCOME_"),
}
_LEVEL_FULL = decision_pb2.DEGRADED_LEVEL_FULL


class _Names:
    """Gives what is random in a run a name by the order in which it is met."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}
        self._tills: dict[str, str] = {}

    def key(self, key: str) -> str:
        number = len(self._keys)
        letter = chr(ord("A") + number % 26) + (str(number // 26) if number >= 26 else "")
        return f"key {self._keys.setdefault(key, letter)}"

    def till(self, till: str) -> str:
        return self._tills.setdefault(till, f"T{len(self._tills) + 1}")

    @property
    def tills(self) -> list[str]:
        return list(self._tills.values())


#: Fields of a request that are told when they are there, and how.
_SAID = {
    "total_token": "total token",
    "figures": "figures",
    "paid": "paid",
    "issue_capsule": "wants a capsule",
    "receipt_capsule": "with its capsule",
}


def picture_of(result: Result) -> str:
    """Return the picture of a step that was run, as the content of a ``mermaid`` block."""
    names = _Names()
    lines: list[str] = []
    for phase, exchanges in zip(result.step.phases, result.exchanges, strict=False):
        drawn = [line for exchange in exchanges for line in _lines_of(exchange, names)]
        if phase.note:
            lines.append(f"    Note over T1,S: {phase.note}")
        lines += drawn
    tills = [f"    participant {till} as till {till[1:]}" for till in names.tills]
    head = ["sequenceDiagram", *tills, "    participant S as checklane"]
    return "\n".join([*head, *lines]) + "\n"


def write_pictures(path: Path, results: Iterable[Result]) -> int:
    """Put pictures into a page that has places for them, or write a page of them.

    Parameters
    ----------
    path : Path
        A page with comments ``<!-- picture: NAME -->`` keeps everything else. A file that is not
        there is written.
    results : iterable of Result

    Returns
    -------
    int
        How many pictures were written.

    Raises
    ------
    CertifyError
        The page is there and has no place for a picture.
    """
    drawn = {result.step.name: (result.step.title, picture_of(result)) for result in results}
    if not path.exists():
        parts = [f"## {title}\n\n{_block(name, text)}" for name, (title, text) in drawn.items()]
        path.write_text("# What went over the wire\n\n" + "\n".join(parts))
        return len(drawn)
    page = path.read_text()
    if not BLOCK.search(page):
        raise CertifyError(f"{path} is there and has no <!-- picture: NAME -->: name another file")
    written = [name for name, _ in BLOCK.findall(page) if name in drawn]

    def put(match: re.Match[str]) -> str:
        name = match[1]
        return _block(name, drawn[name][1]) if name in drawn else match[0]

    path.write_text(BLOCK.sub(put, page))
    return len(written)


def _block(name: str, text: str) -> str:
    return f"<!-- picture: {name} -->\n```mermaid\n{text}```\n"


# ---- one call


def _lines_of(exchange: Exchange, names: _Names) -> list[str]:
    till = names.till(exchange.till)
    stream = f"{exchange.stream}, " if exchange.stream else ""
    sent = f"    {till}->>S: {stream}{exchange.method}{_asked(exchange, names)}"
    if exchange.fate == TURNED_AWAY:
        return [sent, f"    S-->>{till}: refused, {exchange.refusal}"]
    answer = f"refused, {exchange.refusal}" if exchange.refusal else _answered(exchange)
    if exchange.fate == ANSWERED:
        return [sent, f"    S-->>{till}: {answer}"]
    how = "lost" if exchange.fate == LOST else "too late"
    return [sent, f"    S--x{till}: {answer} ({how})"]


def _asked(exchange: Exchange, names: _Names) -> str:
    """Return what a request says, as the rest of its line."""
    request = exchange.request
    parts: list[str] = []
    if hasattr(request, "basket") and request.HasField("basket"):
        parts.append(_goods(request.basket.lines))
    if exchange.method == "VoidTransaction":
        by_receipt = request.HasField("original_receipt")
        parts.append(f"of receipt {request.original_receipt.sequence}" if by_receipt
                     else f"of {names.key(request.original_idempotency_key)}")  # fmt: skip
    if exchange.method == "ReturnItems":
        count = sum(line.count for line in request.lines)
        parts.append(f"{count} of receipt {request.original_receipt.sequence}")
    if exchange.method == "ClaimTransaction":
        parts.append(f"of receipt {request.receipt.sequence}")
    elif exchange.receipt is not None:
        parts.append(f"receipt {request.receipt.sequence}")
    parts += _holding(exchange.method, request)
    parts += [word for name, word in _SAID.items() if _says(request, name)]
    if exchange.key:
        parts.append(names.key(exchange.key))
    return ": " + ", ".join(parts) if parts else ""


def _says(request: Any, name: str) -> bool:
    value = getattr(request, name, None)
    return request.HasField(name) if hasattr(value, "DESCRIPTOR") else bool(value)


def _holding(method: str, request: Any) -> list[str]:
    if method == "CreateHold":
        return [f"{request.points} points"]
    if method == "CaptureHold":
        return [f"{request.capture.points} points"]
    return []


def _goods(lines: Any) -> str:
    back = [line for line in lines if line.kind == basket_pb2.LINE_KIND_RETURN]
    sold = [line for line in lines if line.kind != basket_pb2.LINE_KIND_RETURN]
    goods = _units(sold) if len(sold) == 1 else f"{_units(sold)} in {len(sold)} lines"
    if not back:
        return goods
    original = back[0].original.receipt.sequence
    return f"{goods}, {_units(back)} {f'of receipt {original}' if original else 'unreceipted'} back"


def _units(lines: Any) -> str:
    if any(line.HasField("measure") for line in lines):
        return f"{sum(line.measure.quantity_thousandths for line in lines) / 1000:g} measured"
    count = sum(line.count for line in lines)
    return "1 unit" if count == 1 else f"{count} units"


def _answered(exchange: Exchange) -> str:
    """Return what an answer says."""
    tell = _TELL.get(exchange.method)
    return "no answer" if exchange.answer is None else tell(exchange.answer) if tell else "done"


def _figures(decision: Any) -> str:
    told = f"due {decision.totals.due_minor}, saved {decision.totals.discount_minor}"
    if decision.degraded_level != _LEVEL_FULL:
        level = decision_pb2.DegradedLevel.Name(decision.degraded_level)
        told += f", decided {level.removeprefix('DEGRADED_LEVEL_')}"
    return told


def _outcome(method: str, answer: Any) -> str:
    enum, prefix = _OUTCOMES[method]
    return str(enum.Name(answer.outcome)).removeprefix(prefix)


def _fuel(answer: Any) -> str:
    """Return what comes off the unit at each price, in minor units."""
    rows = [
        f"{row.discount_minor_thousandths / 1000:g} off a unit up to"
        f" {row.max_quantity_thousandths / 1000:g}"
        for row in answer.discounts
    ]
    return ", ".join([*rows, "held" if answer.hold.hold_id else "nothing held"])


def _hold(hold: Any) -> str:
    state = checkout_pb2.HoldState.Name(hold.state).removeprefix("HOLD_STATE_")
    return f"hold {state}, {hold.points} points held"


_TELL: Mapping[str, Callable[[Any], str]] = {
    "IdentifyMember": lambda answer: f"{len(answer.members)} member",
    "QuoteBasket": lambda answer: _figures(answer.decision),
    "TotalBasket": lambda answer: f"{_figures(answer.decision)}, total token",
    "CommitTransaction": lambda answer: (
        f"{_outcome('CommitTransaction', answer)}, {_figures(answer.decision)}"
        + (f", refunded {answer.reversal.refund_minor}" if answer.HasField("reversal") else "")
    ),
    "VoidTransaction": lambda answer: _outcome("VoidTransaction", answer),
    "ReturnItems": lambda answer: f"refund {answer.reversal.refund_minor}",
    "ClaimTransaction": lambda answer: (
        f"earned {sum(award.points for award in answer.earned)} points"
    ),
    "AuthorizeFuel": lambda answer: _fuel(answer),
    "CreateHold": lambda answer: _hold(answer.hold),
    "CaptureHold": lambda answer: f"{answer.captured_points} points spent, {_hold(answer.hold)}",
    "ReleaseHold": lambda answer: " and ".join(map(_hold, answer.holds)),
}
