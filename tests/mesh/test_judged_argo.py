"""The controller of Argo Rollouts moves, and a rollout with `mode: judge` keeps users where they are and says whether it may go on."""

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

ARGO = "/apis/argoproj.io/v1alpha1/namespaces/shop"

pytestmark = pytest.mark.judged


@pytest.fixture(scope="module")
def judged(shared: Shared) -> Iterator[Judged]:
    """Argo Rollouts, Coalmine, and an application whose first version is stable."""
    shared.drop()
    with movers.argo(), Judge(stable="stable"):
        application = Judged("istio/argo")
        # At once: an answer about the weight before would send it on from step to step.
        application.find("AnalysisTemplate")["spec"]["metrics"][0] |= {"interval": "2s", "initialDelay": "0s"}
        application.find("Deployment", "checkout")["spec"]["replicas"] = 0       # the Rollout makes its pods
        with application:
            wait_until("the Rollout to be healthy", lambda: status()["phase"] == "Healthy", 180)
            yield application


def status() -> Object:
    """What Argo Rollouts says, with the weight that it has set."""
    told = kube.get(f"{ARGO}/rollouts/checkout").get("status", {})
    weights = told.get("canary", {}).get("weights") or {"canary": {"weight": 0}}
    runs = kube.get(f"{ARGO}/analysisruns")["items"]
    ended = sorted(run["status"]["phase"] for run in runs if run.get("status", {}).get("phase") not in (None, "Running"))
    return {"phase": told.get("phase", ""), "weight": weights["canary"]["weight"], "ended": ended,
            "pauses": told.get("pauseConditions", []), "aborted": told.get("abort", False)}


def test_it_goes_up_by_the_verdict_and_waits_for_it(judged: Judged) -> None:
    """Paused by a person, and without a server: the analysis goes on, nothing is paused or aborted, and it goes on afterwards."""
    old = judged.served()
    with load_on(judged) as load:
        new = judged.new_version()
        wait_until("the first weight", lambda: status()["weight"] == 5, 120)
        judged.await_tester(new)
        with Person("ada") as ada:
            ada.says("pause", "shop/checkout")
            assert_nothing_moves(status, "weight", "phase", "ended", "pauses", "aborted")
            with away():
                assert_nothing_moves(status, "weight", "phase", "ended", "pauses", "aborted")
            ada.says("resume", "shop/checkout")
        wait_until("Argo Rollouts to have promoted", lambda: (
            status()["phase"] == "Healthy" and judged.served() == new), 300)
        judged.await_outcome("Promoted")
        load.rounds()
    assert_moved_along(load, old, new)
    assert {versions[-1] for versions in load.moves().values()} == {new}


def test_a_broken_version_is_taken_back_by_the_verdict(judged: Judged) -> None:
    """The analysis fails at the first measurement after harm is proved, and the Rollout aborts."""
    old = judged.served()
    with load_on(judged, may_fail=True) as load:
        new = judged.new_version("-broken")
        wait_until("the Rollout to have been aborted", lambda: status()["aborted"], 180)
        assert judged.await_outcome("RolledBack")["weight"] == 0
        judged.gateway().await_versions(dict.fromkeys(USERS, old))
    assert_moved_along(load, old, new, old)
    assert "Failed" in status()["ended"]
