"""What istio/ holds: valid for the real kube-apiserver, clean for istioctl, as restricted as it can be."""

from __future__ import annotations

import copy
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab import kube, movers, paths, registry
from lab.kube import Object
from lab.scenario import PLUGINS, Scenario, render

# tests/chart is for the server's.
FOLDERS = sorted(str(path.parent.relative_to(paths.ROOT)) for path in paths.ISTIO.rglob("kustomization.yaml")
                 if paths.ISTIO / "controller" not in (path.parent, *path.parents))
# The two that are whole, and what can be added to each: to analyse that, the rest has to be there.
ADDITIONS = {"istio/demo": ("istio/fallback", "istio/bucket-header", "istio/plugin/trafficextension/waypoint"),
             "istio/demo-wasmplugin": ("istio/fallback", "istio/bucket-header", "istio/plugin/wasmplugin/waypoint")}


@pytest.fixture(scope="module")
def demo(applied: Scenario) -> Iterator[Scenario]:
    """The namespaces that the folders name, and all the rest of the demo; and what a CanaryRollout is, a Canary and a Rollout."""
    definitions = yaml.safe_dump_all([*render("istio/controller/crd.yaml"), *movers.definitions()])
    kube.kubectl("apply", "--server-side", "-f", "-", stdin=definitions)
    kube.kubectl("wait", "--for=condition=Established", "customresourcedefinitions", "--all", "--timeout=60s")
    yield applied
    kube.kubectl("delete", "-f", "-", stdin=definitions)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_passes_the_schemas_and_istios_own_validation(demo: Scenario, folder: str) -> None:
    """A dry run on the server: unknown fields, wrong types, CRD rules and istiod's webhook would each refuse."""
    documents = render(folder)
    for document in documents:
        # Under another name: the dry run is to judge the whole document, not its difference to what is there.
        document["metadata"]["name"] += "-x"
        if document["kind"] != "Namespace":
            document["metadata"].setdefault("namespace", "shop")
    kube.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump_all(documents))


def test_the_schemas_do_refuse_what_is_wrong(demo: Scenario) -> None:
    """So that the case above means something."""
    for kind, field in (("TrafficExtension", "phaze"), ("Deployment", "replica"), ("VirtualService", "htp")):
        document = copy.deepcopy(demo.find(kind))
        document["metadata"]["name"] += "-x"
        document["spec"][field] = "AUTHZ"
        with pytest.raises(kube.LabError, match=field):
            kube.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", stdin=yaml.safe_dump(document))


@pytest.mark.parametrize("folder", list(ADDITIONS))
def test_istioctl_analyze_is_clean_on_the_files(mesh: bool, tmp_path: Path, folder: str) -> None:
    """No errors, no warnings, no remarks."""
    files = []
    for source in (folder, *ADDITIONS[folder]):
        files.append(tmp_path / f"{source.replace('/', '-')}.yaml")
        files[-1].write_text(yaml.safe_dump_all(render(source)))
    done = kube.istioctl("analyze", "--use-kube=false", "-A", *map(str, files))
    assert "No validation issues found" in done.stdout + done.stderr, done.stdout + done.stderr


def test_istioctl_analyze_is_clean_on_the_mesh(demo: Scenario) -> None:
    """The same of what runs; two remarks are about the lab itself, not about the demo."""
    done = kube.istioctl("analyze", "-A", "--suppress", "IST0102=Namespace default",
                         *(word for name in ("MutatingWebhookConfiguration istio-sidecar-injector",
                                             "ValidatingWebhookConfiguration istio-validator-istio-system",
                                             "ValidatingWebhookConfiguration istiod-default-validator")
                           for word in ("--suppress", f"IST0164={name}")))
    assert "No validation issues found" in done.stdout + done.stderr, done.stdout + done.stderr


def test_stable_and_canary_differ_in_the_image_and_the_version_label_only(mesh: bool) -> None:
    """Whatever else differed would be measured as if it were the new version's doing."""
    documents = render("istio/app")

    def normalised(variant: str) -> Object:
        deployment = next(d for d in documents
                          if (d["kind"], d["metadata"]["name"]) == ("Deployment", f"checkout-{variant}"))
        image = deployment["spec"]["template"]["spec"]["containers"][0].pop("image")
        labels = [deployment["metadata"]["labels"], deployment["spec"]["selector"]["matchLabels"],
                  deployment["spec"]["template"]["metadata"]["labels"]]
        assert {label.pop("version") for label in labels} == {variant}
        deployment["metadata"].pop("name")
        images.append(image)
        return deployment

    images: list[str] = []
    assert normalised("stable") == normalised("canary")
    assert images[0].rpartition(":")[0] == images[1].rpartition(":")[0] and images[0] != images[1]


@pytest.mark.parametrize("folder", list(ADDITIONS))
def test_one_policy_and_one_kind_of_plugin(mesh: bool, folder: str) -> None:
    """Gateway and sidecars carry the same policy, and TrafficExtension and WasmPlugin are never applied together."""
    documents = render(folder)
    kinds = [d["kind"] for d in documents if d["kind"] in PLUGINS]
    assert len(kinds) == 2 and len(set(kinds)) == 1
    gateway, sidecar = Scenario(folder).plugins()
    for key in ("pluginConfig", "url", "sha256", "failStrategy"):
        assert gateway[key] == sidecar[key]
    assert gateway["failStrategy"] == "FAIL_OPEN"


def test_the_workloads_are_restricted(demo: Scenario) -> None:
    """Every pod template of the demo is admitted by a namespace that enforces Kubernetes' restricted profile.

    The shop's own namespace only warns, because of istio-init; the ingress's enforces, with the injected proxy in it.
    """
    labels = kube.get("/api/v1/namespaces/istio-ingress")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    for document in demo.documents:
        if document["kind"] == "Deployment":
            template = document["spec"]["template"]
            pod = {"apiVersion": "v1", "kind": "Pod", "spec": {**template["spec"], "serviceAccountName": "default"},
                   "metadata": {"name": "restricted", "labels": {"sidecar.istio.io/inject": "false"}}}
            kube.kubectl("create", "--dry-run=server", "-n", "istio-ingress", "-f", "-", stdin=yaml.safe_dump(pod))
            assert template["spec"]["automountServiceAccountToken"] is False


def test_the_image_is_reproducible_and_as_istio_wants_it(mesh: bool, tmp_path: Path) -> None:
    """The same digest twice; one gzipped layer with /plugin.wasm; the module unchanged; labels."""
    def build(name: str) -> Path:
        told = registry.image("filter", str(paths.FILTER), str(tmp_path / name), "1.2.3")
        assert hashlib.sha256(paths.FILTER.read_bytes()).hexdigest() in told
        assert (tmp_path / name / "digest").read_text() in told
        return tmp_path / name

    first, second = build("first"), build("second")
    digest = (first / "digest").read_text()
    assert digest == (second / "digest").read_text()

    def blob(name: str) -> bytes:
        return (first / "layout" / "blobs" / "sha256" / name.removeprefix("sha256:")).read_bytes()

    manifest = json.loads(blob(digest))
    assert [layer["mediaType"] for layer in manifest["layers"]] == ["application/vnd.oci.image.layer.v1.tar+gzip"]
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blob(manifest["layers"][0]["digest"])))) as layer:
        assert layer.getnames() == ["plugin.wasm"]
        plugin = layer.extractfile("plugin.wasm")
        assert plugin and plugin.read() == paths.FILTER.read_bytes()
    labels = json.loads(blob(manifest["config"]["digest"]))["config"]["Labels"]
    assert labels["org.opencontainers.image.version"] == "1.2.3"
