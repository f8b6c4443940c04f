"""The engine's own C under the thread sanitizer: calls, twins, swaps and stops at once."""

import os
import random
import shutil
import struct
import subprocess
from collections import Counter
from pathlib import Path

from checklane._engine import METHODS
from checklane.v1 import member_pb2, program_pb2
from tests.engine.shop import Shop, basket, identifier

ROOT = Path(__file__).resolve().parents[2]
NATIVE = ROOT / "native"
THREADS = 8


def prepared(shop: Shop, count: int) -> list[tuple[str, bytes]]:
    """Return calls of every method, some of them twins of others."""
    rng = random.Random(7)
    calls = []
    for number in range(count):
        member = rng.choice(["ann", "ben", "eve", None])
        sale = shop.sale(basket((100, 1, 1000), (500, 2, 300), member=member))
        calls.append(("CheckoutService.CommitTransaction", sale))
        calls.append(("CheckoutService.CommitTransaction", sale))
        calls.append(("CheckoutService.QuoteBasket", shop.quote_request(sale.basket)))
        if number % 3 == 0:
            calls.append(("CheckoutService.VoidTransaction", shop.void_request(sale)))
        if number % 3 == 1:
            calls.append(("CheckoutService.ReturnItems", shop.return_request(sale, (2, 1))))
        ref = member_pb2.MemberRef(member_id=rng.choice(["ann", "ben", "cat"]))
        if number % 5 == 0:
            update = member_pb2.UpdateMemberRequest(
                context=shop.context(), member=ref, blocked=rng.random() < 0.2
            )
            calls.append(("MemberService.UpdateMember", update))
            calls.append(("MemberService.GetMember", member_pb2.GetMemberRequest(member=ref)))
            link = member_pb2.LinkIdentifierRequest(
                context=shop.context(), member=ref, identifier=identifier(f"90{number % 7}"),
                remove=rng.random() < 0.5,
            )  # fmt: skip
            calls.append(("MemberService.LinkIdentifier", link))
            stop = program_pb2.StopOfferRequest(
                context=shop.context(), offer_id=rng.choice(["plain", "pick"]),
                resume=rng.random() < 0.5,
            )  # fmt: skip
            calls.append(("ProgramService.StopOffer", stop))
    rng.shuffle(calls)
    return [(method, request.SerializeToString()) for method, request in calls]


def compile_harness(directory: Path) -> Path:
    program = directory / "engine_threads"
    engine = [
        path
        for path in sorted((NATIVE / "checklane").glob("*.c"))
        if not path.name.startswith("lane")
    ]
    sources = [ROOT / "tests/engine/engine_threads.c", *engine]
    command = [
        os.environ.get("CC", "cc"), "-std=c11", "-D_GNU_SOURCE", "-O1", "-g", "-UNDEBUG",
        "-fsanitize=thread", "-Wno-tsan", "-march=x86-64-v2" if os.uname().machine == "x86_64"
        else "-march=armv8-a+crc", f"-I{NATIVE}", "-o", str(program),
        *map(str, sources), "-llmdb", "-lcrypto", "-lpthread",
    ]  # fmt: skip
    subprocess.run(command, check=True)
    return program


def test_no_data_race(built, tmp_path):
    shop = Shop(built, tmp_path)
    calls = prepared(shop, 150)
    shop.engine.close()
    data = tmp_path / "raced"
    shutil.copytree(built.data, data)
    requests = tmp_path / "requests"
    with requests.open("wb") as file:
        for method, request in calls:
            file.write(struct.pack("<II", METHODS[method], len(request)) + request)
    paths = map(str, (data, built.catalogue, built.members, built.program, built.cheaper, requests))
    done = subprocess.run(
        [compile_harness(tmp_path), *paths, str(THREADS)], capture_output=True, text=True,
        env={**os.environ, "TSAN_OPTIONS": "halt_on_error=0 second_deadlock_stack=1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-8000:]
    statuses = Counter(dict(map(int, line.split()) for line in done.stdout.splitlines()))
    assert statuses.total() == len(calls)
    assert statuses[0] > len(calls) // 2
    # RECEIPT_UNKNOWN, _VOIDED, _HAS_RETURNS, IDENTIFIER_TAKEN: what a void or link may meet.
    assert set(statuses) <= {0, 33, 34, 35, 40}
