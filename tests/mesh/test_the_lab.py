"""The lab itself: it ends what it started, nothing else, and leaves nothing behind. The last file of a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Shared
from lab import mesh as lab
from lab import processes
from lab.scenario import Scenario
from lab.users import interval


@pytest.fixture
def records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records of processes apart from the mesh's own."""
    monkeypatch.setattr(processes, "RECORDS", tmp_path / "processes")
    monkeypatch.setattr(processes, "LOGS", tmp_path / "logs")
    return tmp_path / "processes"


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that the lab has not started."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def test_a_process_ends_with_all_that_it_started(records: Path) -> None:
    """As Envoy under pilot-agent, even when it does not listen."""
    pid = processes.start("family", ["sh", "-c", "trap '' TERM; sleep 61 & sleep 61"])
    processes.wait_until("the child", lambda: len(processes.members(pid)) >= 3)
    processes.stop("family", grace=0.2)
    assert not processes.members(pid)
    assert not processes.running("family")


def test_a_stranger_with_a_recorded_pid_is_left_alone(records: Path, stranger: subprocess.Popen[bytes]) -> None:
    """A pid is given out again; the start time tells."""
    records.mkdir()
    (records / "old.json").write_text(json.dumps({"pid": stranger.pid, "started": "1", "argv": []}))
    assert not processes.running("old")
    processes.stop("old")
    assert stranger.poll() is None


def test_the_interval_is_the_binomial_one() -> None:
    """Known values: 99.9 % of draws of 5,000 at 1 % take 29 to 75; at 0 and 100 % there is no chance in it."""
    assert interval(5000, 1) == (29, 75)
    assert interval(5000, 0) == (0, 0)
    assert interval(5000, 100) == (5000, 5000)


def test_after_a_crash_everything_is_taken_away(mesh: bool, shared: Shared) -> None:
    """The node killed in the middle of its work, a record lost: nothing is left running, mounted or connected."""
    if not mesh:
        pytest.skip("the mesh was up before the tests: it stays")
    shared.drop()
    demo = Scenario("istio/demo")
    demo.apply()
    processes.wait_until("the first proxy", lambda: any(name.endswith(".proxy") for name in processes.names()))
    processes.send("node", signal.SIGKILL)
    (processes.RECORDS / "etcd.json").unlink()
    lab.down()
    assert lab.leftovers() == []
    assert str(lab.STATE) not in Path("/proc/mounts").read_text()
    lab.down()  # and once more, when there is nothing
    assert not os.path.exists(lab.STATE)
