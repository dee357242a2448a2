"""An engine of Docker for one run: in a network namespace of its own, with folders of its own, and nothing of it stays.

In the network of the host, dockerd would close the forwarding of packets for everybody else on it.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

NAME = "coalmine-compose"
# Short: containerd's socket lies below, and the path of a socket has 108 characters at most.
RUN = Path("/run") / NAME
DATA = Path("/var/tmp") / NAME
# In the cgroup hierarchy, for all containers.
CGROUPS = f"/{NAME}"
LOCK = Path("/run") / f"{NAME}.lock"
PATIENCE = 60


class Engine:
    """A running dockerd. `stop` takes away all that it has made, also after a run that was killed."""

    def __init__(self, compose: Path):
        self.enter = ["nsenter", f"--net=/run/netns/{NAME}"]
        self.environment = {
            **os.environ,
            "DOCKER_HOST": f"unix://{RUN}/docker.sock",
            "DOCKER_CONFIG": str(RUN / "client"),
        }
        self.compose = compose
        self.lock = None
        self.daemon = None

    def start(self):
        self.lock = LOCK.open("w")
        # One run at a time on a machine; it waits for the other one.
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.clean()
        plugins = RUN / "client" / "cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / "docker-compose").symlink_to(self.compose)
        subprocess.run(["ip", "netns", "add", NAME], check=True)
        # Not `ip netns exec`: it mounts another /sys, where dockerd finds no cgroups.
        subprocess.run([*self.enter, "ip", "link", "set", "lo", "up"], check=True)
        log = (RUN / "log").open("w")
        self.daemon = subprocess.Popen(
            [
                *self.enter,
                "dockerd",
                f"--data-root={DATA}",
                f"--exec-root={RUN}/exec",
                f"--pidfile={RUN}/pid",
                f"--host=unix://{RUN}/docker.sock",
                f"--cgroup-parent={CGROUPS}",
                "--storage-driver=overlay2",
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # What interrupts the tests does not reach it: they take everything down in order.
            start_new_session=True,
        )
        self.await_(lambda: self.run(["docker", "version"], check=False).returncode == 0, "dockerd does not start")

    def stop(self):
        self.clean()
        self.lock.close()

    def run(self, arguments, check=True, **more):
        """Runs a command with this engine and in its network."""
        more = {"capture_output": True, "text": True, "timeout": 300, **more}
        ran = subprocess.run([*self.enter, *arguments], env=self.environment, **more)
        if check and ran.returncode != 0:
            raise AssertionError(f"{' '.join(arguments)} ends with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
        return ran

    def clean(self):
        pid = self.running()
        if pid:
            os.kill(pid, signal.SIGTERM)
            if self.daemon:
                self.daemon.wait(PATIENCE)
            self.await_(lambda: not self.running(), "dockerd does not end")
        if Path(f"/run/netns/{NAME}").exists():
            subprocess.run(["ip", "netns", "del", NAME], check=True)
        for folder in (RUN, DATA):
            shutil.rmtree(folder, ignore_errors=True)
        for folder in sorted(Path("/sys/fs/cgroup").glob(f"**{CGROUPS}")):
            folder.rmdir()

    def running(self):
        """The process id of the daemon, also of one that a killed run has left."""
        try:
            pid = int((RUN / "pid").read_text())
            words = Path(f"/proc/{pid}/cmdline").read_text()
        except (OSError, ValueError):
            return None
        return pid if f"--data-root={DATA}" in words else None

    def left(self):
        """What is still there of it, by name."""
        mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        found = [mount for mount in mounts if mount.startswith((str(RUN), str(DATA)))]
        found += [str(path) for path in (RUN, DATA, Path(f"/run/netns/{NAME}")) if path.exists()]
        found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**{CGROUPS}")]
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_text().replace("\0", " ")
            except OSError:
                continue
            if str(RUN) in words:
                found.append(f"{path.parent.name}: {words}")
        return found

    @staticmethod
    def await_(holds, why):
        end = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > end:
                raise AssertionError(f"{why} within {PATIENCE} s")
            time.sleep(0.1)


class MachinesEngine:
    """The engine that this machine has, for COALMINE_IMAGES=pull. Its ports are those of the file, and have to be free."""

    def __init__(self, compose: Path):
        del compose

    def start(self):
        self.run(["docker", "compose", "version"])

    def stop(self):
        pass

    def run(self, arguments, check=True, **more):
        more = {"capture_output": True, "text": True, "timeout": 600, **more}
        ran = subprocess.run(arguments, **more)
        if check and ran.returncode != 0:
            raise AssertionError(f"{' '.join(arguments)} ends with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
        return ran

    def left(self):
        return []
