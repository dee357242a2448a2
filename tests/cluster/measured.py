"""What the server has cost in a time: requests, from the kube-apiserver's audit log, processor time and memory.

The log has every request of the server's ServiceAccount, and of no administrator: what this driver asks for is not in it.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from lab import audit
from rendered import NAMESPACE

USER = f"system:serviceaccount:{NAMESPACE}:coalmine"
WRITES = {"create", "update", "patch", "delete"}
LEASE = "leases"

# Verb and resource of a request.
Kind = tuple[str, str]


@dataclass(frozen=True)
class Spent:
    """What it has cost from one moment to another."""

    seconds: float
    requests: Counter[Kind]
    processor: float
    memory: int

    @property
    def writes(self) -> int:
        """Objects written, without the Lease."""
        return sum(self.writes_by_kind.values())

    @property
    def writes_by_kind(self) -> Counter[Kind]:
        """Objects written, without the Lease."""
        return Counter({kind: count for kind, count in self.requests.items() if kind[0] in WRITES and kind[1] != LEASE})

    @property
    def lease_writes(self) -> int:
        """How often the Lease was written."""
        return sum(count for (verb, resource), count in self.requests.items() if verb in WRITES and resource == LEASE)

    def per_minute(self, count: float) -> float:
        """So many in this time, as a rate."""
        return count * 60 / self.seconds

    def kinds(self) -> str:
        """All requests in a minute, by verb and resource."""
        each = sorted(self.requests.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{verb} {resource} {shown(self.per_minute(count))}" for (verb, resource), count in each)


@dataclass(frozen=True)
class Since:
    """The moment from which something is measured, and the server's process."""

    pid: int
    at: float
    offset: int
    processor: float

    @classmethod
    def now(cls, pid: int) -> Since:
        """This moment."""
        return cls(pid, time.monotonic(), audit.size(), _processor(pid))

    @classmethod
    def start_of(cls, pid: int, at: float, offset: int) -> Since:
        """The start of this process, at this time, when the log had so many bytes."""
        return cls(pid, at, offset, 0.0)

    def spent(self) -> Spent:
        """What it has cost until now."""
        seconds, processor = time.monotonic() - self.at, _processor(self.pid) - self.processor
        return Spent(seconds, requests(self.offset), processor, _memory(self.pid))

    def spent_over(self, seconds: float) -> Spent:
        """What it has cost once so many seconds have passed."""
        time.sleep(max(0.0, seconds - (time.monotonic() - self.at)))
        return self.spent()


def requests(since: int) -> Counter[Kind]:
    """The server's requests since the log had so many bytes. A watch counts where it begins."""
    found: Counter[Kind] = Counter()
    for event in audit.events(USER, since):
        if event["stage"] == ("ResponseStarted" if event["verb"] == "watch" else "ResponseComplete"):
            found[event["verb"], audit.resource(event.get("objectRef", {"resource": event["requestURI"]}))] += 1
    return found


def shown(number: float) -> str:
    """A number for people: one digit after the point where it is small."""
    return f"{number:.1f}".removesuffix(".0") if number < 10 else f"{number:,.0f}"


def _processor(pid: int) -> float:
    """Seconds of processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory(pid: int) -> int:
    """Bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
