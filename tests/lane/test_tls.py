"""TLS 1.3 and mutual TLS: certificates that are wrong, that change, and that say who a lane is."""

import shutil
import signal
import socket
import ssl

import grpc
import pytest

from checklane import errors
from tests.lane.certificates import Certificates
from tests.lane.raw import ends, metrics, wait_until
from tests.server.hostile_requests import get_member, identify
from tests.server.serving import Server

IDENTIFY = "/checklane.v1.CheckoutService/IdentifyMember"
GET_MEMBER = "/checklane.v1.MemberService/GetMember"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    found = Certificates(tmp_path_factory.mktemp("certificates"))
    found.issue("server", "DNS:localhost,IP:127.0.0.1")
    found.issue("till4", "URI:checklane:store/S001/till/4")
    found.issue("store", "URI:checklane:store/S001")
    found.issue("office", "")
    found.issue("odd", "URI:checklane:shop/S001")
    return found


def tls_server(lane_example, folder, certificates, *flags):
    shutil.copytree(lane_example, folder / "data")
    server = Server(
        folder / "data", folder / "server.log",
        "--lane-tls-listen", "127.0.0.1:0",
        "--lane-tls-certificate", str(certificates.folder / "server.pem"),
        "--lane-tls-key", str(certificates.folder / "server.key"),
        "--lane-receive-seconds", "1", "--metrics-listen", "127.0.0.1:0", *flags,
    )  # fmt: skip
    server.lane_listen = ""
    server.start()
    return server


@pytest.fixture(scope="module")
def server(lane_example, tmp_path_factory, certificates):
    server = tls_server(lane_example, tmp_path_factory.mktemp("tls"), certificates)
    yield server
    server.close()


@pytest.fixture(scope="module")
def mutual(lane_example, tmp_path_factory, certificates):
    folder = tmp_path_factory.mktemp("mutual")
    flags = ("--lane-tls-client-ca", str(certificates.ca))
    server = tls_server(lane_example, folder, certificates, *flags)
    yield server
    server.close()


def channel_to(server, certificates, name=None):
    client = [None, None]
    if name is not None:
        client = [(certificates.folder / f"{name}{end}").read_bytes() for end in (".key", ".pem")]
    return grpc.secure_channel(
        server.lane_address, grpc.ssl_channel_credentials(certificates.ca.read_bytes(), *client)
    )


def asked(server, certificates, name, store="S001", till="4"):
    """Return the outcome of a call by a lane with a certificate."""
    request = identify()
    request.context.store_id, request.context.till_id = store, till
    with channel_to(server, certificates, name) as channel:
        try:
            channel.unary_unary(IDENTIFY)(request.SerializeToString(), timeout=20)
        except grpc.RpcError as failure:
            error = errors.from_rpc_error(failure)
            return error.reason or failure.code().name, error.place
    return "OK", ""


def test_calls_over_tls(server, certificates):
    with channel_to(server, certificates) as channel:
        for _ in range(20):
            assert channel.unary_unary(IDENTIFY)(identify().SerializeToString(), timeout=20)
        answer = channel.unary_unary(GET_MEMBER)(get_member().SerializeToString(), timeout=20)
        assert b"coffee_lovers" in answer


def test_large_messages_over_tls(server, certificates):
    with channel_to(server, certificates) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(IDENTIFY)(b"\xff" * 262_144, timeout=20)
    assert errors.from_rpc_error(caught.value).reason == "REQUEST_MALFORMED"


def handshake(server, **changes):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(changes.get("protocols", ["h2"]))
    context.maximum_version = changes.get("version", ssl.TLSVersion.TLSv1_3)
    host, _, port = server.lane_address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), timeout=20) as plain,
        context.wrap_socket(plain) as tls,
    ):
        # The server judges a handshake after the lane has; its verdict comes with the first bytes.
        data = tls.recv(100)
        return tls.version(), tls.selected_alpn_protocol(), data


def test_only_what_was_agreed(server):
    assert handshake(server)[:2] == ("TLSv1.3", "h2")
    before = ends(server, "tls")
    with pytest.raises((ssl.SSLError, OSError)):
        handshake(server, version=ssl.TLSVersion.TLSv1_2)
    with pytest.raises((ssl.SSLError, OSError)):
        handshake(server, protocols=["http/1.1"])
    wait_until(lambda: ends(server, "tls") == before + 2)
    assert handshake(server, protocols=[])[2] == b""
    wait_until(lambda: ends(server, "tls") == before + 3)


def test_no_tls_and_half_a_handshake(server, certificates):
    host, _, port = server.lane_address.rpartition(":")
    before, slow = ends(server, "tls"), ends(server, "slow_request")
    for sent in (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\x02\x00\x01"):
        with socket.create_connection((host, int(port)), timeout=20) as plain:
            plain.sendall(sent)
            while plain.recv(100):
                pass
    assert (ends(server, "tls"), ends(server, "slow_request")) == (before + 1, slow + 1)
    assert asked(server, certificates, None) == ("OK", "")


def test_who_a_lane_is_stands_in_its_certificate(mutual, certificates):
    assert asked(mutual, certificates, "till4") == ("OK", "")
    refused = ("SENDER_NOT_ALLOWED", "context.till_id")
    assert asked(mutual, certificates, "till4", till="5") == refused
    refused = ("SENDER_NOT_ALLOWED", "context.store_id")
    assert asked(mutual, certificates, "till4", store="S002") == refused
    assert asked(mutual, certificates, "till4", store="")[0] == "FIELD_REQUIRED"
    assert asked(mutual, certificates, "store", till="5") == ("OK", "")
    assert asked(mutual, certificates, "store", store="S002") == refused
    assert asked(mutual, certificates, "office", store="S002") != refused


def test_lanes_without_a_right_certificate(mutual, certificates):
    before = ends(mutual, "tls")
    assert asked(mutual, certificates, None) == ("UNAVAILABLE", "")
    assert asked(mutual, certificates, "odd") == ("UNAVAILABLE", "")
    assert ends(mutual, "tls") >= before + 2
    assert metrics(mutual)["checklane_lane_calls"] == 0


def test_certificates_change_without_a_restart(server, certificates):
    """Open connections go on; new ones see the new certificate; a wrong one changes nothing."""
    path = certificates.folder / "server.pem"

    def shown():
        host, _, port = server.lane_address.rpartition(":")
        return ssl.get_server_certificate((host, int(port)))

    with channel_to(server, certificates) as channel:
        call = channel.unary_unary(IDENTIFY)
        assert call(identify().SerializeToString(), timeout=20)
        first = shown()
        certificates.issue("server", "DNS:localhost,IP:127.0.0.1")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: shown() != first)
        second = shown()
        path.write_text("no certificate")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: any(e["event"] == "certificates not reloaded" for e in server.events()))
        assert shown() == second
        assert call(identify().SerializeToString(), timeout=20)
    certificates.issue("server", "DNS:localhost,IP:127.0.0.1")


def test_a_wrong_certificate_stops_the_start(lane_example, tmp_path, certificates):
    wrong = Certificates(tmp_path)
    (tmp_path / "server.pem").write_text("no certificate")
    (tmp_path / "server.key").write_text("no key")
    with pytest.raises(AssertionError, match="no PEM file"):
        tls_server(lane_example, tmp_path, wrong)
