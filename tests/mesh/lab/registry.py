"""A real image registry on the bridge, and images in it: the filter's, and any other module's."""

from __future__ import annotations

import os
import subprocess
import urllib.request
from pathlib import Path

from . import processes
from .paths import BRIDGE_IP, REGISTRY, ROOT, STATE, program
from .processes import LabError, await_ready, start

CONFIG = f"""\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: "{STATE}/registry"}}, delete: {{enabled: true}}}}
http: {{addr: "{BRIDGE_IP}:5000"}}
"""


def command() -> str | None:
    """Debian's docker-registry: installed, or fetched for the lab alone."""
    return program("docker-registry")


def up() -> None:
    """Start the registry, unless it runs."""
    if processes.running("registry"):
        return
    config = STATE / "registry.yaml"
    config.write_text(CONFIG)
    start("registry", [command() or "docker-registry", "serve", str(config)])
    await_ready("registry", lambda: urllib.request.urlopen(f"http://{REGISTRY}/v2/", timeout=2))


def down() -> None:
    """Stop the registry; its images stay."""
    processes.stop("registry")


def push(module: Path, name: str, tag: str) -> str:
    """Make an image of a module as `make image` does, push it as `make push` does; its digest, in hex."""
    work = STATE / "images" / f"{name}-{tag}"
    image("filter", str(module), str(work), tag)
    return image("push", str(work), f"{REGISTRY}/{name}:{tag}").split("sha256: ")[1].strip()


def image(*words: str) -> str:
    """Run the image script, with buildah: the registry has no TLS, which docker does not just take. What it prints."""
    done = subprocess.run([str(ROOT / "image" / "image.sh"), *words], capture_output=True, text=True,
                          env={**os.environ, "IMAGE_TOOL": "buildah", "PUSH_INSECURE": "1"})
    if done.returncode:
        raise LabError(f"image.sh {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout
