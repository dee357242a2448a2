"""The controller in the mesh while something is away, gone or edited. No case may fail a request that stable could have served."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from lab import control_plane, kube, processes
from lab.client import Load, assert_moved_along
from lab.controller import Controller, Steered
from lab.processes import wait_until
from lab.users import crowd

USERS = crowd(300)
# For how long the API is away: `make proof-mesh-away` takes two minutes.
AWAY = float(os.environ.get("MESH_AWAY", "15"))


@contextmanager
def users(checkout: Steered) -> Iterator[Load]:
    """Users at both doors, all of them served."""
    with Load([checkout.gateway(), checkout.sidecar()], USERS, per_second=200) as load:
        load.rounds()
        yield load
        load.rounds()
    print(f"{len(load.answers)} requests, {len(load.failures)} failed")
    assert not load.failures, load.failures[:5]


def in_plan_order(status: dict[str, object]) -> bool:
    """Whether the latest release went up by its plan, one step after the other."""
    lines = status["history"]
    assert isinstance(lines, list)
    begun = max(at for at, line in enumerate(lines) if line["what"] == "started")
    up = [line["weight"] for line in lines[begun:] if line["what"] == "advanced"]
    return bool(up == [5, 25, 50, 100][:len(up)])


def test_another_server_goes_on_when_the_leader_is_killed(controller: Controller, checkout: Steered) -> None:
    """In the middle of a release, and again when the new one is there: no step is left out or taken twice."""
    old = checkout.running("stable")
    with users(checkout) as load:
        new = checkout.new_version()
        for weight in (5, 50):
            checkout.await_status(f"{weight} %", lambda status, at=weight: status["weight"] >= at)
            leader = controller.leader()["metadata"]["name"]
            processes.send(f"coalmine-system.{leader}.app", signal.SIGKILL)
        status = checkout.await_outcome("Promoted")
    assert in_plan_order(status)
    assert_moved_along(load, old, new)


def test_a_release_waits_while_istiod_is_away(checkout: Steered) -> None:
    """Istio's validation is away with it, so no policy can be written: it holds, says so, and goes on afterwards."""
    old = checkout.running("stable")
    with users(checkout) as load:
        new = checkout.new_version()
        wait_until("the first users of the canary", lambda: any(versions[-1] == new for versions in load.moves().values()))
        control_plane.kill("istiod")
        try:
            checkout.await_status("a plugin that cannot be written", lambda status: (
                "has not got the policy" in status["message"]))
            checkout.await_status("the condition", lambda status: any(
                found["type"] == "Published" and found["reason"] == "NotDelivered" for found in status["conditions"]))
            load.rounds(2)
        finally:
            control_plane.start_istiod()
        status = checkout.await_outcome("Promoted")
    assert in_plan_order(status)
    assert_moved_along(load, old, new)


def test_users_go_on_while_the_api_is_away_and_a_rollback_comes_after_it(controller: Controller, checkout: Steered) -> None:
    """Nothing can be delivered meanwhile: the metric behind the alert says so. Once the API is back, so are the users."""
    old = checkout.running("stable")
    with Load([checkout.gateway(), checkout.sidecar()], USERS, per_second=200) as load:
        load.rounds()
        new = checkout.new_version()
        checkout.await_status("5 %", lambda status: status["weight"] == 5)
        servers = controller.servers()
        canary = checkout.pods("app=checkout,version=canary")
        control_plane.kill("kube-apiserver")
        try:
            for pod in canary:
                processes.send(f"shop.{pod['metadata']['name']}.app", signal.SIGUSR1)
            ends = time.monotonic() + AWAY
            wait_until("the alert", lambda: any(
                controller.metrics(pod).get('coalmine_server_plugins_behind{fleet="default"}') for pod in servers), 30)
            assert all(controller.metrics(pod)["coalmine_server_store_up"] == 0 for pod in servers)
            wait_until("the end of the outage", lambda: time.monotonic() > ends, AWAY + 30)
        finally:
            control_plane.start_apiserver()
        back = time.monotonic()
        checkout.await_outcome("RolledBack")
        everyone = {user: old for user in USERS}
        for door in (checkout.gateway(), checkout.sidecar()):
            door.await_versions(everyone)
        print(f"{time.monotonic() - back:.1f} s after the API was back, everybody was on stable")
    only_broken = [failure for failure in load.failures if not failure[3].startswith("500")]
    assert not only_broken, only_broken[:5]
    assert_moved_along(load, old, new, old)


def test_etcd_killed_and_started_again_loses_nothing(checkout: Steered) -> None:
    """The release goes on where it was."""
    old = checkout.running("stable")
    with users(checkout) as load:
        new = checkout.new_version()
        checkout.await_status("5 %", lambda status: status["weight"] == 5)
        control_plane.kill("etcd")
        control_plane.start_etcd()
        status = checkout.await_outcome("Promoted")
    assert in_plan_order(status)
    assert_moved_along(load, old, new)


def test_a_policy_that_is_edited_by_hand_is_put_back(checkout: Steered) -> None:
    """Within seconds, and the release goes on."""
    with users(checkout):
        checkout.new_version()
        checkout.await_status("5 %", lambda status: status["weight"] == 5)
        edit = '[{"op": "replace", "path": "/spec/wasm/pluginConfig/rollouts", "value": []}]'
        kube.kubectl("patch", "trafficextension", "-n", "istio-system", "coalmine", "--type=json", "-p", edit)
        wait_until("the policy to be put back", lambda: checkout.plugin()["spec"]["wasm"]["pluginConfig"]["rollouts"])
        assert in_plan_order(checkout.await_outcome("Promoted"))


def test_a_canary_that_loses_its_pods_has_no_users_at_once(checkout: Steered) -> None:
    """All of them with one node: weight 0, and why. When they are back it goes up again, and ends."""
    old = checkout.running("stable")
    checkout.add("istio/fallback")  # until the weight is 0 in every proxy, stable serves the canary's users
    with Load([checkout.gateway(), checkout.sidecar()], USERS, per_second=200) as load:
        load.rounds()
        new = checkout.new_version()
        checkout.await_status("25 %", lambda status: status["weight"] == 25)
        for pod in checkout.pods("app=checkout,version=canary"):
            kube.call("DELETE", f"/api/v1/namespaces/shop/pods/{pod['metadata']['name']}", {
                "kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
        status = checkout.await_status("weight 0", lambda status: status["weight"] == 0)
        assert any("no ready" in line.get("why", "") for line in status["history"][-3:])
        checkout.await_outcome("Promoted")
    # What was on its way to a pod that vanished is lost; nothing that came after it.
    print(f"{len(load.answers)} requests, {len(load.failures)} failed")
    assert len(load.failures) <= 10, load.failures[:12]
    assert {versions[-1] for versions in load.moves().values()} == {new}
    assert {versions[0] for versions in load.moves().values()} == {old}
    checkout.remove_added()


def test_a_canary_that_crashes_again_and_again_keeps_no_users(checkout: Steered) -> None:
    """A version that cannot even start gets nobody; one that begins to crash loses its users, and the status says why."""
    old = checkout.running("stable")
    with users(checkout) as load:
        checkout.new_version("-crash")
        checkout.await_status("why it does not begin", lambda status: "CrashLoopBackOff" in status["message"])
        assert checkout.status["weight"] == 0
    assert_moved_along(load, old)
