import os
import shutil
from pathlib import Path

import pytest

import images
from endings import pytest_configure  # pytest calls it
from engine import DATA, Engine, MachinesEngine
from fleet import ROOT, Fleet, Secrets


@pytest.fixture(scope="session")
def engine():
    pull = os.environ.get("COALMINE_IMAGES") == "pull"
    engine = (MachinesEngine if pull else Engine)(ROOT / os.environ["COMPOSE"])
    try:
        engine.start()
        if not pull:
            folder = Path(f"{DATA}/roots")
            envoy, prometheus = ROOT / os.environ["ENVOY_BINARY"], Path(shutil.which("prometheus") or "prometheus")
            images.make(engine, folder, envoy, prometheus)
        yield engine
    finally:
        engine.stop()
    assert engine.left() == []


@pytest.fixture(scope="session")
def fleet(engine, request):
    fleet, secrets = Fleet(engine, pull=isinstance(engine, MachinesEngine)), Secrets()
    try:
        secrets.make()
        fleet.build()
        fleet.up()
        yield fleet
    finally:
        if request.session.testsfailed:
            print(fleet.logs())
        fleet.down()
        secrets.remove()
    for what, list_ in {"containers": "ps --all", "volumes": "volume ls", "networks": "network ls"}.items():
        left = engine.run(["docker", *list_.split(), "--quiet", "--filter", "label=com.docker.compose.project=coalmine-fleet"])
        assert left.stdout == "", f"{what} are left"
