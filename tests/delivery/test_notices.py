"""Notices of a real server, at a receiver that believes nobody: with the library of Standard Webhooks, which knows nothing of us."""

import datetime
import json

import pytest
from lab import APPROVED, FAST, SECRET, SLOW, until
from standardwebhooks import Webhook, WebhookVerificationError


class Careful:
    """A receiver that takes what is signed, new, and not yet taken."""

    def __init__(self):
        self.webhook, self.taken = Webhook(SECRET), {}

    def take(self, headers, body):
        headers = {name.lower(): it for name, it in headers.items()}
        told = self.webhook.verify(body, headers)
        if headers["webhook-id"] in self.taken:
            raise WebhookVerificationError("it was there before")
        assert told["id"] == headers["webhook-id"]
        self.taken[told["id"]] = told
        return told


@pytest.fixture
def posts(lab):
    lab.audit.posts.clear()
    return lab.audit.posts


def about(posts):
    return [json.loads(body)["about"] for _, body in posts]


def test_a_release_is_told_from_its_start_to_its_end(lab, posts):
    lab.apply(APPROVED)
    lab.say("start")
    until("approval", lambda: "approval" in about(posts))
    lab.say("approve")
    until("all on the canary", lambda: lab.rollout()["phase"] == "Promoting" and lab.rollout()["weight"] == 100)
    lab.say("promote")
    until("the end", lambda: "promoted" in about(posts))
    assert about(posts) == ["started", "approval", "promotes", "promoted"]
    careful = Careful()
    told = [careful.take(headers, body) for headers, body in posts]
    assert {it["release"] for it in told} == {lab.release()["release"]}
    assert told[0]["message"] == "shop/checkout: a release begins: started by admin"
    assert told[1]["weight"] == 50 and told[1]["text"] == told[1]["message"]
    datetime.datetime.fromisoformat(told[0]["at"].replace("Z", "+00:00"))


def test_a_rollback_is_told_when_it_begins_and_when_it_is_done(lab, posts):
    lab.apply(FAST)
    lab.share = 0.6
    lab.say("start")
    until("the end", lambda: "rolledBack" in about(posts))
    assert about(posts) == ["started", "rollsBack", "rolledBack"]
    assert "errors: the canary has" in json.loads(posts[1][1])["message"]


def test_what_a_stranger_sends_is_refused(lab, posts):
    lab.apply(SLOW)
    lab.say("start")
    headers, body = until("told", lambda: posts and posts[0])
    careful = Careful()
    careful.take(headers, body)
    by_name = {name.lower(): it for name, it in headers.items()}
    old = str(int(by_name["webhook-timestamp"]) - 600)
    for what, (sent, text) in {
        "again": (by_name, body),
        "another body": (by_name, body.replace("begins", "ends")),
        "an id of its own": (by_name | {"webhook-id": "shop/checkout-1-1"}, body),
        "another time": (by_name | {"webhook-timestamp": str(int(by_name["webhook-timestamp"]) + 1)}, body),
        "an old time": (by_name | {"webhook-timestamp": old}, body),
        "no signature": ({name: it for name, it in by_name.items() if name != "webhook-signature"}, body),
        "a signature of another secret": (
            by_name | {"webhook-signature": Webhook("whsec_" + "A" * 32).sign("x", datetime.datetime.now(datetime.timezone.utc), body)},
            body,
        ),
    }.items():
        with pytest.raises(WebhookVerificationError):
            careful.take(sent, text)
            pytest.fail(what)


def test_no_secret_of_a_notifier_shows(lab, posts):
    lab.apply(SLOW)
    lab.say("start")
    until("told", lambda: posts)
    for path in ("/v1/rollouts/shop/checkout", "/v1/rollouts/shop/checkout/history", "/openapi.json"):
        text = json.dumps(lab.ask("GET", path)[1])
        assert SECRET not in text and lab.audit.url not in text
    log = (lab.folder / "serve.log").read_text()
    assert SECRET not in log and lab.audit.url not in log
