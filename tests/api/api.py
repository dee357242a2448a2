"""The API of a real server, held against its own description by a stranger who knows nothing else: schemathesis.

usage: api.py COMMAND        the `coalmine` to serve with

MAX_EXAMPLES (50): requests of an operation in a phase. SEED (1): another one makes other requests.
"""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"

WRITER = "writer-0123456789abcdef"
READER = "reader-0123456789abcdef"
CONFIG = """
listen: 127.0.0.1:0
admin: 127.0.0.1:0
store: coalmine.db
tick: 1s
policy: {slow: [250ms]}
tokens:
- {name: writer, value: {env: WRITER}, may: write}
- {name: reader, value: {env: READER}, may: read, rollouts: [shop/checkout]}
"""

PLAN = """
policy:
  match: {hosts: [HOST]}
  identity: [{header: x-user-id}, {cookie: sid}]
  variants: [{name: canary}]
plan:
  steps: [1, 5, 25, 50]
  guards: {errors: {}, latency: {slowerThan: 250ms}}
"""
WEIGHTS = """
policy:
  match: {hosts: [HOST]}
  identity: [{cookie: sid}]
  variants: [{name: canary}]
weights: {canary: 12.5}
"""
ROLLOUTS = [
    ("shop/checkout", PLAN, ["start"]),
    ("shop/search", PLAN, ["start", "pause"]),
    ("shop/cart", PLAN, []),
    ("bank/checkout", PLAN, ["start", "rollback"]),
    ("bank/search", PLAN, ["start", "promote"]),
    ("bank/cart", WEIGHTS, []),
]

SERVES = re.compile(r"coalmine serves on (\S+), health and metrics on (\S+)")
COUNTED = re.compile(r'coalmine_server_requests_total{route="([^"]+)",method="([^"]+)",code="(\d+)"} (\d+)')
SECONDS = 600


class Server:
    """A server with rollouts in several states."""

    def __init__(self, command: Path, folder: Path) -> None:
        self.command, self.folder = command, folder

    def __enter__(self) -> "Server":
        (self.folder / "server.yaml").write_text(CONFIG)
        self.log = self.folder / "log"
        environment = os.environ | {"WRITER": WRITER, "READER": READER, "COALMINE_LOG": "debug"}
        arguments = [self.command, "serve", "--config", "server.yaml"]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(arguments, cwd=self.folder, env=environment, stderr=log)
        try:
            self.url, self.admin = self.addresses()
            for name, document, verbs in ROLLOUTS:
                document = document.replace("HOST", f"{name.replace('/', '.')}.example")
                self.ask("PUT", f"/v1/rollouts/{name}", document)
                for verb in verbs:
                    self.ask("POST", f"/v1/rollouts/{name}/{verb}")
        except BaseException:
            self.process.kill()
            self.process.wait()
            print(self.log.read_text(), file=sys.stderr)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise
        log = self.log.read_text()
        assert code == 0, f"the server ends with {code}\n{log}"
        assert "panicked" not in log, log
        for token in (WRITER, READER):
            assert token not in log, "a token is in the log"

    def addresses(self) -> tuple[str, str]:
        # It says where it listens, or ends and says why not.
        while self.process.poll() is None:
            if found := SERVES.search(self.log.read_text()):
                return found[1], found[2]
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=0.05)
        raise AssertionError("the server has not begun")

    def ask(self, method: str, path: str, body: str = "") -> str:
        headers = {"Authorization": f"Bearer {WRITER}"}
        request = urllib.request.Request(self.url + path, body.encode(), headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def counted(self) -> dict[tuple[str, str, int], int]:
        """Requests so far, by route, method and code."""
        with urllib.request.urlopen(f"{self.admin}/metrics", timeout=10) as answer:
            lines = COUNTED.findall(answer.read().decode())
        return {(route, method, int(code)): int(count) for route, method, code, count in lines}

    def operations(self) -> set[tuple[str, str]]:
        paths = json.loads(self.ask("GET", "/openapi.json"))["paths"]
        return {(route, method.upper()) for route, item in paths.items() for method in item}


def explore(server: Server, token: str) -> None:
    """All that a stranger with this token finds out."""
    examples, seed = os.environ.get("MAX_EXAMPLES", "50"), os.environ.get("SEED", "1")
    arguments = [SCHEMATHESIS, "--config-file", HERE / "schemathesis.toml", "run", f"{server.url}/openapi.json"]
    arguments += ["--checks", "all", "--max-examples", examples, "--seed", seed, "--no-color"]
    environment = os.environ | {"COALMINE_TOKEN": token}
    subprocess.run(arguments, cwd=server.folder, env=environment, timeout=SECONDS, check=True)


def done(before: dict[tuple[str, str, int], int], server: Server) -> set[tuple[str, str]]:
    """What was done meanwhile, not only asked for, by route and method."""
    after = server.counted()
    rose = (key for key, count in after.items() if count > before.get(key, 0))
    return {(route, method) for route, method, code in rose if 200 <= code < 300}


def main(command: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, Server(command, Path(folder)) as server:
        before = server.counted()
        explore(server, WRITER)
        missing = server.operations() - done(before, server)
        assert not missing, f"never came to their end: {sorted(missing)}"

    with tempfile.TemporaryDirectory() as folder, Server(command, Path(folder)) as server:
        before = server.counted()
        explore(server, READER)
        changed = {(route, method) for route, method in done(before, server) if method not in ("GET", "HEAD")}
        # This one only asks.
        changed.discard(("/v1/rollouts/{namespace}/{name}/verdict/{word}", "POST"))
        assert not changed, f"a token that may read has done: {sorted(changed)}"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]).resolve())
