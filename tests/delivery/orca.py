"""Orca's webhook stage, by what orca v8.56.0 does: it creates, polls, and cancels.

| Orca | here |
|---|---|
| `CreateWebhookTask` | `Stage.create` |
| `MonitorWebhookTask` | `Stage.monitor` |
| `cancelEndpoint`, on cancel and on failure | `Stage.cancel` |

Its times are seconds of a clock of its own: what it waits for an hour takes none here.
"""

import json
import re
import urllib.error
import urllib.parse
import urllib.request

CREATE_AGAIN, CREATE_FOR = 10, 300
POLL_FIRST, POLL_LATER, FIRST_MINUTE = 1, 15, 60
DEFAULT_LIMIT = 3600_000


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


class Terminal(Exception):
    """The stage fails."""


def evaluated(value, context):
    """Values of `${...}`, as far as these files have them."""
    if isinstance(value, dict):
        return {name: evaluated(it, context) for name, it in value.items()}
    if isinstance(value, list):
        return [evaluated(it, context) for it in value]
    if not isinstance(value, str):
        return value
    for expression in re.findall(r"\$\{(.*?)\}", value):
        value = value.replace("${" + expression + "}", context[expression.strip()])
    assert "${" not in value, value
    return value


def configured(stage, preconfigured):
    """A stage as it runs: with what orca.yml has for its type. Of times, the pipeline's counts alone."""
    if stage.get("alias") != "preconfiguredWebhook":
        return stage
    known = {it["type"]: it for it in preconfigured["webhook"]["preconfigured"]}[stage["type"]]
    names = {it["name"] for it in known["parameters"]}
    assert names == set(stage["parameterValues"]), "each parameter is asked for, and each answer"
    # Headers of preconfigured stages are lists.
    headers = {name: values[0] for name, values in known["customHeaders"].items()}
    return known | {"customHeaders": headers} | {name: it for name, it in stage.items() if name != "type"}


class Stage:
    def __init__(self, stage, context, address, token):
        values = {f"parameterValues['{name}']": it for name, it in stage.get("parameterValues", {}).items()}
        self.stage = evaluated(stage, context | values)
        # What a user replaces.
        text = json.dumps(self.stage).replace("https://coalmine.example", address).replace("Bearer TOKEN", f"Bearer {token}")
        self.stage = json.loads(text)
        self.clock, self.limit = 0, self.stage.get("stageTimeoutMs", DEFAULT_LIMIT) / 1000
        self.progress = []

    def ask(self, url, method="GET", payload=None):
        """The status of an answer, its headers and its JSON; a 3xx is followed nowhere."""
        if not urllib.parse.urlparse(url).scheme:
            raise Terminal(f"non absolute URI: {url}")
        # Orca strips headers of its own, and sends the others with every request of the stage.
        headers = {name: it for name, it in self.stage["customHeaders"].items() if not name.lower().startswith("x-spinnaker-")}
        body = payload if payload is None or isinstance(payload, str) else json.dumps(payload)
        request = urllib.request.Request(url, body and body.encode(), headers, method=method)
        try:
            with urllib.request.build_opener(NoRedirect).open(request, timeout=20) as answer:
                return answer.status, answer.headers, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()

    def create(self):
        begun = self.clock
        while True:
            status, headers, body = self.ask(self.stage["url"], self.stage["method"], self.stage["payload"])
            if 200 <= status < 400:
                break
            again = status == 429 or status >= 500
            if status in self.stage.get("failFastStatusCodes", [504]) or not again:
                raise Terminal(f"{status}: {body}")
            if self.clock - begun >= CREATE_FOR:
                raise Terminal(f"{status} for too long")
            self.clock += CREATE_AGAIN
        assert self.stage["waitForCompletion"] and self.stage["statusUrlResolution"] == "locationHeader"
        self.status_url = headers["Location"]
        if not urllib.parse.urlparse(self.status_url).scheme:
            raise Terminal(f"non absolute URI: {self.status_url}")

    def look(self):
        """Whether the stage has succeeded; none of it while it runs."""
        status, _, body = self.ask(self.status_url)
        if status == 429 or status >= 500:
            return False
        if status >= 400:
            raise Terminal(f"{status}: {body}")
        word, progress = (path(body, self.stage[name]) for name in ("statusJsonPath", "progressJsonPath"))
        assert isinstance(progress, str) and progress, "a progress that is none fails the stage"
        self.progress.append(progress)
        listed = lambda name: [it.strip().lower() for it in self.stage.get(name, "").split(",")]
        assert listed("successStatuses") != [""], "without it Orca crashes"
        if word.lower() in listed("successStatuses"):
            return True
        if word.lower() in listed("terminalStatuses"):
            raise Terminal(word)
        return False

    def monitor(self, wait):
        """Polls until the stage has succeeded; `wait` lets so much time pass for the server."""
        begun = self.clock
        while not self.look():
            if self.clock - begun > self.limit:
                raise Terminal("the stage has timed out")
            self.clock += POLL_FIRST if self.clock - begun < FIRST_MINUTE else POLL_LATER
            wait()

    def cancel(self):
        if self.stage.get("signalCancellation"):
            return self.ask(self.stage["cancelEndpoint"], self.stage["cancelMethod"], self.stage["cancelPayload"])[0]
        return None

    def run(self, wait):
        try:
            self.create()
            self.monitor(wait)
        except Terminal:
            # A stage that fails cancels too.
            self.cancelled = self.cancel()
            raise


def path(body, expression):
    assert expression.startswith("$.")
    return body[expression[2:]]
