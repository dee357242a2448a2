"""The CI/CD component of delivery/gitlab, run by gitlab-ci-local against a real server."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from lab import APPROVED, FAST, ROOT, SLOW, until

FOLDER = ROOT / "delivery/gitlab"
# What a project writes, as the README has it.
PIPELINE = """
stages: [deploy]
include:
  - component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/rollout@$CI_COMMIT_SHA
    inputs:
      server: THE_URL
      rollout: shop/checkout
      audience: https://coalmine.example
      timeout-seconds: THE_TIME
      poll-seconds: 1
"""

# What GitLab's tokens say of a job, and GitHub's do not.
JOB = {"repository": None, "sub": "project_path:acme/shop:ref_type:branch:ref:main"}


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "checkout"
    shutil.copytree(FOLDER / "templates", folder / "templates")

    def write(server, seconds):
        (folder / ".gitlab-ci.yml").write_text(PIPELINE.replace("THE_URL", server).replace("THE_TIME", str(seconds)))
        who = ["-c", "user.name=Ada", "-c", "user.email=ada@acme.example"]
        for words in (
            ["init", "--quiet", "--initial-branch=main"],
            ["add", "."],
            [*who, "commit", "--quiet", "-m", "x"],
            ["remote", "add", "origin", "git@gitlab.example:acme/shop.git"],
            ["update-ref", "refs/remotes/origin/main", "HEAD"],
            ["remote", "set-head", "origin", "main"],
        ):
            subprocess.run(["git", *words], cwd=folder, check=True)
        return folder

    return write


@pytest.fixture
def pipeline(lab, project, tmp_path):
    def start(*manual, token=None, seconds=60, jobs=()):
        folder = tmp_path / "checkout"
        if not (folder / ".git").exists():
            project(lab.url, seconds)
        arguments = [os.environ["NODE"], os.environ["GITLAB_CI_LOCAL"], "--force-shell-executor", "--no-color", *jobs]
        # GitLab makes the token; gitlab-ci-local leaves it empty.
        arguments += ["--variable", f"COALMINE_TOKEN={token or lab.issuer.token(**JOB)}"]
        for job in manual:
            arguments += ["--manual", job]
        environment = os.environ | {"HOME": str(tmp_path)}
        return subprocess.Popen(
            arguments, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def run(*manual, **more):
        process = start(*manual, **more)
        process.printed = process.communicate(timeout=150)[0]
        return process

    run.start = start
    return run


def test_the_component_has_the_script_letter_by_letter():
    template = (FOLDER / "templates/rollout.yml").read_text()
    begin, end = "<<'END_OF_SCRIPT'\n", "\n      END_OF_SCRIPT\n"
    script = textwrap.dedent(template.split(begin)[1].split(end)[0])
    assert script + "\n" == (ROOT / "delivery/github/rollout.sh").read_text()


def test_a_good_canary_waits_for_a_person_and_is_promoted(lab, pipeline):
    lab.apply(APPROVED)
    ran = pipeline("rollout:approve", "rollout:promote")
    assert ran.returncode == 0, ran.printed
    assert "json schema validated" in ran.printed
    assert lab.release()["outcome"] == "Promoted"
    history = str(lab.history())
    assert "start by gitlab:project_path:acme/shop" in history and "approve by gitlab:" in history, history


def test_without_a_person_nothing_goes_on(lab, pipeline):
    lab.apply(APPROVED)
    ran = pipeline()
    assert "PASS  rollout:start" in ran.printed and "rollout:approve  " not in ran.printed, ran.printed
    assert lab.rollout()["phase"] == "WaitingForApproval"


def test_a_person_who_says_no_sends_users_back(lab, pipeline):
    lab.apply(APPROVED)
    pipeline("rollout:withdraw")
    assert lab.release()["outcome"] == "RolledBack"
    assert "the approval was refused" in str(lab.history())


def test_a_bad_canary_fails_the_job(lab, pipeline):
    lab.apply(FAST)
    lab.share = 0.6
    ran = pipeline("rollout:approve")
    assert ran.returncode != 0 and "ended as RolledBack" in ran.printed, ran.printed
    assert lab.release()["outcome"] == "RolledBack"


def test_when_the_time_is_over_it_fails_and_rolls_back(lab, pipeline):
    lab.apply(SLOW)
    ran = pipeline(seconds=1)
    assert ran.returncode != 0 and "the time is over" in ran.printed, ran.printed
    until("rolled back", lambda: lab.rollout()["phase"] == "RolledBack")


def test_a_job_that_is_cancelled_rolls_back(lab, pipeline, tmp_path):
    """GitLab sends its runner's signal, and runs `after_script` with the status `canceled`; here is the first of both."""
    lab.apply(SLOW)
    process = pipeline.start()
    until("it goes on", lambda: lab.rollout()["phase"] == "Progressing")
    children = subprocess.run(["pgrep", "-f", "/tmp/coalmine-.*sh start"], capture_output=True, text=True).stdout.split()
    assert children
    for child in children:
        os.kill(int(child), signal.SIGTERM)
    printed = process.communicate(timeout=60)[0]
    assert process.returncode != 0, printed
    until(f"rolled back\n{printed}", lambda: lab.rollout()["phase"] == "RolledBack", 10)


def test_a_token_that_does_not_hold_is_refused(lab, pipeline):
    lab.apply(FAST)
    ran = pipeline(token=lab.issuer.token(aud="https://other.example"))
    assert ran.returncode != 0 and "the server refuses (401)" in ran.printed, ran.printed


def test_the_pipeline_is_what_gitlabs_schema_says(lab, project):
    folder = project(lab.url, 60)
    check = Path(sys.executable).parent / "check-jsonschema"
    whole = folder / "whole.yml"
    arguments = [os.environ["NODE"], os.environ["GITLAB_CI_LOCAL"], "--preview", "--force-shell-executor"]
    whole.write_text(subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=True).stdout)
    words = ["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci", whole]
    ran = subprocess.run([check, *words], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "rollout:approve" in whole.read_text()
