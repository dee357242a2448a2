"""The controller of istio/controller in the mesh, and an application that it steers: istio/demo-controller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

from . import kube, processes, prometheus
from .kube import Object
from .processes import wait_until
from .scenario import Scenario, endpoints, metrics
from .users import crowd

SYSTEM = "coalmine-system"
PODS = f"/api/v1/namespaces/{SYSTEM}/pods"


class Installed(Scenario):
    """What is installed by its own manifests: definitions first, and server-side, because they are large."""

    def apply(self, *kinds: str) -> None:
        """Apply the documents, or those of the given kinds."""
        wanted = [d for d in self.documents if not kinds or d["kind"] in kinds]
        first = [d for d in wanted if d["kind"] in ("Namespace", "CustomResourceDefinition")]
        for documents in filter(None, (first, wanted)):
            kube.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=yaml.safe_dump_all(documents))
            kube.kubectl("wait", "--for=condition=Established", "customresourcedefinitions", "--all", "--timeout=60s")


class Controller(Installed):
    """istio/controller as it stands, but for where its Prometheus is, and how often it looks."""

    def __init__(self, source: str = "istio/controller") -> None:
        super().__init__(source)
        configuration = self.configuration
        configuration["evidence"]["prometheus"]["url"] = prometheus.ADDRESS
        configuration["grants"] = {"shop": ["shop.example"]}
        configuration["tick"] = "1s"
        self.configuration = configuration
        self.original = self.documents

    @property
    def configuration(self) -> Object:
        """What is in server.yaml; assign to it, then `apply`, and start the pods anew."""
        return dict(yaml.safe_load(self.find("ConfigMap", "coalmine")["data"]["server.yaml"]))

    @configuration.setter
    def configuration(self, configuration: Object) -> None:
        self.find("ConfigMap", "coalmine")["data"]["server.yaml"] = yaml.safe_dump(configuration)

    def servers(self) -> list[Object]:
        """The controller's living pods."""
        return self.pods("app.kubernetes.io/name=coalmine", SYSTEM)

    def leader(self) -> Object:
        """The pod that holds the lease."""
        def held() -> Object | None:
            lease = kube.get(f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases/coalmine")
            holder = lease["spec"].get("holderIdentity") or ""
            return next((pod for pod in self.servers() if holder.startswith(pod["metadata"]["name"])), None)
        return wait_until("a leader", held)

    def metrics(self, pod: Object) -> dict[str, float]:
        """What a server shows to Prometheus: the text of each sample, and its value."""
        return metrics(pod, ":8471/metrics")


class Rollout(Scenario):
    """An application with a CanaryRollout. Versions are counted up, so that each case has new ones."""

    versions = 0

    def __init__(self, source: str, name: str = "checkout") -> None:
        super().__init__(source)
        self.name = name
        self.release_before = 0
        self.path = f"/apis/coalmine.dev/v1alpha1/namespaces/shop/canaryrollouts/{name}"

    def rollout(self) -> Object:
        """The CanaryRollout as it is now."""
        return dict(kube.get(self.path))

    @property
    def status(self) -> Object:
        """Its status."""
        return dict(self.rollout().get("status", {}))

    def conditions(self) -> dict[str, Object]:
        """Its conditions, by type."""
        return {condition["type"]: condition for condition in self.status.get("conditions", [])}

    def await_status(self, what: str, holds: Callable[[Object], object], seconds: float = 60) -> Object:
        """Wait until the status is as wanted; the status."""
        try:
            return wait_until(what, lambda: (status := self.status) and holds(status) and status, seconds, every=0.2)
        except processes.LabError as error:
            told = self.status
            history = [f"{line['at']} {line['weight']} {line['what']}: {line.get('why', '')}" for line in
                       told.get("history", [])]
            said = [told.get(key) for key in ("phase", "weight", "verdict", "message")]
            raise AssertionError("\n".join([str(error), str(said), *history[-15:]])) from None

    def await_phase(self, phase: str, seconds: float = 60) -> Object:
        """Wait until it is in this phase."""
        return self.await_status(f"phase {phase}", lambda status: status.get("phase") == phase, seconds)

    def await_outcome(self, outcome: str, seconds: float = 120) -> Object:
        """Wait until the release of the latest new version has ended in this way; its status."""
        def ended(status: Object) -> bool:
            releases: list[Object] = status.get("releases", [])
            latest = status.get("release", 0)
            return bool(releases) and releases[-1]["release"] == latest > self.release_before and (
                releases[-1].get("outcome") == outcome)
        return self.await_status(f"outcome {outcome}", ended, seconds)

    def next_version(self, suffix: str = "") -> str:
        """The tag of an image that was never there, which begins another release than the latest."""
        self.release_before = int(self.status.get("release", 0))
        Rollout.versions += 1
        return f"7.0.{Rollout.versions}{suffix}"

    def set_image_of(self, deployment: str, version: str) -> None:
        """Give a Deployment another image, as a pipeline would."""
        image = f"{self.image_of(deployment).rpartition(':')[0]}:{version}"
        kube.kubectl("set", "image", "-n", "shop", f"deployment/{deployment}", f"{self.name}={image}")

    @staticmethod
    def image_of(deployment: str) -> str:
        """The image of a Deployment in the cluster."""
        found = kube.get(f"/apis/apps/v1/namespaces/shop/deployments/{deployment}")
        return str(found["spec"]["template"]["spec"]["containers"][0]["image"])

    def events(self) -> list[Object]:
        """The Events about the rollout, the oldest first."""
        found = kube.get("/apis/events.k8s.io/v1/namespaces/shop/events")["items"]
        of_this = [event for event in found if event["regarding"].get("kind") == "CanaryRollout"
                   and event["regarding"].get("name") == self.name]
        return sorted(of_this, key=lambda event: str(event["eventTime"]))


class Steered(Rollout):
    """An application with two Deployments that Coalmine steers."""

    def __init__(self, source: str = "tests/mesh/scenarios/steered", name: str = "checkout") -> None:
        super().__init__(source, name)

    def new_version(self, suffix: str = "") -> str:
        """Give the canary an image that was never there; its tag."""
        version = self.next_version(suffix)
        self.set_version("canary", version)
        return version

    def set_version(self, variant: str, version: str) -> None:
        """Give the Deployment of a variant another image."""
        self.set_image_of(f"{self.name}-{variant}", version)

    def running(self, variant: str) -> str:
        """The version of a variant's Deployment in the cluster."""
        return self.image_of(f"{self.name}-{variant}").rpartition(":")[2]

    def plugin(self) -> Any:
        """The plugin that brings the policy to the mesh, as it is now."""
        return kube.get("/apis/extensions.istio.io/v1alpha1/namespaces/istio-system/trafficextensions/coalmine")

    def settle(self) -> None:
        """Both Deployments on one version, no release, and everybody on stable."""
        if self.running("canary") != (stable := self.running("stable")):
            self.set_version("canary", stable)
        self.await_ready()
        self.await_status("no release", lambda status: status.get("weight") == 0 and status.get("phase") in (
            "Idle", "RolledBack"))
        for door in (self.gateway(), self.sidecar()):
            door.await_versions({user: stable for user in crowd(20)})
        # After an outage istiod follows the cluster anew only after a while: until then a new canary has no pods for the proxies.
        pods = {pod["status"]["podIP"] for pod in self.pods(f"app={self.name},version=canary")}
        cluster = f"outbound|80|canary|{self.name}.shop.svc.cluster.local"
        wait_until("the proxies to know the canary's pods", lambda: endpoints(self.sidecar(), cluster) == pods)
