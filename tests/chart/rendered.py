"""The server's manifests, rendered as a user does: by kubectl from istio/controller, and by helm from istio/chart."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from lab.paths import ISTIO, tool

Object = dict[str, Any]
Key = tuple[str, str, str, str]

CONTROLLER = ISTIO / "controller"
CHART = ISTIO / "chart"
# Where the manifests put the server.
NAMESPACE = "coalmine-system"
# The namespace that istio/controller/one-namespace names.
ONE = "shop"


@dataclass(frozen=True)
class Way:
    """One way to install the server: the components of the kustomization, and the same as values of the chart."""

    components: tuple[str, ...] = ()
    values: Object = field(default_factory=dict)

    def __add__(self, other: Way) -> Way:
        return Way(self.components + other.components, {**self.values, **other.values})


API = Way(("api",), {"api": {"tlsSecret": "coalmine-tls"}})
ONE_NAMESPACE = Way(("one-namespace",), {"namespace": ONE})
POD_MONITOR = Way(("podmonitor",), {"podMonitor": {"enabled": True}})

WAYS = {
    "default": Way(),
    "api": API,
    "one-namespace": ONE_NAMESPACE,
    "podmonitor": POD_MONITOR,
    "all": API + ONE_NAMESPACE + POD_MONITOR,
    "all, in another order": POD_MONITOR + ONE_NAMESPACE + API,
}


def kustomized(way: Way = Way()) -> str:
    """What kubectl renders."""
    if not way.components:
        return _run("kubectl", "kustomize", str(CONTROLLER))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(os.path.relpath(CONTROLLER, folder))
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": [str(place)],
            "components": [str(place / component) for component in way.components],
        }
        (Path(folder) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return _run("kubectl", "kustomize", folder)


def templated(values: Object) -> str:
    """What helm renders; an error with its words where it refuses."""
    return _run("helm", "template", "coalmine", str(CHART), "--namespace", NAMESPACE, "--values", "-",
                stdin=yaml.safe_dump(values))


def objects(text: str) -> dict[Key, Object]:
    """The objects of a text, each once."""
    found: dict[Key, Object] = {}
    for document in yaml.safe_load_all(text):
        if document:
            metadata = document["metadata"]
            key = (document["apiVersion"], document["kind"], metadata.get("namespace", ""), metadata["name"])
            assert key not in found, f"{key} is there twice"
            found[key] = document
    return found


def of_kind(found: dict[Key, Object], kind: str, name: str = "coalmine") -> Object:
    """The one object of this kind and name."""
    [one] = [it for key, it in found.items() if (key[1], key[3]) == (kind, name)]
    return one


def configuration(found: dict[Key, Object]) -> Object:
    """The server's configuration, read."""
    return yaml.safe_load(of_kind(found, "ConfigMap")["data"]["server.yaml"])


def _run(name: str, *argv: str, stdin: str | None = None) -> str:
    done = subprocess.run([tool(name), *argv], input=stdin, capture_output=True, text=True)
    assert done.returncode == 0, f"{name} {argv[0]}: {done.stderr.strip()}"
    return done.stdout
