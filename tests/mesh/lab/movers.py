"""Controllers of others that move a weight: Flagger and Argo Rollouts, each as its own manifests install it."""

from __future__ import annotations

from . import control_plane
from .controller import Installed
from .kube import Object
from .paths import go_module

AUTHORITY = "/etc/coalmine-authority"


class Mover(Installed):
    """A controller of somebody else, in its own namespace, that trusts the lab's authority."""

    def __init__(self, module: str, folder: str, namespace: str, name: str) -> None:
        super().__init__(go_module(module, "others") / folder)
        self.namespace, self.name = namespace, name
        for document in self.documents:
            if document["kind"] not in ("CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"):
                document["metadata"]["namespace"] = namespace
        if namespace != "istio-system":
            self.documents.insert(0, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
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


def flagger() -> Mover:
    """Flagger, as its own kustomization for Istio has it."""
    return Mover("github.com/fluxcd/flagger", "kustomize/istio", "istio-system", "flagger")


def argo() -> Mover:
    """Argo Rollouts, as its own installation for a cluster has it."""
    return Mover("github.com/argoproj/argo-rollouts", "manifests/cluster-install", "argo-rollouts", "argo-rollouts")


def definitions() -> list[Object]:
    """What a Canary and a Rollout are, and what comes with them."""
    return [document for mover in (flagger(), argo()) for document in mover.documents
            if document["kind"] == "CustomResourceDefinition"]
