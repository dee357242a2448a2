"""Another controller moves, and a rollout with `mode: judge` keeps users where they are and says whether it may go on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conftest import Shared
from lab.client import assert_moved_along
from lab.judged import USERS, Judge, Judged, assert_nothing_moves, away, load_on
from lab.movers import Argo, Flagger, Mover
from lab.person import Person
from lab.processes import wait_until

pytestmark = pytest.mark.judged


@pytest.fixture(scope="module", params=[Flagger, Argo], ids=["flagger", "argo"])
def judged(request: pytest.FixtureRequest, shared: Shared) -> Iterator[tuple[Mover, Judged]]:
    """The other controller, Coalmine beside it, and an application whose first version everybody has."""
    shared.drop()
    with request.param() as mover, Judge(mover.stable), mover.application() as application:
        yield mover, application


def test_it_goes_up_by_the_verdict_and_waits_for_it(judged: tuple[Mover, Judged]) -> None:
    """Paused by a person, and without a server: it waits at its weight, counts no failure, and goes on afterwards."""
    mover, application = judged
    old = application.served()
    with load_on(application) as load:
        new = application.new_version()
        wait_until("the first weight", lambda: mover.told()["weight"] == 5, 120)
        application.await_tester(new)
        with Person("ada") as ada:
            ada.says("pause", "shop/checkout")
            assert_nothing_moves(mover.told)
            with away():
                assert_nothing_moves(mover.told)
            ada.says("resume", "shop/checkout")
        wait_until("the promotion", lambda: mover.has_promoted() and application.served() == new, 300)
        assert mover.failures() == 0
        application.await_outcome("Promoted")
        load.rounds()
    assert_moved_along(load, old, new)
    assert {versions[-1] for versions in load.moves().values()} == {new}


def test_a_broken_version_is_taken_back_by_the_verdict(judged: tuple[Mover, Judged]) -> None:
    """The other controller takes it back at the first look after harm is proved."""
    mover, application = judged
    old = application.served()
    with load_on(application, may_fail=True) as load:
        new = application.new_version("-broken")
        wait_until("it to be taken back", mover.has_taken_back, 180)
        assert application.await_outcome("RolledBack")["weight"] == 0
        application.gateway().await_versions(dict.fromkeys(USERS, old))
    assert_moved_along(load, old, new, old)
