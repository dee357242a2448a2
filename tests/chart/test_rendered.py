"""Kustomize and the chart render the same objects, and what they render is what the server takes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import yaml

from lab.paths import ROOT, tool
from rendered import CHART, NAMESPACE, WAYS, Key, Object, configuration, kustomized, objects, of_kind, templated

COMMAND = ROOT / os.environ["COMMAND"]


def comparable(found: dict[Key, Object]) -> dict[Key, Object]:
    """Objects without the three things that are one way's alone: docs/server.md, "In a cluster", has them."""
    # helm install --create-namespace makes it.
    found = {key: it for key, it in found.items() if key[1] != "Namespace"}
    # Uninstalling a release takes away everything else.
    of_kind(found, "CustomResourceDefinition", "canaryrollouts.coalmine.dev")["metadata"].pop("annotations", None)
    # An upgrade of a release exchanges the pods when the configuration is another one.
    annotations = of_kind(found, "Deployment")["spec"]["template"]["metadata"]["annotations"]
    annotations.pop("coalmine.dev/configuration", None)
    # One writes comments and an order.
    of_kind(found, "ConfigMap")["data"]["server.yaml"] = configuration(found)
    return found


@pytest.mark.parametrize("way", WAYS)
def test_the_chart_renders_what_kustomize_renders(way: str) -> None:
    """Object by object, field by field."""
    by_kubectl, by_helm = comparable(objects(kustomized(WAYS[way]))), comparable(objects(templated(WAYS[way].values)))
    assert by_kubectl.keys() == by_helm.keys()
    for key, wanted in by_kubectl.items():
        assert by_helm[key] == wanted, key


@pytest.mark.parametrize("way", WAYS)
def test_the_server_takes_the_configuration(way: str, tmp_path: Path) -> None:
    """As `coalmine validate` reads it, in the words of both."""
    for text in (kustomized(WAYS[way]), templated(WAYS[way].values)):
        file = tmp_path / "server.yaml"
        file.write_text(of_kind(objects(text), "ConfigMap")["data"]["server.yaml"])
        done = subprocess.run([COMMAND, "validate", file], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_permissions_are_named_one_by_one() -> None:
    """No wildcard, no secret, and no right to give rights."""
    for way in WAYS.values():
        for (_, kind, _, name), it in objects(kustomized(way)).items():
            for rule in it["rules"] if kind in ("Role", "ClusterRole") else ():
                words = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
                assert not any("*" in word for word in words), (name, rule)
                assert not {"secrets", "bind", "escalate", "impersonate"} & set(words), (name, rule)


def test_helm_lint_says_nothing() -> None:
    """Neither an error nor a warning."""
    done = subprocess.run([tool("helm"), "lint", "--strict", str(CHART)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout and "[ERROR]" not in done.stdout, done.stdout


def test_every_value_is_described_by_the_schema() -> None:
    """So that a name that is mistaken is found, wherever it stands."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(schema["properties"]) == {*values, "global"}
    for name, value in values.items():
        if isinstance(value, dict) and "properties" in schema["properties"][name] and name != "server":
            assert schema["properties"][name]["additionalProperties"] is False, name
            assert set(value) == set(schema["properties"][name]["properties"]), name


@pytest.mark.parametrize(("values", "place"), [
    ({"replica": 3}, "replica"),
    ({"replicas": 0}, "/replicas"),
    ({"replicas": "two"}, "/replicas"),
    ({"image": {"digest": "sha256:beef"}}, "/image/digest"),
    ({"image": {"tag": "a b"}}, "/image/tag"),
    ({"plugin": {"kind": "EnvoyFilter"}}, "/plugin/kind"),
    ({"namespace": "Shop"}, "/namespace"),
    ({"namespace": ["shop", "bank"]}, "/namespace"),
    ({"prometheus": {"url": "prometheus:9090"}}, "/prometheus/url"),
    ({"prometheus": {"port": "9090"}}, "/prometheus/port"),
    ({"api": {"secret": "coalmine-tls"}}, "secret"),
    ({"podMonitor": {"enabled": "yes"}}, "/podMonitor/enabled"),
    ({"server": {"listen": "0.0.0.0:8470"}}, "/server/listen"),
    ({"server": {"kubernetes": {"namespace": "shop"}}}, "/server/kubernetes/namespace"),
])
def test_the_schema_refuses_what_is_wrong(values: Object, place: str) -> None:
    """Each with the place."""
    with pytest.raises(AssertionError) as refused:
        templated(values)
    assert place in str(refused.value).replace("'", ""), refused.value


def test_values_reach_the_objects() -> None:
    """What WAYS leaves as it is."""
    digest = f"sha256:{'0' * 64}"
    found = objects(templated({
        "image": {"repository": "ghcr.io/you/coalmine", "digest": digest}, "imagePullSecrets": [{"name": "pull"}],
        "plugin": {"kind": "WasmPlugin", "namespace": "mesh", "name": "canaries"},
        "prometheus": {"url": "http://prometheus.monitoring:80", "namespace": "monitoring", "port": 9091},
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "server": {"tick": "5s", "policy": {"accessLog": True}, "kubernetes": {"tokens": {"audience": "coalmine"}}},
        "nodeSelector": {"pool": "system"}, "tolerations": [{"operator": "Exists"}], "priorityClassName": "high",
        "resources": {"requests": {"cpu": 1}},
    }))
    pod = of_kind(found, "Deployment")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["image"] == f"ghcr.io/you/coalmine@{digest}"
    assert container["resources"] == {"requests": {"cpu": 1, "memory": "128Mi"}, "limits": {"memory": "512Mi"}}
    assert (pod["imagePullSecrets"], pod["nodeSelector"], pod["tolerations"], pod["priorityClassName"]) == (
        [{"name": "pull"}], {"pool": "system"}, [{"operator": "Exists"}], "high")
    role = of_kind(found, "Role", "coalmine-plugin")
    assert (role["metadata"]["namespace"], role["rules"][0]["resources"], role["rules"][0]["resourceNames"]) == (
        "mesh", ["wasmplugins"], ["canaries"])
    policy = of_kind(found, "NetworkPolicy")["spec"]
    allowed = {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}
    assert policy["ingress"][0]["from"] == policy["egress"][-1]["to"] == [{"namespaceSelector": allowed}]
    assert policy["egress"][-1]["ports"] == [{"protocol": "TCP", "port": 9091}]
    assert of_kind(found, "PodMonitor")["metadata"]["labels"]["release"] == "prometheus"
    assert configuration(found) == {
        "admin": "0.0.0.0:8471", "insecure": True, "store": {"kubernetes": {}}, "tick": "5s",
        "plugins": [{"kind": "WasmPlugin", "namespace": "mesh", "name": "canaries"}],
        "evidence": {"prometheus": {"url": "http://prometheus.monitoring:80"}},
        "policy": {"slow": ["250ms", "1s"], "accessLog": True}, "kubernetes": {"tokens": {"audience": "coalmine"}},
    }


def test_another_configuration_exchanges_the_pods() -> None:
    """The server reads its configuration at its start."""
    def marked(values: Object) -> str:
        template = of_kind(objects(templated(values)), "Deployment")["spec"]["template"]
        return template["metadata"]["annotations"]["coalmine.dev/configuration"]

    assert marked({}) == marked({"replicas": 3}) != marked({"server": {"tick": "5s"}})


def test_everything_is_where_the_release_is() -> None:
    """Nothing is left in the namespace that kustomize names."""
    text = subprocess.run([tool("helm"), "template", "coalmine", str(CHART), "--namespace", "elsewhere"],
                          capture_output=True, text=True, check=True).stdout
    assert NAMESPACE not in text
