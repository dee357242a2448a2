"""The fleet of envoy/fleet/docker-compose.yaml, as its README has it: the very file, by `docker compose`."""

import json
import shutil
import subprocess
import time
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "envoy/fleet"
FILE = FOLDER / "docker-compose.yaml"
SECRETS = FOLDER / "compose/secrets"
SERVICES = {"coalmine", "edge-1", "edge-2", "stable", "canary", "users", "prometheus"}
ROLLOUT = "shop/checkout"


class Fleet:
    """The project that `up` has started."""

    def __init__(self, engine, pull: bool):
        self.engine = engine
        self.pull = "missing" if pull else "never"
        self.versions = {"STABLE": "1", "CANARY": "2"}

    def compose(self, *arguments, **more):
        settings = [f"{name}={value}" for name, value in self.versions.items()]
        command = ["env", *settings, "docker", "compose", "--file", str(FILE), *arguments]
        return self.engine.run(command, **more)

    def up(self, *services):
        words = ("--detach", "--wait", "--wait-timeout", "120", "--pull", self.pull, *services)
        ran = self.compose("up", *words, check=False)
        if ran.returncode != 0:
            checks = {name: it["State"].get("Health", {}).get("Log", [])[-1:] for name, it in self.inspect().items()}
            raise AssertionError(f"{ran.stderr}\n{self.logs()}\n{checks}")

    def build(self):
        self.compose("build")

    def down(self):
        self.compose("down", "--volumes", "--timeout", "5")

    def coalmine(self, *arguments, **more):
        """The command, in the server's container, which has no shell."""
        return self.compose("exec", "--no-TTY", "coalmine", "coalmine", *arguments, **more)

    def status(self):
        return json.loads(self.coalmine("status", ROLLOUT, "--format", "json").stdout)

    def curl(self, *arguments):
        """What a client on this host gets."""
        return self.engine.run(["curl", "--silent", "--show-error", "--max-time", "10", *arguments]).stdout

    def inspect(self):
        """What the engine says of the containers, by service."""
        ids = self.compose("ps", "--all", "--quiet").stdout.split()
        found = json.loads(self.engine.run(["docker", "inspect", *ids]).stdout)
        return {it["Config"]["Labels"]["com.docker.compose.service"]: it for it in found}

    def query(self, query: str):
        """The series that Prometheus has for a query."""
        answer = json.loads(self.curl(f"http://127.0.0.1:9090/api/v1/query?query={quote(query)}"))
        assert answer["status"] == "success", f"{query}: {answer}"
        return answer["data"]["result"]

    def logs(self):
        lines = self.compose("logs", "--no-color", "--tail", "2000", check=False).stdout.splitlines()
        # Without the lines of requests.
        return "\n".join(line for line in lines if '"request_id"' not in line)

    def versions_of(self, users):
        """The version that each of these users gets, by each proxy."""
        found = []
        for port in (10000, 10001):
            words = []
            for user in users:
                url = f"http://127.0.0.1:{port}/"
                words += ["--next"] * bool(words)
                words += ["--output", "/dev/null", "--write-out", "%header{x-version} "]
                words += ["--silent", "--max-time", "10", "--header", f"x-user-id: user-{user}", url]
            found.append(dict(zip(users, self.engine.run(["curl", *words]).stdout.split(), strict=True)))
        return found


class Secrets:
    """The secrets of a run: made by the script that users run, and theirs put back afterwards."""

    def __init__(self):
        self.kept = SECRETS.with_name("secrets.kept")

    def make(self):
        if SECRETS.exists() and not self.kept.exists():
            SECRETS.rename(self.kept)
        subprocess.run([FOLDER / "compose/secrets.sh"], check=True)

    def remove(self):
        shutil.rmtree(SECRETS, ignore_errors=True)
        if self.kept.exists():
            self.kept.rename(SECRETS)


def until(what: str, found, seconds: float = 60):
    """Waits until something is found, and gives it."""
    end = time.monotonic() + seconds
    while True:
        it = found()
        if it:
            return it
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.5)
