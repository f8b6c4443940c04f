"""`buf curl` by gRPC over HTTP/2, its schema from the contract's files."""

import json
import subprocess
import sys

from google.protobuf import json_format

from checklane.v1 import checkout_pb2
from tests.conformance.clients.common import QUOTE, Plan, run

plan = Plan(sys.argv[1])
WITHIN_S = 60


def curl(path: str, request: str, *flags: str, address: str = "address") -> tuple[int, str, str]:
    scheme = "http" if address == "address" else "https"
    known = "--http2-prior-knowledge" if scheme == "http" else "--http1.1=false"
    command = [plan.text("buf"), "curl", "--protocol", "grpc", "--schema", plan.text("descriptors")]
    command += [known] if scheme == "http" else []
    command += [*flags, "--data", request, f"{scheme}://{plan.text(address)}{path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S)
    return done.returncode, done.stdout, done.stderr


def quote(*flags: str, address: str = "address") -> None:
    asked = checkout_pb2.QuoteBasketRequest.FromString(plan.content("quote_request"))
    expected = checkout_pb2.QuoteBasketResponse.FromString(plan.content("quote_answer"))
    status, said, wrong = curl(QUOTE, json_format.MessageToJson(asked), *flags, address=address)
    assert status == 0, wrong
    assert json_format.Parse(said, checkout_pb2.QuoteBasketResponse()) == expected, said


def unary() -> None:
    quote()


def empty() -> None:
    status, said, wrong = curl("/grpc.health.v1.Health/Check", "{}")
    assert status == 0, wrong
    assert json.loads(said)["status"] == "SERVING", said


def details() -> None:
    asked = checkout_pb2.QuoteBasketRequest.FromString(plan.content("refused_request"))
    status, _, wrong = curl(QUOTE, json_format.MessageToJson(asked))
    # It leaves with the gRPC code in the higher bits of its exit status.
    assert status == plan.number("refused_code") << 3, (status, wrong)
    told = json.loads(wrong)
    assert told["message"] == plan.text("refused_words"), told
    assert plan.text("refused_details_first") in {detail["value"] for detail in told["details"]}


def tls() -> None:
    quote("--cacert", plan.text("authority"), address="tls_address")


def mutual_tls() -> None:
    own = ("--cert", plan.text("lane_certificate"), "--key", plan.text("lane_key"))
    quote("--cacert", plan.text("authority"), *own, address="mutual_tls_address")
    asked = json_format.MessageToJson(
        checkout_pb2.QuoteBasketRequest.FromString(plan.content("quote_request"))
    )
    status, _, _ = curl(
        QUOTE, asked, "--cacert", plan.text("authority"), address="mutual_tls_address"
    )
    assert status != 0, "was served without a certificate"


run({function.__name__: function for function in (unary, empty, details, tls, mutual_tls)})
