"""For a person: the demo applied in the mesh, and how to look at it."""

from __future__ import annotations

from . import network, registry
from .paths import FILTER, KUBECONFIG, LOGS, ROOT, TOOLS
from .scenario import FILTER_IMAGE, Scenario


def show() -> None:
    """Put the filter into the registry, apply istio/demo with it, and print the commands."""
    digest = registry.push(FILTER, FILTER_IMAGE, "lab")
    demo = Scenario("istio/demo")
    demo.apply()
    demo.await_ready()
    gateway, sidecar = demo.gateway(), demo.sidecar()
    caller = f"ip netns exec {network.PREFIX}{sidecar.pod}"
    url = next(demo.plugins())["url"]
    print(f"""\
The mesh is up, and istio/demo is applied in it (with url: {url}).

  export KUBECONFIG={KUBECONFIG} PATH={TOOLS}:$PATH
  kubectl get pods -A -o wide                 # every pod is a network namespace (ip netns list)
  kubectl get trafficextensions -A
  istioctl analyze -A

A user, through the gateway, and from a caller's sidecar:
  curl -H 'host: {gateway.host}' -H 'x-user-id: alice' http://{gateway.address[0]}:{gateway.address[1]}/
  {caller} curl -H 'host: {sidecar.host}' -H 'x-user-id: alice' http://{sidecar.address[0]}/

Inside a proxy, and what it shows to Prometheus:
  {caller} curl localhost:15000/config_dump
  curl http://{gateway.address[0]}:15090/stats/prometheus

To apply istio/demo by hand, put these into istio/demo/image.yaml (and do not commit them):
  url: {url}
  sha256: {digest}

Logs are in {LOGS.relative_to(ROOT)}/. `make mesh-down` takes it all away.""")
