"""The CI/CD component of delivery/gitlab, run by gitlab-ci-local against a real server."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import yaml
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

# A job in the place of the person who approves: it says when it is asked, and waits for the answer.
PERSON = """
person:
  stage: deploy
  needs: ["rollout:start"]
  script:
    - touch ASKED
    - until [ -e ANSWERED ]; do sleep 0.2; done
rollout:approve:
  needs: ["rollout:start", person]
"""

# What GitLab's tokens say of a job, and GitHub's do not.
JOB = {"repository": None, "sub": "project_path:acme/shop:ref_type:branch:ref:main"}


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "checkout"
    shutil.copytree(FOLDER / "templates", folder / "templates")

    def write(server, seconds, more=""):
        text = PIPELINE.replace("THE_URL", server).replace("THE_TIME", str(seconds))
        (folder / ".gitlab-ci.yml").write_text(text + more)
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
    def start(*manual, token=None, seconds=60, more="", jobs=()):
        folder = tmp_path / "checkout"
        if not (folder / ".git").exists():
            project(lab.url, seconds, more)
        arguments = [os.environ["NODE"], os.environ["GITLAB_CI_LOCAL"], "--force-shell-executor", "--no-color", *jobs]
        # GitLab makes the token; gitlab-ci-local leaves it empty. For a job with an image it names a folder that without a
        # container is not there.
        arguments += ["--variable", f"COALMINE_TOKEN={token or lab.issuer.token(**JOB)}", "--variable", f"CI_PROJECT_DIR={folder}"]
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


def test_an_approval_is_of_the_release_that_the_person_was_shown(lab, pipeline, tmp_path):
    asked, answered = tmp_path / "asked", tmp_path / "answered"
    lab.apply(APPROVED)
    more = PERSON.replace("ASKED", str(asked)).replace("ANSWERED", str(answered))
    process = pipeline.start("rollout:approve", more=more)
    until("the person is asked", lambda: asked.exists() or process.poll() is not None, 60)
    shown = lab.release()["release"]
    lab.begin_another("WaitingForApproval")
    answered.touch()
    printed = process.communicate(timeout=60)[0]
    assert process.returncode != 0 and "the server refuses (409): " in printed, printed
    assert (lab.rollout()["phase"], lab.release()["release"]) == ("WaitingForApproval", shown + 1), printed


def test_a_plan_without_approval_is_only_waited_for(lab, pipeline):
    lab.apply(FAST)
    ran = pipeline("rollout:approve", "rollout:promote")
    assert ran.returncode == 0, ran.printed
    assert lab.release()["outcome"] == "Promoted"


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
    pattern = f"{tmp_path}/.*/rollout.sh start"
    children = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True).stdout.split()
    assert children
    for child in children:
        # Of its own children some are for a moment only.
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(child), signal.SIGTERM)
    printed = process.communicate(timeout=60)[0]
    assert process.returncode != 0, printed
    until(f"rolled back\n{printed}", lambda: lab.rollout()["phase"] == "RolledBack", 10)
    assert not list(tmp_path.rglob(".coalmine-*")), "it leaves nothing"


@pytest.fixture
def job(lab, tmp_path):
    """Runs parts of the job that starts a release, each in a shell of its own, as GitLab's runner does."""
    _, component = yaml.safe_load_all((FOLDER / "templates/rollout.yml").read_text())
    base, start = component[".$[[ inputs.job-prefix ]]"], component["$[[ inputs.job-prefix ]]:start"]
    folder = tmp_path / ".coalmine-7"

    def run(*sections, status="running"):
        environment = {
            "PATH": "/usr/bin:/bin",
            "CI_PROJECT_DIR": str(tmp_path),
            "CI_PROJECT_PATH": "acme/shop",
            "CI_PIPELINE_ID": tmp_path.name,
            "CI_JOB_ID": "7",
            "CI_JOB_STATUS": status,
            "COALMINE_SERVER": lab.url,
            "COALMINE_ROLLOUT": "shop/checkout",
            "COALMINE_TOKEN": lab.issuer.token(**JOB),
            "COALMINE_POLL": "1",
            "COALMINE_TIMEOUT": "1",
            "COALMINE_ON_TIMEOUT": "leave",
        }
        text = "\n".join(line for section in sections for line in (base | start)[section])
        return subprocess.run(["sh", "-e", "-c", text], env=environment, cwd=tmp_path, capture_output=True, text=True)

    run.folder = folder
    return run


@pytest.mark.parametrize(("status", "phase"), [("canceled", "RolledBack"), ("success", "Progressing")])
def test_after_a_job_its_folder_is_found_and_removed(lab, job, tmp_path, status, phase):
    lab.apply(SLOW)
    ran = job("before_script", "script")
    assert ran.returncode == 4, ran.stdout + ran.stderr
    assert job.folder.stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "coalmine.env").read_text() == f"COALMINE_RELEASE={lab.release()['release']}\n"
    ran = job("after_script", status=status)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    until(phase, lambda: lab.rollout()["phase"] == phase, 10)
    assert not job.folder.exists()


def test_a_section_that_the_runner_runs_again_has_its_folder(job):
    for _ in range(2):
        ran = job("before_script")
        assert ran.returncode == 0, ran.stderr
    assert (job.folder / "rollout.sh").read_text() == (ROOT / "delivery/github/rollout.sh").read_text()


@pytest.mark.parametrize("what", ["a link", "a file", "another user's"])
def test_a_folder_that_somebody_else_has_made_is_not_used(job, tmp_path, what):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    if what == "a link":
        job.folder.symlink_to(elsewhere)
    elif what == "a file":
        job.folder.write_text("")
    elif os.geteuid() == 0:
        job.folder.mkdir()
        os.chown(job.folder, 65534, 65534)
    else:
        pytest.skip("only root can give a folder away")
    ran = job("before_script")
    assert ran.returncode == 1 and "cannot be made, or is another user's" in ran.stderr, ran.stderr
    assert not list(elsewhere.iterdir())


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
