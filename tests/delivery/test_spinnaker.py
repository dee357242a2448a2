"""The files of delivery/spinnaker, by Orca's own rules, on a real server."""

import itertools
import json
import time

import pytest
import yaml
from lab import APPROVED, FAST, ROOT, SLOW, SPINNAKER, losing, until
from orca import DEFAULT_LIMIT, Stage, Terminal, configured

FOLDER = ROOT / "delivery/spinnaker"
PIPELINES = ["pipeline.json", "pipeline-webhook.json"]
NUMBERS = itertools.count(time.time_ns())


class Execution:
    """One run of a pipeline: its stages, by their names, as far as a test lets it go."""

    def __init__(self, name, address):
        self.pipeline = json.loads((FOLDER / name).read_text())
        self.preconfigured = yaml.safe_load((FOLDER / "orca.yml").read_text())
        self.context, self.address = {"execution.id": f"01K{next(NUMBERS)}"}, address

    def stage(self, name):
        found = next(it for it in self.pipeline["stages"] if it["name"] == name)
        found = {field: it for field, it in found.items() if field != "stageEnabled"}
        return Stage(configured(found, self.preconfigured), self.context, self.address, SPINNAKER)

    def run(self, name):
        stage = self.stage(name)
        stage.run(lambda: time.sleep(0.2))
        return stage


@pytest.fixture(params=PIPELINES)
def execution(lab, request):
    return Execution(request.param, lab.url)


START = "Start and wait for the verdict"


def test_a_rollout_is_judged_by_a_person_and_promoted(lab, execution):
    lab.apply(APPROVED)
    started = execution.run(START)
    assert lab.rollout()["phase"] == "WaitingForApproval"
    assert any("waits for approval" in it for it in started.progress)
    execution.run("Approve")
    assert lab.rollout()["phase"] == "Promoting"
    execution.run("Promote")
    assert lab.release()["outcome"] == "Promoted"
    assert "start by spinnaker" in str(lab.history())


def test_a_person_who_says_no_sends_users_back(lab, execution):
    lab.apply(APPROVED)
    execution.run(START)
    execution.run("Roll back")
    assert lab.release()["outcome"] == "RolledBack"


def test_a_bad_canary_fails_the_stage_and_the_cancel_that_follows_is_no_error(lab, execution):
    lab.apply(FAST)
    lab.share = 0.6
    stage = execution.stage(START)
    with pytest.raises(Terminal, match="RolledBack"):
        stage.run(lambda: time.sleep(0.2))
    assert stage.cancelled == 200
    assert lab.release()["outcome"] == "RolledBack"


def test_a_pipeline_that_is_cancelled_rolls_back(lab, execution):
    lab.apply(SLOW)
    stage = execution.stage(START)
    stage.create()
    assert not stage.look(), "it runs"
    assert stage.cancel() == 202
    until("rolled back", lambda: lab.rollout()["phase"] == "RolledBack")
    assert "failed or was cancelled" in str(lab.history())


def test_the_first_poll_is_about_this_release_and_never_about_the_one_before(lab, execution):
    lab.apply(SLOW)
    lab.say("start")
    lab.rest()
    stage = execution.stage(START)
    stage.create()
    # RolledBack, which ended the one before, would fail the stage.
    assert not stage.look()
    assert stage.status_url.endswith(f"/releases/{lab.release()['release']}")


def test_a_start_that_is_posted_again_after_a_503_is_one_release(lab, execution):
    """The server does what it is asked, and the answer is lost on the way: Orca posts it again."""
    lab.apply(SLOW)
    before, proxy = lab.release().get("release", 0), losing(lab, 2)
    try:
        execution.address = proxy.url
        stage = execution.stage(START)
        stage.create()
    finally:
        proxy.close()
    assert stage.clock == 20, "twice, ten seconds apart"
    assert lab.release()["release"] == before + 1
    assert sum("start by" in line["why"] for line in lab.history() if line.get("by") == "spinnaker") >= 1


def test_a_start_that_makes_no_sense_ends_at_once(lab, execution):
    lab.ask("PUT", "/v1/freeze", "{}")
    try:
        lab.apply(SLOW)
        stage = execution.stage(START)
        with pytest.raises(Terminal, match="409"):
            stage.create()
        assert stage.clock == 0
    finally:
        lab.ask("DELETE", "/v1/freeze")


def test_a_start_that_is_refused_takes_nobody_elses_release_back(lab, execution):
    lab.apply(FAST)
    lab.say("start")
    until("all on the canary", lambda: lab.rollout()["phase"] == "Promoting" and lab.rollout()["weight"] == 100)
    stage = execution.stage(START)
    with pytest.raises(Terminal, match="is being promoted"):
        stage.run(lambda: None)
    assert stage.cancelled == 409, "Orca posts it all the same"
    assert lab.rollout()["phase"] == "Promoting"


@pytest.mark.parametrize("name", PIPELINES)
def test_a_canary_of_days_outlives_orcas_hour(name):
    execution = Execution(name, "http://127.0.0.1:1")
    for stage in execution.pipeline["stages"]:
        if stage["type"] == "wait":
            continue
        assert stage["stageTimeoutMs"] >= 3 * 24 * 3600 * 1000, stage["name"]
    # Where the pipeline does not say it, the hour of Orca's counts: what orca.yml says has no effect.
    assert not any("stageTimeoutMs" in it for it in execution.preconfigured["webhook"]["preconfigured"])


def test_without_a_limit_of_its_own_a_stage_ends_after_an_hour(lab):
    lab.apply(SLOW)
    execution = Execution("pipeline.json", lab.url)
    stage = execution.stage(START)
    stage.limit = DEFAULT_LIMIT / 1000
    with pytest.raises(Terminal, match="timed out"):
        stage.run(lambda: None)
    assert stage.clock > 3600 and stage.cancelled == 202
    until("rolled back", lambda: lab.rollout()["phase"] == "RolledBack")


@pytest.mark.parametrize("name", PIPELINES)
def test_the_stages_follow_one_another(name):
    stages = json.loads((FOLDER / name).read_text())["stages"]
    ids = [it["refId"] for it in stages]
    assert len(set(ids)) == len(ids)
    for place, stage in enumerate(stages):
        assert set(stage["requisiteStageRefIds"]) <= set(ids[:place]), stage["name"]
    judged = {it["name"]: it["stageEnabled"]["expression"] for it in stages if "stageEnabled" in it}
    words = {it["value"] for it in stages[1]["judgmentInputs"]}
    assert set(judged.values()) == {"${ #judgment('Promote?') == '%s' }" % word for word in words}
