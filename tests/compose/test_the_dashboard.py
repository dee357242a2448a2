"""The dashboard's queries, on the Prometheus of the fleet: test_story.py, which gives it a rollout, runs before."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from fleet import FOLDER, ROLLOUT, until

GRAFANA = FOLDER / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards/coalmine.json").read_text())
TARGETS = [(panel["title"], target) for panel in DASHBOARD["panels"] for target in panel["targets"]]
RATE_INTERVAL = "1m"


@pytest.fixture(scope="module")
def busy(fleet):
    """The fleet with a release of a version that fails and is slow, and stays for all that."""
    broken = "fault.http.abort.abort_percent=20&fault.http.delay.fixed_delay_percent=20"
    fleet.coalmine("start", ROLLOUT)
    fleet.coalmine("hold", ROLLOUT, "--no-rollback")
    fleet.coalmine("weights", ROLLOUT, "canary=25", "--server", "http://127.0.0.1:8470")
    assert fleet.curl("--request", "POST", f"http://127.0.0.1:9902/runtime_modify?{broken}") == "OK\n"
    yield fleet
    fleet.coalmine("rollback", ROLLOUT)


def with_values(expr: str) -> str:
    """What Grafana sends for an expression, with all rollouts chosen."""
    expr = expr.replace("$__rate_interval", RATE_INTERVAL).replace("$rollout", ".*")
    assert "$" not in expr, expr
    return expr


@pytest.mark.parametrize(("title", "target"), TARGETS, ids=[f"{title}, {it['refId']}" for title, it in TARGETS])
def test_each_query_has_series_with_the_labels_of_its_legend(busy, title, target):
    series = until(title, lambda: busy.query(with_values(target["expr"])))
    labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
    assert all(labels <= set(it["metric"]) for it in series), series
    # Two lines of the same name could not be told apart.
    named = [tuple(it["metric"][label] for label in sorted(labels)) for it in series]
    assert len(named) == len(set(named)), series


def test_each_metric_is_there(busy):
    names = set(json.loads(busy.curl("http://127.0.0.1:9090/api/v1/label/__name__/values"))["data"])
    asked = {name for _, target in TARGETS for name in re.findall(r"\bcoalmine_\w+", target["expr"])}
    assert asked and asked <= names


def test_the_variable_has_the_rollout(busy):
    (variable,) = DASHBOARD["templating"]["list"]
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"]).groups()
    assert {it["metric"][label] for it in busy.query(metric)} == {ROLLOUT}


def test_it_has_the_form_that_grafana_describes(tmp_path):
    (tmp_path / "node_modules").symlink_to(Path(os.environ["GRAFANA_SCHEMA"]) / "node_modules")
    text = f"import type {{ Dashboard }} from '@grafana/schema';\nexport const it: Partial<Dashboard> = {json.dumps(DASHBOARD)};\n"
    (tmp_path / "dashboard.ts").write_text(text)
    compiler = [os.environ["NODE"], "node_modules/typescript/bin/tsc", "--strict", "--noEmit", "--skipLibCheck"]
    words = [*compiler, "--module", "esnext", "--moduleResolution", "bundler", "dashboard.ts"]
    checked = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_it_uses_what_is_provisioned():
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    used = [panel["datasource"] for panel in DASHBOARD["panels"]] + [target["datasource"] for _, target in TARGETS]
    assert all(it == {"type": source["type"], "uid": source["uid"]} for it in used)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
