"""A real image registry on the bridge, and images in it: the filter's, and any other module's."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path

from . import processes
from .paths import BRIDGE_IP, REGISTRY, ROOT, STATE
from .processes import await_ready, start

CONFIG = f"""\
version: 0.1
log: {{level: warn}}
storage: {{filesystem: {{rootdirectory: "{STATE}/registry"}}, delete: {{enabled: true}}}}
http: {{addr: "{BRIDGE_IP}:5000"}}
"""


def up() -> None:
    """Start the registry, unless it runs."""
    if processes.running("registry"):
        return
    config = STATE / "registry.yaml"
    config.write_text(CONFIG)
    start("registry", ["docker-registry", "serve", str(config)])
    await_ready("registry", lambda: urllib.request.urlopen(f"http://{REGISTRY}/v2/", timeout=2))


def down() -> None:
    """Stop the registry; its images stay."""
    processes.stop("registry")


def push(module: Path, name: str, tag: str) -> str:
    """Make an image of a module as `make image` does, push it as `make push` does; the digest, in hex."""
    script = str(ROOT / "istio" / "image" / "image.sh")
    work = STATE / "images" / f"{name}-{tag}"
    subprocess.run([script, "build", str(module), str(work)], check=True, capture_output=True, text=True)
    done = subprocess.run([script, "push", str(work), f"{REGISTRY}/{name}:{tag}"],
                          check=True, capture_output=True, text=True, env=_insecure())
    return done.stdout.split("sha256: ")[1].split()[0]


def _insecure() -> dict[str, str]:
    import os
    return {**os.environ, "PUSH_INSECURE": "1"}
