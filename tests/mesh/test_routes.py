"""What `coalmine validate` knows of routes, held against the routes that istiod makes: random VirtualServices,
DestinationRules, EnvoyFilters and policies, and requests of every variant at both doors.

`MESH_CASES` says how many cases, `MESH_SEED` which ones.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from conftest import Shared
from lab import routes
from lab.scenario import Scenario

CASES = int(os.environ.get("MESH_CASES", 20))
SEED = int(os.environ.get("MESH_SEED", 20261125))
# So many are in the mesh at a time.
TOGETHER = 50


@pytest.fixture(scope="module")
def shop(images: dict[str, str], shared: Shared) -> Iterator[Scenario]:
    """The applications, a caller and a gateway, without any routes."""
    shared.drop()
    with Scenario("tests/mesh/scenarios/routes.yaml") as shop:
        yield shop


def test_the_model_of_routes_is_what_the_mesh_does(shop: Scenario) -> None:
    """Which requests take which route to which version, and which resources are refused."""
    cases = routes.generate(CASES, SEED)
    asked = routes.Questions(shop)
    for first in range(0, len(cases), TOGETHER):
        asked.ask(cases[first:first + TOGETHER])
    count = asked.count
    print()
    for difference in count.examples()[:10]:
        print(f"--- {difference}")
    share = 100 * count.unknown / count.requests
    print(f"seed {SEED}: {count.cases} cases, {count.requests:,} requests, {len(count.differences)} differences, "
          f"{count.unknown:,} unknown to the model ({share:.1f} %), {count.refused} refused by the mesh and by validate")
    print(f"the model's answers: {dict(count.kinds)}")
    assert len(count.differences) == 0
    assert count.unknown * 8 <= count.requests, "too much is unknown"
