"""The rollouts and what they are about: for each one two Deployments with a Pod each, a Service, a VirtualService and a
DestinationRule.

The Deployments and the Pods get the status that the Deployment controller and a kubelet would give them. Kubernetes' own
controller sends 20 requests a second at most, so with it one would measure how long that one takes for hundreds of Deployments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from lab import kube
from lab.kube import Object
from lab.processes import wait_until

# Requests that this driver sends at a time.
AT_ONCE = 4
OLD, NEW = "registry.example/app:1", "registry.example/app:2"
SINCE = "2026-01-01T00:00:00Z"
# Short steps, so that releases move while they are measured.
PLAN: Object = {"steps": [5, 25, 50], "dwell": "45s", "warmUp": "15s", "minRequests": 100}


@dataclass(frozen=True)
class Rollout:
    """The rollout of this number, in one of so many namespaces."""

    number: int
    namespaces: int

    @property
    def namespace(self) -> str:
        """Its namespace."""
        return f"team-{self.number % self.namespaces}"

    @property
    def name(self) -> str:
        """Its name, and that of its Service, its routes and stable's Deployment."""
        return f"s{self.number // self.namespaces}"

    @property
    def whole_name(self) -> str:
        """What the policy calls it."""
        return f"{self.namespace}/{self.name}"

    @property
    def path(self) -> str:
        """The object at the kube-apiserver."""
        return f"/apis/coalmine.dev/v1alpha1/namespaces/{self.namespace}/canaryrollouts/{self.name}"

    def deployment(self, variant: str) -> str:
        """The name of the Deployment of a variant, and of its Pod."""
        return self.name if variant == "stable" else f"{self.name}-canary"

    def address(self, variant: str) -> str:
        """The address of the Pod of a variant."""
        return f"10.{1 if variant == 'stable' else 2}.{self.number // 250}.{self.number % 250 + 1}"

    def objects(self) -> Iterable[tuple[str, Object]]:
        """All its objects, each with the path at which it is made."""
        of_core, of_apps = f"/api/v1/namespaces/{self.namespace}", f"/apis/apps/v1/namespaces/{self.namespace}"
        of_istio = f"/apis/networking.istio.io/v1/namespaces/{self.namespace}"
        host, metadata = f"{self.name}.{self.namespace}.svc.cluster.local", {"name": self.name, "namespace": self.namespace}
        for variant in ("stable", "canary"):
            yield f"{of_apps}/deployments", self._deployment(variant)
            yield f"{of_core}/pods", self._pod(variant)
        yield f"{of_core}/services", {
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"selector": {"app": self.name}, "ports": [{"name": "http", "port": 80}]}}
        subset = {variant: [{"destination": {"host": host, "subset": variant}}] for variant in ("stable", "canary")}
        yield f"{of_istio}/virtualservices", {
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata,
            "spec": {"hosts": [host], "http": [
                {"match": [{"headers": {"x-coalmine-variant": {"exact": "canary"}}}], "route": subset["canary"]},
                {"route": subset["stable"]}]}}
        yield f"{of_istio}/destinationrules", {
            "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": metadata,
            "spec": {"host": host, "subsets": [
                {"name": variant, "labels": {"version": variant}} for variant in ("stable", "canary")]}}
        yield self.path.rpartition("/")[0], {
            "apiVersion": "coalmine.dev/v1alpha1", "kind": "CanaryRollout", "metadata": metadata, "spec": {
                "workloads": {"service": self.name, "stable": {"deployment": self.deployment("stable")},
                              "canary": {"deployment": self.deployment("canary")}},
                "policy": {"match": {"hosts": [f"{self.name}.{self.namespace}"]}, "identity": [{"header": "x-user-id"}],
                           "variants": [{"name": "canary"}]},
                "plan": PLAN}}

    def make(self) -> None:
        """Make all its objects."""
        for path, wanted in self.objects():
            kube.call("POST", path, wanted)
        for variant in ("stable", "canary"):
            self._say_ready(variant)
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": SINCE}
            address = self.address(variant)
            pod = f"/api/v1/namespaces/{self.namespace}/pods/{self.deployment(variant)}"
            kube.merge(f"{pod}/status", {"status": {
                "phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": [ready]}})

    def deploy(self) -> None:
        """Give the canary a new image, and say that its pods are ready."""
        image = {"name": "app", "image": NEW}
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.deployment('canary')}"
        kube.call("PATCH", path, {"spec": {"template": {"spec": {"containers": [image]}}}},
                  "application/strategic-merge-patch+json")
        self._say_ready("canary")

    def _say_ready(self, variant: str) -> None:
        path = f"/apis/apps/v1/namespaces/{self.namespace}/deployments/{self.deployment(variant)}"
        counted = {count: 1 for count in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")}
        generation = kube.get(path)["metadata"]["generation"]
        kube.merge(f"{path}/status", {"status": {"observedGeneration": generation, **counted}})

    def _template(self, variant: str) -> Object:
        proxy = {"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.30.3"}
        return {"metadata": {"labels": {"app": self.name, "version": variant}},
                "spec": {"containers": [{"name": "app", "image": OLD}, proxy]}}

    def _deployment(self, variant: str) -> Object:
        template = self._template(variant)
        # The injector puts the proxy into Pods, not into the Deployment.
        template["spec"]["containers"].pop()
        return {"apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": self.deployment(variant), "namespace": self.namespace},
                "spec": {"replicas": 1, "selector": {"matchLabels": template["metadata"]["labels"]}, "template": template}}

    def _pod(self, variant: str) -> Object:
        template = self._template(variant)
        metadata = {"name": self.deployment(variant), "namespace": self.namespace, **template["metadata"]}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def make_namespaces(names: Iterable[str]) -> None:
    """Make these, and wait until Kubernetes lets Pods be made in them."""
    for name in names:
        kube.call("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        wait_until(f"namespace {name}", lambda: kube.get(f"/api/v1/namespaces/{name}/serviceaccounts/default"))


def with_each(rollouts: Iterable[Rollout], work: Callable[[Rollout], None]) -> None:
    """Do this with each, several at a time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(work, rollouts))


def statuses() -> list[Object]:
    """The status of every rollout; an empty one where the server has written none."""
    return [item.get("status", {}) for item in kube.get("/apis/coalmine.dev/v1alpha1/canaryrollouts")["items"]]

