"""`python -m lab up|down|missing`: what the make targets call."""

from __future__ import annotations

import subprocess
import sys

from . import mesh
from .processes import LabError


def main(action: str) -> int:
    """Do it; 1 with one sentence when it cannot be done."""
    obstacle = mesh.missing()
    if action == "missing":
        print(obstacle or "", end="\n" if obstacle else "")
        return 1 if obstacle else 0
    if obstacle:
        print(obstacle, file=sys.stderr)
        return 1
    try:
        with mesh.only_one():
            if action == "down":
                mesh.down()
            elif not mesh.up():
                print("the mesh is up already")
        if action == "up":
            print(mesh.guide())
    except (LabError, subprocess.CalledProcessError, OSError, RuntimeError) as error:
        print(f"mesh: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in ("up", "down", "missing"):
        sys.exit("usage: python -m lab up|down|missing")
    sys.exit(main(sys.argv[1]))
