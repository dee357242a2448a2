"""A real `coalmine serve`, an Envoy that follows it, two versions of an application, and users: what a pipeline acts on."""

import contextlib
import http.client
import itertools
import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from issuer import Issuer

ROOT = Path(__file__).resolve().parents[2]
ADMIN, SPINNAKER, FLAGGER = "admin-0123456789abcdef", "spinnaker-0123456789ab", "flagger-0123456789abcd"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
AUDIENCE = "https://coalmine.example"
SERVES = re.compile(r"coalmine serves on (\S+), health and metrics on (\S+)")

CONFIG = """
listen: 127.0.0.1:0
admin: 127.0.0.1:0
store: coalmine.db
tick: 1s
xds: {{inline: {module}}}
evidence: {{proxies: ["127.0.0.1:{envoy_admin}"]}}
policy: {{slow: [250ms], bucketRoute: {{bucketHeader: {{name: x-coalmine-bucket, total: 100}}}}}}
tokens:
- {{name: admin, value: {{env: ADMIN}}, may: write}}
- {{name: spinnaker, value: {{env: SPINNAKER}}, may: operate, rollouts: [shop/*]}}
- {{name: flagger, value: {{env: FLAGGER}}, may: read, rollouts: [shop/checkout]}}
oidc:
- {{name: github, issuer: "{issuer}", audience: "{audience}", claims: {{repository: acme/shop}}, may: operate, rollouts: [shop/*]}}
- {{name: gitlab, issuer: "{issuer}", audience: "{audience}", claims: {{project_path: acme/shop}}, may: operate, rollouts: [shop/*]}}
queries:
  orders: {{url: "http://127.0.0.1:1/counts"}}
notifiers:
  audit: {{url: "{audit}", secret: {{env: SECRET}}}}
"""
ROLLOUT = """
policy:
  match: {hosts: [shop.example]}
  identity: [{header: x-user-id}]
  variants: [{name: canary}]
plan: PLAN
"""
FAST = "{steps: [20, 50], dwell: 1s, warmUp: 0s, minRequests: 20, onInconclusive: promote, notify: [audit]}"
APPROVED = FAST.replace("50", "{weight: 50, approval: true}")
SLOW = FAST.replace("dwell: 1s", "dwell: 1h")
SECONDS = 40


def until(what, holds, seconds=SECONDS):
    """Awaits what holds, and gives what it gives."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.05)
    return found


class Served(ThreadingHTTPServer):
    """A server of the tests at a free port, until it is closed."""

    daemon_threads = True

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def close(self):
        self.shutdown()
        self.server_close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, body="", **headers):
        body = body.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def log_message(self, *_):
        pass


def losing(lab, answers):
    """A proxy before the server, on which the answers to the first so many posts are lost. The server has done what they say."""
    lost = iter(range(answers))

    class Losing(Handler):
        def do_GET(self):
            self.forward("GET")

        def do_POST(self):
            self.forward("POST")

        def forward(self, method):
            names = ("idempotency-key", "content-type")
            headers = {name.replace("-", "_"): it for name, it in self.headers.items() if name.lower() in names}
            token = self.headers["Authorization"].removeprefix("Bearer ")
            status, body, told = lab.ask(method, self.path, self.body(), token, **headers)
            if method == "POST" and next(lost, None) is not None:
                return self.answer(503)
            location = {"Location": told["Location"]} if told["Location"] else {}
            return self.answer(status, json.dumps(body, separators=(",", ":")), **location)

    return Served(Losing)


def version(failing):
    """A version of the application, of whose requests `failing()` is the share that fails."""
    dice = random.Random(1)

    class Version(Handler):
        def do_GET(self):
            self.answer(500 if dice.random() < failing() else 200)

    return Served(Version)


class Receiver:
    """A program that is told by the server: it keeps what comes."""

    def __init__(self):
        self.posts, posts = [], (lambda post: self.posts.append(post))

        class Hook(Handler):
            def do_POST(self):
                posts((dict(self.headers.items()), self.body().decode()))
                self.answer(204)

        self.served = Served(Hook)
        self.url, self.close = f"{self.served.url}/hook", self.served.close


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


class Lab:
    def __init__(self, folder):
        self.folder, self.share, self.ends = folder, 0.0, contextlib.ExitStack()

    def start(self):
        self.issuer = Issuer(AUDIENCE)
        self.audit = Receiver()
        self.stable, self.canary = version(lambda: 0.0), version(lambda: self.share)
        for it in (self.issuer, self.audit, self.stable, self.canary):
            self.ends.callback(it.close)
        self.envoy_port, self.envoy_admin = free_port(), free_port()
        self.serve()
        self.follow()
        self.users = [threading.Thread(target=self.come, args=(lane,), daemon=True) for lane in range(4)]
        self.is_over = threading.Event()
        for lane in self.users:
            lane.start()
        self.ends.callback(self.leave)

    def stop(self):
        self.ends.close()

    def spawn(self, arguments, log, **environment):
        with (self.folder / log).open("w") as out:
            process = subprocess.Popen(
                [str(it) for it in arguments], cwd=self.folder, env=os.environ | environment, stdout=out, stderr=out
            )

        def end():
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

        self.ends.callback(end)
        return process

    def serve(self):
        config = CONFIG.format(
            module=os.environ["COALMINE_FILTER"],
            envoy_admin=self.envoy_admin,
            issuer=self.issuer.url,
            audience=AUDIENCE,
            audit=self.audit.url,
        )
        (self.folder / "server.yaml").write_text(config)
        secrets = {"ADMIN": ADMIN, "SPINNAKER": SPINNAKER, "FLAGGER": FLAGGER, "SECRET": SECRET}
        process = self.spawn([os.environ["COALMINE_COMMAND"], "serve", "--config", "server.yaml"], "serve.log", **secrets)
        log = self.folder / "serve.log"

        def addresses():
            assert process.poll() is None, log.read_text()
            return SERVES.search(log.read_text())

        self.url, self.admin = until("the server serves", addresses).groups()

    def follow(self):
        text = (ROOT / "envoy/fleet/bootstrap.yaml").read_text()
        ports = {10000: self.envoy_port, 9901: self.envoy_admin, 8081: self.stable.server_port, 8082: self.canary.server_port}
        for shipped, port in (ports | {8470: int(self.url.rsplit(":", 1)[1])}).items():
            assert (text := text.replace(f"port_value: {shipped}", f"port_value: {port}")).count(f"port_value: {port}") == 1
        token = '# initial_metadata: [{key: authorization, value: "Bearer TOKEN"}]'
        assert token in text
        (self.folder / "envoy.yaml").write_text(text.replace(token, token[2:].replace("TOKEN", ADMIN)))
        arguments = [os.environ["COALMINE_ENVOY"], "--config-path", "envoy.yaml", "--concurrency", "1", "--use-dynamic-base-id"]
        self.spawn([*arguments, "--log-level", "warn"], "envoy.log")

        def follows():
            known = self.ask("GET", "/v1/proxies")[1]["proxies"]
            return any(proxy.get("connected") for proxy in known)

        until("the proxy follows", follows)

    def come(self, lane):
        """Users who come again and again."""
        numbers = itertools.cycle(range(lane * 1000, lane * 1000 + 250))
        connection = http.client.HTTPConnection("127.0.0.1", self.envoy_port, timeout=5)
        while not self.is_over.wait(0.01):
            try:
                connection.request("GET", "/", headers={"Host": "shop.example", "x-user-id": f"user-{next(numbers)}"})
                connection.getresponse().read()
            except OSError:
                connection.close()

    def leave(self):
        self.is_over.set()
        for lane in self.users:
            lane.join()

    def ask(self, method, path, body=None, token=ADMIN, **headers):
        """The status of an answer, its body and its headers; no redirect is followed."""
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=10)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        try:
            text = json.loads(text)
        except ValueError:
            pass
        return answer.status, text, answer.headers

    def apply(self, plan):
        status, told, _ = self.ask("PUT", "/v1/rollouts/shop/checkout", ROLLOUT.replace("PLAN", plan))
        assert status in (200, 201), told

    def say(self, verb):
        status, told, _ = self.ask("POST", f"/v1/rollouts/shop/checkout/{verb}")
        assert status in (200, 202), told

    def begin_another(self, phase):
        """Instead of the release that goes on, another one, in this phase."""
        self.say("rollback")
        until("rolled back", lambda: self.rollout()["phase"] == "RolledBack")
        self.say("start")
        until(phase, lambda: self.rollout()["phase"] == phase)

    def rollout(self):
        return self.ask("GET", "/v1/rollouts/shop/checkout")[1]

    def release(self):
        """The latest release, over or not; none before the first one."""
        return self.rollout().get("release") or {}

    def history(self):
        return self.ask("GET", "/v1/rollouts/shop/checkout/history?limit=200")[1]

    def rest(self):
        """No release, and nothing wrong with the canary."""
        self.share = 0.0
        status, told, _ = self.ask("GET", "/v1/rollouts/shop/checkout")
        if status == 200 and told["phase"] not in ("Idle", "RolledBack"):
            self.say("rollback")
        until("it rests", lambda: status == 404 or self.rollout()["phase"] in ("Idle", "RolledBack"))
