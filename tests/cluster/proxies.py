"""A Prometheus that scrapes proxies which are only pretended: their counters go on as the policy in the plugin has it.

The sidecar of each Pod says which policy it runs. Both sidecars of a rollout call the rollout of the next number, and only
rollouts that the policy observes are counted, as by the filter. No request fails. A scrape is every 15 seconds, and an answer
has those of the two minutes that the server asks for.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread

from lab import kube
from lab.kube import Object
from workloads import Rollout

PLUGIN = "/apis/extensions.istio.io/v1alpha1/namespaces/istio-system/trafficextensions/coalmine"
EVERY = 15.0
SCRAPES = 8
# Requests of a rollout in a second, by each proxy that calls it.
RATE = 50.0
# Groups of users by hash.
GROUPS = 16


def policy() -> Object:
    """The policy that the plugin has; an empty one before the first."""
    return kube.get(PLUGIN)["spec"]["wasm"].get("pluginConfig", {})


def weights(policy: Object) -> dict[str, float]:
    """The canary's share of users, in percent, of each rollout that a policy observes."""
    return {rollout["name"]: float(rollout["variants"][0].get("weight", 0))
            for rollout in policy.get("rollouts", []) if rollout.get("observe")}


@dataclass
class Proxies:
    """What the proxies count, and what is known of their latest scrapes."""

    rollouts: Sequence[Rollout]
    began: float = field(default_factory=time.time)
    _revision: int = 0
    # By rollout: requests of stable and of canary that each of its two callers has counted.
    _counts: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))
    _weights: dict[str, float] = field(default_factory=dict)
    # The time of each scrape, the revision, and the counts.
    _scrapes: deque[tuple[float, int, dict[str, tuple[float, float]]]] = field(default_factory=lambda: deque(maxlen=SCRAPES))
    _lock: Lock = field(default_factory=Lock)

    def scrape(self) -> None:
        """Count what has come since the last scrape, at the weights of then, and keep that."""
        now = round(time.time(), 3)
        with self._lock:
            seconds = now - self._scrapes[-1][0] if self._scrapes else 0.0
            for name, weight in self._weights.items():
                counted = self._counts[name]
                counted[0] += seconds * RATE * (1 - weight / 100)
                counted[1] += seconds * RATE * weight / 100
            self._scrapes.append((now, self._revision, {name: (of[0], of[1]) for name, of in self._counts.items()}))
        found = policy()
        self._revision, self._weights = found.get("revision", 0), weights(found)
        for name in self._weights:
            self._counts[name]

    def answer(self) -> Object:
        """All samples."""
        with self._lock:
            scrapes = list(self._scrapes)
        result = [series for at, rollout in enumerate(self.rollouts) for variant in ("stable", "canary")
                  for series in self._of_proxy(scrapes, rollout, variant, self.rollouts[at - 1].whole_name)]
        return {"status": "success", "data": {"resultType": "matrix", "result": result}}

    def _of_proxy(self, scrapes: list[tuple[float, int, dict[str, tuple[float, float]]]], rollout: Rollout, variant: str,
                  called: str) -> Iterator[Object]:
        namespace, pod, address = rollout.namespace, rollout.deployment(variant), rollout.address(variant)
        target = {"job": "sidecars", "instance": f"{address}:15020", "namespace": namespace, "pod": pod}
        node = f"sidecar~{address}~{pod}.{namespace}~{namespace}.svc.cluster.local"

        def series(name: str, values: list[list[float | str]], **labels: str) -> Object:
            return {"metric": {"__name__": name, **target, **labels}, "values": values}

        yield series("coalmine_policy_revision", [[at, str(revision)] for at, revision, _ in scrapes])
        yield series("coalmine_build_info", [[at, "1"] for at, _, _ in scrapes], version="0.1.0", node=node)
        yield series("envoy_server_uptime", [[at, str(int(at - self.began))] for at, _, _ in scrapes])
        for arm, name in enumerate(("stable", "canary")):
            counts = [(at, int(counted[called][arm])) for at, _, counted in scrapes if called in counted]
            if not counts:
                continue
            labels = {"rollout": called, "variant": name}
            yield series("coalmine_requests_total", [[at, str(count)] for at, count in counts], reason="bucket", **labels)
            for group in range(GROUPS):
                values: list[list[float | str]] = [[at, str((count + group) // GROUPS)] for at, count in counts]
                yield series("coalmine_all_total", values, group=str(group), **labels)


@contextmanager
def prometheus(rollouts: Sequence[Rollout]) -> Iterator[str]:
    """The address of a Prometheus that scrapes the proxies, until the end."""
    proxies, ended = Proxies(rollouts), Event()

    class Handler(BaseHTTPRequestHandler):
        """One query, whatever it asks for."""

        def do_POST(self) -> None:
            """The answer."""
            self.rfile.read(int(self.headers.get("content-length", 0)))
            body = json.dumps(proxies.answer(), separators=(",", ":")).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    def scrape() -> None:
        due = time.monotonic()
        while not ended.is_set():
            try:
                proxies.scrape()
            except OSError as error:
                print(f"a scrape is left out: {error}")
            due += EVERY
            ended.wait(max(0.0, due - time.monotonic()))

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threads = [Thread(target=server.serve_forever, daemon=True), Thread(target=scrape, daemon=True)]
    for thread in threads:
        thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        for thread in threads:
            thread.join()
