"""The mesh as a whole: up, down, and what has to be there before."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from . import control_plane, network, processes, prometheus, registry
from .paths import PODS, ROOT, STATE, TOOLS
from .processes import LabError

# What the lab runs, and the Debian package it comes in.
COMMANDS = {"buildah": "buildah", "iptables": "iptables", "ip": "iproute2", "openssl": "openssl", "setpriv": "util-linux"}


def missing(only_root: bool = False) -> str | None:
    """What stands in the way of the lab and cannot be helped from here, as one sentence; None if nothing does."""
    if os.geteuid() != 0:
        return "the mesh lab needs root: it makes network namespaces and a bridge. Run it as root (sudo make ...)"
    if only_root:
        return None
    if not shutil.which("go"):
        return ("the mesh lab needs Go 1.26 or later, to build kube-apiserver, istiod and pilot-agent: "
                "https://go.dev/dl")
    absent = [name for name in COMMANDS if not shutil.which(name)]
    absent += [package for package, found in fetched().items() if not found]
    if absent and not shutil.which("apt-get"):
        return f"the mesh lab needs {', '.join(absent)}, and there is no apt-get here to install them with"
    return None


def fetched() -> dict[str, str | None]:
    """Debian's packages that the lab takes one program out of, and where it is; None where it has to be fetched."""
    return {"docker-registry": registry.command(), "prometheus": prometheus.command()}


@contextmanager
def only_one() -> Iterator[None]:
    """One driver at a time: two would take each other's mesh for their own."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    with open(TOOLS / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError("another run is using the mesh lab of this repository") from None
        yield


def install_packages() -> None:
    """Install what is missing of Debian's packages, and say so."""
    packages = sorted({package for name, package in COMMANDS.items() if not shutil.which(name)})
    wanted = [package for package, found in fetched().items() if not found]
    if packages or wanted:
        _run("apt-get", "update", "--quiet")
    if packages:
        print(f"installing {' '.join(packages)} (apt-get)", flush=True)
        _run("apt-get", "install", "--quiet", "--yes", "--no-install-recommends", *packages)
    for package in wanted:
        # Not installed: the packages would start services of their own, for every network that the machine is in.
        print(f"fetching {package} (apt-get download)", flush=True)
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o755)  # apt downloads as a user of its own
            _run("apt-get", "download", "--quiet", package, cwd=directory)
            _run("sh", "-c", f"dpkg-deb --extract {package}_*.deb .", cwd=directory)
            shutil.copy2(f"{directory}/usr/bin/{package}", TOOLS)


def _run(*words: str, cwd: str | None = None) -> None:
    done = subprocess.run(words, capture_output=True, text=True, cwd=cwd,
                          env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    if done.returncode:
        raise LabError(f"{' '.join(words)}: {done.stderr.strip()}")


def up() -> bool:
    """Bring up what is not up; whether the mesh was down before."""
    was_down = not processes.running("node")
    install_packages()
    started = time.monotonic()
    STATE.mkdir(exist_ok=True)
    PODS.mkdir(exist_ok=True)
    network.make_bridge()
    registry.up()
    control_plane.up()
    prometheus.up()
    if was_down:
        processes.start("node", [str(ROOT / ".venv/bin/python"), "-m", "lab.node"], cwd=ROOT / "tests" / "mesh")
        print(f"the mesh is up ({time.monotonic() - started:.0f} s)", flush=True)
    return was_down


def down() -> None:
    """Take away everything that the lab has made. Also after a crash of it, and when there is nothing."""
    processes.stop("node")
    pods = [name for name in processes.names() if name.endswith((".app", ".proxy"))]
    for name in pods:
        processes.send(name, signal.SIGTERM)  # all at once; `stop` waits for each
    for name in pods:
        processes.stop(name)
    prometheus.down()
    control_plane.down()
    registry.down()
    for name in processes.names():
        processes.stop(name)
    for pid in processes.marked():
        os.kill(pid, signal.SIGKILL)
    network.remove_all()
    shutil.rmtree(STATE, ignore_errors=True)
    if left := leftovers():
        raise LabError(f"still there: {', '.join(left)}")


def leftovers() -> list[str]:
    """What of the lab is on this machine: nothing, after `down`."""
    return [*(f"process {pid}" for pid in processes.marked()), *(f"namespace of {pod}" for pod in network.pods()),
            *([f"bridge {network.BRIDGE}"] if network.has_bridge() else []), *([str(STATE)] if STATE.exists() else [])]
