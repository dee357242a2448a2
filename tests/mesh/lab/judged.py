"""An application that another controller moves, and Coalmine as it judges for that one."""

from __future__ import annotations

import base64
import copy
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from . import control_plane, kube, prometheus, service
from .client import Load
from .controller import SYSTEM, Controller, Rollout
from .kube import Object
from .processes import wait_until
from .scenario import FILTER_IMAGE, render
from .users import crowd

# For how long the server is away: `make proof-mesh-judged` takes two minutes.
AWAY = float(os.environ.get("MESH_AWAY", "25"))
USERS = crowd(400)
TESTER = "tester"


class Judge(Controller):
    """istio/controller as it judges for another controller: its API is open to the cluster, its routes go by the bucket, and what it
    counts is where requests went, by Envoy's counters."""

    def __init__(self, stable: str) -> None:
        super().__init__("tests/mesh/scenarios/open-controller")
        certificate, key = control_plane.certificate("coalmine.coalmine-system")
        self.documents.append({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
                               "metadata": {"name": "coalmine-tls", "namespace": SYSTEM},
                               "stringData": {"tls.crt": certificate, "tls.key": key}})
        configuration = self.configuration
        configuration["policy"]["bucketRoute"] = {
            "bucketHeader": {"name": "x-coalmine-bucket", "total": 100, "canary": "last"}}
        cluster = 'cluster_name="outbound|80||$name-$variant.$namespace.svc.cluster.local"'
        configuration["queries"] = {"errors": {
            "prometheus": {"url": prometheus.ADDRESS}, "names": {"stable": stable},
            "all": f'envoy_cluster_upstream_rq{{{cluster},response_code_class!=""}}',
            "bad": f'envoy_cluster_upstream_rq{{{cluster},response_code_class="5xx"}}'}}
        self.configuration = configuration
        self.original = self.documents

    def apply(self, *kinds: str) -> None:
        """The same; what is asked of the Service reaches a ready pod."""
        super().apply(*kinds)
        service.up(SYSTEM, "coalmine", 8470, "https")

    def delete(self) -> None:
        """The same."""
        service.down("coalmine")
        super().delete()


class Judged(Rollout):
    """`checkout` as the folder of istio/ has it for another controller: one Deployment, whose versions that controller releases."""

    def __init__(self, source: str) -> None:
        own = [document for document in render("istio/demo-controller") if not _is_of_two_deployments(document)]
        super().__init__("tests/mesh/scenarios/judged")
        self.documents = [*own, *self.documents, *render(source)]
        self.set_image(f"{FILTER_IMAGE}:lab")
        self.find("CanaryRollout")["spec"]["plan"] |= {
            "steps": [5, 25, 50], "dwell": "3s", "warmUp": "2s", "minRequests": 20, "onInconclusive": "promote"}
        self.find("CanaryRollout")["spec"]["policy"]["pins"] = {"canary": [TESTER]}
        for pods in (document["spec"]["template"] for document in self.documents if document["kind"] == "Deployment"):
            _show_clusters(pods)
        self.original = copy.deepcopy(self.documents)

    def await_tester(self, version: str) -> None:
        """Wait until somebody who is pinned to the canary has it, whatever the weight is."""
        for door in (self.gateway(), self.sidecar()):
            door.await_versions({TESTER: version})

    def token(self) -> str:
        """The token of istio/verdict-reader, which Flagger wants in its Canary."""
        reader = [document for document in self.documents if document["metadata"]["name"] == "verdict-reader"
                  and document["kind"] in ("ServiceAccount", "Secret")]
        kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([self.find("Namespace", "shop"), *reader]))
        path = "/api/v1/namespaces/shop/secrets/verdict-reader"
        return base64.b64decode(wait_until("the token", lambda: kube.get(path).get("data", {}).get("token"))).decode()

    def served(self) -> str:
        """The version that a user has at the gateway, once there is one."""
        return str(wait_until("an answer", lambda: self.gateway().ask(USERS[0]).version))

    def new_version(self, suffix: str = "") -> str:
        """Give the Deployment an image that was never there; its tag."""
        version = self.next_version(suffix)
        self.set_image_of(self.name, version)
        return version


def _is_of_two_deployments(document: Object) -> bool:
    """Whether it is of the application with two Deployments, or of its routes."""
    return document["kind"] in ("VirtualService", "DestinationRule", "CanaryRollout", "PodDisruptionBudget") and (
        document["metadata"].get("namespace") == "shop") or document["metadata"]["name"].startswith("checkout-")


def _show_clusters(pods: dict[str, Any]) -> None:
    """Let its proxy show how many requests of each cluster failed, as Istio's own counters do outside the lab."""
    annotations = pods["metadata"].get("annotations", {})
    if shown := annotations.get("proxy.istio.io/config"):
        proxy = yaml.safe_load(shown)
        proxy["proxyStatsMatcher"]["inclusionRegexps"].append(r"cluster\.outbound.*checkout.*upstream_rq.*")
        annotations["proxy.istio.io/config"] = yaml.safe_dump(proxy)


@contextmanager
def load_on(application: Judged, *, may_fail: bool = False) -> Iterator[Load]:
    """Users at both doors, all of them served, unless the version is a broken one."""
    with Load([application.gateway(), application.sidecar()], USERS, per_second=200) as load:
        load.rounds()
        yield load
    print(f"{len(load.answers)} requests, {len(load.failures)} failed")
    assert may_fail or not load.failures, load.failures[:5]


@contextmanager
def away() -> Iterator[None]:
    """No server of Coalmine's for a while, and then two again."""
    kube.kubectl("scale", "-n", SYSTEM, "deployment/coalmine", "--replicas=0")
    selector = "app.kubernetes.io/name=coalmine"
    wait_until("no server", lambda: not kube.get(f"/api/v1/namespaces/{SYSTEM}/pods?labelSelector={selector}")["items"])
    try:
        yield
    finally:
        kube.kubectl("scale", "-n", SYSTEM, "deployment/coalmine", "--replicas=2")
        kube.kubectl("rollout", "status", "-n", SYSTEM, "deployment/coalmine", "--timeout=60s")


def assert_nothing_moves(told: Callable[[], Object]) -> None:
    """For `AWAY` seconds, what the other controller says stays the same."""
    before = told()
    ends = time.monotonic() + AWAY
    while time.monotonic() < ends:
        assert told() == before
        time.sleep(1)
