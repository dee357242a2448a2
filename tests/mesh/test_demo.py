"""The manifests as they stand in the folder, with 2,000 users by each of the two doors, and both kinds of resource."""

from __future__ import annotations

import http.client
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from conftest import Shared, in_force
from lab import network
from lab.client import Door
from lab.kube import Object
from lab.processes import wait_until
from lab.scenario import Scenario, metrics
from lab.users import crowd, interval

USERS = crowd(2000)
ROUTE_HEADER = "x-coalmine-variant"


@pytest.fixture(scope="module", params=["istio/demo", "istio/demo-wasmplugin"])
def demo(request: pytest.FixtureRequest, shared: Shared) -> Iterator[Scenario]:
    """The demo, with each kind of resource."""
    shared.drop()
    with Scenario(request.param) as scenario:
        in_force(scenario)
        yield scenario


@pytest.fixture(scope="module")
def doors(demo: Scenario) -> list[Door]:
    """Both ways in."""
    return [demo.gateway(), demo.sidecar()]


def test_2000_users_get_their_share_and_the_same_version_at_gateway_and_sidecar(
        demo: Scenario, doors: list[Door]) -> None:
    """The draw is fair, it is the command's, and nobody sees both versions: not by another door, not the second time."""
    expected = demo.expected(USERS)
    weight = demo.policy["rollouts"][0]["variants"][0]["weight"]
    low, high = interval(len(USERS), weight)
    for door in doors:
        for attempt in ("first", "second"):
            served = door.versions(USERS)
            count = Counter(served.values())[demo.version("canary")]
            print(f"{door.name}, {attempt} time: {count} of {len(USERS)} users on canary at {weight} %, "
                  f"99.9 % interval {low}..{high}")
            assert low <= count <= high
            assert served == expected


def test_a_forged_header_chooses_nothing(demo: Scenario, doors: list[Door]) -> None:
    """What a client sends under the route header's name does not count, whatever it says."""
    expected = demo.expected(USERS[:300])
    for door in doors:
        for forged in ("canary", "stable", "", "CANARY"):
            assert door.versions(USERS[:300], {ROUTE_HEADER: forged}) == expected, f"{door.name}: {forged!r}"


def test_the_application_does_not_learn_the_variant(demo: Scenario, doors: list[Door]) -> None:
    """The route header ends at the route, for both arms, forged or not; the answers have the same shape."""
    for door in doors:
        for sent in ({}, {ROUTE_HEADER: "canary"}):
            shapes = set()
            for answer in door.ask_all(USERS[:300], sent).values():
                assert not [name for name in answer.headers_at_application if "coalmine" in name.lower()]
                shapes.add(tuple(sorted(answer.headers)))
            assert len(shapes) == 1


def test_without_an_identity_everybody_is_stable(demo: Scenario, doors: list[Door]) -> None:
    """No user header, no session cookie: stable, forged or not."""
    for door in doors:
        for sent in ({}, {ROUTE_HEADER: "canary"}, {"x-user-id": ""}):
            assert {door.ask(None, headers=sent).version for _ in range(20)} == {demo.version("stable")}


def test_the_cookie_is_an_identity_too(demo: Scenario, doors: list[Door]) -> None:
    """The demo's second source: the same draw for the same bytes."""
    expected = demo.expected(USERS[:300])
    for door in doors:
        by_cookie = Door(door.name, door.pod, door.address, door.host, lambda user: {"cookie": f"a=b; session={user}"})
        assert by_cookie.versions(USERS[:300]) == expected


def test_metrics_arrive_with_their_labels_at_the_proxys_prometheus_endpoint(demo: Scenario) -> None:
    """`proxyStatsMatcher` and `extraStatTags` in the manifests are all it takes."""
    def sample_of(variant: str) -> str:
        return f'coalmine_requests_total{{rollout="checkout",variant="{variant}",reason="bucket"}}'
    proxies = {"gateway": (demo.gateway(), demo.pods("istio=ingressgateway", "istio-ingress")[0]),
               "sidecar": (demo.sidecar(), demo.pods("app=caller")[0])}
    for name, (door, pod) in proxies.items():
        variants = ("stable", "canary")
        before = settled(pod, [sample_of(variant) for variant in variants])
        served = Counter(door.versions(USERS[:1000]).values())
        wait_until(f"{name}: the metrics to count every request", lambda: all(
            metrics(pod).get(sample_of(v), 0) - before[sample_of(v)] >= served[demo.version(v)] for v in variants), 15)
        for variant in variants:
            counted = metrics(pod)[sample_of(variant)] - before[sample_of(variant)]
            print(f"{name}: {sample_of(variant)} +{counted:.0f}")
            assert counted == served[demo.version(variant)]


def settled(pod: Object, names: list[str]) -> dict[str, float]:
    """The samples, once what was asked before has been counted: the filter adds up for a tick before it tells Envoy."""
    def watched(samples: dict[str, float]) -> list[float]:
        return [samples.get(name, 0) for name in names]

    def unchanged() -> dict[str, float] | None:
        first = metrics(pod)
        time.sleep(2.5)
        second = metrics(pod)
        return dict(zip(names, watched(second))) if watched(first) == watched(second) else None
    return wait_until("the metrics to settle", unchanged)


def test_between_the_proxies_is_strict_mutual_tls(demo: Scenario, doors: list[Door]) -> None:
    """The application's sidecar knows its caller by SPIFFE id, and answers nobody in the clear."""
    callers = ["ns/istio-ingress/sa/ingressgateway", "ns/shop/sa/caller"]
    for door, caller in zip(doors, callers):
        certificate = door.ask(USERS[0]).headers_at_application["x-forwarded-client-cert"]
        assert f"URI=spiffe://cluster.local/{caller}" in certificate
    pod = demo.pods("app=checkout")[0]["status"]["podIP"]
    in_the_clear = Door("clear", None, (pod, 9898), "checkout")
    with pytest.raises((OSError, http.client.HTTPException)):
        in_the_clear.ask(USERS[0])
    network.connect(None, (pod, 9898)).close()  # it does listen; it does not talk without TLS
