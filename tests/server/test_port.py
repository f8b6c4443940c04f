"""The port passes bytes, names its refusals and tells what is live."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from checklane import errors
from checklane.config import Settings
from checklane.server import Service
from checklane.server.calls import CORRELATION_KEY
from checklane.v1 import checkout_pb2
from tests.server.fakes import METHODS, FakeEngine

PACKAGE = "/checklane.v1."


def unary(channel, method, request=b"", timeout=5):
    """Send raw bytes to a method, such as "CheckoutService/QuoteBasket"."""
    call = channel.unary_unary(PACKAGE + method if "/" not in method[:1] else method)
    return call.with_call(request, timeout=timeout)


def refusal_of(channel, method, request=b""):
    with pytest.raises(grpc.RpcError) as caught:
        unary(channel, method, request)
    return errors.from_rpc_error(caught.value)


@pytest.mark.parametrize("name", [name for name in METHODS if "Upload" not in name])
def test_bytes_go_through_untouched(channel, engine, name):
    request = b"\x0a\x00\xfa\x3f\x03\xff\xfe\xfd"
    answer, _ = unary(channel, name.replace(".", "/"), request)
    assert answer == request
    assert engine.calls == [(name, request)]


def test_a_refusal_has_code_name_place_and_field(channel, engine):
    engine.handlers["CheckoutService.QuoteBasket"] = lambda request: (
        "LINE_COUNT_INVALID",
        "basket.lines[3].count",
    )
    with pytest.raises(grpc.RpcError) as caught:
        unary(channel, "CheckoutService/QuoteBasket")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details().endswith("send a count from 1 to 1000000")
    error = errors.from_rpc_error(caught.value)
    assert isinstance(error, errors.RequestError)
    assert (error.reason, error.place) == ("LINE_COUNT_INVALID", "basket.lines[3].count")


@pytest.mark.parametrize("is_refused", [False, True])
def test_the_correlation_id_is_echoed(channel, engine, is_refused):
    if is_refused:
        engine.handlers["CheckoutService.QuoteBasket"] = lambda request: ("PROGRAM_MISSING", "")
    request = checkout_pb2.QuoteBasketRequest()
    request.context.correlation_id = "basket-17"
    method = channel.unary_unary(PACKAGE + "CheckoutService/QuoteBasket")
    call = method.future(request.SerializeToString(), timeout=5)
    assert (call.exception() is not None) == is_refused
    assert dict(call.trailing_metadata())[CORRELATION_KEY] == "basket-17"


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("MemberService/EraseMember", "erasing a member"),
    ],
)
def test_methods_to_come_say_what_is_missing(channel, method, words):
    error = refusal_of(channel, method)
    assert isinstance(error, errors.NotServedError)
    assert error.reason == "METHOD_NOT_BUILT"
    assert words in str(error)


@pytest.mark.parametrize("method", ["CheckoutService/Quote", "Nobody/QuoteBasket"])
def test_unknown_methods_are_named(channel, method):
    error = refusal_of(channel, method)
    assert (error.reason, error.place) == ("METHOD_UNKNOWN", PACKAGE + method)


def test_a_failure_of_ours_is_told_without_its_innards(channel, engine):
    def fail(request):
        raise ZeroDivisionError("secret")

    engine.handlers["CheckoutService.QuoteBasket"] = fail
    error = refusal_of(channel, "CheckoutService/QuoteBasket")
    assert (error.reason, error.grpc_code) == ("INTERNAL", 13)
    assert "ZeroDivisionError" in str(error)
    assert "secret" not in str(error)
    assert unary(channel, "CheckoutService/IdentifyMember", b"x")[0] == b"x"


def test_a_message_above_the_ceiling_never_arrives(channel, engine, settings):
    with pytest.raises(grpc.RpcError) as caught:
        unary(channel, "CheckoutService/QuoteBasket", bytes(settings.message_bytes + 1))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert engine.calls == []


def test_health_follows_the_program(channel, service):
    health = health_pb2_grpc.HealthStub(channel)
    for name in ("", "checklane.v1.CheckoutService", "checklane.v1.LedgerService"):
        request = health_pb2.HealthCheckRequest(service=name)
        assert health.Check(request).status == health_pb2.HealthCheckResponse.NOT_SERVING
    service._program_is_live()
    request = health_pb2.HealthCheckRequest(service="checklane.v1.CheckoutService")
    assert health.Check(request).status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as caught:
        health.Check(health_pb2.HealthCheckRequest(service="nobody"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_lists_and_describes_every_service(channel):
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(
            file_containing_symbol="checklane.v1.CheckoutService"
        ),
    ]
    listed, described = stub.ServerReflectionInfo(iter(requests))
    names = {service.name for service in listed.list_services_response.service}
    assert names == {
        "checklane.v1.CheckoutService",
        "checklane.v1.LedgerService",
        "checklane.v1.MemberService",
        "checklane.v1.ProgramService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert described.file_descriptor_response.file_descriptor_proto


def test_a_taken_port_is_a_plain_refusal(service, tmp_path):
    engine = FakeEngine()
    settings = Settings(data=tmp_path / "other", listen=service.address, lane_listen="")
    other = Service(settings, lambda settings, keys: engine, METHODS)
    with pytest.raises(errors.ConfigError, match="can not listen"):
        other.start()
    assert engine.is_closed


def test_answers_are_counted_by_method_and_outcome(channel, engine, service):
    engine.handlers["CheckoutService.CommitTransaction"] = lambda request: ("KEY_REUSED", "")
    unary(channel, "CheckoutService/QuoteBasket")
    refusal_of(channel, "CheckoutService/CommitTransaction")
    registry = service._metrics.registry

    def count(method, outcome):
        labels = {"method": f"CheckoutService.{method}", "outcome": outcome}
        return registry.get_sample_value("checklane_answers_total", labels)

    assert count("QuoteBasket", "OK") == 1
    assert count("CommitTransaction", "KEY_REUSED") == 1
    assert registry.get_sample_value("checklane_engine_durable_lsn") == 7
    latency = {"method": "CheckoutService.QuoteBasket"}
    assert registry.get_sample_value("checklane_answer_seconds_count", latency) == 1
