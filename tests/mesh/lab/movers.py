"""Controllers of others that move a weight: Flagger and Argo Rollouts, each as its own manifests install it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import ClassVar

from . import control_plane, kube
from .controller import Installed
from .judged import Judged, load_on
from .kube import Object
from .paths import go_module
from .processes import wait_until

AUTHORITY = "/etc/coalmine-authority"


class Mover(Installed, ABC):
    """A controller of somebody else, in its own namespace, that trusts the lab's authority."""

    module: ClassVar[str]
    folder: ClassVar[str]
    namespace: ClassVar[str]
    name: ClassVar[str]
    # What it calls the variant that everybody has.
    stable: ClassVar[str]
    # The folder that explains how it and Coalmine stand side by side.
    source: ClassVar[str]

    def __init__(self) -> None:
        super().__init__(go_module(self.module, "others") / self.folder)
        for document in self.documents:
            if document["kind"] not in ("CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"):
                document["metadata"]["namespace"] = self.namespace
        if self.namespace != "istio-system":
            self.documents.insert(0, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        self._trust()
        self.original = self.documents

    def _trust(self) -> None:
        """Let it trust the certificate that Coalmine's API has here."""
        self.documents.append({"apiVersion": "v1", "kind": "ConfigMap",
                               "metadata": {"name": "coalmine-authority", "namespace": self.namespace},
                               "data": {"ca.crt": control_plane.authority()}})
        spec = self.find("Deployment", self.name)["spec"]["template"]["spec"]
        container = spec["containers"][0]
        spec.setdefault("volumes", []).append({"name": "authority", "configMap": {"name": "coalmine-authority"}})
        container.setdefault("volumeMounts", []).append({"name": "authority", "mountPath": AUTHORITY, "readOnly": True})
        container.setdefault("env", []).append({"name": "SSL_CERT_FILE", "value": f"{AUTHORITY}/ca.crt"})

    @abstractmethod
    def application(self) -> AbstractContextManager[Judged]:
        """`checkout` under this controller: within the context its users are served, by its first version."""

    @abstractmethod
    def told(self) -> Object:
        """What it says of `checkout`: `weight`, and the rest of what stands still while nothing moves."""

    @abstractmethod
    def failures(self) -> int:
        """How many looks it has counted as failed in the latest release."""

    @abstractmethod
    def has_promoted(self) -> bool:
        """Whether it says that the latest version is everybody's."""

    @abstractmethod
    def has_taken_back(self) -> bool:
        """Whether it says that it has taken the latest version back."""


class Flagger(Mover):
    """Flagger, as its own kustomization for Istio has it."""

    module, folder = "github.com/fluxcd/flagger", "kustomize/istio"
    namespace, name = "istio-system", "flagger"
    stable, source = "primary", "istio/flagger"

    @contextmanager
    def application(self) -> Iterator[Judged]:
        """Its primary is there, and the routes that it made are sticky."""
        application = Judged(self.source)
        analysis = application.find("Canary")["spec"]["analysis"]
        analysis["interval"] = "10s"      # the least that Flagger allows
        analysis["stepWeights"] = [5, 25, 50, 100]
        for hook in analysis["webhooks"]:
            hook["metadata"]["token"] = application.token()
        with application:
            wait_until("Flagger to have its primary", lambda: self.told()["phase"] == "Initialized", 180)
            application.served()
            with load_on(application) as load:
                application.add(f"{self.source}/sticky")
                load.rounds(2)
            yield application
            application.remove_added()

    def told(self) -> Object:
        """The status of its Canary."""
        status = kube.get("/apis/flagger.app/v1beta1/namespaces/shop/canaries/checkout").get("status", {})
        return {"phase": status.get("phase", ""), "weight": status.get("canaryWeight", 0),
                "failedChecks": status.get("failedChecks", 0)}

    def failures(self) -> int:
        """The checks that it counts before it rolls back."""
        return int(self.told()["failedChecks"])

    def has_promoted(self) -> bool:
        """The Canary has succeeded."""
        return bool(self.told()["phase"] == "Succeeded")

    def has_taken_back(self) -> bool:
        """The Canary has failed."""
        return bool(self.told()["phase"] == "Failed")


class Argo(Mover):
    """The controller of Argo Rollouts, as its own installation for a cluster has it."""

    module, folder = "github.com/argoproj/argo-rollouts", "manifests/cluster-install"
    namespace, name = "argo-rollouts", "argo-rollouts"
    stable, source = "stable", "istio/argo"
    objects = "/apis/argoproj.io/v1alpha1/namespaces/shop"

    @contextmanager
    def application(self) -> Iterator[Judged]:
        """Its Rollout makes the pods of the Deployment that is there already."""
        application = Judged(self.source)
        # At once: an answer about the weight before would send it on from step to step.
        application.find("AnalysisTemplate")["spec"]["metrics"][0] |= {"interval": "2s", "initialDelay": "0s"}
        application.find("Deployment", "checkout")["spec"]["replicas"] = 0
        with application:
            wait_until("the Rollout to be healthy", lambda: self.told()["phase"] == "Healthy", 180)
            yield application

    def told(self) -> Object:
        """The status of its Rollout, and which analyses have ended."""
        status = kube.get(f"{self.objects}/rollouts/checkout").get("status", {})
        weights = status.get("canary", {}).get("weights") or {"canary": {"weight": 0}}
        runs = [run.get("status", {}).get("phase") for run in kube.get(f"{self.objects}/analysisruns")["items"]]
        return {"phase": status.get("phase", ""), "weight": weights["canary"]["weight"],
                "ended": sorted(phase for phase in runs if phase not in (None, "Running")),
                "pauses": status.get("pauseConditions", []), "aborted": status.get("abort", False)}

    def failures(self) -> int:
        """The analyses that did not succeed."""
        return sum(phase != "Successful" for phase in self.told()["ended"])

    def has_promoted(self) -> bool:
        """The Rollout is healthy, and nothing of a canary is left."""
        told = self.told()
        return bool(told["phase"] == "Healthy" and told["weight"] == 0)

    def has_taken_back(self) -> bool:
        """It was aborted, by an analysis that has failed."""
        told = self.told()
        return bool(told["aborted"] and "Failed" in told["ended"])


def definitions() -> list[Object]:
    """What a Canary and a Rollout are, and what comes with them."""
    return [document for mover in (Flagger(), Argo()) for document in mover.documents
            if document["kind"] == "CustomResourceDefinition"]
