"""A service that answers like checklane's and can be told to break a promise.

It decides by one rule (a tenth off), keeps a journal of layout.h's form and accounts in a dict. The
demo's books must agree over it, and must not when it cheats: that is what it is for.
"""

import threading
from concurrent import futures
from pathlib import Path
from random import Random

import grpc
import numpy as np

from checklane import _layout
from checklane.v1 import basket_pb2, checkout_pb2, decision_pb2, member_pb2

HONEST = "honest"
#: Ways to break a promise.
CHEATS = (
    "movement twice",
    "entry forgotten",
    "entry of nobody",
    "balance off by one",
    "other bytes in the journal",
    "money off by a cent",
    "answer given anew",
)
#: Every so many changes a cheat happens, or an answer is lost.
EVERY = 9
_ALIGN = 16


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % _ALIGN)


class FakeService:
    """Serves the checkout and member calls of the demo in this process.

    Parameters
    ----------
    data : Path
        Gets ``journal/``.
    manner : str
        HONEST or one of CHEATS.
    lose_answers : bool
        True: now and then a change is entered and its answer lost.
    """

    def __init__(self, data: Path, manner: str = HONEST, *, lose_answers: bool = False) -> None:
        self._manner = manner
        self._draw = Random(3) if lose_answers else None
        self._lock = threading.Lock()
        self._answers: dict[str, bytes] = {}
        self._sales: dict[tuple, tuple[int, checkout_pb2.CommitTransactionResponse]] = {}
        self._points: dict[tuple[int, int], int] = {}
        self._lsn, self._crc, self._changes = 0, 0, 0
        (data / "journal").mkdir(parents=True)
        self._file = (data / "journal" / "1").open("wb")
        head = np.zeros(1, dtype=_layout.SEGMENT_HEADER)
        head["magic"], head["segment"] = _layout.SEGMENT_MAGIC, 1
        self._file.write(head.tobytes())
        self._server = grpc.server(futures.ThreadPoolExecutor(8))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        checkout = {
            "IdentifyMember": (self._identify, checkout_pb2.IdentifyMemberRequest),
            "QuoteBasket": (self._quote, checkout_pb2.QuoteBasketRequest),
            "CommitTransaction": (self._commit, checkout_pb2.CommitTransactionRequest),
            "VoidTransaction": (self._void, checkout_pb2.VoidTransactionRequest),
            "ReturnItems": (self._return, checkout_pb2.ReturnItemsRequest),
        }
        member = {"GetMember": (self._get_member, member_pb2.GetMemberRequest)}
        for service, methods in (("CheckoutService", checkout), ("MemberService", member)):
            handlers = {
                name: grpc.unary_unary_rpc_method_handler(call, request.FromString, bytes)
                for name, (call, request) in methods.items()
            }
            handler = grpc.method_handlers_generic_handler(f"checklane.v1.{service}", handlers)
            self._server.add_generic_rpc_handlers((handler,))

    def __enter__(self) -> "FakeService":
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()
        self._file.close()

    def _identify(self, request: checkout_pb2.IdentifyMemberRequest, _: object) -> bytes:
        answer = checkout_pb2.IdentifyMemberResponse()
        answer.members.add(result=decision_pb2.IDENTIFY_RESULT_MEMBER)
        return answer.SerializeToString()

    def _quote(self, request: checkout_pb2.QuoteBasketRequest, _: object) -> bytes:
        answer = checkout_pb2.QuoteBasketResponse(decision=_decide(request.basket))
        return answer.SerializeToString()

    def _commit(self, request: checkout_pb2.CommitTransactionRequest, context) -> bytes:
        decision = _decide(request.basket)
        answer = checkout_pb2.CommitTransactionResponse(decision=decision)
        group = decision.members[0].group_number
        raw = self._enter(_layout.ENTRY_COMMIT, request, answer, group, decision.earned, context)
        self._sales[_receipt_key(request.receipt)] = (group, answer)
        return raw

    def _void(self, request: checkout_pb2.VoidTransactionRequest, context) -> bytes:
        group, sale = self._sales[_receipt_key(request.original_receipt)]
        answer = checkout_pb2.VoidTransactionResponse()
        totals = sale.decision.totals
        answer.reversal.refund_minor = totals.due_minor
        answer.reversal.lines.add(
            gross_minor=totals.gross_minor, discount_minor=totals.discount_minor
        )
        points = sale.decision.earned[0].points
        answer.reversal.points.add(purse_id="points", points=-points)
        reversal = answer.reversal.points
        return self._enter(_layout.ENTRY_VOID, request, answer, group, reversal, context)

    def _return(self, request: checkout_pb2.ReturnItemsRequest, context) -> bytes:
        group, _ = self._sales[_receipt_key(request.original_receipt)]
        answer = checkout_pb2.ReturnItemsResponse()
        answer.reversal.refund_minor = 90
        answer.reversal.lines.add(gross_minor=100, discount_minor=10)
        answer.reversal.points.add(purse_id="points", points=-1)
        points = answer.reversal.points
        return self._enter(_layout.ENTRY_RETURN, request, answer, group, points, context)

    def _get_member(self, request: member_pb2.GetMemberRequest, _: object) -> bytes:
        answer = member_pb2.GetMemberResponse()
        number = int(request.member.identifier.value)
        answer.member.member_number = answer.member.group_number = number
        extra = self._manner == "balance off by one" and number % 2
        points = self._points.get((number, 1), 0) + int(extra)
        answer.member.balances.add(purse_id="points", available_points=points)
        return answer.SerializeToString()

    def _enter(self, kind: int, request, answer, group: int, points, context) -> bytes:
        """Enter one change, or give its first answer again."""
        key = request.context.idempotency_key
        with self._lock:
            if key in self._answers and self._manner != "answer given anew":
                return self._answers[key]
            self._changes += 1
            cheats = self._changes % EVERY == 0
            self._lsn += 1
            answer.posting.lsn = self._lsn
            raw = answer.SerializeToString()
            recorded = raw
            if cheats and self._manner == "other bytes in the journal":
                answer.posting.post_time_unix_ms = 1
                recorded = answer.SerializeToString()
            if cheats and self._manner == "money off by a cent" and kind == _layout.ENTRY_COMMIT:
                answer.decision.totals.due_minor += 1
                recorded = answer.SerializeToString()
            copies = 2 if cheats and self._manner == "movement twice" else 1
            if not (cheats and self._manner == "entry forgotten"):
                self._append(kind, group, list(points) * copies, recorded)
            if cheats and self._manner == "entry of nobody":
                self._lsn += 1
                self._append(kind, group, [], recorded)
            for item in points:
                self._points[group, 1] = self._points.get((group, 1), 0) + item.points
            self._answers[key] = raw
        if self._draw and self._draw.randrange(EVERY) == 0:
            context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost")
        return raw

    def _append(self, kind: int, group: int, points: list, response: bytes) -> None:
        movements = np.zeros(len(points), dtype=_layout.MOVEMENT)
        movements["record"]["family"] = _layout.FAMILY_GROUP
        movements["record"]["hi"] = group
        movements["cell"]["kind"] = _layout.CELL_LOT
        movements["cell"]["sub"] = 1
        movements["cell"]["value"] = [item.points for item in points]
        header = np.zeros(1, dtype=_layout.ENTRY_HEADER)
        header["kind"], header["lsn"] = kind, self._lsn
        header["previous_crc"], header["crc"] = self._crc, self._crc + 1
        header["movement_count"], header["response_bytes"] = len(points), len(response)
        body = _padded(movements.tobytes()) + _padded(response)
        header["length"] = len(_padded(header.tobytes())) + len(body)
        self._crc += 1
        self._file.write(_padded(header.tobytes()) + body)
        self._file.flush()


def _receipt_key(receipt) -> tuple:
    return receipt.store_id, receipt.business_date, receipt.till_id, receipt.sequence


def _decide(basket: basket_pb2.Basket) -> decision_pb2.Decision:
    """Return a tenth off every line, and a point for each whole dollar due."""
    decision = decision_pb2.Decision()
    member = int(basket.identifiers[0].value)
    decision.members.add(member_number=member, group_number=member)
    gross = sum(line.amount_minor for line in basket.lines)
    totals = decision.totals
    totals.gross_minor, totals.discount_minor = gross, gross // 10
    totals.due_minor = totals.net_minor = gross - gross // 10
    decision.applied_offers.add(offer_id="tenth", times=1, discount_minor=gross // 10)
    decision.earned.add(purse_id="points", points=totals.due_minor // 100, offer_id="base")
    decision.optimality.kind = decision_pb2.OPTIMALITY_KIND_EXACT
    return decision
