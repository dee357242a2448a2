"""`route.bucketHeader`: the weights stay in the VirtualService, the users stay where their bucket is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import kube, users
from lab.client import Door, Load
from lab.scenario import Scenario, sample
from lab.users import crowd, interval

USERS = crowd(600)
TOTAL = 100
BUCKET_HEADER = "x-coalmine-bucket"
RAMP = (5, 25, 50, 0, 100)


@pytest.fixture(params=["last", "first"])
def weighted(demo: Scenario, request: pytest.FixtureRequest) -> Iterator[Scenario]:
    """The demo with istio/bucket-header added, and the policy that it asks for: no variants, no weights.

    The canary is the last destination, as Flagger and Argo Rollouts write it and as the folder has it, or the first.
    """
    demo.add("istio/bucket-header")
    added = next(d for d in reversed(demo.documents) if d["kind"] == "VirtualService")
    demo.documents[demo.documents.index(demo.find("VirtualService"))] = added     # of the same name: it takes its place
    policy = demo.policy
    policy["revision"] += 1
    rollout = policy["rollouts"][0]
    del rollout["variants"]
    rollout["route"] = {"bucketHeader": {"name": BUCKET_HEADER, "total": TOTAL, "canary": request.param}}
    demo.set_policy(policy)
    if request.param == "first":
        added["spec"]["http"][0]["route"].reverse()
    yield demo


def doors(demo: Scenario) -> list[Door]:
    """Both ways in."""
    return [demo.gateway(), demo.sidecar()]


def is_canary_first(demo: Scenario) -> bool:
    """Whether the policy says that the canary is the first destination."""
    return demo.policy["rollouts"][0]["route"]["bucketHeader"]["canary"] == "first"


def set_route_weight(demo: Scenario, weight: int) -> None:
    """What a tool does: the route written anew, one in all, without a match and a name, with another pair of weights."""
    route = demo.find("VirtualService")
    destinations = [entry["destination"] for entry in route["spec"]["http"][0]["route"]]
    weights = [weight, TOTAL - weight] if is_canary_first(demo) else [TOTAL - weight, weight]
    route["spec"]["http"] = [{"route": [{"destination": destination, "weight": share}
                                        for destination, share in zip(destinations, weights)]}]
    demo.apply("VirtualService")


def by_bucket(demo: Scenario, weight: int) -> dict[str, str]:
    """The version that each user has to get: the command's bucket, and the route's weight."""
    def is_canary(bucket: int) -> bool:
        value = bucket * TOTAL // 1_000_000
        return value < weight if is_canary_first(demo) else value >= TOTAL - weight
    return {user: demo.version("canary" if is_canary(bucket) else "stable")
            for user, bucket in users.buckets(demo.policy, USERS).items()}


def test_users_are_sticky_and_monotone_over_the_weights_of_a_virtual_service(weighted: Scenario) -> None:
    """5, 25, 50, 0 and 100: everybody where core says, at both doors; to canary once, back at 0; no request fails."""
    stable, canary = weighted.version("stable"), weighted.version("canary")
    set_route_weight(weighted, 0)
    for door in doors(weighted):
        door.await_versions(by_bucket(weighted, 0))
    with Load(doors(weighted), USERS[:200], per_second=100) as load:
        for weight in RAMP:
            set_route_weight(weighted, weight)
            expected = by_bucket(weighted, weight)
            low, high = interval(len(USERS), weight)
            count = list(expected.values()).count(canary)
            print(f"{weight:>3}: {count} of {len(USERS)} users on canary, 99.9 % interval {low}..{high}")
            assert low <= count <= high
            for door in doors(weighted):
                door.await_versions(sample(expected))
                assert door.versions(USERS) == expected
    print(f"{len(load.answers)} requests, {len(load.failures)} failed")
    assert not load.failures, load.failures[:5]
    for (door, user), versions in load.moves().items():
        remaining = iter((stable, canary, stable, canary))
        assert all(version in remaining for version in versions), f"{user} by {door} went {' > '.join(versions)}"


def test_without_a_bucket_everybody_is_stable_and_none_can_be_forged(weighted: Scenario) -> None:
    """No identity, a client's own bucket, no plugin: never Envoy's chance. And the application does not learn it."""
    set_route_weight(weighted, 50)
    expected = by_bucket(weighted, 50)
    for door in doors(weighted):
        door.await_versions(expected)
        for forged in ("0", "99", "", "canary", "-1"):
            answers = door.ask_all(USERS[:200], {BUCKET_HEADER: forged})
            assert {u: a.version for u, a in answers.items()} == {u: expected[u] for u in USERS[:200]}
            assert not [n for a in answers.values() for n in a.headers_at_application if "coalmine" in n]
        assert {door.ask(None, headers={BUCKET_HEADER: "0"}).version for _ in range(20)} == {weighted.version("stable")}
    for namespace in ("shop", "istio-ingress"):
        kube.kubectl("delete", "trafficextension", "coalmine", "-n", namespace)
    nobody = {user: weighted.version("stable") for user in USERS[:300]}
    for door in doors(weighted):
        door.await_versions(nobody)
    assert weighted.gateway().versions(USERS[:100], {BUCKET_HEADER: "0"}) == {u: nobody[u] for u in USERS[:100]}


def test_pins_and_the_kill_switch(weighted: Scenario) -> None:
    """Stable is stable at every weight; a pin to the canary reaches it while its weight is above 0."""
    set_route_weight(weighted, 5)
    expected = by_bucket(weighted, 5)
    stable, canary = weighted.version("stable"), weighted.version("canary")
    outsider = next(user for user, version in expected.items() if version == stable)
    insider = next(user for user, version in expected.items() if version == canary)
    policy = weighted.policy
    policy["revision"] += 1
    policy["rollouts"][0]["pins"] = {"canary": [outsider], "stable": [insider]}
    weighted.set_policy(policy)
    for weight, pinned in ((5, canary), (0, stable), (100, canary)):
        set_route_weight(weighted, weight)
        everybody = by_bucket(weighted, weight) | {outsider: pinned, insider: stable}
        for door in doors(weighted):
            door.await_versions(everybody)
            assert {door.ask(None).version for _ in range(10)} == {stable}, f"no identity, at {weight}"
    policy["revision"] += 1
    policy["rollouts"][0]["enabled"] = False
    weighted.set_policy(policy)
    for door in doors(weighted):
        door.await_versions(dict.fromkeys(USERS[:300], stable))
