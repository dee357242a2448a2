"""The lab's only node: the stand-in for scheduler and kubelet, of which `lab/kubelet.py` is a part. Run as a process of its
own, `python -m lab.node`.

Every Pod that waits for a node is bound to it, started, reported as ready, and ended when it is deleted, so that
`kubectl apply`, `kubectl scale` and `kubectl rollout` do in the lab what they do in a cluster.
"""

from __future__ import annotations

import logging
import socket
import threading
import time

from . import kube, network, prometheus
from .kube import Object
from .kubelet import Kubelet, register
from .paths import SUBNET
from .pods import Pod

NODE = "lab"
log = logging.getLogger("node")


class Node:
    """The pods of the node, each with a thread that does what one pod needs, in order."""

    def __init__(self) -> None:
        self.pods: dict[str, Pod] = {}
        self.ending: set[str] = set()
        self.seen: dict[str, Object] = {}
        self.last_address = 9
        self.lock = threading.Lock()

    def run(self) -> None:
        """Follow the list of all Pods for ever."""
        while True:
            try:
                listed = kube.get("/api/v1/pods")
                self.seen.clear()
                for resource in listed["items"]:
                    self.handle(resource)
                for kind, resource in kube.watch("/api/v1/pods", listed["metadata"]["resourceVersion"]):
                    if kind == "ERROR":
                        break  # the version is too old: list again
                    self.handle(resource, gone=kind == "DELETED")
            except (OSError, kube.LabError) as error:
                log.warning("the kube-apiserver does not answer: %s", error)
                time.sleep(1)

    def handle(self, resource: Object, *, gone: bool = False) -> None:
        """One Pod has appeared or changed, or was deleted without grace."""
        uid = resource["metadata"]["uid"]
        if gone:
            self.seen.pop(uid, None)
        else:
            self.seen[uid] = resource
        prometheus.discover(self.seen.values())
        leaving = gone or "deletionTimestamp" in resource["metadata"]
        with self.lock:
            if uid not in self.pods:
                if gone:
                    return
                self.pods[uid] = Pod(resource, resource.get("status", {}).get("podIP") or self._free_address())
                if not leaving:
                    threading.Thread(target=self._start, args=(self.pods[uid],), daemon=True).start()
            if leaving and uid not in self.ending:
                self.ending.add(uid)
                threading.Thread(target=self._stop, args=(uid,), daemon=True).start()

    def _free_address(self) -> str:
        used = {pod.address for pod in self.pods.values()}
        for step in range(1, 245):
            host = 10 + (self.last_address - 10 + step) % 245
            if f"{SUBNET}.{host}" not in used:
                self.last_address = host
                return f"{SUBNET}.{host}"
        raise kube.LabError("no address left for a pod")

    def _start(self, pod: Pod) -> None:
        """Bind the pod and start it, again and again like kubelet, until it runs or is to end."""
        while not pod.ended.is_set():
            try:
                if not pod.resource["spec"].get("nodeName"):
                    self._bind(pod)
                log.info("%s starts at %s", pod.id, pod.address)
                pod.start()
                return
            except Exception:
                log.exception("%s did not start", pod.id)
                pod.ended.wait(1)

    @staticmethod
    def _bind(pod: Pod) -> None:
        try:
            kube.call("POST", f"{pod.path}/binding", {
                "apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod.name},
                "target": {"apiVersion": "v1", "kind": "Node", "name": NODE}})
        except kube.Conflict:
            pass  # bound at an earlier attempt

    def _stop(self, uid: str) -> None:
        pod = self.pods[uid]
        try:
            pod.stop()
            log.info("%s has ended", pod.id)
        except Exception:
            log.exception("%s did not end", pod.id)
        with self.lock:
            del self.pods[uid]
            self.ending.discard(uid)


def _inside(pod: str, port: int) -> socket.socket:
    """A connection to a port of a pod's own loopback."""
    return network.connect(pod, ("127.0.0.1", port))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    kubelet = Kubelet(_inside)
    register(NODE)
    threading.Thread(target=kubelet.serve_forever, daemon=True).start()
    Node().run()
