"""What the clients in Python share: the plan that they are given and how they tell results."""

import asyncio
import base64
import inspect
import json
import sys
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

QUOTE = "/checklane.v1.CheckoutService/QuoteBasket"
COMMIT = "/checklane.v1.CheckoutService/CommitTransaction"
STREAM = "/checklane.v1.CheckoutService/StreamLane"
CHECK = "/grpc.health.v1.Health/Check"
UNKNOWN = "/checklane.v1.CheckoutService/Nothing"
CORRELATION = "checklane-correlation-id"
DETAILS = "grpc-status-details-bin"
SERVING = b"\x08\x01"
OK, DEADLINE_EXCEEDED, UNIMPLEMENTED, UNAVAILABLE = 0, 4, 12, 14

Behaviour = Callable[[], None] | Callable[[], Awaitable[None]]


class Plan:
    """Addresses, requests and the answers that they must get."""

    def __init__(self, path: str) -> None:
        self.values: dict[str, Any] = json.loads(Path(path).read_text())

    def text(self, name: str) -> str:
        """Return a text of the plan."""
        return str(self.values[name])

    def number(self, name: str) -> int:
        """Return a number of the plan."""
        return int(self.values[name])

    def content(self, name: str) -> bytes:
        """Return bytes of the plan."""
        return base64.b64decode(self.values[name])

    def file(self, name: str) -> bytes:
        """Return what stands in a file that the plan names."""
        return Path(self.values[name]).read_bytes()


def field(number: int, value: int | bytes) -> bytes:
    """Encode one field of a protobuf message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    """Encode a number as protobuf does."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def stream_request(plan: Plan, number: int) -> bytes:
    """Return a quote as request `number` of a lane stream."""
    return field(1, number) + field(plan.number("stream_field"), plan.content("quote_request"))


def stream_answer(plan: Plan, answer: bytes) -> int:
    """Return the number of an answer, which must be the quote's."""
    number, shift, at = 0, 0, 1
    assert answer[:1] == b"\x08", answer[:20]
    while True:
        number |= (answer[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if answer[at - 1] < 0x80:
            break
    assert answer[at:] == field(plan.number("stream_answer_field"), plan.content("quote_answer"))
    return number


def say_ready() -> None:
    """Tell whoever runs this client that it makes calls now."""
    print(json.dumps({"ready": True}), flush=True)


def run(behaviours: dict[str, Behaviour]) -> None:
    """Run each behaviour that the command line names, and print a line for each."""
    for name in sys.argv[2:]:
        try:
            result = behaviours[name]()
            if inspect.isawaitable(result):
                asyncio.run(until_done(result))
            problem = ""
        except Exception:
            problem = traceback.format_exc()
        print(json.dumps({"behaviour": name, "problem": problem}), flush=True)


async def until_done(awaitable: Awaitable[None]) -> None:
    """Await one behaviour; none takes longer than a minute."""
    await asyncio.wait_for(awaitable, 60)
