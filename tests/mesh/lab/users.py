"""Who should get what: the `coalmine` command says, and binomial chance says how many."""

from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .kube import Object
from .paths import COALMINE


def crowd(count: int, prefix: str = "user") -> list[str]:
    """A fixed list of users."""
    return [f"{prefix}-{number:06d}" for number in range(count)]


def assign(policy: Object, users: Sequence[str], rollout: str = "checkout") -> dict[str, str]:
    """The variant of every user, by `coalmine assign`."""
    return {user: row["variant"] for user, row in _assignments(policy, users, rollout).items()}


def buckets(policy: Object, users: Sequence[str], rollout: str = "checkout") -> dict[str, int]:
    """The bucket of every user, 0 to 999,999, by `coalmine assign`."""
    return {user: int(row["bucket"]) for user, row in _assignments(policy, users, rollout).items()}


def _assignments(policy: Object, users: Sequence[str], rollout: str) -> dict[str, dict[str, str]]:
    with tempfile.TemporaryDirectory() as directory:
        names = Path(directory, "users")
        names.write_text("\n".join(users) + "\n")
        told = coalmine("assign", "--rollout", rollout, "--users", str(names), "--format", "csv", policy=policy)
    return {row["user"]: row for row in csv.DictReader(io.StringIO(told))}


def token(policy: Object, variant: str, *options: str) -> str:
    """A token that forces a variant, by `coalmine token`."""
    return coalmine("token", "--variant", variant, *options, policy=policy).strip()


def coalmine(action: str, *argv: str, policy: Object) -> str:
    """What the command prints about a policy."""
    done = subprocess.run([str(COALMINE), action, *argv, "-"], input=json.dumps(policy), capture_output=True, text=True)
    assert done.returncode == 0, f"coalmine {action}: {done.stderr}"
    return done.stdout


def interval(users: int, percent: float, confidence: float = 0.999) -> tuple[int, int]:
    """How many of `users` a fair draw at `percent` takes, with the given confidence: the exact binomial interval."""
    p, tail = percent / 100, (1 - confidence) / 2
    if p in (0, 1):
        return round(users * p), round(users * p)

    def probability(k: int) -> float:
        return math.exp(math.lgamma(users + 1) - math.lgamma(k + 1) - math.lgamma(users - k + 1)
                        + k * math.log(p) + (users - k) * math.log1p(-p))
    low, below = 0, probability(0)
    while below <= tail:
        low += 1
        below += probability(low)
    high, above = users, probability(users)
    while above <= tail:
        high -= 1
        above += probability(high)
    return low, high
