"""A scenario: a folder or file of resources in the mesh, and the doors by which users come to them.

The resources go in as they stand. The lab changes in them only where the filter's image is: its own registry.
"""

from __future__ import annotations

import copy
import json
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from . import kube, users
from .client import Door
from .kube import Object
from .paths import KUBECONFIG, LOGS, REGISTRY, ROOT
from .processes import log_tail, wait_until

PLUGINS = ("TrafficExtension", "WasmPlugin")
FILTER_IMAGE = "coalmine-filter"


def render(source: str | Path) -> list[Object]:
    """The documents of a kustomize folder or of a YAML file, by a path relative to the repository."""
    path = ROOT / source
    text = kube.kubectl("kustomize", str(path)) if path.is_dir() else path.read_text()
    return [document for document in yaml.safe_load_all(text) if document]


def plugins_of(documents: Sequence[Object]) -> Iterator[Object]:
    """The part about the module in each plugin resource among the documents."""
    for document in documents:
        if document["kind"] in PLUGINS:
            yield document["spec"].get("wasm", document["spec"])


class Scenario:
    """Resources in the mesh. As a context manager: applied, awaited, and deleted afterwards."""

    def __init__(self, source: str | Path, *, image: str = f"{FILTER_IMAGE}:lab", sha256: str = "") -> None:
        self.documents = render(source)
        self.set_image(image, sha256)
        self.original = copy.deepcopy(self.documents)

    def __enter__(self) -> Scenario:
        try:
            self.apply()
            self.await_ready()
        except BaseException:
            self.delete()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        # With the mesh, all that was in it has been taken away.
        if KUBECONFIG.exists():
            self.delete()

    # --- The resources -------------------------------------------------------------------------------------------

    def find(self, kind: str, name: str | None = None, namespace: str | None = None) -> Object:
        """The first document of that kind (and name, and namespace), to look at or to change before `apply`."""
        for document in self.documents:
            metadata = document["metadata"]
            if (document["kind"] == kind and name in (None, metadata["name"])
                    and namespace in (None, metadata.get("namespace"))):
                return document
        raise KeyError(f"no {kind} {name or ''} in the scenario")

    def plugins(self) -> Iterator[Object]:
        """What a plugin resource says about the module, for each of them: `url`, `pluginConfig` and so on."""
        return plugins_of(self.documents)

    def set_image(self, image: str, sha256: str = "") -> None:
        """Let the plugins take this image from the lab's registry. The one change that the lab makes by itself."""
        for plugin in self.plugins():
            plugin.update({"url": f"oci://{REGISTRY}/{image}", "sha256": sha256})

    @property
    def policy(self) -> Object:
        """The policy that the plugins carry (a copy: change it, then `set_policy`)."""
        return copy.deepcopy(next(self.plugins())["pluginConfig"])

    @property
    def original_policy(self) -> Object:
        """The policy that the files carry."""
        return next(plugins_of(self.original))["pluginConfig"]

    def set_policy(self, policy: Object) -> None:
        """Put a policy into every plugin and apply them."""
        for plugin in self.plugins():
            plugin["pluginConfig"] = policy
        self.apply(*PLUGINS)

    def set_weight(self, weight: float, rollout: str = "checkout") -> Object:
        """Give the canary another weight and apply it; the new policy."""
        policy = self.policy
        policy["revision"] = policy.get("revision", 0) + 1
        next(r for r in policy["rollouts"] if r["name"] == rollout)["variants"][0]["weight"] = weight
        self.set_policy(policy)
        return policy

    def apply(self, *kinds: str) -> None:
        """`kubectl apply` the documents, or those of the given kinds."""
        wanted = [d for d in self.documents if not kinds or d["kind"] in kinds]
        kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(wanted))

    def add(self, source: str | Path) -> None:
        """Apply more resources, until `restore` or the end."""
        added = render(source)
        self.documents += added
        kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(added))

    def remove_added(self) -> None:
        """Delete what `add` has applied."""
        if added := self.documents[len(self.original):]:
            kube.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=yaml.safe_dump_all(added))
            self.documents = self.documents[:len(self.original)]

    def restore(self) -> None:
        """Everything as it was at first, and ready.

        The policy is sent under a new revision: a proxy that lost its filter takes it up only when the plugin changes.
        """
        revision = self.policy.get("revision", 0)
        self.remove_added()
        self.documents = copy.deepcopy(self.original)
        for plugin in self.plugins():
            plugin["pluginConfig"]["revision"] = revision + 1
        self.apply()
        self.await_ready()

    def await_ready(self) -> None:
        """Wait until every Deployment has what it asks for, and nothing that it replaces is left."""
        try:
            wait_until("the deployments to be ready", lambda: all(
                self._settled(d["metadata"]) for d in self.documents if d["kind"] == "Deployment"), 120, every=0.2)
        except Exception as error:
            raise AssertionError(f"{error}\n{log_tail('node', 40)}") from None

    @staticmethod
    def _settled(metadata: Object) -> bool:
        found = kube.get(f"/apis/apps/v1/namespaces/{metadata['namespace']}/deployments/{metadata['name']}")
        wanted, status = found["spec"]["replicas"], found.get("status", {})
        return (status.get("observedGeneration") == found["metadata"]["generation"]
                and all(status.get(key, 0) == wanted for key in ("replicas", "readyReplicas", "updatedReplicas")))

    def delete(self) -> None:
        """Delete everything and wait until it is gone."""
        kube.kubectl("delete", "--ignore-not-found", "--wait=true", "--timeout=120s", "-f", "-",
                     stdin=yaml.safe_dump_all(self.documents))

    # --- Users ---------------------------------------------------------------------------------------------------

    def pods(self, selector: str, namespace: str = "shop") -> list[Object]:
        """The living Pods of a selector, the oldest first."""
        found = kube.get(f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}")["items"]
        living = [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]
        return sorted(living, key=lambda pod: pod["metadata"]["creationTimestamp"])

    def gateway(self, host: str = "shop.example", selector: str = "istio=ingressgateway",
                namespace: str = "istio-ingress") -> Door:
        """The door from outside: the ingress gateway."""
        pod = self.pods(selector, namespace)[0]
        ports = [port for container in pod["spec"]["containers"] for port in container.get("ports", [])]
        port = next(port["containerPort"] for port in ports if port.get("name") == "http")
        return Door("gateway", None, (pod["status"]["podIP"], port), host)

    def sidecar(self, host: str = "checkout.shop.svc.cluster.local", selector: str = "app=caller",
                namespace: str = "shop", pod: Object | None = None) -> Door:
        """The door from inside: a pod of `selector`, whose sidecar takes its requests to a Service."""
        pod = pod or self.pods(selector, namespace)[0]
        service, service_namespace = host.split(".")[:2]
        target = kube.get(f"/api/v1/namespaces/{service_namespace}/services/{service}")["spec"]
        return Door("sidecar", f"{namespace}.{pod['metadata']['name']}",
                    (target["clusterIP"], target["ports"][0]["port"]), host)

    def version(self, variant: str, app: str = "checkout") -> str:
        """The version that a variant's pods say they are: the tag of the image."""
        template = self.find("Deployment", f"{app}-{variant}")["spec"]["template"]
        return template["spec"]["containers"][0]["image"].rpartition(":")[2]

    def expected(self, crowd: Sequence[str], policy: Object | None = None, rollout: str = "checkout") -> dict[str, str]:
        """The version that each user has to get, by the policy in the plugins or another one."""
        variants = users.assign(policy or self.policy, crowd, rollout)
        return {user: self.version(variant) for user, variant in variants.items()}


def sample(expected: Mapping[str, str], of_each: int = 15) -> dict[str, str]:
    """A few users of each version: enough to see whether a policy is in force."""
    taken: dict[str, int] = {}
    result = {}
    for user, version in expected.items():
        if taken.get(version, 0) < of_each:
            taken[version] = taken.get(version, 0) + 1
            result[user] = version
    return result


def metrics(pod: Object, page: str = ":15090/stats/prometheus") -> dict[str, float]:
    """What a pod shows to Prometheus, its proxy unless told otherwise: the text of each sample, and its value."""
    with urllib.request.urlopen(f"http://{pod['status']['podIP']}{page}", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in
            (line.rpartition(" ") for line in lines if line and not line.startswith("#"))}


def access_log(pod: Object) -> list[Object]:
    """What a proxy logged of each request since its pod began: `user`, `cluster`, `pod`, `status`, and when: `at`."""
    metadata = pod["metadata"]
    text = (LOGS / f"{metadata['namespace']}.{metadata['name']}.proxy.log").read_text(errors="replace")
    entries = [json.loads(line) for line in text.splitlines() if line.startswith("{") and '"cluster"' in line]
    return [entry | {"at": float(entry["at"])} for entry in entries if entry.get("user")]


def endpoints(door: Door, cluster: str) -> set[str]:
    """The addresses that a proxy, in whose pod a door stands, has for a cluster whose name begins like this."""
    page = Door(door.name, door.pod, ("127.0.0.1", 15000), "localhost").ask(None, "/clusters?format=json").body
    hosts = [host for found in json.loads(page)["cluster_statuses"] if found["name"].startswith(cluster)
             for host in found.get("host_statuses", [])]
    return {host["address"]["socket_address"]["address"] for host in hosts}


def config_dump(door: Door) -> dict[str, Any]:
    """Envoy's own account of its configuration, for a proxy in whose pod a door stands."""
    return json.loads(Door(door.name, door.pod, ("127.0.0.1", 15000), "localhost").ask(None, "/config_dump").body)
