"""What the cases share: one mesh for the whole run, the filter's images in its registry, and the demo applied."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from lab import mesh as lab
from lab import paths, registry
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


@pytest.fixture(scope="module")
def applied(images: dict[str, str]) -> Iterator[Scenario]:
    """istio/demo, as it stands in the folder."""
    with Scenario("istio/demo") as scenario:
        yield scenario


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
