"""A draw with a secret key, and tokens: the secrets come to the filter from the proxy's environment."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import yaml

from lab import kube, paths, users
from lab.client import Door
from lab.processes import wait_until
from lab.scenario import Scenario, config_dump, metrics, sample
from lab.users import crowd

USERS = crowd(500)
OVERRIDE_HEADER = "x-coalmine-override"
SECRETS = {"COALMINE_KEY": "000102030405060708090a0b0c0d0e0f", "COALMINE_OVERRIDE_SECRET": "only-the-lab-knows-this-secret-of-40-byt"}
# Which pods get them: the namespace, the Deployment, the pods' label.
PROXIES = (("istio-ingress", "ingressgateway", "istio=ingressgateway"), ("shop", "caller", "app=caller"))


@pytest.fixture
def keyed(demo: Scenario, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scenario]:
    """The Secret beside both proxies, and a policy with it in the plugins' documents; nothing of this applied yet."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)     # for the command
    policy = demo.policy
    policy["revision"] += 1
    policy["rollouts"][0] |= {
        "algorithm": "siphash-2-4", "key": {"env": "COALMINE_KEY"}, "variants": [{"name": "canary", "weight": 25}],
        "override": {"header": OVERRIDE_HEADER, "secret": {"env": "COALMINE_OVERRIDE_SECRET"}}}
    for plugin in demo.plugins():
        plugin["pluginConfig"] = policy
        plugin["vmConfig"] = {"env": [{"name": name, "valueFrom": "HOST"} for name in SECRETS]}
    yield demo


def doors(demo: Scenario) -> list[Door]:
    """Both ways in."""
    return [demo.gateway(), demo.sidecar()]


def hand_out_secrets(demo: Scenario) -> None:
    """The Secret, and in the pod's template an environment from it for the container that the injector fills."""
    for namespace, deployment, _ in PROXIES:
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "coalmine", "namespace": namespace},
                  "stringData": SECRETS}
        demo.documents.append(secret)
        kube.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(secret))
        containers = demo.find("Deployment", deployment)["spec"]["template"]["spec"]["containers"]
        proxy = next((c for c in containers if c["name"] == "istio-proxy"), None)
        if proxy is None:
            proxy = {"name": "istio-proxy", "image": "auto", "securityContext": containers[0]["securityContext"]}
            containers.append(proxy)
        proxy["env"] = [{"name": name, "valueFrom": {"secretKeyRef": {"name": "coalmine", "key": name}}}
                        for name in SECRETS]
    demo.apply("Deployment")
    demo.await_ready()


def test_a_key_from_a_secret_draws_as_core_says_and_is_seen_nowhere(keyed: Scenario) -> None:
    """By `vmConfig.env` with HOST; the same users at both doors, a token minted with the secret is honoured."""
    hand_out_secrets(keyed)
    keyed.apply("TrafficExtension")
    expected = keyed.expected(USERS)
    public = {**keyed.policy["rollouts"][0], "algorithm": "coalmine-v1"}
    del public["key"]
    by_name = keyed.expected(USERS, {**keyed.policy, "rollouts": [public]})
    assert expected != by_name
    for door in doors(keyed):
        door.await_versions(sample(expected))
        assert door.versions(USERS) == expected
    outsider = next(user for user, version in expected.items() if version == keyed.version("stable"))
    good = users.token(keyed.policy, "canary", "--for", "10m")
    foreign = {**keyed.policy["rollouts"][0], "override": {"header": OVERRIDE_HEADER, "secret": "x" * 40}}
    wrong = users.token({**keyed.policy, "rollouts": [foreign]}, "canary", "--for", "10m")
    for door in doors(keyed):
        assert door.ask(outsider, headers={OVERRIDE_HEADER: good}).version == keyed.version("canary")
        for refused in (wrong, good[:-1], good.replace("canary", "stable"), "canary", ""):
            assert door.ask(outsider, headers={OVERRIDE_HEADER: refused}).version == keyed.version("stable"), refused
        told = door.ask(outsider, headers={OVERRIDE_HEADER: good}).headers_at_application
        assert OVERRIDE_HEADER not in told      # it ends at the first hop that knows it
    assert_unseen(keyed)


def assert_unseen(demo: Scenario) -> None:
    """No secret in a log of istiod, the proxies or anything else, nor in what the proxies tell of themselves."""
    logs = {path.name: path.read_bytes() for path in paths.LOGS.iterdir()}
    assert "istiod.log" in logs and any(name.endswith(".proxy.log") for name in logs)
    for namespace, _, label in PROXIES:
        pod = demo.pods(label, namespace)[0]
        door = Door("admin", f"{namespace}.{pod['metadata']['name']}", ("127.0.0.1", 15000), "localhost")
        logs[f"{label}: config_dump"] = json.dumps(config_dump(door)).encode()
        logs[f"{label}: metrics"] = "\n".join(metrics(pod)).encode()
        logs[f"{label}: pod"] = json.dumps(pod).encode()
        print(label, len(logs[f"{label}: config_dump"]), "bytes of config_dump")
    for name, text in logs.items():
        for variable, value in SECRETS.items():
            assert value.encode() not in text, f"{variable} is in {name}"


def test_without_the_variable_everybody_is_stable(keyed: Scenario) -> None:
    """It is said in the proxy's log and by a gauge. With the variable, all is well."""
    keyed.apply("TrafficExtension")
    for namespace, _, label in PROXIES:
        pod = keyed.pods(label, namespace)[0]
        log = paths.LOGS / f"{namespace}.{pod['metadata']['name']}.proxy.log"
        wait_until("the proxy to name the variable", lambda: 'no variable "COALMINE_KEY"' in log.read_text())
        wait_until("the gauge", lambda: any("coalmine_rollout_disabled" in name and value == 1
                                            for name, value in metrics(pod).items()))
    for door in doors(keyed):
        door.await_versions(dict.fromkeys(USERS, keyed.version("stable")))
    hand_out_secrets(keyed)
    for door in doors(keyed):
        door.await_versions(sample(keyed.expected(USERS)))
