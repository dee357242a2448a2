"""A real kube-apiserver takes what is rendered, its Pod Security admission lets the pods in, and Helm gives it all back."""

from __future__ import annotations

import copy
import json
import os
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from lab import kube
from lab.paths import KUBECONFIG, tool
from lab.processes import LabError
from rendered import CHART, CONTROLLER, NAMESPACE, ONE, WAYS, Object, kustomized, objects, of_kind, templated

# Of the Prometheus Operator as much as a PodMonitor needs.
POD_MONITORS = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: podmonitors.monitoring.coreos.com}
spec:
  group: monitoring.coreos.com
  names: {kind: PodMonitor, plural: podmonitors, singular: podmonitor}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [selector]
            properties:
              selector: {type: object, properties: {matchLabels: {type: object, additionalProperties: {type: string}}}}
              podMetricsEndpoints:
                type: array
                items: {type: object, properties: {port: {type: string}, path: {type: string}}}
"""


@pytest.fixture(scope="module")
def pod_monitors(namespaces: None) -> Iterator[None]:
    """A cluster that knows PodMonitors."""
    kube.kubectl("apply", "--server-side", "-f", "-", stdin=POD_MONITORS)
    kube.kubectl("wait", "--for=condition=Established", "crd/podmonitors.monitoring.coreos.com", "--timeout=60s")
    yield


def dry_run(text: str) -> None:
    """As a user would apply it: unknown fields, wrong types and rules of admission refuse, or warn."""
    kube.kubectl("apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)


@pytest.mark.parametrize("way", WAYS)
def test_the_api_takes_it(pod_monitors: None, way: str) -> None:
    """In the words of both."""
    dry_run(kustomized(WAYS[way]))
    dry_run(templated(WAYS[way].values))


def test_a_cluster_without_the_prometheus_operator_takes_the_rest(namespaces: None) -> None:
    """The default names nothing that has to be installed."""
    groups = {key[0] for key in objects(kustomized())}
    assert "monitoring.coreos.com/v1" not in groups
    dry_run(kustomized())


def pod_of(deployment: Object) -> str:
    """The pod that a Deployment makes, as a document. Its account is not there in a dry run."""
    template = deployment["spec"]["template"]
    spec = {**template["spec"], "serviceAccountName": "default"}
    return yaml.safe_dump({"apiVersion": "v1", "kind": "Pod", "spec": spec,
                           "metadata": {"name": "restricted", "namespace": NAMESPACE, **template["metadata"]}})


@pytest.mark.parametrize("way", WAYS)
def test_the_pods_are_restricted(namespaces: None, way: str) -> None:
    """The server's namespace enforces Kubernetes' strictest profile, and lets them in."""
    deployment = of_kind(objects(kustomized(WAYS[way])), "Deployment")
    dry_run(pod_of(deployment))
    for change in ({"allowPrivilegeEscalation": True}, {"capabilities": {}}, {"runAsNonRoot": False}):
        wrong = copy.deepcopy(deployment)
        wrong["spec"]["template"]["spec"]["containers"][0]["securityContext"].update(change)
        with pytest.raises(LabError, match='violates PodSecurity "restricted'):
            dry_run(pod_of(wrong))


def helm(*argv: str) -> str:
    """Run helm as the cluster's administrator; its output."""
    done = subprocess.run([tool("helm"), *argv, "--namespace", NAMESPACE], capture_output=True, text=True,
                          env={**os.environ, "KUBECONFIG": str(KUBECONFIG)})
    assert done.returncode == 0, f"helm {' '.join(argv)}: {done.stderr}"
    return done.stdout


def test_a_release_is_installed_upgraded_and_uninstalled(namespaces: None) -> None:
    """What the chart makes goes with it; the definition, and with it everybody's rollouts, stays, and is taken up again."""
    definition = "crd/canaryrollouts.coalmine.dev"
    rollout = {
        "apiVersion": "coalmine.dev/v1alpha1", "kind": "CanaryRollout", "metadata": {"name": "kept", "namespace": ONE},
        "spec": {"workloads": {"service": "a", "stable": {"deployment": "a"}, "canary": {"deployment": "b"}},
                 "policy": {}, "plan": {}},
    }
    # kubectl was there before.
    kube.kubectl("apply", "--server-side", "-f", str(CONTROLLER / "crd.yaml"))
    helm("install", "coalmine", str(CHART), "--take-ownership", "--force-conflicts")
    try:
        kube.kubectl("wait", "--for=condition=Established", definition, "--timeout=60s")
        kube.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(rollout))
        # A release before this one had another definition: an upgrade brings its own.
        kube.merge("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/canaryrollouts.coalmine.dev",
                   {"metadata": {"labels": {"app.kubernetes.io/name": "older"}}})
        helm("upgrade", "coalmine", str(CHART), "--set", "namespace=" + ONE, "--force-conflicts")
        labels = kube.kubectl("get", definition, "--output", "jsonpath={.metadata.labels.app\\.kubernetes\\.io/name}")
        assert labels == "coalmine"
        assert "coalmine-workloads" in kube.kubectl("get", "roles", "--namespace", ONE, "--output", "name")
        helm("rollback", "coalmine", "1", "--force-conflicts")
        assert "coalmine-workloads" not in kube.kubectl("get", "roles", "--namespace", ONE, "--output", "name")
    finally:
        helm("uninstall", "coalmine", "--wait")
    assert "coalmine" not in kube.kubectl("get", "clusterroles,clusterrolebindings", "--output", "name")
    assert "kept" in kube.kubectl("get", "canaryrollouts", "--namespace", ONE, "--output", "name")
    helm("install", "coalmine", str(CHART))
    helm("uninstall", "coalmine", "--wait")
    kube.kubectl("delete", "canaryrollout", "kept", "--namespace", ONE)
