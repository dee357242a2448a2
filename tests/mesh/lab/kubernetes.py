"""Kubernetes alone: etcd, kube-apiserver and kube-controller-manager for as long as a command runs.

Neither a mesh nor a network of its own, so it needs no root, and several may run at a time. There is no scheduler, and a
node that runs nothing: who needs a Pod to be ready says so in its status. A Pod with `nodeName: loopback` has the ports of
this host's loopback, as far as a port-forward goes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .processes import LabError

# What Istio keeps in Kubernetes: in the module of its API.
DEFINITIONS = "kubernetes/customresourcedefinitions.gen.yaml"


def main(argv: list[str]) -> int:
    """Run a command beside a Kubernetes; its exit code. `api stop` and `api start` are for that command."""
    if argv[0] == "api":
        return _api(argv[1])
    state = Path(tempfile.mkdtemp(prefix="coalmine-kubernetes-"))
    # Every process of the lab, and what it is called by, is under its state: this run gets a state of its own.
    lab = f"PYTHONPATH={Path(__file__).parents[1]} MESH_STATE={state} {sys.executable} -B -m lab kubernetes"
    environment = {
        **os.environ, "MESH_STATE": str(state), "COALMINE_TEST_KUBECONFIG": str(state / "pki" / "kubeconfig"),
        "COALMINE_TEST_API_STOP": f"{lab} api stop", "COALMINE_TEST_API_START": f"{lab} api start",
    }
    try:
        subprocess.run(f"{lab} api up", shell=True, check=True)
        return subprocess.run(argv, env=environment).returncode
    except subprocess.CalledProcessError as error:
        return error.returncode
    finally:
        subprocess.run(f"{lab} api down", shell=True)
        shutil.rmtree(state, ignore_errors=True)


def _api(action: str) -> int:
    from . import control_plane, kube, paths, processes

    try:
        if action == "up":
            control_plane.up_kubernetes()
            processes.start("kubelet", [sys.executable, "-B", "-m", "lab.kubelet"], cwd=Path(__file__).parents[1])
            node = "/api/v1/nodes/loopback"
            processes.await_ready("kubelet", lambda: kube.get(node)["status"].get("addresses"))
            definitions = paths.go_module("istio.io/api") / DEFINITIONS
            kube.kubectl("apply", "--server-side", "-f", str(definitions))
            kube.kubectl("wait", "--for=condition=Established", "customresourcedefinitions", "--all", "--timeout=60s")
        elif action == "down":
            processes.stop("kubelet")
            control_plane.down()
        elif action == "stop":
            control_plane.kill("kube-apiserver")
        elif action == "start":
            control_plane.start_apiserver()
    except (LabError, OSError, RuntimeError, subprocess.CalledProcessError) as error:
        print(f"kubernetes: {error}", file=sys.stderr)
        return 1
    return 0
