"""Users: keep-alive requests from the host or from inside a pod, one at a time or as a steady load."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from . import network
from .processes import wait_until

Headers = Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What one request got. `version` and `pod` are the application's; None when something else answered."""

    user: str | None
    status: int
    version: str | None
    pod: str | None
    headers_at_application: dict[str, str]
    headers: dict[str, str]
    body: str
    at: float

    @property
    def ok(self) -> bool:
        """Whether the application answered."""
        return self.status == 200 and self.version is not None


class Connection(http.client.HTTPConnection):
    """A keep-alive connection that leaves from inside a pod. It connects anew when the peer has closed it."""

    def __init__(self, door: Door) -> None:
        super().__init__(*door.address)
        self.door = door

    def connect(self) -> None:
        self.sock = network.connect(self.door.pod, self.door.address)

    def ask(self, user: str | None, path: str = "/", headers: Headers | None = None, method: str = "GET") -> Answer:
        """One request; an answer of any status, or an OSError or HTTPException when there was none."""
        sent = {"host": self.door.host, **(self.door.identify(user) if user is not None else {}), **(headers or {})}
        try:
            self.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in sent.items():
                self.putheader(name, value)
            self.endheaders()
            response = self.getresponse()
            body = response.read().decode(errors="replace")
        except BaseException:
            self.close()
            raise
        told: dict[str, Any] = json.loads(body) if body.startswith("{") else {}
        return Answer(user, response.status, told.get("version"), told.get("hostname"), dict(told.get("headers", [])),
                      {name.lower(): value for name, value in response.getheaders()}, body, time.monotonic())


@dataclass
class Door:
    """Where users come in: through the ingress gateway, or by a caller's sidecar."""

    name: str
    pod: str | None  # the pod that the requests are made in; None is the host, as somebody outside the mesh
    address: tuple[str, int]
    host: str
    identify: Callable[[str], Headers] = field(default=lambda user: {"x-user-id": user})

    def ask(self, user: str | None, path: str = "/", headers: Headers | None = None) -> Answer:
        """One request on a connection of its own."""
        connection = Connection(self)
        try:
            return connection.ask(user, path, headers)
        finally:
            connection.close()

    def ask_all(self, users: Sequence[str], headers: Headers | None = None, connections: int = 4) -> dict[str, Answer]:
        """One request for each user, over a few keep-alive connections."""
        def serve(part: Sequence[str]) -> list[Answer]:
            connection = Connection(self)
            try:
                return [connection.ask(user, headers=headers) for user in part]
            finally:
                connection.close()
        with ThreadPoolExecutor(connections) as pool:
            parts = pool.map(serve, [users[i::connections] for i in range(connections)])
            answers = [answer for part in parts for answer in part]
        return {answer.user: answer for answer in answers if answer.user is not None}

    def versions(self, users: Sequence[str], headers: Headers | None = None) -> dict[str, str | None]:
        """The version that each user gets; every request has to succeed."""
        answers = self.ask_all(users, headers)
        failed = [(a.user, a.status, a.body[:100]) for a in answers.values() if not a.ok]
        assert not failed, f"{len(failed)} requests by {self.name} failed, e.g. {failed[:3]}"
        return {user: answer.version for user, answer in answers.items()}

    def await_versions(self, expected: Mapping[str, str], seconds: float = 60) -> float:
        """Wait until a whole round of requests gives every user the expected version; the seconds that it took."""
        started = time.monotonic()
        differing: dict[str, object] = {}

        def agreed() -> bool:
            # Whoever differed is asked first: a whole round that is bound to fail would only take up the processor.
            for asked in (list(differing), list(expected)):
                answers = self.ask_all(asked, connections=1)
                differing.clear()
                differing.update({u: (a.status, a.version) for u, a in answers.items() if a.version != expected[u]})
                if differing:
                    return False
            return True
        try:
            wait_until(f"{len(expected)} users by {self.name} on the expected version", agreed, seconds)
        except Exception as error:
            sample = dict(list(differing.items())[:4])
            raise AssertionError(f"{error}; {len(differing)} differ, e.g. {sample}") from None
        return time.monotonic() - started


class Load:
    """A steady load: every user again and again, each always on the same keep-alive connection.

    Used as a context manager; afterwards (and meanwhile) `failures` and `moves` tell what users lived through.
    """

    def __init__(self, doors: Iterable[Door], users: Sequence[str], per_second: float = 300, connections: int = 2) -> None:
        self.answers: list[tuple[str, Answer]] = []
        self.failures: list[tuple[float, str, str, str]] = []  # when, door, user, what
        lanes = [(door, users[i::connections]) for door in doors for i in range(connections)]
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(door, part, len(lanes) / per_second), daemon=True)
                         for door, part in lanes if part]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the load."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _run(self, door: Door, users: Sequence[str], pause: float) -> None:
        connection = Connection(door)
        due = time.monotonic()
        while True:
            for user in users:
                if self._stopped.wait(max(0.0, due - time.monotonic())):
                    connection.close()
                    return
                due = max(due + pause, time.monotonic() - 1)
                try:
                    answer = connection.ask(user)
                except (OSError, http.client.HTTPException) as error:
                    self.failures.append((time.monotonic(), door.name, user, repr(error)))
                    continue
                if not answer.ok:
                    self.failures.append((answer.at, door.name, user, f"{answer.status} {answer.body[:80]}"))
                self.answers.append((door.name, answer))

    def rounds(self, count: int = 1, seconds: float = 60) -> None:
        """Wait until every lane has served all of its users `count` more times, or so."""
        share = len({answer.user for _, answer in self.answers}) or 1
        target = len(self.answers) + max(share, 50) * count * 2
        wait_until("the load to go on", lambda: len(self.answers) >= target, seconds)

    def moves(self) -> dict[tuple[str, str], list[str]]:
        """For each door and user, the versions in the order they were seen, repetitions dropped."""
        seen: dict[tuple[str, str], list[str]] = defaultdict(list)
        for door, answer in sorted(self.answers, key=lambda entry: entry[1].at):
            if answer.version and answer.user and seen[door, answer.user][-1:] != [answer.version]:
                seen[door, answer.user].append(answer.version)
        return seen

    def last_other(self, expected: Mapping[str, str], door: str, since: float) -> float:
        """The moment of the last answer after `since` that was not yet as expected; `since` itself if there is none."""
        return max((a.at for name, a in list(self.answers)
                    if name == door and a.at >= since and a.user and a.version != expected[a.user]), default=since)


def assert_in_order(who: str, seen: Sequence[str], allowed: Sequence[str]) -> None:
    """What somebody lived through is a part of what was allowed, in that order."""
    remaining = iter(allowed)
    assert all(one in remaining for one in seen), f"{who} went {' > '.join(seen)}"


def assert_moved_along(load: Load, *allowed: str) -> None:
    """Nobody moved but along the given versions, in that order."""
    for (door, user), versions in load.moves().items():
        assert_in_order(f"{user} by {door}", versions, allowed)
