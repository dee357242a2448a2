"""One pod: what kubelet and the container engine would make of a Pod object.

A network namespace, the stand-in for the application, and, where Istio's injector has put its containers into the
Pod, what they say: istio-init's interception and a real pilot-agent with Envoy, with their arguments and environment.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import shlex
import shutil
import subprocess
import threading
import time
import urllib.request

from . import control_plane, kube, network, processes
from .container import Container
from .kube import Object
from .paths import BRIDGE_IP, ENVOY, PODS, REGISTRY, TOOLS, go_module
from .processes import LabError

PROXY_UID = 1337
log = logging.getLogger("node")


class Pod:
    """A Pod object with its address, and the processes that run for it."""

    def __init__(self, resource: Object, address: str) -> None:
        self.resource = resource
        self.address = address
        self.namespace: str = resource["metadata"]["namespace"]
        self.name: str = resource["metadata"]["name"]
        self.id = f"{self.namespace}.{self.name}"
        self.directory = PODS / self.id
        self.proxy = self._container("istio-proxy")
        self.init = self._container("istio-init")
        serving = self._serving()
        self.app = Container(self, serving) if serving else None
        self.ended = threading.Event()
        self._lock = threading.Lock()  # who ends a pod waits until what is being started is there to be ended

    @property
    def path(self) -> str:
        """The object's path at the kube-apiserver."""
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    # --- Start ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start everything, wait until it is ready, and report that. Taken up again where it was left."""
        with self._lock:
            if self.ended.is_set():
                return
            if self.id not in network.pods():
                self._make_network()
            # istiod knows a proxy by its pod's address: it must be there first, and not be ready yet.
            self._report(ready=False)
            if self.proxy and not processes.running(f"{self.id}.proxy"):
                self._start_proxy(self.proxy)
            if self.app and not self.app.running:
                self.app.start()
        self._keep()

    def _keep(self) -> None:
        """Report when it becomes ready, and when that ends; start the application again when it has ended."""
        reported: tuple[bool, int, bool] | None = None
        while not self.ended.is_set():
            with self._lock:
                if self.app and not self.ended.is_set():
                    self.app.keep_running()
            now = self._is_ready(), self.app.restarts if self.app else 0, bool(self.app and self.app.waits)
            try:
                if now != reported:
                    self._report(ready=now[0])
                    reported = now
            except kube.NotFound:
                return  # it was deleted without grace: the list of Pods says so as well
            except (OSError, LabError) as error:
                log.warning("%s: its status cannot be reported: %s", self.id, error)
            self.ended.wait(0.1 if not now[0] else 0.5)

    def _is_ready(self) -> bool:
        try:
            return self.ready()
        except OSError:
            return False

    def _make_network(self) -> None:
        """The pod's namespace, with istio-init's rules in it, or none at all."""
        try:
            network.make_pod(self.id, self.address)
            if self.init:
                subprocess.run([*network.inside(self.id), str(TOOLS / "pilot-agent"), *self.init["args"]],
                               check=True, capture_output=True)
        except BaseException:
            network.remove_pod(self.id)
            raise

    def ready(self) -> bool:
        """The readiness probes: pilot-agent's for the proxy, the container's own for the application."""
        if self.proxy:
            with urllib.request.urlopen(f"http://{self.address}:15021/healthz/ready", timeout=1) as answer:
                if answer.status != 200:
                    return False
        return self.app is None or self.app.ready()

    def _start_proxy(self, container: Object) -> None:
        self._write_credentials()
        environment = self._environment(container)
        words = [re.sub(r"\$\((\w+)\)", lambda name: environment.get(name[1], name[0]), word)
                 for word in container["args"]]
        # What pilot-agent expects at absolute paths, and short ones for its sockets, exists only in a mount
        # namespace (which `ip netns exec` makes): nothing of it is left on the host.
        script = f"""set -e
            mount -t tmpfs lab /var/lib
            mkdir -p /var/lib/istio /var/lib/lab/tools /var/lib/lab/envoy
            mount --bind {shlex.quote(str(self.directory))} /var/lib/istio
            mount --bind {shlex.quote(str(TOOLS))} /var/lib/lab/tools
            mount --bind {shlex.quote(str(ENVOY.parent))} /var/lib/lab/envoy
            cd /var/lib/istio
            exec setpriv --reuid {PROXY_UID} --regid {PROXY_UID} --clear-groups --inh-caps=-all \\
                /var/lib/lab/tools/pilot-agent {shlex.join(words)}"""
        processes.start(f"{self.id}.proxy", [*network.inside(self.id), "sh", "-c", script],
                        env=environment, log_owner=PROXY_UID)

    def _write_credentials(self) -> None:
        """The files that kubelet would mount: Istio's root certificate and a token bound to the pod."""
        token = self.token("istio-ca", 86400)
        template = go_module("istio.io/istio") / "tools/packaging/common/envoy_bootstrap.json"
        files = {
            "var/run/secrets/istio/root-cert.pem": control_plane.root_certificate(self.namespace),
            "var/run/secrets/tokens/istio-token": token,
            "bootstrap.json": template.read_text(),
        }
        for name in ("data", "etc/istio/proxy"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (self.directory / name).parent.mkdir(parents=True, exist_ok=True)
            (self.directory / name).write_text(text)
        for parent, _, children in os.walk(self.directory):
            for path in [parent, *(os.path.join(parent, child) for child in children)]:
                os.chown(path, PROXY_UID, PROXY_UID)

    def _environment(self, container: Object) -> dict[str, str]:
        """The proxy container's `env`, and what the lab has elsewhere than a cluster."""
        result = {entry["name"]: value for entry in container.get("env", [])
                  if (value := self.value_of(entry)) is not None}
        config = json.loads(result.get("PROXY_CONFIG", "{}"))
        config |= {
            "binaryPath": f"/var/lib/lab/envoy/{ENVOY.name}", "configPath": "/var/lib/istio/etc/istio/proxy",
            "proxyBootstrapTemplatePath": "/var/lib/istio/bootstrap.json",
        }
        return result | {
            "PROXY_CONFIG": json.dumps(config),
            "ISTIO_METAJSON_LABELS": json.dumps(self.resource["metadata"].get("labels", {})),
            "ISTIOD_SAN": "istiod.istio-system.svc",  # the agent dials an address, the certificate bears the name
            "WASM_INSECURE_REGISTRIES": REGISTRY,
        }

    def value_of(self, entry: Object) -> str | None:
        """The value of one entry of `env`; None for what the lab does not have, such as a limit of CPU."""
        source = entry.get("valueFrom", {})
        if reference := source.get("secretKeyRef"):
            secret = kube.get(f"/api/v1/namespaces/{self.namespace}/secrets/{reference['name']}")
            return base64.b64decode(secret["data"][reference["key"]]).decode()
        if reference := source.get("fieldRef"):
            return self.field(reference["fieldPath"])
        return None if source else entry.get("value", "")

    def field(self, path: str) -> str:
        """A field of the pod, as its containers may ask for it."""
        return {
            "metadata.name": self.name, "metadata.namespace": self.namespace, "status.podIP": self.address,
            "status.hostIP": BRIDGE_IP, "spec.serviceAccountName": self.account, "spec.nodeName": "lab",
        }[path]

    def token(self, audience: str | None, seconds: int) -> str:
        """A token of the pod's service account, bound to the pod; without an audience, for the cluster's own API."""
        wanted = {"expirationSeconds": seconds, "boundObjectRef": {
            "apiVersion": "v1", "kind": "Pod", "name": self.name, "uid": self.resource["metadata"]["uid"]}}
        if audience:
            wanted["audiences"] = [audience]
        made = kube.call("POST", f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{self.account}/token",
                         {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": wanted})
        return str(made["status"]["token"])

    @property
    def account(self) -> str:
        """The name of the pod's service account."""
        return self.resource["spec"].get("serviceAccountName", "default")

    def _container(self, name: str) -> Object | None:
        """A container of the pod by its name, be it one for the start."""
        containers = [*self.resource["spec"].get("initContainers", []), *self.resource["spec"]["containers"]]
        return next((container for container in containers if container["name"] == name), None)

    def _serving(self) -> Object | None:
        """The container that serves: the first with a port. A client that only sleeps has none."""
        return next((c for c in self.resource["spec"]["containers"]
                     if c["name"] != "istio-proxy" and c.get("ports")), None)

    # --- Stop ----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """End the pod as kubelet ends one whose proxy is a native sidecar: drain, preStop, SIGTERM; the proxy last."""
        self.ended.set()
        with self._lock:
            if processes.running(f"{self.id}.proxy"):
                subprocess.run([*network.inside(self.id), str(TOOLS / "pilot-agent"), "request", "--debug-port=15020",
                                "POST", "drain"], capture_output=True)
            hook = (self.app.spec if self.app else {}).get("lifecycle", {}).get("preStop", {})
            time.sleep(hook.get("sleep", {}).get("seconds", 0))
            if self.app:
                self.app.stop()
            processes.stop(f"{self.id}.proxy")
            network.remove_pod(self.id)
            shutil.rmtree(self.directory, ignore_errors=True)
        try:
            kube.call("DELETE", self.path, {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0,
                                            "preconditions": {"uid": self.resource["metadata"]["uid"]}})
        except (kube.NotFound, kube.Conflict):
            pass  # somebody else was faster

    # --- Report --------------------------------------------------------------------------------------------------

    def _report(self, *, ready: bool) -> None:
        """Write the status that kubelet would write."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        truth = "True" if ready else "False"
        status = {
            "phase": "Running", "podIP": self.address, "podIPs": [{"ip": self.address}], "hostIP": BRIDGE_IP,
            "startTime": now,
            "conditions": [
                {"type": kind, "status": value, "lastTransitionTime": now}
                for kind, value in (("PodScheduled", "True"), ("Initialized", "True"),
                                    ("ContainersReady", truth), ("Ready", truth))],
            "containerStatuses": [self._status_of(c, ready, now) for c in self.resource["spec"]["containers"]],
        }
        kube.merge(f"{self.path}/status", {"status": status})

    def _status_of(self, container: Object, ready: bool, now: str) -> Object:
        app = self.app if self.app and self.app.spec is container else None
        waits = app is not None and app.waits
        state: Object = {"running": {"startedAt": now}}
        if waits:
            state = {"waiting": {"reason": "CrashLoopBackOff", "message": f"back-off restarting {container['name']}"}}
        return {"name": container["name"], "image": container["image"], "imageID": "",
                "containerID": f"lab://{self.id}/{container['name']}", "ready": ready and not waits,
                "started": not waits, "restartCount": app.restarts if app else 0, "state": state}
