"""A rollout's life under steady load: a ramp by `kubectl apply`, proxies that join it, promote and retire."""

from __future__ import annotations

import time

import pytest

from lab import control_plane, kube
from lab.client import Load, assert_moved_along
from lab.processes import LabError, wait_until
from lab.scenario import Scenario, sample
from lab.users import crowd

USERS = crowd(400)
RAMP = (1, 5, 25, 50, 100, 0)


def apply_weight(demo: Scenario, load: Load, weight: float) -> dict[str, float]:
    """Apply a weight and wait until it is in force at both doors; the seconds from the command's start, by door."""
    started = time.monotonic()
    demo.set_weight(weight)
    expected = demo.expected(USERS)
    doors = (demo.gateway(), demo.sidecar())
    for door in doors:
        door.await_versions(sample(expected))
    load.rounds()
    return {door.name: load.last_other(expected, door.name, started) - started for door in doors}


def test_a_ramp_under_load_fails_no_request_and_moves_users_one_way_only(demo: Scenario) -> None:
    """1, 5, 25, 50, 100 and back to 0 %: to canary at most once, back at the end, and every request answered."""
    stable, canary = demo.version("stable"), demo.version("canary")
    with Load([demo.gateway(), demo.sidecar()], USERS, per_second=500) as load:
        load.rounds()
        for weight in RAMP:
            seconds = apply_weight(demo, load, weight)
            print(f"{weight:>3} %: in force after " + ", ".join(f"{s:.2f} s ({d})" for d, s in seconds.items()))
    print(f"{len(load.answers)} requests, {len(load.failures)} failed")
    assert not load.failures, load.failures[:5]
    assert_moved_along(load, stable, canary, stable)
    everyone = {(door, user): versions[-1] for (door, user), versions in load.moves().items()}
    assert set(everyone.values()) == {stable}


def test_a_pod_that_starts_in_the_middle_of_a_ramp_follows_the_policy_from_its_first_request(demo: Scenario) -> None:
    """Istio holds a proxy's listeners back until the filter is there: no request is served without it."""
    demo.set_weight(25)
    expected = demo.expected(USERS)
    demo.sidecar().await_versions(sample(expected))
    demo.find("Deployment", "caller")["spec"]["replicas"] = 2
    demo.find("Deployment", "ingressgateway")["spec"]["replicas"] = 2
    demo.apply("Deployment")
    demo.await_ready()
    new_caller = demo.pods("app=caller")[-1]
    new_gateway = demo.pods("istio=ingressgateway", "istio-ingress")[-1]
    gateway = demo.gateway()
    gateway.address = (new_gateway["status"]["podIP"], gateway.address[1])
    for door in (demo.sidecar(pod=new_caller), gateway):
        assert door.versions(USERS) == expected


def test_istiod_killed_during_a_ramp_changes_nothing_until_it_is_back(demo: Scenario) -> None:
    """The proxies go on with what they have. No step can be applied meanwhile: Istio's own validation is away, too."""
    stable, canary = demo.version("stable"), demo.version("canary")
    with Load([demo.gateway(), demo.sidecar()], USERS, per_second=400) as load:
        apply_weight(demo, load, 5)
        before = demo.expected(USERS)
        control_plane.kill("istiod")
        try:
            with pytest.raises(LabError, match="failed calling webhook"):
                demo.set_weight(25)
            load.rounds(2)
            for door in (demo.gateway(), demo.sidecar()):
                assert door.versions(USERS) == before
        finally:
            control_plane.start_istiod()
        started = time.monotonic()
        demo.set_weight(25)
        for door in (demo.gateway(), demo.sidecar()):
            door.await_versions(sample(demo.expected(USERS)))
        print(f"istiod is back: the next step is in force {time.monotonic() - started:.1f} s after it was applied")
        apply_weight(demo, load, 50)
    assert not load.failures, load.failures[:5]
    assert_moved_along(load, stable, canary)


def test_promote_and_retire_as_the_readme_says(demo: Scenario) -> None:
    """Canary to 100 %, stable's image replaced, weight 0, canary scaled away: nobody fails, nobody goes back."""
    old, new = demo.version("stable"), demo.version("canary")
    with Load([demo.gateway(), demo.sidecar()], USERS, per_second=300) as load:
        apply_weight(demo, load, 100)
        stable = demo.find("Deployment", "checkout-stable")["spec"]["template"]["spec"]["containers"][0]
        stable["image"] = stable["image"].replace(old, new)
        demo.apply("Deployment")
        demo.await_ready()
        load.rounds()
        demo.set_weight(0)
        stable_pods = {pod["metadata"]["name"] for pod in demo.pods("app=checkout,version=stable")}
        for door in (demo.gateway(), demo.sidecar()):
            wait_until(f"weight 0 by {door.name}", lambda: {
                answer.pod for answer in door.ask_all(USERS[:200]).values()} <= stable_pods)
        demo.find("Deployment", "checkout-canary")["spec"]["replicas"] = 0
        demo.apply("Deployment")
        kube.kubectl("wait", "-n", "shop", "--for=delete", "pod", "-l", "app=checkout,version=canary", "--timeout=60s")
        load.rounds()
    print(f"{len(load.answers)} requests, {len(load.failures)} failed")
    assert not load.failures, load.failures[:5]
    assert_moved_along(load, old, new)
