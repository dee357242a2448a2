"""What the server asks of a Kubernetes API, and what it costs, with hundreds of rollouts: while nothing changes, while some of
them are on their way, when all start at once, and when the server starts again.

It fails where something is written while nothing changes, where a release does not start, or where it takes too long.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import yaml

from lab import kube, processes
from lab.processes import LabError, wait_until
from measured import Since, Spent, shown
from proxies import policy, prometheus, weights
from rendered import configuration, kustomized, objects
from served import Server
from workloads import Rollout, make_namespaces, statuses, with_each

# For how long it is measured, in seconds.
QUIET = 60
MINUTE = MOVING = 60
# How long without a write counts as settled: more than two ticks.
SETTLED = 35
PLUGIN = {"apiVersion": "extensions.istio.io/v1alpha1", "kind": "TrafficExtension",
          "metadata": {"name": "coalmine", "namespace": "istio-system"}, "spec": {"wasm": {"url": "file:///coalmine.wasm"}}}


class Table:
    """What was measured, line by line."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def add(self, what: str, spent: Spent) -> None:
        """A line; what it is made of is printed at once."""
        print(f"{what}: in {spent.seconds:.0f} s the Lease was written {spent.lease_writes} times; requests a minute: "
              f"{spent.kinds()}", flush=True)
        self.rows.append(
            f"| {what} | {shown(spent.per_minute(spent.writes))} | {shown(spent.per_minute(spent.requests.total()))} "
            f"| {100 * spent.processor / spent.seconds:.1f} % | {spent.memory >> 20} MiB |")

    def __str__(self) -> str:
        head = "| | objects written a minute, without the Lease | requests a minute | of a core | memory |\n|---|---|---|---|---|"
        return "\n".join([head, *self.rows])


def make_cluster(rollouts: Sequence[Rollout]) -> None:
    """The server's manifests, the plugin, the namespaces, and all objects of the rollouts."""
    began = time.monotonic()
    make_namespaces(["istio-system", *sorted({rollout.namespace for rollout in rollouts})])
    kube.kubectl("apply", "--server-side", "-f", "-", stdin=kustomized())
    kube.kubectl("wait", "--for=condition=Established", "crd/canaryrollouts.coalmine.dev", "--timeout=60s")
    # From here on, this driver does what it would do: workloads.py.
    processes.stop("kube-controller-manager")
    kube.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump(PLUGIN))
    with_each(rollouts, Rollout.make)
    print(f"{len(rollouts)} rollouts were made in {time.monotonic() - began:.0f} s", flush=True)


def settle(server: Server) -> None:
    """Wait until nothing has been written for a while."""
    since = Since.now(server.pid)

    def is_settled() -> bool:
        nonlocal since
        if since.spent().writes:
            since = Since.now(server.pid)
        return time.monotonic() - since.at > SETTLED

    wait_until("the server writes nothing", is_settled, seconds=150, every=1)


def measure(server: Server, rollouts: Sequence[Rollout], releases: int) -> Table:
    """Everything, in turn."""
    table = Table()
    since, ready = server.start()
    all_names = {rollout.whole_name for rollout in rollouts}
    wait_until("all are in the policy", lambda: {it["name"] for it in policy().get("rollouts", [])} == all_names,
               seconds=120, every=0.2)
    took = time.monotonic() - since.at
    table.add(f"first start: ready after {ready:.1f} s, all in the policy after {took:.1f} s", since.spent_over(MINUTE))
    settle(server)

    quiet = Since.now(server.pid).spent_over(QUIET)
    table.add("nothing changes", quiet)
    assert not quiet.writes, f"written while nothing changes: {quiet.writes_by_kind}"

    since = Since.now(server.pid)
    took = start(rollouts[:releases])
    table.add(f"{releases} releases start: published after {took:.0f} s", since.spent_over(MINUTE))
    table.add(f"{releases} releases on their way", Since.now(server.pid).spent_over(MOVING))
    print(f"weights by now: {Counter(weights(policy()).values())}")

    since = Since.now(server.pid)
    took = start(rollouts[releases:])
    table.add(f"the other {len(rollouts) - releases} start at once: published after {took:.0f} s", since.spent_over(MINUTE))
    table.add("all on their way", Since.now(server.pid).spent_over(MOVING))
    print(f"weights by now: {Counter(weights(policy()).values())}")

    server.stop()
    since, ready = server.start()
    print(f"started again, until it was ready: {since.spent().requests}")
    table.add(f"all on their way, started again: ready after {ready:.1f} s", since.spent_over(MINUTE))
    return table


def start(rollouts: Sequence[Rollout]) -> float:
    """Give the canaries a new image, and wait until each has users on it in the policy: how many seconds that took."""
    began = time.monotonic()
    with_each(rollouts, Rollout.deploy)
    deployed = time.monotonic()
    print(f"{len(rollouts)} Deployments were changed in {deployed - began:.0f} s", flush=True)

    def are_published() -> bool:
        found = weights(policy())
        return all(found.get(rollout.whole_name, 0) > 0 for rollout in rollouts)

    try:
        wait_until("all releases are published", are_published, seconds=120, every=0.2)
    except LabError as error:
        stand = Counter((it.get("phase"), it.get("weight"), it.get("release", 0), it.get("message")) for it in statuses())
        raise AssertionError(f"{error}: {stand}") from error
    return time.monotonic() - deployed


def main() -> int:
    """The measurement; 0 where all was as it should be."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rollouts", type=int, required=True)
    arguments.add_argument("--namespaces", type=int, required=True)
    arguments.add_argument("--releases", type=int, required=True)
    wanted = arguments.parse_args()
    rollouts = [Rollout(number, wanted.namespaces) for number in range(wanted.rollouts)]
    folder = Path(tempfile.mkdtemp(prefix="coalmine-scale-"))
    make_cluster(rollouts)
    with prometheus(rollouts) as address:
        server = Server(configuration(objects(kustomized())), folder, address)
        try:
            print(measure(server, rollouts, wanted.releases))
        except BaseException:
            print(server.log.read_text()[-4000:] if server.log.exists() else "no log", file=sys.stderr)
            raise
        finally:
            server.stop()
            shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
