"""The server's image, by buildah, which needs no daemon: what is in it, and that it runs alone, as nobody in particular."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "image" / "image.sh"
FOLDER = ROOT / os.environ.get("SERVER_IMAGE", "target/server-image")
VERSION = "1.2.3"
USER = 65532
FILES = {"etc/ssl/certs/ca-certificates.crt", "usr/local/bin/coalmine", "usr/local/share/coalmine/coalmine.wasm"}
CONFIGURATION = "{listen: '127.0.0.1:0', admin: '127.0.0.1:0', xds: {inline: /usr/local/share/coalmine/coalmine.wasm}}"


class Image:
    """An image as it would be pushed."""

    def __init__(self, folder: Path) -> None:
        done = subprocess.run([SCRIPT, "server", FOLDER, folder, VERSION], capture_output=True, text=True,
                              env={**os.environ, "IMAGE_TOOL": "buildah"})
        assert done.returncode == 0, done.stderr
        self.told, self.blobs = done.stdout, folder / "layout" / "blobs" / "sha256"
        self.digest = (folder / "digest").read_text()
        self.manifest = self.read(self.digest)
        self.config = self.read(self.manifest["config"]["digest"])

    def read(self, digest: str) -> dict:
        """A document of the image."""
        return json.loads((self.blobs / digest.removeprefix("sha256:")).read_text())

    def layers(self) -> Iterator[tarfile.TarFile]:
        """Its layers, open."""
        for layer in self.manifest["layers"]:
            with tarfile.open(self.blobs / layer["digest"].removeprefix("sha256:")) as opened:
                yield opened


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image."""
    return Image(tmp_path_factory.mktemp("image") / "built")


@pytest.fixture(scope="module")
def root(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's root, on this machine."""
    folder = tmp_path_factory.mktemp("root")
    for layer in image.layers():
        layer.extractall(folder, numeric_owner=True)
    folder.chmod(0o755)
    return folder


def run(root: Path, *argv: str, **how: object) -> subprocess.Popen[str]:
    """Start a program of the root, as the image's user, with nothing of this machine's."""
    def enter() -> None:
        os.chroot(root)
        os.chdir("/var/lib/coalmine")
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)

    return subprocess.Popen(argv, preexec_fn=enter, env={}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            **how)


def test_the_same_files_make_the_same_image(image: Image, tmp_path: Path) -> None:
    """To the last bit, and its digest is told."""
    assert Image(tmp_path / "again").digest == image.digest
    assert image.digest in image.told


def test_nothing_else_is_in_it(image: Image) -> None:
    """No shell, no library, nothing that belongs to another user or raises rights."""
    entries = [entry for layer in image.layers() for entry in layer.getmembers()]
    assert {entry.name for entry in entries if not entry.isdir()} == FILES
    assert all(entry.uid == 0 and not entry.mode & 0o7022 for entry in entries if not entry.isdir())
    assert [entry.uid for entry in entries if entry.name == "var/lib/coalmine"] == [USER]


def test_it_serves_as_nobody_in_particular(image: Image) -> None:
    """What a container engine reads of it."""
    config = image.config["config"]
    assert config["User"] == f"{USER}:{USER}"
    assert config["Entrypoint"] == ["/usr/local/bin/coalmine"]
    assert config["Cmd"] == ["serve", "--config", "/etc/coalmine/server.yaml"]
    assert config["Labels"]["org.opencontainers.image.version"] == VERSION


def test_the_command_runs_alone(root: Path) -> None:
    """Without a library, a shell, /proc or /dev."""
    out, _ = run(root, "/usr/local/bin/coalmine", "--version").communicate(timeout=60)
    assert out.startswith("coalmine "), out


def test_the_server_starts_alone(image: Image, root: Path) -> None:
    """With the module and the authorities that lie in the image, until it is told to end."""
    (root / "etc" / "coalmine").mkdir()
    (root / "etc" / "coalmine" / "server.yaml").write_text(CONFIGURATION)
    server = run(root, *image.config["config"]["Entrypoint"], *image.config["config"]["Cmd"])
    assert server.stdout
    try:
        lines, deadline = [], time.monotonic() + 60
        for line in server.stdout:
            lines.append(line)
            if "coalmine serves on http://127.0.0.1:" in line or time.monotonic() > deadline:
                break
        assert "coalmine serves on http://127.0.0.1:" in lines[-1], "".join(lines)
    finally:
        server.terminate()
        assert server.wait(timeout=30) == 0
