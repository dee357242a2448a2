"""What workloads have asked of the kube-apiserver, and whether it was allowed: its audit log."""

from __future__ import annotations

import json
from collections.abc import Iterator

from .kube import Object
from .paths import LOGS, STATE

LOG = LOGS / "audit.log"


def options() -> list[str]:
    """The words with which the kube-apiserver writes it."""
    policy = STATE / "audit.yaml"
    policy.write_text(json.dumps({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}],
    }))
    return [f"--audit-policy-file={policy}", f"--audit-log-path={LOG}"]


def size() -> int:
    """How many bytes the log has."""
    return LOG.stat().st_size


def events(user: str, since: int) -> Iterator[Object]:
    """What a user has asked for since the log had so many bytes."""
    with open(LOG, "rb") as log:
        log.seek(since)
        for line in log:
            # The last line may be half written.
            if not line.endswith(b"\n"):
                return
            event = json.loads(line)
            if event["user"]["username"] == user:
                yield event


def resource(reference: Object) -> str:
    """What an `objectRef` is about, with its subresource."""
    return "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
