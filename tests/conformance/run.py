"""Starts the service and each client, and gathers what they found."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2
from google.rpc import status_pb2
from grpc_health.v1 import health_pb2

from checklane.v1 import checkout_pb2
from tests.conformance.behaviours import CALLS_AT_ONCE, STREAM_REQUESTS
from tests.conformance.clients.common import DETAILS, QUOTE
from tests.lane.certificates import Certificates
from tests.server.hostile_requests import basket, commit, context, receipt
from tests.server.serving import ROOT, Server

HERE = Path(__file__).parent
NODE = ROOT / ".cache" / "npm"
NODE_CLIENTS = {"grpc_js": "grpc_js.mjs", "connect_node": "connect_node.mjs"}
CLIENT_WITHIN_S = 180
LARGE_LINES = 512
CORRELATION = "lane-4/till 1"
LANE_IDENTITY = "URI:checklane:store/S001/till/1"


def node_client(client: str) -> list[str]:
    """Return the command of a client in JavaScript, beside the packages that it needs."""
    assert (NODE / "node_modules").is_dir(), (
        "the packages of npm are missing: `make test` brings them"
    )
    for source in (HERE / "node").glob("*.mjs"):
        shutil.copy(source, NODE)
    return ["node", str(NODE / NODE_CLIENTS[client])]


def command_of(client: str) -> list[str]:
    """Return the command of a client, to be followed by the plan and its behaviours."""
    if client in NODE_CLIENTS:
        return node_client(client)
    return [sys.executable, "-m", f"tests.conformance.clients.{client}"]


def run_client(
    client: str, plan: Path, behaviours: tuple[str, ...], server: Server | None = None
) -> dict[str, str]:
    """Run a client and return what was wrong with each behaviour; "" is nothing.

    With `server`, that one is told to stop as soon as the client says that it makes calls.
    """
    command = [*command_of(client), str(plan), *behaviours]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    if server is not None:
        first = process.stdout.readline()
        if first.startswith('{"ready"'):
            server.end(signal.SIGTERM)
        else:
            process.kill()
    said, wrong = process.communicate(timeout=CLIENT_WITHIN_S)
    found = dict.fromkeys(behaviours, f"the client ended without a word: {wrong[-2000:]}")
    for line in said.splitlines():
        result = json.loads(line)
        if "behaviour" in result:
            found[result["behaviour"]] = result["problem"]
    return found


# ------------------------------------------------------------------------------ the plan ----


def as_text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def asked_of_management(address: str, path: str, request: bytes) -> bytes:
    """Return what the management port answers: grpcio serves it, so it is what lanes must get."""
    with grpc.insecure_channel(address) as channel:
        return bytes(channel.unary_unary(path)(request, timeout=30))


def refusal_of_management(address: str, request: bytes) -> dict[str, Any]:
    """Return the code, words and details of a refusal, as the plan names them."""
    with grpc.insecure_channel(address) as channel:
        try:
            channel.unary_unary(QUOTE)(request, timeout=30)
        except grpc.RpcError as failure:
            details = dict(failure.trailing_metadata())[DETAILS]
            first = status_pb2.Status.FromString(details).details[0].value
            return {
                "refused_request": as_text(request),
                "refused_code": failure.code().value[0],
                "refused_words": failure.details(),
                "refused_details": as_text(details),
                "refused_details_first": as_text(first).rstrip("="),
            }
    raise AssertionError("the refused request is answered")


def quotes(address: str) -> dict[str, Any]:
    """Return the quotes of the plan, each with its answer."""
    plan: dict[str, Any] = {}
    for name, lines in (("quote", 3), ("large", LARGE_LINES)):
        made = basket(lines)
        for line in made.lines:
            line.amount_minor += line.line_id
        request = checkout_pb2.QuoteBasketRequest(basket=made, explain=True).SerializeToString()
        answer = asked_of_management(address, QUOTE, request)
        plan |= {f"{name}_request": as_text(request), f"{name}_answer": as_text(answer)}
    refused = basket(3)
    refused.lines[1].count = -1
    request = checkout_pb2.QuoteBasketRequest(basket=refused).SerializeToString()
    return plan | refusal_of_management(address, request)


def sale_of(client_number: int) -> str:
    """Return a commit that only one client makes."""
    request = commit()
    request.context.CopyFrom(context(f"conformance-{client_number}"))
    request.context.correlation_id = CORRELATION
    request.receipt.CopyFrom(receipt(9000 + client_number))
    return as_text(request.SerializeToString())


def certificates(folder: Path) -> dict[str, str]:
    """Write an authority, and certificates for the service and for a lane; return their files."""
    authority = Certificates(folder)
    plan = {"authority": authority.ca}
    for name, names in (("server", "IP:127.0.0.1"), ("lane", LANE_IDENTITY)):
        plan[f"{name}_certificate"], plan[f"{name}_key"] = authority.issue(name, names)
    return {name: str(path) for name, path in plan.items()}


def tls_flags(files: dict[str, str], *, is_mutual: bool) -> list[str]:
    """Return the flags of a service that serves its lanes by TLS as well."""
    flags = [
        "--lane-tls-listen", "127.0.0.1:0", "--lane-tls-certificate", files["server_certificate"],
        "--lane-tls-key", files["server_key"],
    ]  # fmt: skip
    return [*flags, "--lane-tls-client-ca", files["authority"]] if is_mutual else flags


def describe(folder: Path) -> Path:
    """Write the contract and the health service as one set of descriptors."""
    found: dict[str, Any] = {}

    def take(file: Any) -> None:
        for needed in file.dependencies:
            take(needed)
        found.setdefault(file.name, file)

    for module in (checkout_pb2, health_pb2):
        take(module.DESCRIPTOR)
    described = descriptor_pb2.FileDescriptorSet()
    for file in found.values():
        file.CopyToProto(described.file.add())
    path = folder / "contract.binpb"
    path.write_bytes(described.SerializeToString())
    return path


def write_plan(folder: Path, server: Server, mutual: Server, **more: Any) -> dict[str, Any]:
    """Return the plan that every client gets."""
    request = checkout_pb2.StreamLaneRequest.DESCRIPTOR.fields_by_name["quote_basket"]
    answer = checkout_pb2.StreamLaneResponse.DESCRIPTOR.fields_by_name["quote_basket"]
    return {
        "address": server.lane_address,
        "tls_address": server.lane_tls_address,
        "mutual_tls_address": mutual.lane_tls_address,
        "buf": os.fspath(NODE / "node_modules" / ".bin" / "buf"),
        "descriptors": str(describe(folder)),
        "correlation": CORRELATION,
        "stream_field": request.number,
        "stream_answer_field": answer.number,
        "stream_requests": STREAM_REQUESTS,
        "calls_at_once": CALLS_AT_ONCE,
        **quotes(server.address),
        **more,
    }
