"""The stand-in for the part of a kubelet that forwards ports: what the kube-apiserver asks a node for, and no more.

The kube-apiserver hands a client's request on as it is: `GET /portForward/NAMESPACE/POD?port=N`, to be upgraded to a
WebSocket of the protocol `v4.channel.k8s.io`. The port at place i has two channels: 2i for its bytes, 2i + 1 for what is
wrong. The first byte of a message is its channel, and the first message of a channel is the port, as two bytes, the low
one first. A client asks for one port here, as `coalmine --kubeconfig` does; `kubectl port-forward` speaks SPDY to a node,
which this does not.

Run as a process of its own, `python -m lab.kubelet`, it is a node whose Pods are all on the host's loopback.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import socket
import socketserver
import ssl
import struct
import threading
import urllib.parse
from collections.abc import Callable
from contextlib import suppress

from . import kube
from .paths import STATE, ports

PROTOCOL = "v4.channel.k8s.io"
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 4.2.2
PATH = re.compile(r"/portForward/([^/?]+)/([^/?]+)\?(.*)")
BINARY, CLOSE, PING, PONG = 2, 8, 9, 10
log = logging.getLogger("kubelet")

# From a pod's id, NAMESPACE.NAME, and a port to a connection made from inside it.
Connect = Callable[[str, int], socket.socket]


class Refused(Exception):
    """What is answered instead of an upgrade: a status and a sentence."""


class Kubelet(socketserver.ThreadingTCPServer):
    """Serves the kube-apiserver, whose certificate it asks for, on a loopback port of the lab."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, connect: Connect) -> None:
        super().__init__(("127.0.0.1", ports()["kubelet"]), _Handler)
        self.connect = connect
        pki = STATE / "pki"
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(pki / "ca.pem"))
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.context.load_cert_chain(pki / "admin.pem", pki / "admin-key.pem")

    def handle_error(self, request: object, client_address: object) -> None:
        """Write down what went wrong with one connection."""
        log.exception("a connection of %s", client_address)


class _Handler(socketserver.BaseRequestHandler):
    server: Kubelet

    def handle(self) -> None:
        self.request.settimeout(10)
        with self.server.context.wrap_socket(self.request, server_side=True) as connection:
            head = _head(connection)
            try:
                pod, port, key = _asked(head)
            except Refused as refused:
                connection.sendall(f"HTTP/1.1 {refused}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode())
                return
            accept = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()
            connection.sendall(
                f"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
                f"sec-websocket-accept: {accept}\r\nsec-websocket-protocol: {PROTOCOL}\r\n\r\n".encode())
            connection.settimeout(None)
            _forward(connection, pod, port, self.server.connect)


def _head(connection: ssl.SSLSocket) -> str:
    """The head of a request, byte by byte: what follows belongs to the WebSocket."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        if not (byte := connection.recv(1)) or len(head) > 65536:
            raise ConnectionError("no request")
        head += byte
    return head.decode("latin-1")


def _asked(head: str) -> tuple[str, int, str]:
    """The pod, the port, and the key of the WebSocket."""
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    found = PATH.fullmatch(target)
    if method != "GET" or not found:
        raise Refused("404 Not Found")
    if PROTOCOL not in re.split(r",\s*", headers.get("sec-websocket-protocol", "")):
        raise Refused("403 Forbidden")
    namespace, name, query = found.groups()
    asked = urllib.parse.parse_qs(query).get("port", [""])[0]
    if not asked.isdecimal():
        raise Refused("400 Bad Request")
    return f"{namespace}.{name}", int(asked), headers["sec-websocket-key"]


def _forward(connection: ssl.SSLSocket, pod: str, port: int, connect: Connect) -> None:
    """Carry bytes both ways until one end closes."""
    lock = threading.Lock()

    def send(opcode: int, payload: bytes) -> None:
        size = len(payload)
        length = struct.pack("!B", size) if size < 126 else struct.pack("!BH", 126, size)
        with lock:
            connection.sendall(bytes([0x80 | opcode]) + length + payload)

    for channel in (0, 1):
        send(BINARY, bytes([channel]) + struct.pack("<H", port))
    try:
        inside = connect(pod, port)
    except OSError as error:
        send(BINARY, b"\x01" + f"error forwarding port {port} to pod {pod}: {error}".encode())
        send(CLOSE, b"")
        # What is not read would take the sentence with it.
        with suppress(OSError):
            while _message(connection)[0] != CLOSE:
                pass
        return
    with inside:
        def answer() -> None:
            with suppress(OSError):
                while data := inside.recv(16384):
                    send(BINARY, b"\x00" + data)
            with suppress(OSError):
                send(CLOSE, b"")

        inside.settimeout(None)
        threading.Thread(target=answer, daemon=True).start()
        with suppress(OSError):
            while True:
                opcode, payload = _message(connection)
                if opcode == CLOSE:
                    break
                if opcode == PING:
                    send(PONG, payload)
                elif opcode == BINARY and payload[:1] == b"\x00":
                    inside.sendall(payload[1:])
        with suppress(OSError):
            inside.shutdown(socket.SHUT_RDWR)


def _message(connection: ssl.SSLSocket) -> tuple[int, bytes]:
    """The next message of a client, which masks what it sends. Messages in several frames are not expected."""
    first, second = _read(connection, 2)
    size = second & 0x7F
    if size == 126:
        size = struct.unpack("!H", _read(connection, 2))[0]
    elif size == 127:
        size = struct.unpack("!Q", _read(connection, 8))[0]
    mask = _read(connection, 4)
    data = _read(connection, size)
    key = (mask * (size // 4 + 1))[:size]
    return first & 0x0F, (int.from_bytes(data) ^ int.from_bytes(key)).to_bytes(size)


def _read(connection: ssl.SSLSocket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (more := connection.recv(size - len(data))):
            raise ConnectionError("the client is gone")
        data += more
    return data


def register(node: str) -> None:
    """Make the Node object, if it is not there, and say in it where the kube-apiserver finds this."""
    with suppress(kube.Conflict):
        kube.call("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": node}})
    kube.merge(f"/api/v1/nodes/{node}/status", {"status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": ports()["kubelet"]}}}})


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    kubelet = Kubelet(lambda _, port: socket.create_connection(("127.0.0.1", port), timeout=10))
    register("loopback")
    kubelet.serve_forever()
