"""What the cases share: the namespaces in the Kubernetes that tests/kubernetes.sh has started."""

from __future__ import annotations

import os
from pathlib import Path

# The lab's client of the Kubernetes API looks for it when it is imported; who only renders has none.
if kubeconfig := os.environ.get("COALMINE_TEST_KUBECONFIG"):
    os.environ["MESH_STATE"] = str(Path(kubeconfig).parents[1])

import pytest
import yaml

from endings import pytest_configure  # noqa: F401  pytest calls it
from lab import kube
from rendered import NAMESPACE, ONE, Object, kustomized, objects, of_kind


@pytest.fixture(scope="session")
def namespaces() -> None:
    """The server's own, as the manifests have it, and those that they name."""
    wanted: list[Object] = [of_kind(objects(kustomized()), "Namespace", NAMESPACE)]
    for name in ("istio-system", ONE, "bank"):
        wanted.append({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    kube.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(wanted))
    for name in (NAMESPACE, ONE):
        kube.kubectl("wait", "--namespace", name, "--for=create", "serviceaccount/default", "--timeout=60s")
