"""Where everything is: the tools the lab runs, and the one directory that holds all of its state."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ROOT / ".tools" / "mesh"
STATE = Path(os.environ.get("MESH_STATE", ROOT / ".mesh"))
ISTIO = ROOT / "istio"
# The Makefile says where it puts what it builds and fetches.
FILTER = ROOT / os.environ.get("FILTER", "target/filter/coalmine.wasm")
FILTER_CRASH = ROOT / os.environ.get("FILTER_CRASH", "target/filter/coalmine-crash.wasm")
COALMINE = ROOT / os.environ.get("COMMAND", "target/release/coalmine")
ROUTES = ROOT / os.environ.get("ROUTES", "target/debug/coalmine-mesh-routes")
ENVOY = ROOT / os.environ.get("ENVOY_BINARY", ".tools/envoy/1.40.0/envoy/_bin/envoy")

KUBECONFIG = STATE / "pki" / "kubeconfig"
LOGS = STATE / "logs"
PODS = STATE / "pods"

MESH = Path(__file__).resolve().parents[1]

# The bridge that the lab makes; MESH_SUBNET moves it when the machine already uses 10.77.0.0/24.
SUBNET = os.environ.get("MESH_SUBNET", "10.77.0")
BRIDGE_IP = f"{SUBNET}.1"
REGISTRY = f"{BRIDGE_IP}:5000"


def tool(name: str) -> str:
    """The path of a tool that `make mesh-tools` built."""
    return str(TOOLS / name)


def program(name: str) -> str | None:
    """The path of a program of Debian: installed, or fetched for the lab alone; None where there is none."""
    return shutil.which(name) or (tool(name) if (TOOLS / name).exists() else None)


@cache
def go_module(path: str, tools: str = "tools") -> Path:
    """The directory of a Go module that tools are made of (`tools`, `others`), e.g. where Istio's own templates are."""
    found = subprocess.run(
        ["go", "list", "-mod=mod", "-m", "-f", "{{.Dir}}", path],
        cwd=MESH / tools, check=True, capture_output=True, text=True,
    ).stdout.strip()
    if not found:
        subprocess.run(["go", "mod", "download", path], cwd=MESH / tools, check=True)
        go_module.cache_clear()
        return go_module(path, tools)
    return Path(found)


def ports() -> dict[str, int]:
    """The loopback ports of the control plane: free ones, chosen once and kept for as long as this mesh lives.

    They are not among those that the system gives to whoever asks for any: a part that was killed has to find its own free again.
    """
    chosen = STATE / "ports.json"
    if chosen.exists():
        return json.loads(chosen.read_text())
    names = ["etcd", "etcd-peer", "apiserver", "istiod-http", "istiod-https", "istiod-monitoring",
             "istiod-ctrlz", "controller-manager", "kubelet", "kubernetes"]
    first_given = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = random.sample(range(first_given // 2, first_given), 100 * len(names))
    free = filter(_is_free, candidates)
    result = {name: next(free) for name in names}
    STATE.mkdir(exist_ok=True)
    chosen.write_text(json.dumps(result))
    return result


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
