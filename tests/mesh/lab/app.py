"""The stand-in for the application's image: says which version it is, and which headers reached it.

Run as `python app.py PORT VERSION POD`. It answers every path with JSON: podinfo's `version` and `hostname`, and the
request's `headers`. Written on asyncio's protocols because the load of a test shares the machine with it.

A version that ends in `-broken` answers every fifth request with 500, and so does every version from SIGUSR1 on. One that ends
in `-crash` ends as soon as it starts.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import socket
import sys


class Application(asyncio.Protocol):
    """One connection: HTTP/1.1 with keep-alive, bodies and trailers skipped."""

    # Of all connections.
    asked = itertools.count(1)
    broken = False

    def __init__(self, version: str, pod: str) -> None:
        self.version, self.pod = version, pod
        self.buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        # Without it Nagle and delayed acknowledgements stall every second answer by 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while True:
            head, end, rest = self.buffer.partition(b"\r\n\r\n")
            if not end:
                return
            headers = [tuple(line.decode("latin-1").split(": ", 1)) for line in head.split(b"\r\n")[1:]]
            if (length := body_length({name.lower(): value for name, value in headers}, rest)) is None:
                return
            self.buffer = rest[length:]
            self.answer(headers)

    def answer(self, headers: list[tuple[str, ...]]) -> None:
        """Send one answer."""
        body = json.dumps({"version": self.version, "hostname": self.pod, "headers": headers}).encode()
        assert self.transport is not None
        fails = self.broken and next(self.asked) % 5 == 0
        self.transport.write(b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
                             % (b"500 Internal Server Error" if fails else b"200 OK", len(body), body))


def body_length(headers: dict[str, str], received: bytes) -> int | None:
    """How much of what was received is the request's body, chunks and trailers included; None: not all of it is here."""
    if headers.get("transfer-encoding", "").lower() != "chunked":
        length = int(headers.get("content-length", 0))
        return length if len(received) >= length else None
    at, size = 0, -1
    while size:
        end = received.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(received[at:end].partition(b";")[0], 16)
        at = end + 2 + (size + 2 if size else 0)
    while not received.startswith(b"\r\n", at):     # trailers, one line each, until an empty one
        end = received.find(b"\r\n", at)
        if end < 0:
            return None
        at = end + 2
    return at + 2


async def main(port: int, version: str, pod: str) -> None:
    """Serve until SIGTERM."""
    if version.endswith("-crash"):
        sys.exit("this version cannot start")
    Application.broken = version.endswith("-broken")
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_signal_handler(signal.SIGUSR1, lambda: setattr(Application, "broken", True))
    await loop.create_server(lambda: Application(version, pod), "0.0.0.0", port)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
