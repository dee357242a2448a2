"""`python -m lab up|down|missing`: what the make targets call. `python -m lab kubernetes COMMAND ...`: Kubernetes alone.

Only `up` needs more than Python's own library: the mesh can be taken away, and what it lacks be told, without.
"""

from __future__ import annotations

import subprocess
import sys

from . import kubernetes, mesh
from .processes import LabError


def main(action: str) -> int:
    """Do it; 1 with one sentence when it cannot be done."""
    if obstacle := mesh.missing(only_root=action == "down"):
        print(obstacle, file=sys.stderr)
        return 1
    try:
        with mesh.only_one():
            if action == "down":
                mesh.down()
            elif action == "up":
                from . import guide
                mesh.up()
                guide.show()
    except (LabError, subprocess.CalledProcessError, OSError, RuntimeError) as error:
        print(f"mesh: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["kubernetes"] and len(sys.argv) > 2:
        sys.exit(kubernetes.main(sys.argv[2:]))
    if len(sys.argv) != 2 or sys.argv[1] not in ("up", "down", "missing"):
        sys.exit("usage: python -m lab up|down|missing, or: python -m lab kubernetes COMMAND ...")
    sys.exit(main(sys.argv[1]))
