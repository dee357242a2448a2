"""Flagger's own controller moves, and a rollout with `mode: judge` keeps users where they are and says whether it may go on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conftest import Shared
from lab import kube, movers
from lab.client import assert_moved_along
from lab.judged import USERS, Judge, Judged, assert_nothing_moves, away, load_on
from lab.kube import Object
from lab.person import Person
from lab.processes import wait_until

CANARY = "/apis/flagger.app/v1beta1/namespaces/shop/canaries/checkout"

pytestmark = pytest.mark.judged


@pytest.fixture(scope="module")
def judged(shared: Shared) -> Iterator[Judged]:
    """Flagger, Coalmine, and an application whose primary is there."""
    shared.drop()
    with movers.flagger(), Judge(stable="primary"):
        application = Judged("istio/flagger")
        canary = application.find("Canary")
        canary["spec"]["analysis"]["interval"] = "10s"      # the least that Flagger allows
        canary["spec"]["analysis"]["stepWeights"] = [5, 25, 50, 100]
        for hook in canary["spec"]["analysis"]["webhooks"]:
            hook["metadata"]["token"] = application.token()
        with application:
            wait_until("Flagger to have its primary", lambda: status()["phase"] == "Initialized", 180)
            application.served()
            with load_on(application) as load:
                application.add("istio/flagger/sticky")
                load.rounds(2)
            yield application
            application.remove_added()


def status() -> Object:
    """What Flagger says."""
    return dict(kube.get(CANARY).get("status", {"phase": "", "canaryWeight": 0, "failedChecks": 0}))


def test_it_goes_up_by_the_verdict_and_waits_for_it(judged: Judged) -> None:
    """Paused by a person, and without a server: it waits at its weight, counts no failure, and goes on afterwards."""
    old = judged.served()
    with load_on(judged) as load:
        new = judged.new_version()
        wait_until("the first weight", lambda: status()["canaryWeight"] == 5, 120)
        judged.await_tester(new)
        with Person("ada") as ada:
            ada.says("pause", "shop/checkout")
            assert_nothing_moves(status, "canaryWeight", "failedChecks", "phase")
            with away():
                assert_nothing_moves(status, "canaryWeight", "failedChecks", "phase")
            ada.says("resume", "shop/checkout")
        wait_until("Flagger to have promoted", lambda: status()["phase"] == "Succeeded", 300)
        assert status()["failedChecks"] == 0
        judged.await_outcome("Promoted")
        load.rounds()
    assert_moved_along(load, old, new)
    assert {versions[-1] for versions in load.moves().values()} == {new}


def test_a_broken_version_is_taken_back_by_the_verdict(judged: Judged) -> None:
    """Flagger rolls back at the first look after harm is proved, and says that the hook told it."""
    old = judged.served()
    with load_on(judged, may_fail=True) as load:
        new = judged.new_version("-broken")
        wait_until("Flagger to have rolled back", lambda: status()["phase"] == "Failed", 180)
        assert judged.await_outcome("RolledBack")["weight"] == 0
        judged.gateway().await_versions(dict.fromkeys(USERS, old))
    assert_moved_along(load, old, new, old)
