"""What the cases share: one mesh for the whole run, the filter's images in its registry, and the demo applied."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from lab import mesh as lab
from lab import paths, registry
from lab.controller import Controller, Steered
from lab.scenario import FILTER_IMAGE, Scenario, sample
from lab.users import crowd


@pytest.fixture(scope="session")
def mesh() -> Iterator[bool]:
    """The mesh: brought up, and taken away again, unless it was up before; whether it is ours to take away."""
    if obstacle := lab.missing():
        pytest.exit(obstacle, returncode=1)
    with lab.only_one():
        brought_up = lab.up()
        try:
            yield brought_up
        finally:
            if brought_up:
                lab.down()


@pytest.fixture(scope="session")
def images(mesh: bool) -> dict[str, str]:
    """The filter's images in the mesh's registry, by tag: `lab`, and `crash`, which traps when it is told to."""
    return {tag: registry.push(module, FILTER_IMAGE, tag)
            for tag, module in (("lab", paths.FILTER), ("crash", paths.FILTER_CRASH))}


class Shared:
    """istio/demo, as it stands in the folder: applied once for all the files that want it, one after the other."""

    def __init__(self) -> None:
        self.scenario: Scenario | None = None

    def take(self) -> Scenario:
        """The scenario, applied and ready."""
        if self.scenario is None:
            self.scenario = Scenario("istio/demo").__enter__()
        return self.scenario

    def drop(self) -> None:
        """Delete it, for a file that brings a scenario of its own."""
        if self.scenario is not None:
            self.scenario.delete()
        self.scenario = None


@pytest.fixture(scope="session")
def shared(images: dict[str, str]) -> Iterator[Shared]:
    """The demo that the files share; deleted at the end."""
    shared = Shared()
    try:
        yield shared
    finally:
        shared.drop()


@pytest.fixture(scope="module")
def applied(shared: Shared) -> Scenario:
    """istio/demo, as it stands in the folder."""
    return shared.take()


@pytest.fixture
def demo(applied: Scenario) -> Iterator[Scenario]:
    """istio/demo in force at both doors; whatever a case does to it is made good afterwards."""
    in_force(applied)
    yield applied
    applied.restore()


def in_force(scenario: Scenario) -> None:
    """Wait until users get, by both doors, what the scenario's policy says."""
    expected = sample(scenario.expected(crowd(2000)))
    for door in (scenario.gateway(), scenario.sidecar()):
        door.await_versions(expected)


@pytest.fixture(scope="session")
def controlled(shared: Shared) -> Iterator[tuple[Controller, Steered]]:
    """istio/controller, and istio/demo-controller, which it steers. Both are there once, for all the files that want them."""
    shared.drop()
    with Controller() as controller, Steered() as checkout:
        yield controller, checkout


@pytest.fixture
def controller(controlled: tuple[Controller, Steered]) -> Controller:
    """The controller."""
    return controlled[0]


@pytest.fixture
def checkout(controlled: tuple[Controller, Steered]) -> Steered:
    """The application, on one version, with everybody on stable."""
    controlled[1].settle()
    return controlled[1]
