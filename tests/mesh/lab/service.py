"""The stand-in for the cluster's DNS and kube-proxy, for programs in pods without a sidecar: a Service under an address.

Run as `python -m lab.service PORT NAMESPACE SERVICE NAME`: each connection to that port of the bridge goes to a ready pod of the
Service, to its port of that name.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys
from pathlib import Path

from . import kube, processes
from .forward import hand_on
from .paths import BRIDGE_IP

# What pods find under its name, at the port that the Service has.
SERVED = ("coalmine.coalmine-system",)


def hosts() -> str:
    """The names, as a pod's /etc/hosts has them."""
    return "".join(f"{BRIDGE_IP} {name} {name}.svc {name}.svc.cluster.local\n" for name in SERVED)


def up(namespace: str, service: str, port: int, name: str) -> None:
    """Serve it."""
    process = f"service.{service}"
    processes.start(process, [sys.executable, "-m", "lab.service", str(port), namespace, service, name],
                    cwd=Path(__file__).parents[1])
    processes.await_ready(process, lambda: socket.create_connection((BRIDGE_IP, port), 1).close() is None)


def down(service: str) -> None:
    """Serve it no more."""
    processes.stop(f"service.{service}")


def endpoints(namespace: str, service: str, name: str) -> list[tuple[str, int]]:
    """The addresses of the Service's ready pods."""
    path = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
    slices = kube.get(f"{path}?labelSelector=kubernetes.io/service-name={service}")["items"]
    return [(address, port["port"]) for one in slices for port in one.get("ports") or [] if port["name"] == name
            for endpoint in one.get("endpoints") or [] if endpoint["conditions"].get("ready")
            for address in endpoint["addresses"]]


async def serve(port: int, namespace: str, service: str, name: str) -> None:
    """Serve until it is killed. A Service without ready pods closes its connections."""
    turns = itertools.count()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            found = await asyncio.to_thread(endpoints, namespace, service, name)
        except (OSError, kube.LabError):
            found = []
        if not found:
            writer.close()
            return
        await hand_on(reader, writer, found[next(turns) % len(found)])
    server = await asyncio.start_server(accept, BRIDGE_IP, port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), *sys.argv[2:5]))
