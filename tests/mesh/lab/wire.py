"""Requests byte by byte, as no well-behaved client would send them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

from . import network
from .client import Door

Fields = Sequence[tuple[str, str]]
DATA, HEADERS, RESET, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS = 1, 4


def exchange(door: Door, request: bytes, seconds: float = 2) -> str:
    """Send these bytes; everything that comes back until the proxy closes the connection or falls silent."""
    connection = network.connect(door.pod, door.address, seconds)
    answer = b""
    try:
        connection.sendall(request)
        while part := connection.recv(65536):
            answer += part
    except (TimeoutError, ConnectionError):
        pass
    finally:
        connection.close()
    return answer.decode("latin-1")


def exchange_http2(door: Door, fields: Fields, body: bytes | None = None, trailers: Fields = (),
                   seconds: float = 2) -> str:
    """One HTTP/2 request with prior knowledge, its fields as they are given; the response's body, or how it was refused."""
    request = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(SETTINGS, 0, b"", stream=0)
    request += _frame(HEADERS, END_HEADERS | (0 if body is not None or trailers else END_STREAM), _block(fields))
    if body is not None:
        request += _frame(DATA, 0 if trailers else END_STREAM, body)
    if trailers:
        request += _frame(HEADERS, END_HEADERS | END_STREAM, _block(trailers))
    connection = network.connect(door.pod, door.address, seconds)
    received = b""
    try:
        connection.sendall(request)
        while True:
            length, kind, flags = int.from_bytes(_read(connection, 3), "big"), *_read(connection, 2)
            stream = int.from_bytes(_read(connection, 4), "big")
            payload = _read(connection, length)
            if kind == RESET:
                return "reset"
            if kind == GOAWAY:
                return "goaway"
            if stream and kind == DATA:
                received += payload
            if stream and kind in (DATA, HEADERS) and flags & END_STREAM:
                return received.decode("latin-1")
    except (TimeoutError, ConnectionError):
        return "closed"
    finally:
        connection.close()


def _read(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError("closed")
        data += part
    return data


def _frame(kind: int, flags: int, payload: bytes, stream: int = 1) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _block(fields: Fields) -> bytes:
    """HPACK at its plainest: literals with literal names, nothing indexed, nothing compressed."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in fields)


def _text(text: str) -> bytes:
    data = text.encode()
    if len(data) < 127:
        return bytes([len(data)]) + data
    rest, length = len(data) - 127, bytearray([127])
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes(length) + bytes([rest]) + data
