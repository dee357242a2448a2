"""What goes wrong in production, and what users then see. Each case is a line of istio/README.md."""

from __future__ import annotations

from collections import Counter

import pytest

from lab import kube, registry
from lab.client import Door, Load
from lab.processes import wait_until
from lab.scenario import FILTER_IMAGE, Scenario, metrics, sample
from lab.users import crowd

USERS = crowd(600)
FORGED = {"x-coalmine-variant": "canary"}
CRASH = {"x-coalmine-test-crash": "1"}


def doors(demo: Scenario) -> list[Door]:
    """Both ways in."""
    return [demo.gateway(), demo.sidecar()]


def all_stable(demo: Scenario) -> dict[str, str]:
    """Everybody on stable."""
    return {user: demo.version("stable") for user in USERS}


def assert_forging_is_in_vain_at_the_gateway(demo: Scenario) -> None:
    """Without a filter it is the early removal at the gateway that keeps forged headers out."""
    assert demo.gateway().versions(USERS[:50], FORGED) == {u: demo.version("stable") for u in USERS[:50]}


@pytest.mark.parametrize("image, sha256", [("no-such-image:lab", ""), (f"{FILTER_IMAGE}:no-such-tag", ""),
                                           (f"{FILTER_IMAGE}:lab", "0" * 64)],
                         ids=["image missing", "tag missing", "wrong sha256"])
def test_an_image_that_cannot_be_fetched_sends_everybody_to_stable(demo: Scenario, image: str, sha256: str) -> None:
    """It takes the place of the filter that ran, even though that one was fine; no request fails."""
    demo.set_weight(25)
    for door in doors(demo):
        door.await_versions(sample(demo.expected(USERS)))
    with Load(doors(demo), USERS) as load:
        demo.set_image(image, sha256)
        demo.apply("TrafficExtension")
        for door in doors(demo):
            door.await_versions(all_stable(demo))
        assert_forging_is_in_vain_at_the_gateway(demo)
        demo.set_image(f"{FILTER_IMAGE}:lab")
        demo.apply("TrafficExtension")
        for door in doors(demo):
            door.await_versions(demo.expected(USERS))
    assert not load.failures, load.failures[:5]


def test_the_right_sha256_is_the_manifests_digest(demo: Scenario, images: dict[str, str]) -> None:
    """With it the module is taken; so the empty one that we ship can be replaced by what `make push` prints."""
    demo.set_image(f"{FILTER_IMAGE}:lab", images["lab"])
    demo.set_weight(25)
    for door in doors(demo):
        door.await_versions(demo.expected(USERS))


def test_the_registry_down_at_pod_start_leaves_that_pod_on_stable_until_the_next_policy(demo: Scenario) -> None:
    """Running proxies have their copy. The new one goes without, and tries again when the plugin next changes."""
    demo.set_weight(25)
    expected = demo.expected(USERS)
    demo.sidecar().await_versions(sample(expected))
    registry.down()
    try:
        old, new = start_another_caller(demo)
        assert new.versions(USERS) == all_stable(demo)
        assert old.versions(USERS) == expected
    finally:
        registry.up()
    demo.set_weight(50)
    for door in (old, new):
        door.await_versions(demo.expected(USERS))


def test_a_bad_policy_is_refused_and_the_last_good_one_stays(demo: Scenario) -> None:
    """A weight of 120 %: Envoy refuses the update as a whole, and the next good one is taken."""
    demo.set_weight(25)
    expected = demo.expected(USERS)
    for door in doors(demo):
        door.await_versions(sample(expected))
    gateway = demo.pods("istio=ingressgateway", "istio-ingress")[0]
    rejected = rejections(gateway)
    with Load(doors(demo), USERS) as load:
        demo.set_weight(120)
        wait_until("the gateway to refuse the policy", lambda: rejections(gateway) > rejected)
        load.rounds(2)
        for door in doors(demo):
            assert door.versions(USERS) == expected
        demo.set_weight(30)
        for door in doors(demo):
            door.await_versions(demo.expected(USERS))
    assert not load.failures, load.failures[:5]


def rejections(pod: kube.Object) -> float:
    """How many policies a proxy's filter has refused."""
    return sum(value for name, value in metrics(pod).items() if name.startswith("coalmine_policy_rejected_total"))


def test_a_pod_that_starts_with_a_bad_policy_is_stable_until_a_good_one(demo: Scenario) -> None:
    """It has no last good policy: the default configuration in first-start.yaml lets requests through, to stable."""
    demo.set_weight(120)
    old, new = start_another_caller(demo)
    assert new.versions(USERS) == all_stable(demo)
    assert old.versions(USERS) == demo.expected(USERS, demo.original_policy)
    demo.set_weight(25)
    for door in (old, new):
        door.await_versions(demo.expected(USERS))


def test_without_first_start_a_pod_that_starts_with_a_bad_policy_answers_500(demo: Scenario) -> None:
    """What Istio does by itself, and what first-start.yaml is there for."""
    kube.kubectl("delete", "envoyfilter", "coalmine-first-start", "-n", "shop")
    demo.set_weight(120)
    old, new = start_another_caller(demo)
    assert Counter(answer.status for answer in new.ask_all(USERS[:50]).values()) == {500: 50}
    assert old.ask(USERS[0]).ok
    demo.set_weight(25)
    for door in (old, new):
        door.await_versions(demo.expected(USERS))


def start_another_caller(demo: Scenario) -> list[Door]:
    """A second pod that calls: the doors at the old one and at the new one."""
    demo.find("Deployment", "caller")["spec"]["replicas"] = 2
    demo.apply("Deployment")
    demo.await_ready()
    return [demo.sidecar(pod=pod) for pod in demo.pods("app=caller")]


def test_a_crash_is_one_503_and_then_stable_until_the_next_policy(demo: Scenario) -> None:
    """FAIL_OPEN, as shipped: the worker that crashed goes on without the filter, until a policy revives it."""
    demo.set_image(f"{FILTER_IMAGE}:crash")
    demo.set_weight(25)
    expected = demo.expected(USERS)
    for door in doors(demo):
        door.await_versions(sample(expected))
    gateway, sidecar = doors(demo)
    assert sidecar.ask(USERS[0], headers=CRASH).status == 503
    assert sidecar.versions(USERS) == all_stable(demo)
    # Callers inside the mesh are trusted: nothing but the filter keeps a header of theirs out.
    assert set(sidecar.versions(USERS[:20], FORGED).values()) == {demo.version("canary")}
    crash_every_worker(gateway)
    assert gateway.versions(USERS) == all_stable(demo)
    assert_forging_is_in_vain_at_the_gateway(demo)
    demo.set_weight(50)
    for door in (gateway, sidecar):
        door.await_versions(demo.expected(USERS))


def crash_every_worker(gateway: Door) -> None:
    """A connection belongs to one worker; crash until a dozen new ones in a row have survived it."""
    survived = 0
    while survived < 12:
        survived = survived + 1 if gateway.ask(USERS[0], headers=CRASH).ok else 0


def test_fail_reload_heals_a_crash_by_itself(demo: Scenario) -> None:
    """The alternative: one 503, and after at most its back-off of a second the filter is there again."""
    for plugin in demo.plugins():
        plugin["failStrategy"] = "FAIL_RELOAD"
    demo.set_image(f"{FILTER_IMAGE}:crash")
    demo.set_weight(25)
    expected = demo.expected(USERS)
    for door in doors(demo):
        door.await_versions(sample(expected))
        assert door.ask(USERS[0], headers=CRASH).status == 503
        door.await_versions(expected)


def test_fail_reload_denies_everything_when_the_image_cannot_be_fetched(demo: Scenario) -> None:
    """Its price, and the reason why FAIL_OPEN is what we ship."""
    for plugin in demo.plugins():
        plugin["failStrategy"] = "FAIL_RELOAD"
    demo.set_image(f"{FILTER_IMAGE}:no-such-tag")
    demo.apply("TrafficExtension")
    for door in doors(demo):
        wait_until(f"{door.name} to deny", lambda: door.ask(USERS[0]).status == 403)
        assert Counter(answer.status for answer in door.ask_all(USERS[:50]).values()) == {403: 50}


def test_without_the_plugin_everybody_is_stable(demo: Scenario) -> None:
    """Removing Coalmine is safe at any weight: no request fails, and a forged header does not come back with it."""
    demo.set_weight(50)
    for door in doors(demo):
        door.await_versions(sample(demo.expected(USERS)))
    with Load(doors(demo), USERS) as load:
        for namespace in ("shop", "istio-ingress"):
            kube.kubectl("delete", "trafficextension", "coalmine", "-n", namespace)
        for door in doors(demo):
            door.await_versions(all_stable(demo))
        assert_forging_is_in_vain_at_the_gateway(demo)
    assert not load.failures, load.failures[:5]
    for door in doors(demo):
        told = door.ask(USERS[0], headers={"x-coalmine-variant": "anything"}).headers_at_application
        assert not [name for name in told if "coalmine" in name.lower()]  # both routes remove it


def test_canary_pods_gone_is_503_for_the_canarys_users_until_the_weight_is_0(demo: Scenario) -> None:
    """Istio does not send a subset's users elsewhere. Hence: weight to 0 first, then scale."""
    demo.set_weight(25)
    expected = demo.expected(USERS)
    for door in doors(demo):
        door.await_versions(sample(expected))
    kube.kubectl("scale", "-n", "shop", "deployment/checkout-canary", "--replicas=0")
    on_canary = [user for user, version in expected.items() if version == demo.version("canary")]
    on_stable = [user for user in USERS if user not in on_canary]
    for door in doors(demo):
        wait_until(f"{door.name} to notice", lambda: door.ask(on_canary[0]).status == 503)
        assert Counter(answer.status for answer in door.ask_all(on_canary).values()) == {503: len(on_canary)}
        assert set(door.versions(on_stable).values()) == {demo.version("stable")}
    demo.set_weight(0)
    for door in doors(demo):
        door.await_versions(all_stable(demo))


def test_with_the_fallback_canary_pods_gone_is_stable(demo: Scenario) -> None:
    """istio/fallback, an option: the canary's users get stable while the canary has no endpoint, and come back after."""
    demo.add("istio/fallback")
    demo.set_weight(25)
    expected = demo.expected(USERS)
    for door in doors(demo):
        door.await_versions(sample(expected))
    with Load(doors(demo), USERS) as load:
        kube.kubectl("scale", "-n", "shop", "deployment/checkout-canary", "--replicas=0")
        for door in doors(demo):
            door.await_versions(all_stable(demo))
        kube.kubectl("scale", "-n", "shop", "deployment/checkout-canary", "--replicas=2")
        for door in doors(demo):
            door.await_versions(expected)
    assert not load.failures, load.failures[:5]
