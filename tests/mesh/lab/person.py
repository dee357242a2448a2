"""A person with a Role: steers rollouts of namespace shop by the command, through a port-forward with a token of the cluster."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import yaml

from . import kube
from .controller import SYSTEM
from .paths import COALMINE, KUBECONFIG


class Person:
    """As a context manager: somebody who may do what the controller's ClusterRole `coalmine-operate` allows."""

    def __init__(self, name: str) -> None:
        self.name = name
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": "shop"}}
        bindings = [{
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": name, "namespace": space},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": "shop"}],
        } for space, kind, role in (("shop", "ClusterRole", "coalmine-operate"), (SYSTEM, "Role", "coalmine-reach"))]
        self._documents = yaml.safe_dump_all([account, *bindings])
        self._folder = tempfile.TemporaryDirectory()

    def __enter__(self) -> Person:
        kube.kubectl("apply", "-f", "-", stdin=self._documents)
        configuration = yaml.safe_load(KUBECONFIG.read_text())
        token = kube.kubectl("create", "token", "-n", "shop", self.name).strip()
        configuration["users"] = [{"name": "admin", "user": {"token": token}}]
        self._kubeconfig.write_text(yaml.safe_dump(configuration))
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()
        kube.kubectl("delete", "--ignore-not-found", "-f", "-", stdin=self._documents)

    @property
    def _kubeconfig(self) -> Path:
        return Path(self._folder.name, "kubeconfig")

    def coalmine(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What the command says."""
        return subprocess.run([str(COALMINE), *words, "--kubeconfig", str(self._kubeconfig)], capture_output=True, text=True)

    def says(self, *words: str) -> None:
        """What the command does."""
        done = self.coalmine(*words)
        assert done.returncode == 0, done
