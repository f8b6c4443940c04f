"""What every lane is held to in every step: one key, one receipt, nothing lost, nothing twice."""

from collections import Counter
from collections.abc import Iterable, Iterator

from checklane.certify.record import Evidence, Exchange, content_of

__all__ = ["entered_once", "fair", "keeps_its_key", "no_gap"]

Receipt = tuple[str, int, str, int]


def fair(seen: Evidence) -> Iterator[str]:
    """Yield what breaks the rules of every step."""
    contents: dict[tuple[str, str, str], bytes] = {}
    receipts: dict[tuple[str, str, str], Receipt] = {}
    for exchange in seen.exchanges:
        if not exchange.has_deadline:
            yield (
                f"{exchange.method} has no deadline: set one on every call, or the till waits for"
                " ever when no answer comes"
            )
        if not exchange.key:
            continue
        name = (exchange.method, exchange.till, exchange.key)
        content = content_of(exchange.request)
        if contents.setdefault(name, content) != content:
            yield (
                f"{exchange.method} came twice with one key and different content: send again what"
                " was sent, byte for byte but for attempt, send time and correlation id, and take"
                " a new key for a new change"
            )
        if exchange.receipt is None:
            continue
        if receipts.setdefault(name, exchange.receipt) != exchange.receipt:
            yield f"one key was used for two receipts, {words_of(exchange.receipt)} is the second"


def keeps_its_key(tries: Iterable[Exchange]) -> Iterator[str]:
    """Yield what is wrong with calls that are tries at one change."""
    keys = list(dict.fromkeys(found.key for found in tries))
    if len(keys) > 1:
        yield (
            f"a try that came after one without an answer has another key ({len(keys)} keys for one"
            " receipt): make the key when the sale is finished, keep it with the sale, and send it"
            " until there is an answer"
        )


def entered_once(seen: Evidence) -> Iterator[str]:
    """Yield what was tried and is not in the journal, or is there more than once."""
    if seen.entries is None:
        for receipt, tries in seen.tries():
            if not any(found.is_seen for found in tries):
                yield _never(receipt)
        return
    counts = Counter(
        (entry.receipt.store_id, entry.receipt.business_date, entry.receipt.till_id,
         entry.receipt.sequence)
        for entry in (*seen.entered("SALE"), *seen.entered("RETURN"))
    )  # fmt: skip
    for receipt, tries in seen.tries():
        if counts[receipt] == 0 and any(found.is_seen for found in tries):
            yield (
                f"{words_of(receipt)} was answered, and is not among what this step entered: take a"
                " new number and a new key for each sale"
            )
        elif counts[receipt] == 0:
            yield _never(receipt)
        elif not any(found.is_seen for found in tries):
            yield (
                f"{words_of(receipt)} is entered, and the lane never got to know: send it again"
                " with its key until there is an answer"
            )


def no_gap(seen: Evidence) -> Iterator[str]:
    """Yield the receipt numbers that a till has left out: sales that never came."""
    numbers: dict[tuple[str, int, str], list[int]] = {}
    for receipt, _ in seen.tries():
        numbers.setdefault(receipt[:3], []).append(receipt[3])
    for (_, _, till), found in numbers.items():
        missing = sorted(set(range(min(found), max(found) + 1)) - set(found))
        if missing:
            told = ", ".join(map(str, missing[:5]))
            yield (
                f"till {till} never sent receipt {told}: write a finished sale to the lane's own"
                " disk before it is sent, and send it when the service is back"
            )


def words_of(receipt: Receipt) -> str:
    """Return a receipt as people name it."""
    return f"receipt {receipt[3]} of till {receipt[2]}"


def _never(receipt: Receipt) -> str:
    return (
        f"{words_of(receipt)} was tried and never entered: send it again, with its key, until there"
        " is an answer"
    )
