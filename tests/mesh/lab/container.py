"""The application's container of a pod: what runs for its image, started again when it ends, as kubelet would do.

For most images that is the stand-in `app.py`. For Coalmine's own image, and for those of Flagger and Argo Rollouts, it is their
program, with what the container's spec says: its arguments, its environment, its user, and a root of its own with its volumes
in it.
"""

from __future__ import annotations

import base64
import shlex
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

from . import kube, network, processes, service
from .kube import Object
from .paths import BRIDGE_IP, COALMINE, TOOLS, ports

if TYPE_CHECKING:
    from .pods import Pod

APP = Path(__file__).with_name("app.py")
# The images that are real: the last part of their name, and the program that is their entry point.
PROGRAMS = {"coalmine": COALMINE, "flagger": TOOLS / "flagger", "argo-rollouts": TOOLS / "rollouts-controller"}
# What a program that is not linked statically needs of the host, read-only.
HOST = ("/usr", "/lib", "/lib64", "/etc/ssl", "/dev", "/proc")
# kubelet waits 10 s at first, and up to 5 minutes.
BACK_OFF = (0.5, 1.0, 2.0, 4.0)


class Container:
    """A container that serves, of a pod that is there."""

    def __init__(self, pod: Pod, spec: Object) -> None:
        self.pod, self.spec = pod, spec
        self.process = f"{pod.id}.app"
        self.restarts = 0
        self._due = 0.0

    @property
    def program(self) -> Path | None:
        """The program of its image, where that is real."""
        return PROGRAMS.get(self.spec["image"].rpartition(":")[0].rpartition("/")[2])

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return processes.running(self.process)

    @property
    def waits(self) -> bool:
        """Whether it has ended more than once, and is not started again yet."""
        return not self.running and self.restarts > 0 and time.monotonic() < self._due

    def start(self) -> None:
        """Start it."""
        inside = network.inside(self.pod.id)
        if self.program:
            processes.start(self.process, [*inside, "sh", "-c", self._script(self.program)], env=self._environment())
        else:
            port, version = str(self.spec["ports"][0]["containerPort"]), self.spec["image"].rpartition(":")[2]
            processes.start(self.process, [*inside, sys.executable, str(APP), port, version, self.pod.name])

    def keep_running(self) -> None:
        """Start it again, once it has ended, later each time."""
        if self.running:
            return
        if not self._due:
            self._due = time.monotonic() + BACK_OFF[min(self.restarts, len(BACK_OFF) - 1)]
        if time.monotonic() >= self._due:
            self._due = 0.0
            self.restarts += 1
            self.start()

    def stop(self) -> None:
        """End it."""
        processes.stop(self.process)

    def ready(self) -> bool:
        """Its own readiness probe, where the program is real; otherwise whether its port is open."""
        if not self.running:
            return False
        probe = self.spec.get("readinessProbe", {}).get("httpGet")
        if probe and self.program:
            port = next(port["containerPort"] for port in self.spec["ports"] if port.get("name") == probe["port"])
            address = f"http://{self.pod.address}:{port}{probe.get('path', '/')}"
            with urllib.request.urlopen(address, timeout=1) as answer:
                return bool(answer.status == 200)
        network.connect(self.pod.id, ("127.0.0.1", self.spec["ports"][0]["containerPort"]), timeout=1).close()
        return True

    # --- A program that is real -------------------------------------------------------------------------------------

    def _script(self, program: Path) -> str:
        """A root with nothing but the program, what it is linked with, and its volumes; then the program, as its user."""
        context = {**self.pod.resource["spec"].get("securityContext", {}), **self.spec.get("securityContext", {})}
        user = f"{context.get('runAsUser', 65532)}:{context.get('runAsGroup', 65532)}"
        lines = ["set -e", "mount -t tmpfs lab /mnt", "touch /mnt/program",
                 f"mount --bind {shlex.quote(str(program))} /mnt/program"]
        for path in HOST:
            lines += [f"if [ -e {path} ]; then mkdir -p /mnt{path}; mount --rbind {path} /mnt{path}; fi"]
        for mount in self.spec.get("volumeMounts", []):
            source, target = shlex.quote(str(self._volume(mount["name"]))), shlex.quote(f"/mnt{mount['mountPath']}")
            lines += [f"mkdir -p {target}", f"mount --bind {source} {target}"]
        lines += ["mkdir -p /mnt/etc", f"printf %s {shlex.quote(service.hosts())} > /mnt/etc/hosts"]
        directory = self.spec.get("workingDir", "/")
        words = shlex.join([*self.spec.get("command", [])[1:], *self.spec.get("args", [])])
        lines += [f"exec chroot --userspec={user} /mnt /usr/bin/env --chdir={shlex.quote(directory)} /program {words}"]
        return "\n".join(lines)

    def _environment(self) -> dict[str, str]:
        values = {entry["name"]: self.pod.value_of(entry) for entry in self.spec.get("env", [])}
        return {"HOSTNAME": self.pod.name,
                "KUBERNETES_SERVICE_HOST": BRIDGE_IP, "KUBERNETES_SERVICE_PORT": str(ports()["kubernetes"]),
                **{name: value for name, value in values.items() if value is not None}}

    def _volume(self, name: str) -> Path:
        """A volume of the pod, as a folder with what belongs into it."""
        volume = next(volume for volume in self.pod.resource["spec"]["volumes"] if volume["name"] == name)
        directory = self.pod.directory / "volumes" / name
        directory.mkdir(parents=True, exist_ok=True)
        for source in [volume, *volume.get("projected", {}).get("sources", [])]:
            for path, text in self._files(source).items():
                (directory / path).parent.mkdir(parents=True, exist_ok=True)
                (directory / path).write_text(text)
        if "emptyDir" in volume:
            directory.chmod(0o777)
        return directory

    def _files(self, source: Object) -> dict[str, str]:
        """The files of one source of a volume."""
        namespace = f"/api/v1/namespaces/{self.pod.namespace}"
        if configuration := source.get("configMap"):
            data = kube.get(f"{namespace}/configmaps/{configuration['name']}").get("data", {})
            return _chosen(data, configuration.get("items"))
        if secret := source.get("secret"):
            data = kube.get(f"{namespace}/secrets/{secret.get('secretName', secret.get('name'))}").get("data", {})
            return _chosen({key: base64.b64decode(value).decode() for key, value in data.items()}, secret.get("items"))
        if token := source.get("serviceAccountToken"):
            return {token["path"]: self.pod.token(token.get("audience"), token.get("expirationSeconds", 3600))}
        return {item["path"]: self.pod.field(item["fieldRef"]["fieldPath"])
                for item in source.get("downwardAPI", {}).get("items", [])}


def _chosen(data: dict[str, str], items: list[Object] | None) -> dict[str, str]:
    if items is None:
        return data
    return {item["path"]: data[item["key"]] for item in items}
