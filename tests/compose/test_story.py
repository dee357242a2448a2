"""What README.md of the fleet promises, in its order: each test goes on where the one before has ended."""

import json
import re

from fleet import FOLDER, ROLLOUT, SERVICES, until

USERS = range(400)


def names_of_rules():
    files = [FOLDER / "prometheus" / name for name in ("alerts.yaml", "rules.yaml")]
    return {name for file in files for name in re.findall(r"- (?:alert|record): (\S+)", file.read_text())}


def revisions(fleet):
    return {it["metric"]["instance"]: int(it["value"][1]) for it in fleet.query("coalmine_policy_revision")}


def test_all_containers_are_healthy_and_closed(fleet):
    containers = fleet.inspect()
    assert set(containers) == SERVICES
    for name, it in containers.items():
        assert it["State"]["Health"]["Status"] == "healthy", name
        host = it["HostConfig"]
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"] and not host["Privileged"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        for bindings in (host["PortBindings"] or {}).values():
            assert all(binding["HostIp"] == "127.0.0.1" for binding in bindings), name
        # What its first process really is.
        top = fleet.engine.run(["docker", "top", it["Id"], "-o", "uid,pid"]).stdout.splitlines()[1:]
        assert top and all(line.split()[0] not in ("0", "root") for line in top), f"{name}: {top}"


def test_the_server_wants_a_token(fleet):
    code = ["--output", "/dev/null", "--write-out", "%{http_code}"]
    assert fleet.curl(*code, "http://127.0.0.1:8470/v1/policy") == "401"
    assert fleet.curl(*code, "--header", "authorization: Bearer wrong-0123456789", "http://127.0.0.1:8470/v1/policy") == "401"


def test_the_policy_reaches_both_proxies(fleet):
    with open("../../envoy/fleet/compose/checkout.yaml") as rollout:
        assert fleet.coalmine("apply", "-", stdin=rollout).stdout == f"{ROLLOUT} created\n"
    revision = until("a policy", lambda: re.search(r'"revision": ?(\d+)', fleet.coalmine("proxies", "--format", "json").stdout))
    until("both proxies run it", lambda: set(revisions(fleet).values()) == {int(revision[1])} and len(revisions(fleet)) == 2)
    assert fleet.versions_of(USERS) == [dict.fromkeys(USERS, "1")] * 2


def test_a_healthy_version_is_promoted(fleet):
    started = fleet.coalmine("start", ROLLOUT, "--message", "version 2", "--wait-for", "Promoting", "--timeout", "8m", timeout=600)
    print(started.stderr)
    assert fleet.versions_of(USERS) == [dict.fromkeys(USERS, "2")] * 2
    # Its proof came by way of Prometheus, of both arms.
    arms = {it["metric"]["variant"] for it in fleet.query('coalmine_all_total{rollout="shop/checkout"} > 0')}
    assert arms == {"stable", "canary"}
    fleet.versions["STABLE"] = "2"
    fleet.up("stable")
    promoted = fleet.coalmine("promote", ROLLOUT, "--wait", "--timeout", "3m")
    print(promoted.stderr)
    assert fleet.status()["release"]["phase"] == "Promoted"
    assert fleet.versions_of(USERS) == [dict.fromkeys(USERS, "2")] * 2


def test_prometheus_has_the_rules_and_the_series(fleet):
    def evaluated():
        groups = json.loads(fleet.curl("http://127.0.0.1:9090/api/v1/rules"))["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return rules if all(rule["health"] != "unknown" for rule in rules) else None

    rules = until("every rule has been evaluated", evaluated)
    assert {rule["name"] for rule in rules if rule["health"] == "ok"} == names_of_rules()
    assert {it["metric"]["job"] for it in fleet.query("up == 1")} == {"coalmine", "envoy"}
    assert len(fleet.query("up == 1")) == 3
    shares = until("the recording rules", lambda: fleet.query("rollout_variant:coalmine_requests:share5m"))
    assert {it["metric"]["variant"] for it in shares} == {"stable", "canary"}
    assert fleet.query('ALERTS{alertstate="firing"}') == []


def test_a_broken_version_is_rolled_back_by_itself(fleet):
    fleet.versions["CANARY"] = "3"
    fleet.up("canary")
    fleet.coalmine("start", ROLLOUT, "--message", "version 3")
    until("users on the canary", lambda: fleet.status()["weight"] == 5, 60)
    answer = "http://127.0.0.1:9902/runtime_modify?fault.http.abort.abort_percent=20"
    assert fleet.curl("--request", "POST", answer) == "OK\n"
    until("it is rolled back", lambda: fleet.status()["release"]["phase"] == "RolledBack", 180)
    history = fleet.coalmine("history", ROLLOUT).stdout
    print(history)
    assert re.search(r"errors: the canary has [\d.]+ % \(\d+ of \d+\) bad, stable 0\.00 %", history)
    assert fleet.versions_of(USERS) == [dict.fromkeys(USERS, "2")] * 2


def test_a_restarted_server_knows_its_rollouts(fleet):
    def release():
        # But for the sentence, which is the latest tick's.
        return {name: it for name, it in fleet.status()["release"].items() if name != "message"}

    before = release()
    fleet.compose("restart", "--timeout", "5", "coalmine")
    fleet.up()
    assert release() == before
    assert fleet.versions_of(USERS) == [dict.fromkeys(USERS, "2")] * 2


def test_no_secret_is_in_a_log(fleet):
    logs = fleet.compose("logs", "--no-color").stdout
    for line in open("../../envoy/fleet/compose/secrets/proxies.env"):
        assert line.strip().split("=")[1] not in logs
    assert open("../../envoy/fleet/compose/secrets/operator").read().strip() not in logs
