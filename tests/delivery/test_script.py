"""What is in every pipeline: the script that says a verb and follows the release."""

import shutil
import signal
import subprocess

import pytest
from lab import APPROVED, FAST, ROOT, SLOW, until

SCRIPT = ROOT / "delivery/github/rollout.sh"


@pytest.fixture
def script(lab, tmp_path):
    """Runs it as a step of a job does, with a token of the issuer."""
    output, summary = tmp_path / "output", tmp_path / "summary"

    def start(*words, **settings):
        environment = {
            "PATH": "/usr/bin:/bin",
            "COALMINE_SERVER": lab.url,
            "COALMINE_ROLLOUT": "shop/checkout",
            "COALMINE_TOKEN": lab.issuer.token(),
            "COALMINE_MESSAGE": 'build 7 "\\quoted\\"\n::error::no',
            "COALMINE_KEY": str(tmp_path),
            "COALMINE_POLL": "1",
            "COALMINE_TIMEOUT": "60",
            "COALMINE_STATE": str(tmp_path / "state"),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(summary),
        } | settings
        words = ["sh", str(SCRIPT), *words]
        return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(*words, **settings):
        process = start(*words, **settings)
        printed = process.communicate(timeout=120)[0]
        process.printed = printed
        assert not any(line.startswith(("::", "##[")) for line in printed.splitlines()), printed
        return process

    run.start, run.output, run.summary = start, output, summary
    return run


def outputs(script):
    return dict(line.split("=", 1) for line in script.output.read_text().splitlines())


def test_a_release_is_started_once_and_followed_to_its_end(lab, script):
    lab.apply(FAST)
    before = lab.release().get("release", 0)
    ran = script("start", COALMINE_UNTIL="Promoting")
    assert ran.returncode == 0, ran.printed
    assert outputs(script)["release"] == str(before + 1)
    ran = script("promote")
    assert ran.returncode == 0, ran.printed
    assert outputs(script)["outcome"] == "Promoted"
    summary = script.summary.read_text()
    assert f"### shop/checkout, release {before + 1}: Promoted" in summary
    assert "100 %  Promoting" in summary and "█" * 40 in summary
    # The message came as it was written, on one line, and named the job.
    said = next(line for line in lab.history() if "start by" in line["why"])
    assert said["why"] == 'start by github:repo:acme/shop:ref:refs/heads/main (build 7 "\\quoted\\" ::error::no)'


def test_a_bad_canary_fails_the_job(lab, script):
    lab.apply(FAST)
    lab.share = 0.6
    ran = script("start")
    assert ran.returncode == 3, ran.printed
    assert outputs(script)["outcome"] == "RolledBack"
    assert "ended as RolledBack" in ran.printed


@pytest.mark.parametrize(("then", "phase"), [("rollback", "RolledBack"), ("leave", "Progressing")])
def test_when_the_time_is_over_it_does_what_was_said(lab, script, then, phase):
    lab.apply(SLOW)
    ran = script("start", COALMINE_TIMEOUT="2", COALMINE_ON_TIMEOUT=then)
    assert ran.returncode == 4, ran.printed
    until(phase, lambda: lab.rollout()["phase"] == phase, 10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_rolls_back_at_once(lab, script, number):
    lab.apply(SLOW)
    process = script.start("start", COALMINE_POLL="30")
    until("it goes on", lambda: lab.rollout()["phase"] == "Progressing")
    until("it has looked", lambda: (script.output.parent / "state/shop.checkout/course").exists())
    process.send_signal(number)
    printed = process.communicate(timeout=7)[0]
    assert process.returncode == 130, printed
    until("rolled back", lambda: lab.rollout()["phase"] == "RolledBack")
    assert lab.history()[-1], "there is a history"
    assert "the job is cancelled" in str(lab.history())


def test_what_is_cancelled_late_leaves_the_next_release_alone(lab, script):
    lab.apply(SLOW)
    assert script("start", COALMINE_TIMEOUT="1", COALMINE_ON_TIMEOUT="leave").returncode == 4
    lab.say("rollback")
    until("rolled back", lambda: lab.rollout()["phase"] == "RolledBack")
    lab.say("start")
    ran = script("withdraw")
    assert ran.returncode == 0, ran.printed
    assert lab.rollout()["phase"] == "Progressing", "this is another release"


def test_an_answer_that_was_lost_begins_no_second_release(lab, script, tmp_path):
    lab.apply(SLOW)
    script("start", COALMINE_TIMEOUT="1", COALMINE_ON_TIMEOUT="leave")
    first = lab.release()["release"]
    (tmp_path / "state/shop.checkout/release").unlink()
    ran = script("withdraw")
    assert ran.returncode == 0, ran.printed
    until("rolled back", lambda: lab.rollout()["phase"] == "RolledBack")
    assert lab.release()["release"] == first


def test_it_waits_for_an_approval_and_then_goes_on(lab, script):
    lab.apply(APPROVED)
    ran = script("start", COALMINE_UNTIL="WaitingForApproval")
    assert (ran.returncode, outputs(script)["phase"]) == (0, "WaitingForApproval"), ran.printed
    ran = script("approve", COALMINE_UNTIL="Promoting")
    assert ran.returncode == 0, ran.printed
    ran = script("rollback")
    assert (ran.returncode, outputs(script)["outcome"]) == (0, "RolledBack"), ran.printed


def test_a_token_comes_from_github_and_is_made_for_this_server(lab, script):
    lab.apply(SLOW)
    github = lab.issuer.environment() | {"COALMINE_TOKEN": "", "COALMINE_AUDIENCE": lab.issuer.audience}
    ran = script("start", COALMINE_TIMEOUT="1", **github)
    assert ran.returncode == 4, ran.printed
    assert lab.issuer.requests[-1] == {"api-version": ["2.0"], "audience": [lab.issuer.audience]}


FORGED = {
    "forged": (lambda issuer: issuer.token(key=issuer.foreign), "signature"),
    "expired": (lambda issuer: issuer.token(iat=1, exp=1000), "expired"),
    "for another server": (lambda issuer: issuer.token(aud="https://other.example"), "audience"),
    "of another repository": (lambda issuer: issuer.token(repository="acme/evil", project_path="acme/evil"), "repository"),
    "of another issuer": (lambda issuer: issuer.token(iss="https://evil.example"), ""),
    "none": (lambda _: "", ""),
}


@pytest.mark.parametrize("what", FORGED)
def test_a_token_that_does_not_hold_is_refused(lab, script, what):
    make, why = FORGED[what]
    lab.apply(SLOW)
    before = lab.release().get("release", 0)
    ran = script("start", COALMINE_TOKEN=make(lab.issuer))
    assert ran.returncode == 1 and "the server refuses (401)" in ran.printed, ran.printed
    assert why in ran.printed, ran.printed
    assert lab.release().get("release", 0) == before


def test_a_token_stands_on_no_command_line(lab, script, tmp_path):
    lab.apply(SLOW)
    token, lines = lab.issuer.token(), tmp_path / "lines"
    (tmp_path / "bin").mkdir()
    curl = tmp_path / "bin/curl"
    curl.write_text(f'#!/bin/sh\necho "$@" >>{lines}\nexec {shutil.which("curl")} "$@"\n')
    curl.chmod(0o755)
    path = f"{curl.parent}:/usr/bin:/bin"
    ran = script("start", PATH=path, COALMINE_TOKEN=token, COALMINE_TIMEOUT="1")
    assert ran.returncode == 4 and token not in ran.printed, ran.printed
    assert lab.url in lines.read_text() and token not in lines.read_text()
