"""The action and the reusable workflow of delivery/github, run by act against a real server."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from lab import APPROVED, FAST, ROOT, SLOW, until

FOLDER = ROOT / "delivery/github"
# What a caller writes, as the README has it, with the time that a test has.
RELEASE = """
name: release
on: workflow_dispatch
permissions: {}
jobs:
  release:
    runs-on: ubuntu-latest
    permissions:
      contents: read
      id-token: write
    steps:
      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2
        with:
          persist-credentials: false
      - id: coalmine
        uses: ./.github/actions/coalmine
        with:
          server: ${{ vars.COALMINE_SERVER }}
          rollout: shop/checkout
          audience: https://coalmine.example
          until: ${{ vars.UNTIL }}
          timeout-minutes: ${{ vars.MINUTES }}
          poll-seconds: 1
      - env:
          RELEASE: ${{ steps.coalmine.outputs.release }}
          PHASE: ${{ steps.coalmine.outputs.phase }}
        run: echo "stable is renewed for release $RELEASE, in $PHASE"
      - uses: ./.github/actions/coalmine
        with:
          server: ${{ vars.COALMINE_SERVER }}
          rollout: shop/checkout
          audience: https://coalmine.example
          verb: promote
          release: ${{ steps.coalmine.outputs.release }}
          poll-seconds: 1
      - if: cancelled()
        uses: ./.github/actions/coalmine
        with:
          server: ${{ vars.COALMINE_SERVER }}
          rollout: shop/checkout
          audience: https://coalmine.example
          verb: withdraw
"""
REVIEWED = """
name: reviewed
on: workflow_dispatch
permissions: {}
jobs:
  rollout:
    permissions:
      contents: read
      id-token: write
    uses: ./.github/workflows/rollout.yml
    with:
      server: ${{ vars.COALMINE_SERVER }}
      rollout: shop/checkout
      environment: production
      audience: https://coalmine.example
      poll-seconds: 1
"""


@pytest.fixture
def repository(tmp_path):
    """A repository that has copied what the README says."""
    return make_repository(tmp_path / "shop")


def make_repository(folder):
    action, workflows = folder / ".github/actions/coalmine", folder / ".github/workflows"
    action.mkdir(parents=True)
    workflows.mkdir()
    for name in ("action.yml", "rollout.sh"):
        shutil.copy(FOLDER / name, action)
    shutil.copy(FOLDER / "rollout.yml", workflows)
    (workflows / "release.yml").write_text(RELEASE)
    (workflows / "reviewed.yml").write_text(REVIEWED)
    commit(folder)
    return folder


def commit(folder):
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@acme.example"]
    for words in (["init", "--quiet", "--initial-branch=main"], ["add", "."], [*who, "commit", "--quiet", "-m", "x"]):
        subprocess.run(["git", *words], cwd=folder, check=True)


@pytest.fixture
def act(lab, repository, tmp_path):
    def start(workflow, **settings):
        variables = {"COALMINE_SERVER": lab.url, "UNTIL": "Promoting", "MINUTES": "2"} | settings
        arguments = [os.environ["ACT"], "workflow_dispatch", "-W", f".github/workflows/{workflow}.yml"]
        arguments += ["-P", "ubuntu-latest=-self-hosted", "--no-cache-server"]
        for name, value in variables.items():
            arguments += ["--var", f"{name}={value}"]
        # On GitHub each run has another number.
        run = {"GITHUB_RUN_ID": str(time.time_ns())}
        for name, value in (lab.issuer.environment() | run).items():
            arguments += ["--env", f"{name}={value}"]
        environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path), "DOCKER_HOST": ""}
        return subprocess.Popen(
            arguments, cwd=repository, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def run(workflow, **settings):
        process = start(workflow, **settings)
        process.printed = process.communicate(timeout=150)[0]
        return process

    run.start = start
    return run


def test_a_good_canary_is_promoted_without_a_secret(lab, act):
    lab.apply(FAST)
    ran = act("release")
    assert ran.returncode == 0, ran.printed
    assert lab.release()["outcome"] == "Promoted"
    assert re.search(r"stable is renewed for release \d+, in Promoting", ran.printed), ran.printed
    assert "start by github:repo:acme/shop:ref:refs/heads/main" in str(lab.history())


def test_a_bad_canary_fails_the_workflow_and_the_next_step_does_not_run(lab, act):
    lab.apply(FAST)
    lab.share = 0.6
    ran = act("release")
    assert ran.returncode == 1 and "ended as RolledBack" in ran.printed, ran.printed
    assert lab.release()["outcome"] == "RolledBack"
    assert "stable is renewed" not in ran.printed.replace("echo ", "")


def test_when_the_time_is_over_it_fails_and_rolls_back(lab, act):
    lab.apply(SLOW)
    ran = act("release", MINUTES="0")
    assert ran.returncode == 1 and "the time is over" in ran.printed, ran.printed
    until("rolled back", lambda: lab.rollout()["phase"] == "RolledBack")


def test_a_workflow_that_is_cancelled_rolls_back(lab, act):
    lab.apply(SLOW)
    process = act.start("release")
    until("it goes on", lambda: lab.rollout()["phase"] == "Progressing")
    process.send_signal(signal.SIGINT)
    printed = process.communicate(timeout=60)[0]
    assert process.returncode != 0, printed
    until(f"rolled back\n{printed}", lambda: lab.rollout()["phase"] == "RolledBack", 10)


def test_an_approval_that_is_given_goes_on(lab, act):
    lab.apply(APPROVED)
    ran = act("reviewed")
    assert ran.returncode == 0, ran.printed
    assert lab.rollout()["phase"] == "Promoting"
    assert "approve by github:repo:acme/shop" in str(lab.history())


def reviewed_by(step, repository):
    """act knows no environments: instead of a reviewer, a first step of the job in the environment."""
    workflow = repository / ".github/workflows/rollout.yml"
    before, after = workflow.read_text().split("    environment: ${{ inputs.environment }}\n")
    workflow.write_text(before + after.replace("    steps:\n", f"    steps:\n      - run: {step}\n", 1))


def test_an_approval_is_of_the_release_that_the_reviewer_was_shown(lab, act, repository, tmp_path):
    asked, answered = tmp_path / "asked", tmp_path / "answered"
    reviewed_by(f"touch {asked}; until [ -e {answered} ]; do sleep 0.2; done", repository)
    lab.apply(APPROVED)
    process = act.start("reviewed")
    until("the reviewer is asked", lambda: asked.exists() or process.poll() is not None, 60)
    shown = lab.release()["release"]
    lab.begin_another("WaitingForApproval")
    answered.touch()
    printed = process.communicate(timeout=60)[0]
    assert process.returncode == 1 and "the server refuses (409): " in printed, printed
    # Neither the yes nor the job that rolls back after what went wrong is about this one.
    assert (lab.rollout()["phase"], lab.release()["release"]) == ("WaitingForApproval", shown + 1), printed


def test_an_approval_that_is_refused_rolls_back(lab, act, repository):
    # GitHub fails the job of an environment whose reviewer says no.
    reviewed_by("exit 1", repository)
    lab.apply(APPROVED)
    ran = act("reviewed")
    assert ran.returncode == 1, ran.printed
    assert lab.release()["outcome"] == "RolledBack", ran.printed
    assert "the approval was refused" in str(lab.history())


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    return make_repository(tmp_path_factory.mktemp("copied") / "shop")


def clean(*arguments, cwd):
    ran = subprocess.run(arguments, cwd=cwd, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def test_actionlint_finds_nothing(copied):
    clean(os.environ["ACTIONLINT"], cwd=copied)


def test_zizmor_finds_nothing(copied, tmp_path):
    # Neither act nor actionlint knows `$/`, GitHub's newer way to say `./`.
    config = tmp_path / "zizmor.yml"
    config.write_text("rules: {self-repository: {disable: true}}\n")
    told = clean(Path(sys.executable).parent / "zizmor", "--offline", "--config", config, ".", cwd=copied)
    assert "rollout.yml" in told and "action.yml" in told, "it has looked at all of them"


def test_the_files_are_what_githubs_schemas_say(copied):
    check = Path(sys.executable).parent / "check-jsonschema"
    workflows = sorted(str(it) for it in copied.glob(".github/workflows/*.yml"))
    clean(check, "--builtin-schema", "vendor.github-workflows", *workflows, cwd=copied)
    clean(check, "--builtin-schema", "vendor.github-actions", ".github/actions/coalmine/action.yml", cwd=copied)


def test_no_input_is_a_part_of_a_shells_text():
    for step in yaml.safe_load((FOLDER / "action.yml").read_text())["runs"]["steps"]:
        assert "${{" not in step["run"], step


@pytest.mark.parametrize("minutes", ["a[$(touch MADE)]", "1+1", "1.5", "-1", "08", "0x1", "", "123456"])
def test_minutes_that_are_no_number_are_refused_and_never_evaluated(minutes, tmp_path):
    made = tmp_path / "made"
    [step] = yaml.safe_load((FOLDER / "action.yml").read_text())["runs"]["steps"]
    environment = {
        "PATH": "/usr/bin:/bin",
        "GITHUB_ACTION_PATH": str(FOLDER),
        "COALMINE_VERB": "start",
        "COALMINE_MINUTES": minutes.replace("MADE", str(made)),
    }
    # As GitHub runs a step of a composite action.
    words = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]]
    ran = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 1 and "timeout-minutes is no number in plain digits" in ran.stderr, ran.stderr
    assert not made.exists()
    ran = subprocess.run(words, env=environment | {"COALMINE_MINUTES": "350"}, cwd=tmp_path, capture_output=True, text=True)
    assert "COALMINE_SERVER" in ran.stderr, "this one comes to the script"
