"""Stand-ins for the public images of envoy/fleet/docker-compose.yaml, under their names, made of programs of this machine.

Each keeps what the real image promises (entry point, arguments, user, folders, which tools there are and which not), so that
a file that works here works there. COALMINE_IMAGES=pull takes the real ones.
"""

import re
import shutil
import subprocess
from pathlib import Path

# What starts Envoy in its image: as root it goes on as the user `envoy`, whose id ENVOY_UID changes.
ENVOY_ENTRY = """#!/bin/sh
set -e
if [ "${1#-}" != "$1" ]; then set -- envoy "$@"; fi
if [ "$ENVOY_UID" != 0 ] && [ "$(id -u)" = 0 ]; then
  chown envoy: /dev/stdout /dev/stderr || true
  exec setuidgid envoy "$@"
fi
exec "$@"
"""
USERS = "root:x:0:0::/root:/bin/sh\nenvoy:x:101:101::/nonexistent:/bin/false\nnobody:x:65534:65534::/:/bin/false\n"
GROUPS = "root:x:0:\nenvoy:x:101:\nnogroup:x:65534:\n"


def make(engine, folder: Path, envoy: Path, prometheus: Path):
    """Makes all of them in an engine."""
    import_image(
        engine,
        root(folder / "envoy", [(envoy, "usr/local/bin/envoy"), (which("bash"), "bin/bash")], "sh id chown setuidgid grep"),
        "envoyproxy/envoy:v1.40.0",
        ['ENTRYPOINT ["/docker-entrypoint.sh"]', 'CMD ["envoy", "-c", "/etc/envoy/envoy.yaml"]', "EXPOSE 10000"],
        files={"docker-entrypoint.sh": ENVOY_ENTRY},
    )
    import_image(
        engine,
        root(folder / "curl", [(which("curl"), "usr/bin/curl")], "sh find touch sleep test"),
        "curlimages/curl:8.15.0",
        ['ENTRYPOINT ["curl"]', "USER nobody"],
    )
    metrics = root(folder / "prometheus", [(prometheus, "bin/prometheus")], "sh wget")
    (metrics / "prometheus").mkdir()
    shutil.chown(metrics / "prometheus", 65534, 65534)
    import_image(
        engine,
        metrics,
        "prom/prometheus:v3.16.0",
        [
            'ENTRYPOINT ["/bin/prometheus"]',
            'CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]',
            "USER nobody",
            "WORKDIR /prometheus",
            "VOLUME /prometheus",
        ],
    )


def root(folder: Path, programs, tools: str) -> Path:
    """A root with programs, what they are linked to, and tools of busybox."""
    for name in ("bin", "etc", "proc", "sys", "dev", "tmp", "usr/bin"):
        (folder / name).mkdir(parents=True)
    (folder / "tmp").chmod(0o1777)
    (folder / "etc/passwd").write_text(USERS)
    (folder / "etc/group").write_text(GROUPS)
    for program, place in programs:
        copy(program, folder / place)
        linked = subprocess.run(["ldd", program], capture_output=True, text=True)
        for library in re.findall(r"(/\S+) \(0x", linked.stdout):
            copy(library, folder / library.lstrip("/"))
    copy(which("busybox"), folder / "bin/busybox")
    for tool in tools.split():
        (folder / "bin" / tool).symlink_to("busybox")
    return folder


def import_image(engine, folder: Path, name: str, changes, files=None):
    for path, text in (files or {}).items():
        (folder / path).write_text(text)
        (folder / path).chmod(0o755)
    words = [word for change in changes for word in ("--change", change)]
    with subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE) as tar:
        engine.run(["docker", "import", *words, "-", name], stdin=tar.stdout)
    shutil.rmtree(folder)


def copy(program, place: Path):
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(program, place)


def which(name: str) -> str:
    found = shutil.which(name)
    if not found:
        raise AssertionError(f"no {name}: apt-get install {'busybox-static' if name == 'busybox' else name}")
    return found
