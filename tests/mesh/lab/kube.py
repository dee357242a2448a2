"""A small client of the kube-apiserver, and kubectl for what a person would do by hand."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import subprocess
from collections.abc import Iterator
from typing import Any

from .paths import KUBECONFIG, STATE, ports, tool
from .processes import LabError

Object = dict[str, Any]


class NotFound(LabError):
    """The object is not there."""


class Conflict(LabError):
    """The object exists already, or has changed meanwhile."""


def _connection(timeout: float) -> http.client.HTTPSConnection:
    pki = STATE / "pki"
    context = ssl.create_default_context(cafile=str(pki / "ca.pem"))
    context.load_cert_chain(pki / "admin.pem", pki / "admin-key.pem")
    return http.client.HTTPSConnection("127.0.0.1", ports()["apiserver"], timeout=timeout, context=context)


def call(method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
    """One request to the kube-apiserver; its JSON answer, or text where it is not JSON."""
    connection = _connection(30)
    try:
        connection.request(method, path, json.dumps(body) if body is not None else None,
                           {"content-type": content_type, "accept": "application/json, */*"})
        response = connection.getresponse()
        text = response.read().decode()
    finally:
        connection.close()
    if response.status >= 400:
        error = {404: NotFound, 409: Conflict}.get(response.status, LabError)
        raise error(f"{method} {path}: {response.status} {text.strip()[:500]}")
    return json.loads(text) if text.startswith(("{", "[")) else text


def get(path: str) -> Any:
    """Read an object or a list."""
    return call("GET", path)


def merge(path: str, patch: Object) -> Any:
    """Merge a patch into an object (RFC 7386)."""
    return call("PATCH", path, patch, "application/merge-patch+json")


def watch(path: str, resource_version: str, seconds: int = 60) -> Iterator[tuple[str, Object]]:
    """The events of a list since a resource version: (type, object)."""
    connection = _connection(seconds + 10)
    try:
        connection.request("GET", f"{path}?watch=1&resourceVersion={resource_version}&timeoutSeconds={seconds}")
        response = connection.getresponse()
        while line := response.readline():
            event = json.loads(line)
            yield event["type"], event["object"]
    finally:
        connection.close()


# Istio's validation says the first of every EnvoyFilter, for being one; kustomize and the kube-apiserver the others of what others have written.
EXPECTED_WARNINGS = ("Warning: EnvoyFilter exposes internal implementation details", "is deprecated. Please use",
                     "Warning: unrecognized format")


def kubectl(*argv: str, stdin: str | None = None) -> str:
    """Run kubectl as the mesh's administrator; its output. Its warnings count as errors in the lab."""
    done = subprocess.run(
        [tool("kubectl"), *argv], input=stdin, capture_output=True, text=True,
        env={**os.environ, "KUBECONFIG": str(KUBECONFIG)},
    )
    if done.returncode:
        raise LabError(f"kubectl {' '.join(argv)}: {done.stderr.strip()}")
    warnings = [line for line in done.stderr.splitlines() if "Warning:" in line and not any(
        expected in line for expected in EXPECTED_WARNINGS)]
    if warnings:
        raise LabError(f"kubectl {' '.join(argv)} warns: {' '.join(warnings)}")
    return done.stdout


def istioctl(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run istioctl against the mesh."""
    return subprocess.run(
        [tool("istioctl"), *argv, "--kubeconfig", str(KUBECONFIG)], capture_output=True, text=True,
        env={**os.environ, "HOME": str(STATE)},
    )
