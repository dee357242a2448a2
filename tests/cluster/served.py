"""`coalmine serve` as it is shipped, with the configuration of the manifests and the permissions of its ServiceAccount."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import yaml

from lab import audit, kube
from lab.processes import LabError, wait_until
from measured import Since
from rendered import NAMESPACE, Object
from server import COMMAND, kubeconfig_of


class Server:
    """One server at a time, which may be started again."""

    def __init__(self, configuration: Object, folder: Path, prometheus: str) -> None:
        account = kube.kubectl("create", "token", "coalmine", "--namespace", NAMESPACE).strip()
        kubeconfig = str(kubeconfig_of(account, folder))
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.admin = f"127.0.0.1:{free.getsockname()[1]}"
        self.file, self.log = folder / "server.yaml", folder / "server.log"
        # What is different from a pod's: addresses, and the way to the Kubernetes API.
        self.file.write_text(yaml.safe_dump({
            **configuration, "listen": "127.0.0.1:0", "admin": self.admin, "evidence": {"prometheus": {"url": prometheus}},
            "store": {"kubernetes": {"kubeconfig": kubeconfig, "namespace": NAMESPACE}},
            "kubernetes": {**configuration["kubernetes"], "kubeconfig": kubeconfig},
        }))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> tuple[Since, float]:
        """Start it: that moment, and how many seconds it took to be ready."""
        offset, at = audit.size(), time.monotonic()
        with open(self.log, "ab") as output:
            argv = [COMMAND, "serve", "--config", self.file, "--log", "json"]
            self.process = subprocess.Popen(argv, stdout=output, stderr=output)
        wait_until("the server is ready", self._is_ready, every=0.01)
        return Since.start_of(self.pid, at, offset), time.monotonic() - at

    def stop(self) -> None:
        """End it as Kubernetes does."""
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=30)
            self.process = None

    def _is_ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"the server ended:\n{self.log.read_text()}")
        try:
            with urllib.request.urlopen(f"http://{self.admin}/readyz", timeout=5):
                return True
        except urllib.error.HTTPError as error:
            raise LabError(f"it is not ready: {error.read().decode()}") from None
