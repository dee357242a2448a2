"""The controller in the mesh: other teams beside it, objects of another release, and the end: of a rollout, of a namespace, of it all."""

from __future__ import annotations

import copy
import subprocess

import yaml

from lab import kube, processes
from lab.client import Load, assert_moved_along
from lab.controller import SYSTEM, Controller, Steered
from lab.kube import Object
from lab.paths import COALMINE, KUBECONFIG
from lab.person import Person
from lab.processes import wait_until
from lab.users import crowd

USERS = crowd(300)
DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/canaryrollouts.coalmine.dev"


def namespace(name: str) -> Object:
    """A namespace outside the mesh."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def condition(namespace: str, name: str, kind: str) -> Object | None:
    """A condition of a rollout."""
    path = f"/apis/coalmine.dev/v1alpha1/namespaces/{namespace}/canaryrollouts/{name}"
    conditions = kube.get(path).get("status", {}).get("conditions", [])
    return next((found for found in conditions if found["type"] == kind), None)


def await_false(namespace: str, name: str, kind: str) -> str:
    """Wait until a condition does not hold; its message."""
    def is_false() -> str | None:
        found = condition(namespace, name, kind)
        return str(found["message"]) if found and found["status"] == "False" else None
    return wait_until(f"{kind} of {namespace}/{name} to be False", is_false)


def test_a_host_of_another_namespace_is_refused_alone(checkout: Steered) -> None:
    """Another team's rollout claims checkout.shop: it has no effect and says why, and the release goes on."""
    theirs = copy.deepcopy(checkout.find("CanaryRollout"))
    theirs["metadata"]["namespace"] = "thieves"
    apply = yaml.safe_dump_all([namespace("thieves"), theirs])
    try:
        kube.kubectl("apply", "-f", "-", stdin=apply)
        assert "shop" in await_false("thieves", "checkout", "Accepted")
        old = checkout.running("stable")
        with Load([checkout.gateway(), checkout.sidecar()], USERS, per_second=200) as load:
            new = checkout.new_version()
            checkout.await_outcome("Promoted")
        assert not load.failures, load.failures[:5]
        assert_moved_along(load, old, new)
    finally:
        kube.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=apply)


def test_an_object_from_before_a_stricter_schema_stops_nobody(controller: Controller, checkout: Steered) -> None:
    """What the definition would refuse today is there already: the log says what is wrong, and the others go on."""
    strict = kube.get(DEFINITION)
    loose = copy.deepcopy(strict)
    loose["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"].pop("x-kubernetes-validations")
    both = copy.deepcopy(checkout.find("CanaryRollout"))
    both["metadata"]["name"] = "old"
    both["spec"] |= {"weights": {"canary": 5}}
    try:
        kube.call("PUT", DEFINITION, loose)
        wait_until("the looser definition", lambda: kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(both)), 20)
        strict["metadata"].pop("resourceVersion")
        kube.call("PUT", DEFINITION, strict | {"metadata": strict["metadata"] | {
            "resourceVersion": kube.get(DEFINITION)["metadata"]["resourceVersion"]}})
        # The kube-apiserver takes no status for it either.
        leader = controller.leader()["metadata"]["name"]
        wait_until("the log to say it", lambda: any(
            "shop/old" in line and "keep one" in line
            for line in processes.log_tail(f"{SYSTEM}.{leader}.app", 50).splitlines()))
        with Load([checkout.gateway(), checkout.sidecar()], USERS, per_second=200) as load:
            checkout.new_version()
            checkout.await_outcome("Promoted")
        assert not load.failures, load.failures[:5]
    finally:
        kube.kubectl("delete", "canaryrollout", "-n", "shop", "old", "--ignore-not-found")


def test_a_deletion_takes_everybody_to_stable_first(checkout: Steered) -> None:
    """Users are on the canary: the object stays until no proxy sends anybody there."""
    old = checkout.running("stable")
    try:
        with Load([checkout.gateway(), checkout.sidecar()], USERS, per_second=200) as load:
            load.rounds()
            new = checkout.new_version()
            checkout.await_status("25 %", lambda status: status["weight"] == 25)
            kube.kubectl("delete", "canaryrollout", "-n", "shop", "checkout", "--timeout=60s")
            for door in (checkout.gateway(), checkout.sidecar()):
                door.await_versions({user: old for user in USERS})
            wait_until("a policy without it", lambda: (
                not checkout.plugin()["spec"]["wasm"]["pluginConfig"]["rollouts"]))
        assert not load.failures, load.failures[:5]
        assert_moved_along(load, old, new, old)
    finally:
        checkout.set_version("canary", old)
        checkout.apply("CanaryRollout")


def test_a_deleted_rollout_without_a_plan_costs_no_request(checkout: Steered) -> None:
    """Its team takes the canary away as soon as the object is gone: the pods that end serve whoever still comes to them."""
    old, new = checkout.running("stable"), checkout.next_version()
    by_hand = copy.deepcopy(checkout.find("CanaryRollout"))
    by_hand["spec"].pop("plan")
    by_hand["spec"]["weights"] = {"canary": 25}
    try:
        kube.kubectl("delete", "canaryrollout", "-n", "shop", "checkout", "--timeout=60s")
        checkout.set_version("canary", new)
        checkout.await_ready()
        kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(by_hand))
        with Load([checkout.gateway(), checkout.sidecar()], USERS, per_second=200) as load:
            wait_until("users of the canary", lambda: any(new in versions for versions in load.moves().values()))
            load.rounds()
            kube.kubectl("delete", "canaryrollout", "-n", "shop", "checkout", "--timeout=60s")
            kube.kubectl("scale", "-n", "shop", "deployment/checkout-canary", "--replicas=0")
            for door in (checkout.gateway(), checkout.sidecar()):
                door.await_versions({user: old for user in USERS})
            load.rounds(2)
        assert not load.failures, load.failures[:5]
        assert {versions[-1] for versions in load.moves().values()} == {old}
    finally:
        kube.kubectl("scale", "-n", "shop", "deployment/checkout-canary", "--replicas=2")
        checkout.set_version("canary", old)
        checkout.await_ready()
        checkout.apply("CanaryRollout")


def test_a_namespace_that_is_deleted_goes_although_the_controller_is_away(controller: Controller, checkout: Steered) -> None:
    """Its rollout has a finalizer, and nobody to take it off. README says how to go on without the controller."""
    theirs = copy.deepcopy(checkout.find("CanaryRollout"))
    theirs["metadata"]["namespace"] = "left"
    theirs["spec"]["policy"]["match"]["hosts"] = ["checkout.left"]
    kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([namespace("left"), theirs]))
    path = "/apis/coalmine.dev/v1alpha1/namespaces/left/canaryrollouts/checkout"
    wait_until("the finalizer", lambda: kube.get(path)["metadata"].get("finalizers"))
    kube.kubectl("scale", "-n", SYSTEM, "deployment/coalmine", "--replicas=0")
    try:
        wait_until("no controller", lambda: not controller.servers())
        kube.kubectl("delete", "namespace", "left", "--wait=false")
        wait_until("a namespace that hangs", lambda: "SomeFinalizersRemain" in [
            found["reason"] for found in kube.get("/api/v1/namespaces/left")["status"].get("conditions", [])])
        kube.kubectl("patch", "canaryrollout", "-n", "left", "checkout", "--type=merge",
                     "-p", '{"metadata": {"finalizers": null}}')
        kube.kubectl("wait", "--for=delete", "namespace/left", "--timeout=60s")
    finally:
        kube.kubectl("scale", "-n", SYSTEM, "deployment/coalmine", "--replicas=2")
        controller.await_ready()


def test_another_release_of_the_controller_comes_and_goes_in_the_middle_of_a_release(
        controller: Controller, checkout: Steered) -> None:
    """Its pods are replaced, one release up and down again: weights keep their order, and no request fails."""
    old = checkout.running("stable")
    deployment = controller.find("Deployment", "coalmine")["spec"]["template"]["spec"]["containers"][0]
    shipped = deployment["image"]
    with Load([checkout.gateway(), checkout.sidecar()], USERS, per_second=200) as load:
        load.rounds()
        new = checkout.new_version()
        for weight, image in ((5, shipped.rpartition(":")[0] + ":next"), (25, shipped)):
            checkout.await_status(f"{weight} %", lambda status, at=weight: status["weight"] >= at)
            deployment["image"] = image
            controller.apply("Deployment")
            controller.await_ready()
        status = checkout.await_outcome("Promoted")
    up = [line["weight"] for line in status["history"] if line["what"] == "advanced"]
    assert up[-4:] == [5, 25, 50, 100]
    assert not load.failures, load.failures[:5]
    assert_moved_along(load, old, new)


def test_a_person_steers_by_the_command_with_a_role(checkout: Steered) -> None:
    """Through a port-forward with a token of the cluster: what the Role allows, and nothing else; history has the name."""
    with Person("ada") as ada:
        with Load([checkout.gateway(), checkout.sidecar()], USERS, per_second=200) as load:
            checkout.new_version()
            checkout.await_status("5 %", lambda status: status["weight"] == 5)
            ada.says("pause", "shop/checkout", "--message", "a look")
            checkout.await_phase("Paused")
            ada.says("resume", "shop/checkout")
            ada.says("rollback", "shop/checkout", "--message", "enough")
            status = checkout.await_outcome("RolledBack")
        assert not load.failures, load.failures[:5]
        assert any("ada" in line.get("by", "") for line in status["history"])
        refused = ada.coalmine("delete", "shop/checkout")
        assert refused.returncode != 0 and "may not write shop/checkout" in refused.stderr, refused


def test_uninstalled_everybody_is_on_stable_and_nothing_is_left_that_waits(checkout: Steered) -> None:
    """`coalmine uninstall` while users are on the canary: they go to stable, and the rollouts with their finalizers are gone."""
    old = checkout.running("stable")
    with Load([checkout.gateway(), checkout.sidecar()], USERS, per_second=200) as load:
        load.rounds()
        new = checkout.new_version()
        checkout.await_status("25 %", lambda status: status["weight"] == 25)
        done = subprocess.run([str(COALMINE), "uninstall", "--kubeconfig", str(KUBECONFIG), "--yes"],
                              capture_output=True, text=True)
        assert done.returncode == 0, done
        for door in (checkout.gateway(), checkout.sidecar()):
            door.await_versions({user: old for user in USERS})
    assert not load.failures, load.failures[:5]
    assert_moved_along(load, old, new, old)
    assert not kube.get("/apis/coalmine.dev/v1alpha1/canaryrollouts")["items"]
    checkout.set_version("canary", old)
    checkout.apply("CanaryRollout")
