"""The controller in the mesh: releases that begin, go on and end by themselves, and what users live through."""

from __future__ import annotations

import copy
import time
from collections import defaultdict

from lab import kube
from lab.client import Load, assert_in_order, assert_moved_along
from lab.controller import Controller, Steered
from lab.kube import Object
from lab.processes import wait_until
from lab.scenario import access_log
from lab.users import crowd

USERS = crowd(400)


def assert_routed_along(pod: Object, since: float, *allowed: str) -> None:
    """By a proxy's own log, every user was led along these subsets, in that order, and was answered."""
    led: dict[str, list[str]] = defaultdict(list)
    for entry in access_log(pod):
        if entry["at"] >= since:
            assert entry["status"] == 200, entry
            subset = entry["cluster"].split("|")[2]
            if led[entry["user"]][-1:] != [subset]:
                led[entry["user"]].append(subset)
    assert len(led) == len(USERS)
    for user, subsets in led.items():
        assert_in_order(user, subsets, allowed)


def test_a_new_image_is_found_ramped_and_becomes_stable(checkout: Steered) -> None:
    """Nobody touches a weight. Each user changes version once, at both doors, and no request fails."""
    old, began = checkout.running("stable"), time.time()
    with Load([checkout.gateway(), checkout.sidecar()], USERS, per_second=300) as load:
        load.rounds()
        new = checkout.new_version()
        status = checkout.await_outcome("Promoted")
        load.rounds()
    weights = [line["weight"] for line in status["history"] if line["what"] == "advanced"]
    assert weights[-4:] == [5, 25, 50, 100]
    assert checkout.running("stable") == new and status["weight"] == 0
    print(f"{len(load.answers)} requests, {len(load.failures)} failed")
    assert not load.failures, load.failures[:5]
    assert_moved_along(load, old, new)
    assert {versions[-1] for versions in load.moves().values()} == {new}
    for pod in (*checkout.pods("istio=ingressgateway", "istio-ingress"), *checkout.pods("app=caller")):
        assert_routed_along(pod, began, "stable", "canary", "stable")


def test_a_release_waits_for_stable_that_a_pipeline_renews(checkout: Steered) -> None:
    """With `whenStableIsNew` nothing is copied. Users go back once stable has the version, and the canary's pods go after them."""
    old = checkout.running("stable")
    checkout.find("CanaryRollout")["spec"]["plan"] |= {"promote": "whenStableIsNew", "scaleDownCanary": True}
    try:
        checkout.apply("CanaryRollout")
        with Load([checkout.gateway(), checkout.sidecar()], USERS, per_second=200) as load:
            load.rounds()
            new = checkout.new_version()
            checkout.await_phase("Promoting", 120)
            for door in (checkout.gateway(), checkout.sidecar()):
                door.await_versions({user: new for user in USERS})
            assert checkout.running("stable") == old
            checkout.set_version("stable", new)
            status = checkout.await_outcome("Promoted")
            wait_until("the canary to have no pods", lambda: not checkout.pods("app=checkout,version=canary"))
            load.rounds()
        assert status["weight"] == 0
        assert not load.failures, load.failures[:5]
        assert_moved_along(load, old, new)
        assert {versions[-1] for versions in load.moves().values()} == {new}
    finally:
        checkout.documents = copy.deepcopy(checkout.original)
        checkout.apply("CanaryRollout")
        kube.kubectl("scale", "-n", "shop", "deployment/checkout-canary", "--replicas=2")


def test_a_broken_image_is_taken_back_and_says_why(checkout: Steered, controller: Controller) -> None:
    """Every fifth request fails on the canary: the condition, the Event and the verdict have the reason."""
    old = checkout.running("stable")
    with Load([checkout.gateway(), checkout.sidecar()], USERS, per_second=300) as load:
        new = checkout.new_version("-broken")
        status = checkout.await_outcome("RolledBack")
        checkout.gateway().await_versions({user: old for user in USERS})
        load.stop()
    assert_moved_along(load, old, new, old)
    conditions = checkout.conditions()
    assert conditions["Ready"]["status"] == "False" and conditions["Stalled"]["status"] == "True"
    assert conditions["Ready"]["reason"] == "RolledBack" and "bad, stable" in conditions["Ready"]["message"]
    assert status["verdict"] == "rollback" and status["weight"] == 0
    assert any("bad" in event["note"] for event in checkout.events())
    assert checkout.running("stable") == old
