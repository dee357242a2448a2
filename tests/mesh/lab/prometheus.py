"""A real Prometheus, Debian's, that scrapes the pods of the mesh as it would in a cluster: by their annotations."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable
from typing import Any

from . import processes
from .kube import Object
from .paths import BRIDGE_IP, STATE, program

PORT = 9090
ADDRESS = f"http://{BRIDGE_IP}:{PORT}"
TARGETS = STATE / "targets.json"


def command() -> str | None:
    """Debian's prometheus: installed, or fetched for the lab alone."""
    return program("prometheus")


def configuration() -> dict[str, Any]:
    """One job for all pods that ask for it, a second apart."""
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "pods", "file_sd_configs": [{"files": [str(TARGETS)], "refresh_interval": "5s"}]}],
    }


def target_of(pod: Object) -> dict[str, Any] | None:
    """What a pod's annotations say, as `kubernetes_sd_configs` with the usual relabelling would have it; None where nothing."""
    metadata, address = pod["metadata"], pod.get("status", {}).get("podIP")
    wants = {name: metadata.get("annotations", {}).get(f"prometheus.io/{name}") for name in ("scrape", "port", "path")}
    if wants["scrape"] != "true" or not address:
        return None
    return {"targets": [f"{address}:{wants['port']}"], "labels": {
        "namespace": metadata["namespace"], "pod": metadata["name"], "__metrics_path__": wants["path"] or "/metrics"}}


def discover(pods: Iterable[Object]) -> None:
    """Tell it which pods there are. Debian's Prometheus cannot ask a cluster."""
    text = json.dumps([target for pod in pods if (target := target_of(pod))])
    if TARGETS.exists() and TARGETS.read_text() == text:
        return
    part = TARGETS.with_suffix(".part")
    part.write_text(text)
    part.rename(TARGETS)


def up() -> None:
    """Start it, and wait until it answers."""
    if processes.running("prometheus"):
        return
    if (prometheus := command()) is None:
        raise processes.LabError("the lab has no prometheus: apt-get install prometheus")
    discover([])
    file = STATE / "prometheus.json"
    file.write_text(json.dumps(configuration()))
    processes.start("prometheus", [
        prometheus, f"--config.file={file}", f"--storage.tsdb.path={STATE}/prometheus",
        f"--web.listen-address={BRIDGE_IP}:{PORT}", "--log.level=warn"])
    processes.await_ready("prometheus", lambda: urllib.request.urlopen(f"{ADDRESS}/-/ready", timeout=2))


def down() -> None:
    """End it."""
    processes.stop("prometheus")
