"""Many VirtualServices in one mesh at a time, each with its own hosts, and questions about where requests go.

The cases, and what the command's model of routes says of each request, are from the program in `../routes`.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from . import kube
from .client import Answer, Connection, Door
from .kube import Object
from .paths import COALMINE, ROUTES
from .processes import LabError, log_tail, wait_until
from .scenario import Scenario

NAMESPACE = "routes"
CASES = "labelSelector=coalmine-routes%3Dcase"
WHOLE = f".{NAMESPACE}.svc.cluster.local"
# Where the resources of a case are.
API = {
    "Service": "/api/v1",
    "DestinationRule": "/apis/networking.istio.io/v1",
    "EnvoyFilter": "/apis/networking.istio.io/v1alpha3",
    "VirtualService": "/apis/networking.istio.io/v1",
}
# How long an answer may differ after everything is in force: a cluster may still get its endpoints.
PATIENCE = 5.0


@dataclass
class Case:
    """Resources, rollouts, and the questions about them; and what the command finds in them."""

    name: str
    resources: list[Object]
    rollouts: list[Object]
    questions: list[Object]
    findings: list[tuple[str, str]] = field(default_factory=list)     # code and place

    @property
    def is_refused(self) -> bool:
        """Whether the command says that Istio refuses a resource of it."""
        return any(code == "istioRefuses" for code, _ in self.findings)

    @property
    def missing(self) -> set[str]:
        """The places of destinations that have no subset, by the command."""
        return {place for code, place in self.findings if code == "missingSubset"}

    def rules(self) -> list[Object]:
        """The DestinationRules that are for its Service: Istio completes a name without a dot, and no other."""
        hosts = (self.name, self.name + WHOLE)
        return [r for r in self.resources if r["kind"] == "DestinationRule" and r["spec"]["host"] in hosts]


@dataclass
class Count:
    """What came of the questions."""

    cases: int = 0
    requests: int = 0
    unknown: int = 0
    refused: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    differences: list[tuple[Case, str]] = field(default_factory=list)

    def examples(self) -> list[str]:
        """One difference of each case that has any, with the case."""
        return [f"{what}\n{_text(case)}" for case, what in {case.name: (case, what) for case, what in self.differences}.values()]


def generate(cases: int, seed: int) -> list[Case]:
    """The cases of a seed, each as the command sees it."""
    done = subprocess.run([str(ROUTES), str(cases), str(seed)], capture_output=True, text=True)
    if done.returncode:
        raise LabError(f"{ROUTES.name}: {done.stderr.strip()}")
    made = [Case(**json.loads(line)) for line in done.stdout.splitlines()]
    with ThreadPoolExecutor(2) as pool:
        for case, findings in zip(made, pool.map(validate, made)):
            case.findings = findings
    return made


def validate(case: Case) -> list[tuple[str, str]]:
    """What `coalmine validate` finds in a case: codes and places, of errors alone."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "case.yaml")
        path.write_text(yaml.safe_dump_all([*case.resources, plugin(case.rollouts)]))
        done = subprocess.run([str(COALMINE), "validate", "--format", "json", str(path)], capture_output=True, text=True)
    if not done.stdout.startswith("{"):
        raise LabError(f"coalmine validate, of {case.name}: {done.stderr.strip()}")
    problems = json.loads(done.stdout)["problems"]
    return [(p["code"], p["place"]) for p in problems if p["severity"] == "error"]


def plugin(rollouts: Sequence[Object]) -> Object:
    """The plugin with a policy of these rollouts."""
    return {
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "TrafficExtension",
        "metadata": {"name": "coalmine", "namespace": NAMESPACE},
        "spec": {"match": [{"mode": "CLIENT"}], "wasm": {
            "url": "oci://registry.example/coalmine-filter:0.1.0", "failStrategy": "FAIL_OPEN",
            "pluginConfig": {"rollouts": list(rollouts)}}},
    }


class Questions:
    """A mesh of `scenarios/routes.yaml`, and its doors."""

    def __init__(self, shop: Scenario) -> None:
        self.shop = shop
        self.count = Count()
        host = f"other{WHOLE}"
        self.gateway = shop.gateway(host=host, namespace=NAMESPACE)
        self.sidecar = shop.sidecar(host=host, namespace=NAMESPACE)
        self.batch = 0

    def ask(self, cases: Sequence[Case]) -> None:
        """Put all questions of these cases, which are in the mesh together, and count what comes of them."""
        self.batch += 1
        try:
            accepted = [case for case in cases if self._apply(case)]
            wait_until("the endpoints of the Services", lambda: _have_endpoints(accepted), 120, every=0.2)
            self._await_in_force([rollout for case in accepted for rollout in case.rollouts])
            for door in (self.gateway, self.sidecar):
                self._ask_at(door, accepted)
        finally:
            for kind, api in reversed(API.items()):
                kube.call("DELETE", f"{api}/namespaces/{NAMESPACE}/{kind.lower()}s?{CASES}")

    # --- In force --------------------------------------------------------------------------------------------------

    def _apply(self, case: Case) -> bool:
        """Create the resources; whether the kube-apiserver and istiod take them all."""
        self.count.cases += 1
        try:
            for resource in case.resources:
                create(resource)
        except LabError as error:
            if not case.is_refused:
                self.count.differences.append((case, f"{case.name}: the mesh refuses it, validate does not: {error}"))
            self.count.refused += 1
            for resource in case.resources:
                delete(resource)
            return False
        if case.is_refused:
            self.count.differences.append((case, f"{case.name}: validate refuses it, the mesh does not: {case.findings}"))
        return True

    def _await_in_force(self, rollouts: list[Object]) -> None:
        """Wait until both doors have all that has been applied.

        istiod sees the resources of a kind in the order in which they were made: when the last of each kind is in force,
        so are those before it. The last ones are a case of their own, whose answer needs all of them.
        """
        name = f"ready-{self.batch}"
        last = ready(name)
        for resource in last:
            create(resource)
        wait_until("the endpoints of the last Service", lambda: _endpoints().get(name), 60, every=0.1)
        self.shop.set_policy({"rollouts": [*rollouts, rollout_of_ready(name)]})

        def is_ready(door: Door) -> bool:
            there = Door(door.name, door.pod, door.address, f"{name}.example")
            answers = (there.ask("tester"), there.ask("tester", "/filter"))
            return [(a.status, a.version) for a in answers] == [(200, "canary"), (299, None)]
        for door in (self.gateway, self.sidecar):
            try:
                wait_until(f"the routes at the {door.name}", lambda: is_ready(door), 90, every=0.1)
            except LabError as error:
                raise LabError(f"{error}\n{log_tail('istiod', 20)}") from None

    # --- Questions -------------------------------------------------------------------------------------------------

    def _ask_at(self, door: Door, cases: Sequence[Case]) -> None:
        """Put the questions for one door; those whose answers differ again, while there is patience."""
        asked = [(case, question) for case in cases for question in case.questions if question["door"] == door.name]
        for _, question in asked:
            self.count.requests += 1
            self.count.kinds[question["expected"]["kind"]] += 1
        differing = list(self._differences(door, asked, is_first=True))

        def agree() -> bool:
            differing[:] = self._differences(door, [(case, question) for case, question, _ in differing])
            return not differing
        if differing:
            with suppress(LabError):
                wait_until("the answers", agree, PATIENCE, every=0.5)
        for case, question, what in differing:
            self.count.differences.append((case, f"{case.name} at the {door.name}: {what}\n{json.dumps(question)}"))

    def _differences(self, door: Door, asked: Sequence[tuple[Case, Object]], is_first: bool = False
                     ) -> Iterator[tuple[Case, Object, str]]:
        connections: dict[int, Connection] = {}
        try:
            for case, question in asked:
                port = door.address[1] if door is self.gateway else question["port"]
                if port not in connections:
                    connections[port] = Connection(Door(door.name, door.pod, (door.address[0], port), door.host))
                try:
                    answer = put(connections[port], question)
                except (OSError, http.client.HTTPException) as error:
                    yield case, question, repr(error)
                    continue
                what = difference(case, question["expected"], answer, door is self.gateway)
                if what is None:
                    self.count.unknown += is_first
                elif what:
                    yield case, question, what
        finally:
            for connection in connections.values():
                connection.close()


def put(connection: Connection, question: Object) -> Answer:
    """Send the request of a question."""
    headers = {"host": question["host"], **dict(question["headers"])}
    return connection.ask(None, question["target"], headers, question["method"])


def difference(case: Case, expected: Object, answer: Answer, is_gateway: bool) -> str | None:
    """What is different from what the model says: a text, empty where nothing is; None where the model does not know."""
    kind, route = expected["kind"], answer.headers.get("x-route")
    real = f"status {answer.status}, version {answer.version}, route {route}"
    if kind == "unknown":
        return None
    if kind == "elsewhere":     # the VirtualService has no say; a gateway then has no route at all
        same = route is None and (answer.status == 404 or not is_gateway)
    elif kind == "notFound":
        same = answer.status == 404 and route is None
    elif kind == "reply":
        same = answer.version is None and answer.status in (302, 418, 555)
        same = same and route in (expected["route"], None)
    elif kind == "nowhere":
        same = answer.status in (404, 503) and answer.version is None
    elif expected["mayFail"] and answer.status == 555:
        same = True             # by a fault that is injected into some requests
    else:
        versions: set[str | None] = set()
        for to in expected["to"]:
            if to["subset"] and not case.rules() and to["host"] in (case.name, case.name + WHOLE):
                return None     # its DestinationRule may be in another file
            versions |= versions_of(case, to)
        same = answer.version in versions and (answer.version is None) == (answer.status == 503)
        if answer.version is not None:
            same = same and route == expected["route"]
            got = {name.lower() for name in answer.headers_at_application}
            kept = {name: name in got for name in expected["kept"]}
            if kept != expected["kept"]:
                same, real = False, f"{real}, the application gets {kept}"
    return "" if same else f"the model says {expected}, the mesh: {real}"


def versions_of(case: Case, to: Object) -> set[str | None]:
    """The versions that answer at a destination; None: there is none, and the proxy answers 503."""
    if set(to["places"]) & case.missing:
        return {None}
    if to["host"] in ("other", f"other{WHOLE}"):
        return {"other"} if not to["subset"] else {None}
    if to["host"] not in (case.name, case.name + WHOLE):
        return {None}           # no Service has this name
    return {to["version"]} if to["subset"] else {"stable", "canary", "baseline"}


# --- Resources -----------------------------------------------------------------------------------------------------

def _path(resource: Object) -> str:
    kind = resource["kind"]
    return f"{API[kind]}/namespaces/{NAMESPACE}/{kind.lower()}s"


def create(resource: Object) -> None:
    """Create a resource; an unknown field is an error."""
    kube.call("POST", f"{_path(resource)}?fieldValidation=Strict", resource)


def delete(resource: Object) -> None:
    """Delete a resource, if it is there."""
    try:
        kube.call("DELETE", f"{_path(resource)}/{resource['metadata']['name']}")
    except kube.NotFound:
        pass


def _endpoints() -> Counter[str]:
    """How many ready endpoints each Service has."""
    found: Counter[str] = Counter()
    for part in kube.get(f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices")["items"]:
        ready = [e for e in part.get("endpoints") or [] if e.get("conditions", {}).get("ready")]
        found[part["metadata"]["labels"]["kubernetes.io/service-name"]] += len(ready)
    return found


def _have_endpoints(cases: Sequence[Case]) -> bool:
    found = _endpoints()
    return all(found[case.name] >= 3 for case in cases)


def ready(name: str) -> list[Object]:
    """A case whose answers need one resource of each kind: 200 from canary, and 299 by an EnvoyFilter."""
    def resource(kind: str, spec: Object) -> Object:
        return {"apiVersion": API[kind].removeprefix("/apis/").removeprefix("/api/"), "kind": kind, "spec": spec,
                "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"coalmine-routes": "case"}}}
    to_canary = {"match": [{"headers": {"x-coalmine-variant": {"exact": "canary"}}}],
                 "route": [{"destination": {"host": name, "subset": "canary"}}]}
    return [
        resource("Service", {"selector": {"app": "shop"}, "ports": [
            {"name": "http", "port": 80, "targetPort": 9898, "appProtocol": "http"}]}),
        resource("DestinationRule", {"host": name, "subsets": [{"name": "canary", "labels": {"version": "canary"}}]}),
        resource("EnvoyFilter", {"configPatches": [{
            "applyTo": "HTTP_ROUTE",
            "match": {"context": "ANY", "routeConfiguration": {"vhost": {"name": f"{name}.example:80"}}},
            "patch": {"operation": "INSERT_FIRST", "value": {
                "match": {"path": "/filter"}, "direct_response": {"status": 299}}}}]}),
        resource("VirtualService", {"hosts": [f"{name}.example"], "gateways": ["mesh", "shop"],
                                    "http": [to_canary, {"directResponse": {"status": 418}}]}),
    ]


def rollout_of_ready(name: str) -> Object:
    """The rollout that gives canary to the user who looks."""
    return {"name": name, "match": {"hosts": [f"{name}.example"]}, "identity": [{"header": "x-user-id"}],
            "variants": [{"name": "canary", "weight": 1}], "pins": {"canary": ["tester"]}}


def _text(case: Case) -> str:
    """The resources and rollouts of a case, to look at."""
    return yaml.safe_dump_all([*case.resources, {"rollouts": case.rollouts}], sort_keys=False)
