"""The lab's own network: one bridge, and a network namespace with one leg in it for each pod."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .paths import BRIDGE_IP

BRIDGE = "coalmine0"
PREFIX = "coalmine-"  # of every namespace the lab makes

_libc = ctypes.CDLL(None, use_errno=True)


def _run(*argv: str, check: bool = True) -> str:
    done = subprocess.run(argv, capture_output=True, text=True)
    if check and done.returncode:
        raise OSError(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def has_bridge() -> bool:
    """Whether the bridge is there."""
    return os.path.exists(f"/sys/class/net/{BRIDGE}")


def make_bridge() -> None:
    """Make the bridge, unless it is there."""
    if has_bridge():
        return
    _run("ip", "link", "add", BRIDGE, "type", "bridge")
    _run("ip", "address", "add", f"{BRIDGE_IP}/24", "dev", BRIDGE)
    _run("ip", "link", "set", BRIDGE, "up")


def make_pod(name: str, address: str) -> None:
    """Make a pod's namespace, with `address` on the bridge."""
    namespace, leg = PREFIX + name, _leg(address)
    _run("ip", "netns", "add", namespace)
    _run("ip", "link", "add", leg, "type", "veth", "peer", "name", "eth0", "netns", namespace)
    _run("ip", "link", "set", leg, "master", BRIDGE, "up")
    for command in (f"address add {address}/24 dev eth0", "link set lo up", "link set eth0 up",
                    f"route add default via {BRIDGE_IP}"):
        _run("ip", "-n", namespace, *command.split())


def remove_pod(name: str) -> None:
    """End what still runs in a pod's namespace and remove it; its leg goes with it."""
    namespace = PREFIX + name
    for pid in _run("ip", "netns", "pids", namespace, check=False).split():
        try:
            os.kill(int(pid), 9)
        except ProcessLookupError:
            pass
    _run("ip", "netns", "delete", namespace, check=False)


def pods() -> list[str]:
    """The pods whose namespaces exist."""
    lines = _run("ip", "netns", "list", check=False).splitlines()
    return [line.split()[0].removeprefix(PREFIX) for line in lines if line.startswith(PREFIX)]


def remove_all() -> None:
    """Remove every namespace of the lab, and the bridge."""
    for name in pods():
        remove_pod(name)
    _run("ip", "link", "delete", BRIDGE, check=False)


def inside(name: str) -> list[str]:
    """The words that run a command inside a pod's network namespace."""
    return ["ip", "netns", "exec", PREFIX + name]


@contextmanager
def entered(name: str | None) -> Iterator[None]:
    """Put this thread into a pod's network namespace for a moment. A socket stays in the one it was made in."""
    if name is None:
        yield
        return
    home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
    pod = os.open(f"/run/netns/{PREFIX}{name}", os.O_RDONLY)
    try:
        _setns(pod)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)
        os.close(pod)


def connect(name: str | None, address: tuple[str, int], timeout: float = 10) -> socket.socket:
    """A TCP connection made from inside a pod (or from the host, for None)."""
    with entered(name):
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.settimeout(timeout)
    try:
        made.connect(address)
    except BaseException:
        made.close()
        raise
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, 0x40000000):  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "setns")


def _leg(address: str) -> str:
    """The name of a pod's veth on the host's side: at most 15 characters, one per address."""
    return f"coalmine{address.rpartition('.')[2]}"
