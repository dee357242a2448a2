"""A real `coalmine serve` with the configuration of the manifests and the permissions of their ServiceAccount, and no others."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

from lab import kube
from lab.paths import KUBECONFIG, ROOT
from lab.processes import wait_until
from rendered import NAMESPACE, Object

COMMAND = ROOT / os.environ.get("COMMAND", "target/debug/coalmine")


class Server:
    """The API of a server, asked with a token."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, Any]:
        """One request; its status, and its JSON or text."""
        request = urllib.request.Request(f"{self.url}{path}", None if body is None else body.encode(), method=method,
                                         headers={"authorization": f"Bearer {self.token}"})
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                status, text = response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            status, text = error.code, error.read().decode()
        return status, json.loads(text) if text.startswith(("{", "[")) else text


class _NoProxies(BaseHTTPRequestHandler):
    """A Prometheus that scrapes nobody."""

    def answer(self) -> None:
        """Any query."""
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_: object) -> None:
        """Nothing."""


def kubeconfig_of(token: str, folder: Path) -> Path:
    """A kubeconfig with this token instead of the administrator's certificate."""
    config = yaml.safe_load(KUBECONFIG.read_text())
    config["users"][0]["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def serving(configuration: Object, folder: Path, token: str) -> Iterator[Server]:
    """The server, until the end. What is different from a pod's: addresses, and the way to the Kubernetes API."""
    account = kube.kubectl("create", "token", "coalmine", "--namespace", NAMESPACE).strip()
    kubeconfig = str(kubeconfig_of(account, folder))
    prometheus = ThreadingHTTPServer(("127.0.0.1", 0), _NoProxies)
    Thread(target=prometheus.serve_forever, daemon=True).start()
    configuration = {
        **configuration, "listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "tick": "1s",
        "store": {"kubernetes": {"kubeconfig": kubeconfig, "namespace": NAMESPACE}},
        "kubernetes": {**configuration["kubernetes"], "kubeconfig": kubeconfig},
        "evidence": {"prometheus": {"url": f"http://127.0.0.1:{prometheus.server_port}"}},
    }
    file, log = folder / "server.yaml", folder / "server.log"
    file.write_text(yaml.safe_dump(configuration))
    with open(log, "wb") as output:
        process = subprocess.Popen([COMMAND, "serve", "--config", file], stdout=output, stderr=output)
    said = "coalmine serves on "
    try:
        wait_until("the server listens", lambda: said in log.read_text() or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        url = log.read_text().split(said)[1].split(",")[0]
        yield Server(url, token)
    except BaseException:
        print(log.read_text())
        raise
    finally:
        process.terminate()
        process.wait(timeout=30)
        prometheus.shutdown()
        prometheus.server_close()
