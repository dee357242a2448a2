"""What is in every pipeline: the script that says a verb and follows the release."""

import shutil
import signal
import subprocess

import pytest
from lab import APPROVED, FAST, ROOT, SLOW, losing, until

SCRIPT = ROOT / "delivery/github/rollout.sh"


@pytest.fixture
def script(lab, tmp_path):
    """Runs it as a step of a job does, with a token of the issuer."""
    output, summary = tmp_path / "output", tmp_path / "summary"

    def start(*words, shell="sh", **settings):
        environment = {
            "PATH": "/usr/bin:/bin",
            "COALMINE_SERVER": lab.url,
            "COALMINE_ROLLOUT": "shop/checkout",
            "COALMINE_TOKEN": lab.issuer.token(),
            "COALMINE_MESSAGE": 'build 7 "\\quoted\\"\n::error::no\\012::error::no',
            "COALMINE_IDEMPOTENCY_KEY": str(tmp_path),
            "COALMINE_POLL": "1",
            "COALMINE_TIMEOUT": "60",
            "COALMINE_STATE": str(tmp_path / "state"),
            "GITHUB_OUTPUT": str(output),
            "GITHUB_STEP_SUMMARY": str(summary),
        } | settings
        words = [shell, str(SCRIPT), *words]
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
    assert said["why"] == 'start by github:repo:acme/shop:ref:refs/heads/main (build 7 "\\quoted\\" ::error::no\\012::error::no)'


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


def test_what_is_said_of_a_release_that_is_over_leaves_the_next_one_alone(lab, script, tmp_path):
    lab.apply(APPROVED)
    ran = script("start", COALMINE_UNTIL="WaitingForApproval")
    assert ran.returncode == 0, ran.printed
    shown = lab.release()["release"]
    lab.begin_another("WaitingForApproval")
    for verb in ("approve", "promote", "rollback"):
        state = {"COALMINE_STATE": str(tmp_path / verb)}
        ran = script(verb, COALMINE_RELEASE=str(shown), **state)
        assert ran.returncode == 1 and "the server refuses (409): " in ran.printed, ran.printed
        # A job that failed so and is cancelled then has nothing to roll back either.
        ran = script("withdraw", COALMINE_RELEASE=str(shown), **state)
        assert ran.returncode == 0 and "nothing is rolled back" in ran.printed, ran.printed
        assert (lab.rollout()["phase"], lab.release()["release"]) == ("WaitingForApproval", shown + 1), verb
    ran = script("approve", COALMINE_RELEASE=str(shown + 1), COALMINE_UNTIL="Promoting")
    assert (ran.returncode, outputs(script)["release"]) == (0, str(shown + 1)), ran.printed


def test_a_release_that_needs_no_approval_any_more_is_waited_for(lab, script):
    lab.apply(FAST)
    ran = script("start", COALMINE_UNTIL="Promoting")
    assert ran.returncode == 0, ran.printed
    ran = script("approve", COALMINE_RELEASE=outputs(script)["release"], COALMINE_UNTIL="Promoting")
    assert ran.returncode == 0, ran.printed


def test_the_release_of_somebody_else_is_neither_followed_nor_rolled_back(lab, script, tmp_path):
    lab.apply(SLOW)
    lab.say("start")
    number = lab.release()["release"]
    ran = script("start")
    assert ran.returncode == 1 and f"release {number} of shop/checkout goes on already" in ran.printed, ran.printed
    ran = script("withdraw")
    assert (ran.returncode, ran.printed) == (0, "")
    # The same where the job ended before it saw that answer.
    (tmp_path / "state/shop.checkout/said").write_text("start\n")
    ran = script("withdraw")
    assert ran.returncode == 0 and "nothing is rolled back" in ran.printed, ran.printed
    assert (lab.rollout()["phase"], lab.release()["release"]) == ("Progressing", number)


def test_a_start_whose_answers_are_lost_is_of_this_job_all_the_same(lab, script):
    lab.apply(SLOW)
    before, proxy = lab.release().get("release", 0), losing(lab, 2)
    try:
        ran = script("start", COALMINE_SERVER=proxy.url, COALMINE_TIMEOUT="1")
    finally:
        proxy.close()
    assert ran.returncode == 4 and ran.printed.count("it is asked again") == 2, ran.printed
    assert f"release {before + 1} is rolled back" in ran.printed
    until("rolled back", lambda: lab.rollout()["phase"] == "RolledBack")
    assert lab.release()["release"] == before + 1


def test_an_answer_that_was_lost_begins_no_second_release(lab, script, tmp_path):
    lab.apply(SLOW)
    script("start", COALMINE_TIMEOUT="1", COALMINE_ON_TIMEOUT="leave")
    first = lab.release()["release"]
    (tmp_path / "state/shop.checkout/release").unlink()
    ran = script("withdraw")
    assert ran.returncode == 0, ran.printed
    until("rolled back", lambda: lab.rollout()["phase"] == "RolledBack")
    assert lab.release()["release"] == first


def test_without_a_key_the_number_says_which_release_it_is(lab, script, tmp_path):
    lab.apply(SLOW)
    ran = script("start", COALMINE_IDEMPOTENCY_KEY="", COALMINE_TIMEOUT="1", COALMINE_ON_TIMEOUT="leave")
    assert ran.returncode == 4, ran.printed
    lab.begin_another("Progressing")
    ran = script("withdraw", COALMINE_IDEMPOTENCY_KEY="")
    assert ran.returncode == 0 and "is over, as RolledBack" in ran.printed, ran.printed
    assert lab.rollout()["phase"] == "Progressing", "this is another release"
    # Without both it could be any.
    (tmp_path / "state/shop.checkout/said").write_text("start\n")
    (tmp_path / "state/shop.checkout/release").unlink()
    ran = script("withdraw", COALMINE_IDEMPOTENCY_KEY="")
    assert ran.returncode == 1 and "nobody knows which release" in ran.printed, ran.printed
    assert lab.rollout()["phase"] == "Progressing"


def test_a_rollback_that_the_server_does_not_take_fails_the_job(lab, script):
    lab.apply(SLOW)
    assert script("start", COALMINE_TIMEOUT="1", COALMINE_ON_TIMEOUT="leave").returncode == 4
    ran = script("withdraw", COALMINE_TOKEN=lab.issuer.token(key=lab.issuer.foreign))
    assert ran.returncode == 1 and "is NOT rolled back (401): " in ran.printed, ran.printed
    assert lab.rollout()["phase"] == "Progressing"
    ran = script("withdraw")
    assert ran.returncode == 0 and "is rolled back" in ran.printed, ran.printed
    until("rolled back", lambda: lab.rollout()["phase"] == "RolledBack")
    ran = script("withdraw")
    assert (ran.returncode, ran.printed) == (0, ""), "once is enough"


def test_a_rollback_whose_answer_is_lost_is_said_again(lab, script):
    lab.apply(SLOW)
    assert script("start", COALMINE_TIMEOUT="1", COALMINE_ON_TIMEOUT="leave").returncode == 4
    proxy = losing(lab, 1)
    try:
        ran = script("withdraw", COALMINE_SERVER=proxy.url)
    finally:
        proxy.close()
    assert ran.returncode == 0 and "is rolled back" in ran.printed, ran.printed
    until("rolled back", lambda: lab.rollout()["phase"] == "RolledBack")


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("name", ["COALMINE_TIMEOUT", "COALMINE_POLL", "COALMINE_RELEASE"])
def test_what_is_no_number_is_refused_and_never_evaluated(script, tmp_path, shell, name):
    made = tmp_path / "made"
    for value in (f"a[$(touch {made})]", "1+1", "1.5", "-1", "08", "0x1", "1 ", "9" * 20):
        ran = script("approve", shell=shell, **{name: value})
        assert ran.returncode == 1 and f"{name} is no number in plain digits" in ran.printed, (value, ran.printed)
        assert not made.exists()
    ran = script("approve", shell=shell, COALMINE_POLL="0")
    assert ran.returncode == 1 and "COALMINE_POLL is at least 1" in ran.printed, ran.printed


# The server takes 1,000 characters, and a rollback puts some before those of the message.
@pytest.mark.parametrize("length", [999, 1000, 1001, 6000])
@pytest.mark.parametrize(("shell", "locale"), [("sh", "C"), ("bash", "C"), ("bash", "C.UTF-8")])
def test_a_long_message_is_cut_between_characters(lab, script, shell, locale, length):
    lab.apply(SLOW)
    kept = f'{length} {shell} {locale} "\\" '.ljust(30, "-") + "é€🙂" * 290
    assert len(kept) == 900
    ran = script("start", shell=shell, COALMINE_MESSAGE=kept.ljust(length, "é"), COALMINE_TIMEOUT="1", LC_ALL=locale)
    assert ran.returncode == 4 and "is rolled back" in ran.printed, ran.printed
    until("rolled back", lambda: lab.rollout()["phase"] == "RolledBack")
    said = [line["why"] for line in lab.history()]
    assert any(f"({kept}...)" in why for why in said), said
    assert any(f"(the time is over: {kept}...)" in why for why in said), said


def test_later_jobs_are_told_the_release(lab, script, tmp_path):
    lab.apply(APPROVED)
    told = tmp_path / "coalmine.env"
    ran = script("start", COALMINE_UNTIL="WaitingForApproval", COALMINE_DOTENV=str(told))
    assert ran.returncode == 0, ran.printed
    assert told.read_text() == f"COALMINE_RELEASE={lab.release()['release']}\n"
    assert told.stat().st_mode & 0o044 == 0o044, "the runner that collects it may be another user"
    lab.rest()
    before = lab.release()["release"]
    ran = script("start", COALMINE_DOTENV=str(tmp_path / "none/coalmine.env"))
    assert ran.returncode == 1 and "COALMINE_DOTENV cannot be written" in ran.printed, ran.printed
    assert lab.release()["release"] == before, "nothing was begun"


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


@pytest.fixture
def hasty(tmp_path):
    """A path on which it is two minutes later at each look at the clock, so that each token is old."""
    (tmp_path / "bin").mkdir()
    looks, date = tmp_path / "looks", tmp_path / "bin/date"
    real = shutil.which("date")
    date.write_text(f'#!/bin/sh\necho >>{looks}\necho "$(($({real} +%s) + 121 * $(wc -l <{looks})))"\n')
    date.chmod(0o755)
    return {"PATH": f"{date.parent}:/usr/bin:/bin", "COALMINE_TIMEOUT": "9999999"}


@pytest.fixture
def github(lab, monkeypatch):
    """A job's settings on GitHub, which gives it one token and no other."""
    tokens = iter([lab.issuer.token()])
    monkeypatch.setattr(lab.issuer, "make", lambda audience: next(tokens, ""))
    return lab.issuer.environment() | {"COALMINE_TOKEN": "", "COALMINE_AUDIENCE": lab.issuer.audience}


def test_a_token_that_github_does_not_renew_is_used_on(lab, script, hasty, github):
    lab.apply(FAST)
    asked = len(lab.issuer.requests)
    ran = script("start", COALMINE_UNTIL="Promoting", **github | hasty)
    assert ran.returncode == 0, ran.printed
    assert len(lab.issuer.requests) > asked + 2, "it was asked for again"


def test_no_new_token_of_github_keeps_a_release_from_being_rolled_back(lab, script, hasty, github):
    lab.apply(SLOW)
    process = script.start("start", COALMINE_POLL="30", **github | hasty)
    until("it has looked", lambda: (script.output.parent / "state/shop.checkout/course").exists())
    process.send_signal(signal.SIGTERM)
    printed = process.communicate(timeout=10)[0]
    assert process.returncode == 130 and "is rolled back" in printed, printed
    until("rolled back", lambda: lab.rollout()["phase"] == "RolledBack")


def test_without_a_first_token_of_github_nothing_is_begun(lab, script, github, monkeypatch):
    monkeypatch.setattr(lab.issuer, "make", lambda audience: "")
    lab.apply(SLOW)
    before = lab.release().get("release", 0)
    ran = script("start", **github)
    assert ran.returncode == 1 and "GitHub gives no token" in ran.printed, ran.printed
    assert lab.release().get("release", 0) == before


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
