"""The hooks of delivery/flagger, asked as Flagger 1.44.0 asks, on a real server."""

import base64
import json

import pytest
import yaml
from lab import FAST, FLAGGER, ROOT, SLOW, until

FOLDER = ROOT / "delivery/flagger"
CANARY = yaml.safe_load((FOLDER / "canary.yaml").read_text())
HOOKS = {it["type"]: it for it in CANARY["spec"]["analysis"]["webhooks"]}
# Flagger takes these for a yes, and everything else, 204 too, for a no.
YES = (200, 201, 202)


class Controller:
    """What Flagger does at each of its intervals, as far as the hooks decide it."""

    def __init__(self, lab, token=FLAGGER):
        self.lab, self.token, self.failures = lab, token, 0
        self.weights, self.weight, self.told = CANARY["spec"]["analysis"]["stepWeights"], 0, ""

    def ask(self, kind, **changed):
        hook = HOOKS[kind]
        path = hook["url"].removeprefix("https://coalmine.example")
        metadata = {name: it.replace("TOKEN", self.token) for name, it in hook["metadata"].items()}
        posted = {
            "name": CANARY["metadata"]["name"],
            "namespace": CANARY["metadata"]["namespace"],
            "phase": "Progressing",
            "checksum": "758df7c9fc",
            "metadata": metadata,
        } | changed
        headers = {"Content_Type": "application/json", "User_Agent": "Go-http-client/1.1"}
        status, body, _ = self.lab.ask("POST", path, json.dumps(posted), None, **headers)
        self.told = body
        return status in YES

    def tick(self):
        if self.ask("rollback"):
            return "rolls back"
        if not self.ask("confirm-traffic-increase"):
            return "halts"
        if self.weight == self.weights[-1]:
            return "promotes" if self.ask("confirm-promotion") else "waits for promotion"
        self.weight = self.weights[self.weights.index(self.weight) + 1] if self.weight else self.weights[0]
        return "advances"


def test_to_hold_is_to_halt_and_no_failure_is_counted(lab):
    lab.apply(SLOW)
    lab.say("start")
    flagger = Controller(lab)
    assert [flagger.tick() for _ in range(20)] == ["halts"] * 20
    assert (flagger.weight, flagger.failures) == (0, 0)
    assert flagger.told["status"] == 409 and flagger.told["detail"].startswith("hold: "), flagger.told
    # What would count them is not there.
    assert "metrics" not in CANARY["spec"]["analysis"]
    assert set(HOOKS) == {"confirm-traffic-increase", "confirm-promotion", "rollback"}


def test_a_verdict_of_promote_goes_up_and_promotes(lab):
    lab.apply(FAST)
    lab.say("start")
    until("promoting", lambda: lab.rollout()["phase"] == "Promoting")
    flagger = Controller(lab)
    steps = len(flagger.weights)
    assert [flagger.tick() for _ in range(steps + 1)] == ["advances"] * steps + ["promotes"]


def test_a_proved_harm_rolls_back(lab):
    lab.apply(SLOW.replace("steps:", "rollback: {down: [20, 10, 0], every: 3s}, steps:"))
    lab.share = 0.6
    lab.say("start")
    flagger = Controller(lab)
    until("rolls back", lambda: flagger.tick() == "rolls back")


def test_flagger_moves_once_its_weight_is_said(lab):
    """As the loop of the README says it."""
    lab.apply("{mode: judge, steps: [1, 5, 25, 50], guards: {orders: {query: orders}}}")
    flagger = Controller(lab)
    say = lambda: lab.ask("POST", "/v1/rollouts/shop/checkout/weights", json.dumps({"canary": flagger.weight}))[0]
    try:
        until("ticked", lambda: "not known" in lab.rollout()["message"])
        assert flagger.tick() == "halts", "nobody has said a weight"
        assert say() == 202
        until("it may begin", lambda: flagger.tick() == "advances")
        assert (flagger.weight, say(), say()) == (1, 202, 200)
        assert [flagger.tick() for _ in range(5)] == ["halts"] * 5, "1 % is not judged yet"
        assert lab.rollout()["weight"] == 1
    finally:
        # What Flagger does when it gives the canary up.
        flagger.weight = 0
        say()
        until("over", lambda: lab.rollout()["phase"] == "Idle")
        lab.apply(FAST)


STRANGERS = {
    "a token that is none": {"token": "nobody-0123456789abcdef"},
    "no token": {"token": ""},
}


@pytest.mark.parametrize("who", STRANGERS)
def test_a_stranger_is_told_nothing_and_rolls_nothing_back(lab, who):
    lab.apply(SLOW)
    lab.say("start")
    flagger = Controller(lab, **STRANGERS[who])
    assert not flagger.ask("rollback") and flagger.told["status"] == 401
    assert "hold" not in json.dumps(flagger.told)


@pytest.mark.parametrize("changed", [{"name": "search"}, {"namespace": "bank"}])
def test_a_hook_that_was_copied_from_another_canary_is_refused(lab, changed):
    lab.apply(SLOW)
    lab.say("start")
    flagger = Controller(lab)
    assert not flagger.ask("rollback", **changed) and flagger.told["status"] == 400


def test_a_hook_may_not_move_anything(lab):
    lab.apply(SLOW)
    lab.say("start")
    hook = json.dumps({"name": "checkout", "namespace": "shop", "metadata": {"token": FLAGGER}})
    for verb in ("rollback", "promote", "advance"):
        path = f"/v1/rollouts/shop/checkout/{verb}"
        assert lab.ask("POST", path, hook, None)[0] in (400, 401, 422), "a token in a body is for verdicts alone"
        assert lab.ask("POST", path, "{}", FLAGGER)[0] == 403, "it may read"
    assert lab.rollout()["phase"] == "Progressing"


def test_a_token_in_the_address_is_a_password_and_never_a_query(lab):
    lab.apply(SLOW)
    lab.say("start")
    path = "/v1/rollouts/shop/checkout/verdict/hold"
    basic = base64.b64encode(f"any:{FLAGGER}".encode()).decode()
    assert lab.ask("POST", path, "{}", None, Authorization=f"Basic {basic}")[0] == 200
    for query in (f"?token={FLAGGER}", f"?access_token={FLAGGER}", f"?authorization=Bearer%20{FLAGGER}"):
        for asked in (path, "/v1/rollouts/shop/checkout"):
            status = lab.ask("POST" if asked == path else "GET", asked + query, None, None)[0]
            assert status == 401, query
    assert FLAGGER not in (lab.folder / "serve.log").read_text()


def test_no_answer_is_a_redirect(lab):
    lab.apply(SLOW)
    for path in ("", "/", "//", "/v1/rollouts/shop/checkout/", "/v1/rollouts/shop/checkout/verdict/", "/v1//rollouts",
                 "/v1/rollouts/shop/checkout/verdict/rollback/", "/login", "/v1/rollouts/shop/%2e%2e/verdict/rollback"):
        # People who open the address are led to where they sign in; whoever posts, as Flagger does, is led nowhere.
        for method in ("GET", "POST") if path.startswith("/v1") else ("POST",):
            status, _, headers = lab.ask(method, path or "/", None, None)
            assert not 200 <= status < 400 and "Location" not in headers, (method, path, status)


def test_the_metric_template_says_whether_a_rollout_was_taken_back():
    template = yaml.safe_load((FOLDER / "metric-template.yaml").read_text())
    assert template["spec"]["provider"]["type"] == "prometheus"
    query = template["spec"]["query"]
    assert "or vector(0)" in query, "a query without a value is a failure"
    assert "{{ namespace }}/{{ target }}" in query
