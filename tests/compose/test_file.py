"""What can be said of the files without running them."""

import re
import subprocess
import sys

import pytest
import yaml

from fleet import FILE, FOLDER, SERVICES

COMPOSE = yaml.safe_load(FILE.read_text())
HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
# A container that was made anew has another address.
DNS = {"@type": "type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster", "dns_refresh_rate": "1s"}


def test_it_fits_the_specification_of_compose():
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", FILE]
    checked = subprocess.run(words, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


def test_it_has_the_services_and_grafana_in_a_profile():
    services = COMPOSE["services"]
    assert {name for name, it in services.items() if "profiles" not in it} == SERVICES
    assert {name for name, it in services.items() if it.get("profiles") == ["grafana"]} == set(services) - SERVICES


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_each_service_is_closed(name):
    service = COMPOSE["services"][name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["healthcheck"]["test"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    # Tags that stay what they are, or an image of our own. Its user is in the Dockerfile.
    assert "build" in service or (re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", service["image"]) and service["user"][0] != "0")


def test_the_proxies_are_those_of_the_fleet():
    """compose/envoy.yaml is bootstrap.yaml, but for what a container needs."""
    text = (FOLDER / "bootstrap.yaml").read_text()
    for old, new in {
        "node: {id: edge-1, cluster: edge}": "node: {cluster: edge}",
        "{address: 127.0.0.1, port_value: 9901}": "{address: 0.0.0.0, port_value: 9901}",
        "{address: 127.0.0.1, port_value: 10000}": "{address: 0.0.0.0, port_value: 10000}",
        "{address: 127.0.0.1, port_value: 8081}": "{address: stable, port_value: 8080}",
        "{address: 127.0.0.1, port_value: 8082}": "{address: canary, port_value: 8080}",
        "{address: 127.0.0.1, port_value: 8470}": "{address: coalmine, port_value: 8470}",
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    expected = yaml.safe_load(text)
    for cluster in expected["static_resources"]["clusters"]:
        cluster["cluster_type"] = {"name": "envoy.clusters.dns", "typed_config": DNS}
    here = yaml.safe_load((FOLDER / "compose/envoy.yaml").read_text())
    token = here["static_resources"]["clusters"][2]["typed_extension_protocol_options"][HTTP].pop("http_filters")
    assert "Bearer %ENVIRONMENT(COALMINE_PROXY_TOKEN)%" in str(token)
    assert here == expected
