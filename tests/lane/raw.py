"""A lane that speaks HTTP/2 frame by frame, to say what no good client says."""

import contextlib
import re
import socket
import struct
import urllib.request
from collections.abc import Iterator

import hpack
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from checklane.clock import SYSTEM_CLOCK
from tests.server.serving import Server

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
QUOTE_PATH = "/checklane.v1.CheckoutService/QuoteBasket"
STREAM_PATH = "/checklane.v1.CheckoutService/StreamLane"
WITHIN_S = 20


def message(body: bytes, flag: int = 0) -> bytes:
    """Return a gRPC message with its prefix."""
    return struct.pack(">BI", flag, len(body)) + body


class Peer:
    """One connection of raw frames.

    Parameters
    ----------
    address : str
        host:port or unix:path.
    is_greeting : bool
        Whether to send the preface and empty settings. Default: yes.
    """

    def __init__(self, address: str, *, is_greeting: bool = True) -> None:
        if address.startswith("unix:"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(address.removeprefix("unix:"))
        else:
            host, _, port = address.rpartition(":")
            self.socket = socket.create_connection((host, int(port)))
        self.socket.settimeout(WITHIN_S)
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.received = b""
        self.is_acknowledging = True
        if is_greeting:
            self.send_bytes(GREETING + SettingsFrame(0).serialize())

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send_bytes(self, data: bytes) -> None:
        """Send bytes; a peer that is gone already is no error here."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.socket.sendall(data)

    def send(self, *frames: Frame) -> None:
        """Send frames in one write."""
        self.send_bytes(b"".join(frame.serialize() for frame in frames))

    def headers(
        self, stream: int, path: str = QUOTE_PATH, *, end: bool = False, **more: str
    ) -> HeadersFrame:
        """Return the HEADERS of a call; `more` overrides or adds, with _ for -."""
        fields = {
            ":method": "POST", ":scheme": "http", ":path": path, ":authority": "lane",
            "content-type": "application/grpc", "te": "trailers",
        }  # fmt: skip
        for name, value in more.items():
            shown = name.replace("_", "-")
            fields[f":{shown}" if f":{shown}" in fields else shown] = value
        frame = HeadersFrame(stream, self.encoder.encode(list(fields.items())))
        frame.flags.add("END_HEADERS")
        if end:
            frame.flags.add("END_STREAM")
        return frame

    def data(self, stream: int, body: bytes, *, end: bool = True) -> DataFrame:
        """Return a DATA frame."""
        frame = DataFrame(stream, body)
        if end:
            frame.flags.add("END_STREAM")
        return frame

    def call(self, stream: int, body: bytes, path: str = QUOTE_PATH, **more: str) -> None:
        """Send a whole call."""
        self.send(self.headers(stream, path, **more), self.data(stream, message(body)))

    def frames(self) -> Iterator[Frame]:
        """Yield frames as they come, acknowledging settings and pings, until the end."""
        while True:
            while len(self.received) >= 9:
                frame, size = Frame.parse_frame_header(memoryview(self.received[:9]))
                if len(self.received) < 9 + size:
                    break
                frame.parse_body(memoryview(self.received[9 : 9 + size]))
                self.received = self.received[9 + size :]
                self._acknowledge(frame)
                yield frame
            try:
                more = self.socket.recv(65536)
            except ConnectionResetError:
                return
            if not more:
                return
            self.received += more

    def _acknowledge(self, frame: Frame) -> None:
        if "ACK" in frame.flags or not self.is_acknowledging:
            return
        if isinstance(frame, SettingsFrame | PingFrame):
            answer = type(frame)(0) if isinstance(frame, SettingsFrame) else PingFrame(0)
            if isinstance(frame, PingFrame):
                answer.opaque_data = frame.opaque_data
            answer.flags.add("ACK")
            self.send(answer)

    def answer(self, stream: int) -> tuple[dict[str, str], bytes, dict[str, str]]:
        """Return headers, data and trailers of a call; an answer of headers only has no trailers.

        Raises
        ------
        AssertionError
            The connection or the stream ended first.
        """
        headers: dict[str, str] = {}
        body = b""
        for frame in self.frames():
            if isinstance(frame, HeadersFrame):
                fields = {str(k): str(v) for k, v in self.decoder.decode(frame.data)}
                if frame.stream_id != stream:
                    continue
                if "END_STREAM" in frame.flags:
                    return (headers, body, fields) if headers else (fields, body, {})
                headers = fields
            elif isinstance(frame, DataFrame):
                if frame.data:
                    self.send(WindowUpdateFrame(0, window_increment=len(frame.data)))
                if frame.stream_id == stream:
                    body += frame.data
            elif isinstance(frame, RstStreamFrame) and frame.stream_id == stream:
                raise AssertionError(f"the stream was reset with {frame.error_code}")
            elif isinstance(frame, GoAwayFrame) and frame.error_code:
                raise AssertionError(f"the connection goes away with {frame.error_code}")
        raise AssertionError("the connection ended before the answer")

    def status(self, stream: int) -> str:
        """Return the gRPC status of a call."""
        headers, _, trailers = self.answer(stream)
        return (trailers or headers).get("grpc-status", f"HTTP {headers.get(':status')}")

    def ended(self, count: int) -> set[int]:
        """Read until so many streams have ended; return them."""
        found: set[int] = set()
        for frame in self.frames():
            if "END_STREAM" in frame.flags:
                found.add(frame.stream_id)
            if len(found) == count:
                return found
        raise AssertionError(f"only {sorted(found)} ended")

    def end(self) -> int | None:
        """Read to the end of the connection; return the error code of its GOAWAY, if any."""
        code = None
        for frame in self.frames():
            if isinstance(frame, GoAwayFrame):
                code = frame.error_code
        return code


def metrics(server: Server) -> dict[str, float]:
    """Return what the service's Prometheus endpoint shows, by name with labels."""
    (address,) = {str(event["listen"]) for event in server.events() if event["event"] == "metrics"}
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=WITHIN_S) as response:
        text = response.read().decode()
    return {
        name: float(value)
        for name, value in re.findall(r"^([^#\s]\S*(?:{.*})?) (\S+)$", text, re.MULTILINE)
    }


def ends(server: Server, reason: str) -> float:
    """Return how many connections ended for a reason."""
    return metrics(server)[f'checklane_lane_ends_total{{reason="{reason}"}}']


def wait_until(condition, within_s: float = WITHIN_S) -> None:
    """Wait until a condition holds; fail when it never does."""
    end_s = SYSTEM_CLOCK.monotonic_s() + within_s
    while not condition():
        assert SYSTEM_CLOCK.monotonic_s() < end_s, "it never came about"
        SYSTEM_CLOCK.sleep(0.02)
