"""The AnalysisTemplates of delivery/argo, by the rules of Argo Rollouts 1.9.1, on a real server."""

import re

import pytest
import yaml
from lab import APPROVED, FAST, FLAGGER, ROOT, SLOW, until

FOLDER = ROOT / "delivery/argo"
DOCUMENTS = list(yaml.safe_load_all((FOLDER / "analysis-templates.yaml").read_text()))
TEMPLATES = {it["metadata"]["name"]: it["spec"] for it in DOCUMENTS}
# What the controller takes where a metric does not say it.
DEFAULTS = {"failureLimit": 0, "inconclusiveLimit": 0, "consecutiveErrorLimit": 4, "consecutiveSuccessLimit": 0, "interval": "0s"}
KNOWN = {"name", "count", "initialDelay", "successCondition", "failureCondition", "provider", *DEFAULTS}


def holds(condition, result):
    """A condition of the language expr, as far as these files have it."""
    if found := re.fullmatch(r'result == "(\w+)"', condition):
        return result == found[1]
    found = re.fullmatch(r"result in \[(.*)\]", condition)
    assert found, condition
    return result in re.findall(r'"(\w+)"', found[1])


class Run:
    """An AnalysisRun with one metric: what was measured, and what becomes of it."""

    def __init__(self, lab, template, **defaults):
        self.lab, spec = lab, TEMPLATES[template]
        (metric,) = spec["metrics"]
        assert set(metric) <= KNOWN, "a field that the controller does not know is refused"
        assert metric["count"] >= metric["inconclusiveLimit"], "a step takes no metric without a count, nor a limit above it"
        self.metric = DEFAULTS | {name: it for name, it in metric.items() if name not in defaults} | defaults
        assert {arg["name"] for arg in spec["args"]} == {"rollout", "token"}
        self.failed = self.inconclusive = self.errors = self.successes = 0
        self.phase, self.url = "Running", lab.url

    def measure(self):
        web = self.metric["provider"]["web"]
        values = {"args.rollout": "shop/checkout", "args.token": FLAGGER}
        fill = lambda text: re.sub(r"\{\{(.*?)\}\}", lambda found: values[found[1]], text)
        path = fill(web["url"]).removeprefix("https://coalmine.example")
        (header,) = web["headers"]
        assert header["key"] == "Authorization"
        field = re.fullmatch(r"\{\$\.(\w+)\}", web["jsonPath"])[1]
        try:
            status, body, _ = self.lab.ask("GET", path, token=fill(header["value"]).removeprefix("Bearer "))
        except OSError:
            status, body = 0, None
        # Anything but 2xx is an error, and no "no".
        return body[field] if 200 <= status < 300 else None

    def tick(self):
        result, metric = self.measure(), self.metric
        if result is None:
            self.errors, self.successes = self.errors + 1, 0
            if self.errors > metric["consecutiveErrorLimit"]:
                self.phase = "Error"
            return self.phase
        self.errors = 0
        failed, good = holds(metric["failureCondition"], result), holds(metric["successCondition"], result)
        if failed:
            self.failed, self.successes = self.failed + 1, 0
        elif good:
            self.successes += 1
        else:
            self.inconclusive, self.successes = self.inconclusive + 1, 0
        if self.failed > metric["failureLimit"]:
            self.phase = "Failed"
        elif self.inconclusive > metric["inconclusiveLimit"]:
            self.phase = "Inconclusive"
        elif metric["consecutiveSuccessLimit"] and self.successes >= metric["consecutiveSuccessLimit"]:
            self.phase = "Successful"
        return self.phase

    def ends(self):
        return until("the analysis ends", lambda: self.phase if self.tick() != "Running" else None)


@pytest.mark.parametrize("template", TEMPLATES)
def test_to_wait_is_to_wait(lab, template):
    lab.apply(SLOW)
    lab.say("start")
    lab.rollout()
    run = Run(lab, template)
    for verb in ("pause", "resume"):
        for _ in range(20):
            assert run.tick() == "Running"
        lab.say(verb)
    assert run.inconclusive == 40
    # By the defaults the first one would pause the Rollout until a person comes.
    assert Run(lab, template, inconclusiveLimit=0).tick() == "Inconclusive"


def test_an_approval_that_is_missing_is_waited_for(lab):
    lab.apply(APPROVED)
    lab.say("start")
    until("it waits", lambda: lab.rollout()["phase"] == "WaitingForApproval")
    assert Run(lab, "coalmine-release").tick() == "Running"


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_good_canary_is_a_success(lab, template):
    lab.apply(FAST)
    lab.say("start")
    assert Run(lab, template).ends() == "Successful"
    if template == "coalmine-release":
        assert lab.rollout()["phase"] == "Promoting"


def test_a_bad_canary_is_a_failure_whenever_it_is_asked(lab):
    lab.apply(FAST)
    lab.share = 0.6
    lab.say("start")
    assert Run(lab, "coalmine-release").ends() == "Failed"
    until("rolled back", lambda: lab.rollout()["phase"] == "RolledBack")
    assert Run(lab, "coalmine-release").tick() == "Failed", "also minutes later"


def test_a_verdict_of_rollback_is_a_failure(lab):
    lab.apply(SLOW.replace("steps:", "rollback: {down: [20, 10, 0], every: 3s}, steps:"))
    lab.say("start")
    until("users", lambda: lab.rollout()["weight"] == 20)
    lab.say("rollback")
    assert Run(lab, "coalmine-verdict").tick() == "Failed"


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_server_that_is_away_aborts_nothing(lab, template):
    lab.apply(SLOW)
    lab.say("start")
    run, here = Run(lab, template), lab.url
    lab.url = "http://127.0.0.1:1"
    try:
        # Two minutes, at one try in ten seconds.
        assert [run.tick() for _ in range(12)] == ["Running"] * 12
        by_default = Run(lab, template, consecutiveErrorLimit=4)
        assert [by_default.tick() for _ in range(5)][-1] == "Error", "by the defaults it would"
    finally:
        lab.url = here
    assert run.tick() == "Running"


def test_the_rollout_names_a_template_that_is_there():
    rollout = yaml.safe_load((FOLDER / "rollout.yaml").read_text())
    canary = rollout["spec"]["strategy"]["canary"]
    assert "trafficRouting" not in canary, "one alone moves users"
    (analysis,) = (step["analysis"] for step in canary["steps"] if "analysis" in step)
    assert analysis["templates"] == [{"templateName": "coalmine-release"}]
    assert {arg["name"] for arg in analysis["args"]} == {arg["name"] for arg in TEMPLATES["coalmine-release"]["args"] if "valueFrom" not in arg}
