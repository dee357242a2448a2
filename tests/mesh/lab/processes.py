"""Processes that outlive the driver, and can be ended by whoever comes later.

Every process is recorded with its pid *and* its start time, so that ending one never hits a stranger who was given
the same pid. Each leads a session of its own, so that what it started (Envoy under pilot-agent) ends with it. And each
carries the lab's mark in its environment, for the case that the records themselves are lost.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from .paths import LOGS, STATE

RECORDS = STATE / "processes"
MARK = "COALMINE_MESH"
T = TypeVar("T")


class LabError(Exception):
    """Something in the lab did not do what it should; the message is for the person who runs it."""


def wait_until(what: str, condition: Callable[[], T | None], seconds: float = 60, every: float = 0.05) -> T:
    """Return the condition's first true value. Exceptions about connections count as "not yet"."""
    deadline = time.monotonic() + seconds
    last: Exception | None = None
    while True:
        try:
            if value := condition():
                return value
            last = None
        except (OSError, LabError) as error:
            last = error
        if time.monotonic() > deadline:
            raise LabError(f"{what}: not within {seconds:.0f} s" + (f" ({last})" if last else ""))
        time.sleep(every)


def start(name: str, argv: Sequence[str], *, env: dict[str, str] | None = None, cwd: Path | None = None,
          log_owner: int = 0) -> int:
    """Start a recorded process in the background; its output goes to `.mesh/logs/NAME.log`.

    A process that changes its uid and opens /dev/stdout anew (Envoy's access log) needs to own the file behind it.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    RECORDS.mkdir(parents=True, exist_ok=True)
    with open(LOGS / f"{name}.log", "ab") as log:
        os.fchown(log.fileno(), log_owner, log_owner)
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=cwd,
            env={**os.environ, **(env or {}), MARK: str(STATE)},
        )
    record = {"pid": process.pid, "started": _start_time(process.pid), "argv": list(argv)}
    (RECORDS / f"{name}.json").write_text(json.dumps(record))
    return process.pid


def running(name: str) -> bool:
    """Whether the recorded process is still there (and still the same)."""
    return _pid_of(name) is not None


def names() -> list[str]:
    """The recorded processes, running or not."""
    return sorted(path.stem for path in RECORDS.glob("*.json"))


def send(name: str, signum: int) -> None:
    """Send a signal to the recorded process alone."""
    if pid := _pid_of(name):
        os.kill(pid, signum)


def stop(name: str, grace: float = 5) -> None:
    """End the process and its session: SIGTERM, and SIGKILL for what is left after `grace` seconds."""
    pid = _pid_of(name)
    if pid:
        _signal_session(pid, signal.SIGTERM)
        deadline = time.monotonic() + grace
        while members(pid) and time.monotonic() < deadline:
            time.sleep(0.02)
        for _ in range(100):
            if not members(pid):
                break
            _signal_session(pid, signal.SIGKILL)
            time.sleep(0.02)
    (RECORDS / f"{name}.json").unlink(missing_ok=True)


def members(leader: int) -> list[int]:
    """The living processes of the session that `leader` leads. A session's id is not given out while it lives."""
    _reap(leader)
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))) and fields[0] != "Z" and int(fields[3]) == leader:
            found.append(int(entry))
    return found


def marked() -> list[int]:
    """Every living process that carries the mark of this lab, recorded or not."""
    mark = f"{MARK}={STATE}".encode()
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and mark in Path(f"/proc/{entry}/environ").read_bytes().split(b"\0"):
                found.append(int(entry))
        except OSError:
            pass  # it has ended meanwhile, or is not ours to read
    return found


def log_tail(name: str, lines: int = 15) -> str:
    """The end of a process's log, for error messages."""
    path = LOGS / f"{name}.log"
    if not path.exists():
        return "(no log)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def await_ready(name: str, condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for a process to be ready, and fail early, with its log, when it ends instead."""
    def ready() -> object:
        if not running(name):
            raise RuntimeError(f"{name} ended:\n{log_tail(name)}")
        return condition()
    try:
        wait_until(f"{name} ready", ready, seconds)
    except LabError as error:
        raise LabError(f"{error}\n{log_tail(name)}") from None


def _start_time(pid: int) -> str | None:
    fields = _stat(pid)
    return fields[19] if fields and fields[0] != "Z" else None


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from `state` on, or None when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _pid_of(name: str) -> int | None:
    try:
        record = json.loads((RECORDS / f"{name}.json").read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    _reap(record["pid"])
    return record["pid"] if record["started"] and _start_time(record["pid"]) == record["started"] else None


def _reap(pid: int) -> None:
    """Collect the process if it is a dead child of ours, so that it does not look alive."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


def _signal_session(leader: int, signum: int) -> None:
    for pid in members(leader):
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            pass
