"""The permissions in the manifests are those that the server uses: none is missing, and none is there in vain.

A real server runs under its ServiceAccount through a whole release. The kube-apiserver's audit log has each of its requests,
and whether it was allowed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from lab import audit, kube
from lab.paths import ROOT
from lab.processes import LabError, wait_until
from rendered import NAMESPACE, ONE, ONE_NAMESPACE, Object, Way, configuration, kustomized, objects
from server import Server, serving

USER = f"system:serviceaccount:{NAMESPACE}:coalmine"
ROLLOUT = f"/v1/rollouts/{ONE}/checkout"

ROUTES = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: checkout, namespace: shop}
spec:
  hosts: [checkout.shop.svc.cluster.local]
  http:
  - match: [{headers: {x-coalmine-variant: {exact: canary}}}]
    route: [{destination: {host: checkout.shop.svc.cluster.local, subset: canary}}]
  - route: [{destination: {host: checkout.shop.svc.cluster.local, subset: stable}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: checkout, namespace: shop}
spec:
  host: checkout.shop.svc.cluster.local
  subsets: [{name: stable, labels: {version: stable}}, {name: canary, labels: {version: canary}}]
---
apiVersion: v1
kind: Service
metadata: {name: checkout, namespace: shop}
spec: {selector: {app: checkout}, ports: [{name: http, port: 80}]}
---
apiVersion: extensions.istio.io/v1alpha1
kind: TrafficExtension
metadata: {name: coalmine, namespace: istio-system}
spec: {wasm: {url: "file:///coalmine.wasm"}}
"""
PEOPLE = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: operator, namespace: bank}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: test-operate}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: coalmine-operate}
subjects: [{kind: ServiceAccount, name: operator, namespace: bank}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: test-write}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: coalmine-write}
subjects: [{kind: ServiceAccount, name: operator, namespace: bank}]
"""
# Of Flagger and of Argo Rollouts as much as a watch needs.
OTHERS = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: canaries.flagger.app}
spec:
  group: flagger.app
  names: {kind: Canary, plural: canaries, singular: canary}
  scope: Namespaced
  versions: [{name: v1beta1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: rollouts.argoproj.io}
spec:
  group: argoproj.io
  names: {kind: Rollout, plural: rollouts, singular: rollout}
  scope: Namespaced
  versions: [{name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"""
WRITTEN = """\
workloads: {service: checkout, stable: {deployment: checkout}, canary: {deployment: checkout-canary}}
policy: {match: {hosts: [checkout.shop]}, identity: [{header: x-user}], variants: [{name: canary}]}
plan: {start: manual, promote: copy, scaleDownCanary: true, steps: [STEP]}
"""


def deployment(name: str, version: str, image: str) -> Object:
    """Stable or canary."""
    labels = {"app": "checkout", "version": version}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": ONE},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels}, "spec": {"containers": [{"name": "checkout", "image": image}]}}},
    }


@dataclass(frozen=True)
class Permission:
    """One verb on one resource, somewhere, and of some names perhaps."""

    where: str
    group: str
    resource: str
    verb: str
    name: str

    def allows(self, request: Permission) -> bool:
        """Whether a request, which has one place and one name, needs this."""
        return (self.group, self.resource, self.verb) == (request.group, request.resource, request.verb) and \
            self.where in ("", request.where) and self.name in ("", request.name)


def granted(way: Way) -> set[Permission]:
    """What the manifests give to the server."""
    found = objects(kustomized(way))
    roles = {(key[1], key[2], key[3]): it for key, it in found.items()}
    permissions = set()
    for (_, kind, where, _), binding in found.items():
        if kind not in ("RoleBinding", "ClusterRoleBinding"):
            continue
        assert [(it["name"], it["namespace"]) for it in binding["subjects"]] == [("coalmine", NAMESPACE)]
        reference = binding["roleRef"]
        for rule in roles[reference["kind"], where, reference["name"]]["rules"]:
            permissions |= {
                Permission(where, group, resource, verb, name)
                for group in rule["apiGroups"] for resource in rule["resources"] for verb in rule["verbs"]
                for name in rule.get("resourceNames", [""])
            }
    return permissions


def requested(since: int) -> dict[Permission, bool]:
    """What the server has asked for since the log had so many bytes, and whether it was allowed."""
    found = {}
    for event in audit.events(USER, since):
        if "objectRef" not in event:
            continue
        on = event["objectRef"]
        request = Permission(on.get("namespace", ""), on.get("apiGroup", ""), audit.resource(on), event["verb"],
                             on.get("name", ""))
        found[request] = event["annotations"]["authorization.k8s.io/decision"] == "allow"
    return found


@pytest.fixture(params=[Way(), ONE_NAMESPACE], ids=["all namespaces", "one namespace"])
def way(namespaces: None, request: pytest.FixtureRequest) -> Iterator[Way]:
    """The manifests, applied."""
    way, text = request.param, kustomized(request.param)
    kube.kubectl("apply", "--server-side", "-f", "-", stdin=text)
    kube.kubectl("apply", "--server-side", "-f", "-", stdin=PEOPLE)
    kube.kubectl("apply", "--server-side", "-f", "-", stdin=OTHERS)
    for name in ("canaryrollouts.coalmine.dev", "canaries.flagger.app", "rollouts.argoproj.io"):
        kube.kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=60s")
    yield way
    # What a server has kept: the next one begins with nothing.
    kube.kubectl("delete", "configmaps,leases", "--all", "--namespace", NAMESPACE)
    rest = [it for key, it in objects(text).items() if key[1] not in ("Namespace", "CustomResourceDefinition")]
    kube.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=yaml.safe_dump_all(rest))


@pytest.fixture
def shop(way: Way) -> Iterator[None]:
    """A stable and a canary with a new version, and routes between them."""
    kube.kubectl("apply", "--server-side", "-f", "-", stdin=ROUTES)
    both = [deployment("checkout", "stable", "shop:1"), deployment("checkout-canary", "canary", "shop:2")]
    kube.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(both))
    yield
    kube.kubectl("delete", "-f", "-", stdin=yaml.safe_dump_all(both))
    kube.kubectl("delete", "-f", "-", stdin=ROUTES)


def get_ready() -> None:
    """Say that all pods of the shop are ready, as a kubelet would."""
    for pod in kube.get(f"/api/v1/namespaces/{ONE}/pods")["items"]:
        ready = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        status = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [ready]}
        try:
            kube.call("PATCH", f"/api/v1/namespaces/{ONE}/pods/{pod['metadata']['name']}/status", {"status": status},
                      "application/merge-patch+json")
        except kube.NotFound:
            pass  # it is gone by now


def release(server: Server) -> None:
    """Everything that a server does in a cluster, once."""
    def until(what: str, method: str, path: str, wanted: int, body: str | None = None) -> None:
        """Permissions of who asks, and workloads, take a moment to be known."""
        def done() -> bool:
            get_ready()
            status, answer = server.ask(method, path, body)
            last[0] = f"{status} {answer}"
            return status == wanted

        last = [""]
        try:
            wait_until(what, done)
        except LabError as error:
            raise AssertionError(f"{what}: {last[0]}") from error

    until("it is written", "PUT", ROLLOUT, 201, WRITTEN.replace("STEP", "5"))
    until("it is written anew", "PUT", ROLLOUT, 200, WRITTEN.replace("STEP", "10"))
    until("all is frozen", "PUT", "/v1/freeze", 200, "{}")
    until("nothing is frozen", "DELETE", "/v1/freeze", 200)
    # The second time, an Event that is there is counted.
    for _ in range(2):
        until("it is paused", "POST", f"{ROLLOUT}/pause", 202, "{}")
        until("it is resumed", "POST", f"{ROLLOUT}/resume", 202, "{}")
    until("it is started", "POST", f"{ROLLOUT}/start", 202, "{}")

    def is_promoted() -> bool:
        get_ready()
        server.ask("POST", f"{ROLLOUT}/promote", "{}")
        return server.ask("GET", f"{ROLLOUT}/releases/1")[1].get("outcome") == "Promoted"

    wait_until("it is promoted", is_promoted, seconds=120)
    canary = f"/apis/apps/v1/namespaces/{ONE}/deployments/checkout-canary"
    wait_until("the canary is scaled down", lambda: kube.get(canary)["spec"]["replicas"] == 0)
    until("it is deleted", "DELETE", ROLLOUT, 202)
    rollouts = f"/apis/coalmine.dev/v1alpha1/namespaces/{ONE}/canaryrollouts"
    wait_until("it is gone", lambda: kube.get(rollouts)["items"] == [])


def test_the_documentation_says_what_the_cluster_says(namespaces: None) -> None:
    """The list in docs/server.md, line by line; widths of columns and the order do not count."""
    text = (ROOT / "docs" / "server.md").read_text()
    [example] = re.findall(r"^\$ kubectl (auth can-i --list [^|]*) \| grep -v '([^']*)'\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    command, left_out, written = example
    found = objects(kustomized())
    rights = [it for key, it in found.items() if key[1].startswith(("Role", "ClusterRole"))]
    kube.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(rights))

    def lines(text: str) -> set[str]:
        return {" ".join(line.split()) for line in text.splitlines()}

    def differing() -> set[str]:
        listed = lines(kube.kubectl(*command.split()))
        return {line for line in listed if not re.search(left_out, line)} ^ lines(written)

    try:
        # A binding takes a moment to be known.
        wait_until("they are the same", lambda: not differing())
    except LabError as error:
        raise AssertionError(differing()) from error
    finally:
        kube.kubectl("delete", "-f", "-", stdin=yaml.safe_dump_all(rights))


def test_each_permission_is_used_and_none_is_missing(way: Way, shop: None, tmp_path: Path) -> None:
    """In one release, from the first look to the end."""
    since = audit.size()
    token = kube.kubectl("create", "token", "operator", "--namespace", "bank").strip()
    with serving(configuration(objects(kustomized(way))), tmp_path, token) as server:
        release(server)
        unused = granted(way)

        def all_are_used() -> bool:
            unused.difference_update({it for it in unused if any(it.allows(request) for request in requested(since))})
            return not unused

        try:
            wait_until("every permission is used", all_are_used)
        except LabError as error:
            raise AssertionError(f"nothing uses {sorted(map(str, unused))}") from error
    assert [request for request, is_allowed in requested(since).items() if not is_allowed] == []
