"""The control plane: etcd, kube-apiserver, kube-controller-manager and istiod, each a real one, on loopback.

Only istiod's discovery ports are on the bridge, where the proxies of the pods reach them.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

from . import audit, kube, processes
from .paths import BRIDGE_IP, KUBECONFIG, STATE, ports, tool
from .processes import LabError, await_ready, start, wait_until

PKI = STATE / "pki"
SERVICE_RANGE = "10.96.0.0/16"

MESH_CONFIG = f"""\
trustDomain: cluster.local
rootNamespace: istio-system
defaultConfig:
  discoveryAddress: "{BRIDGE_IP}:15012"
  terminationDrainDuration: 0s
  concurrency: 1
  tracing: {{}}
# What users lived through, by each proxy.
accessLogFile: /dev/stdout
accessLogEncoding: JSON
accessLogFormat: |
  {{"user": "%REQ(X-USER-ID)%", "cluster": "%UPSTREAM_CLUSTER%", "pod": "%UPSTREAM_HOST%", "status": "%RESPONSE_CODE%",
   "at": "%START_TIME(%s.%6f)%"}}
"""


def up() -> None:
    """Bring up what is not up."""
    up_kubernetes()
    _install_istio()
    if not processes.running("istiod"):
        start_istiod()
    if not processes.running("kubernetes-service"):
        _start_kubernetes_service()


def up_kubernetes() -> None:
    """Bring up what is not up of Kubernetes alone."""
    KUBECONFIG.parent.mkdir(parents=True, exist_ok=True)
    if not KUBECONFIG.exists():
        _make_certificates()
    if not processes.running("etcd"):
        start_etcd()
    if not processes.running("kube-apiserver"):
        start_apiserver()
    if not processes.running("kube-controller-manager"):
        _start_controller_manager()


def _openssl(*argv: str) -> None:
    subprocess.run(["openssl", *argv], cwd=PKI, check=True, capture_output=True)


def _certify(name: str, subject: str, alternatives: str) -> None:
    """A key `NAME-key.pem`, and the authority's certificate of it, `NAME.pem`."""
    _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", subject,
             "-addext", f"subjectAltName={alternatives}", "-keyout", f"{name}-key.pem", "-out", f"{name}.csr")
    _openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial",
             "-days", "30", "-copy_extensions", "copy", "-out", f"{name}.pem")


def _make_certificates() -> None:
    """One authority, one certificate that serves and administers, one key pair for service account tokens."""
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
             "-subj", "/CN=coalmine-mesh", "-keyout", "ca-key.pem", "-out", "ca.pem")
    _certify("admin", "/O=system:masters/CN=admin", f"IP:127.0.0.1,IP:{BRIDGE_IP}")
    _openssl("genrsa", "-out", "accounts-key.pem", "2048")
    _openssl("rsa", "-in", "accounts-key.pem", "-pubout", "-out", "accounts.pem")
    KUBECONFIG.write_text(f"""\
apiVersion: v1
kind: Config
current-context: coalmine-mesh
contexts: [{{name: coalmine-mesh, context: {{cluster: coalmine-mesh, user: admin}}}}]
clusters:
- name: coalmine-mesh
  cluster: {{server: "https://127.0.0.1:{ports()['apiserver']}", certificate-authority: "{PKI}/ca.pem"}}
users:
- name: admin
  user: {{client-certificate: "{PKI}/admin.pem", client-key: "{PKI}/admin-key.pem"}}
""")


def authority() -> str:
    """The certificate of the authority, in PEM."""
    return (PKI / "ca.pem").read_text()


def certificate(name: str) -> tuple[str, str]:
    """A certificate for a name, and its key, in PEM."""
    _certify(name, f"/CN={name}", f"DNS:{name}")
    return (PKI / f"{name}.pem").read_text(), (PKI / f"{name}-key.pem").read_text()


def start_etcd() -> None:
    """Start etcd, on what it has kept, and wait until it answers."""
    client, peer = ports()["etcd"], ports()["etcd-peer"]
    start("etcd", [
        tool("etcd"), "--data-dir", str(STATE / "etcd"), "--unsafe-no-fsync", "--log-level", "warn",
        "--listen-client-urls", f"http://127.0.0.1:{client}", "--advertise-client-urls", f"http://127.0.0.1:{client}",
        "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
        "--initial-cluster", f"default=http://127.0.0.1:{peer}",
    ])
    await_ready("etcd", lambda: urllib.request.urlopen(f"http://127.0.0.1:{client}/health", timeout=2))


def start_apiserver() -> None:
    """Start the kube-apiserver and wait until it serves."""
    start("kube-apiserver", [
        tool("kube-apiserver"), "--bind-address=127.0.0.1", f"--secure-port={ports()['apiserver']}",
        f"--etcd-servers=http://127.0.0.1:{ports()['etcd']}", f"--client-ca-file={PKI}/ca.pem",
        f"--tls-cert-file={PKI}/admin.pem", f"--tls-private-key-file={PKI}/admin-key.pem",
        "--authorization-mode=RBAC", "--endpoint-reconciler-type=none", f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={PKI}/accounts.pem", f"--service-account-signing-key-file={PKI}/accounts-key.pem",
        *audit.options(),
        # How it forwards ports: lab/kubelet.py.
        f"--kubelet-certificate-authority={PKI}/ca.pem", f"--kubelet-client-certificate={PKI}/admin.pem",
        f"--kubelet-client-key={PKI}/admin-key.pem", "--kubelet-preferred-address-types=InternalIP",
    ])
    await_ready("kube-apiserver", lambda: kube.get("/readyz") == "ok")


def _start_controller_manager() -> None:
    start("kube-controller-manager", [
        tool("kube-controller-manager"), f"--kubeconfig={KUBECONFIG}", "--bind-address=127.0.0.1",
        f"--secure-port={ports()['controller-manager']}", "--leader-elect=false", f"--cert-dir={STATE}/kcm",
        f"--service-account-private-key-file={PKI}/accounts-key.pem", f"--root-ca-file={PKI}/ca.pem",
        # The lab's node sends no heartbeats: these two would declare it lost, and its pods with it.
        "--controllers=*,-node-lifecycle-controller,-taint-eviction-controller",
    ])


def _start_kubernetes_service() -> None:
    """What the Service `kubernetes` is in a cluster: the address at which pods reach the kube-apiserver."""
    here, there = ports()["kubernetes"], ports()["apiserver"]
    start("kubernetes-service", [sys.executable, "-m", "lab.forward", BRIDGE_IP, str(here), "127.0.0.1", str(there)],
          cwd=Path(__file__).parents[1])
    await_ready("kubernetes-service", lambda: socket.create_connection((BRIDGE_IP, here), 1).close() is None)


def _install_istio() -> None:
    """Install what `istioctl install` installs, but for istiod's own pod: definitions, roles, injector, validator."""
    import yaml  # not above: the mesh can be taken away by a Python without it

    if "istio-system" in (n["metadata"]["name"] for n in kube.get("/api/v1/namespaces")["items"]):
        return
    done = kube.istioctl("manifest", "generate", "--set", "profile=minimal", "--set", "values.defaultRevision=default",
                         "--set", f"values.global.caAddress={BRIDGE_IP}:15012")
    if done.returncode:
        raise LabError(f"istioctl manifest generate: {done.stderr.strip()}")
    documents = [d for d in yaml.safe_load_all(done.stdout) if d and not _of_istiods_pod(d)]
    for webhook in (w for d in documents for w in d.get("webhooks", [])):
        # istiod is on loopback: the webhooks are called by address, not by the name of its Service.
        path = webhook["clientConfig"].pop("service")["path"]
        webhook["clientConfig"]["url"] = f"https://127.0.0.1:{ports()['istiod-https']}{path}"
    kube.kubectl("create", "namespace", "istio-system")
    definitions = [d for d in documents if d["kind"] == "CustomResourceDefinition"]
    kube.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(definitions))
    kube.kubectl("wait", "--for=condition=Established", "customresourcedefinitions", "--all", "--timeout=60s")
    kube.kubectl("apply", "--server-side", "-f", "-", stdin=yaml.safe_dump_all(documents))


def _of_istiods_pod(document: kube.Object) -> bool:
    """Whether a document is about the pod that istiod would have in a cluster."""
    return (document["kind"], document["metadata"]["name"]) in {
        ("Deployment", "istiod"), ("HorizontalPodAutoscaler", "istiod")}


def start_istiod() -> None:
    """Start istiod and wait until it serves. Stock Envoy lacks Istio's own filters: istiod is told not to send them."""
    mesh = STATE / "mesh.yaml"
    mesh.write_text(MESH_CONFIG)
    port = ports()
    start("istiod", [
        tool("pilot-discovery"), "discovery", "--kubeconfig", str(KUBECONFIG), "--meshConfig", str(mesh),
        "--domain", "cluster.local", "--httpAddr", f"127.0.0.1:{port['istiod-http']}",
        "--httpsAddr", f"127.0.0.1:{port['istiod-https']}", "--grpcAddr", f"{BRIDGE_IP}:15010",
        "--secureGRPCAddr", f"{BRIDGE_IP}:15012", "--monitoringAddr", f"127.0.0.1:{port['istiod-monitoring']}",
        "--ctrlz_port", str(port["istiod-ctrlz"]),
    ], cwd=STATE, env={
        "POD_NAME": "istiod-0", "POD_NAMESPACE": "istio-system", "CLUSTER_ID": "Kubernetes",
        "PILOT_ENABLE_METADATA_EXCHANGE": "false", "PILOT_ENABLE_ALPN_FILTER": "false",
        "PILOT_ENABLE_GATEWAY_API": "false", "REVISION": "default",
        "ISTIOD_CUSTOM_HOST": "127.0.0.1",  # a name of its certificate: the kube-apiserver calls the webhooks there
    })
    await_ready("istiod", lambda: urllib.request.urlopen(
        f"http://127.0.0.1:{port['istiod-http']}/ready", timeout=2))
    await_ready("istiod", _webhooks_trusted)


def _webhooks_trusted() -> bool:
    """Whether istiod has written its certificate authority into the webhooks: before, no pod can be made."""
    base = "/apis/admissionregistration.k8s.io/v1"
    found = [webhook for kind in ("mutating", "validating")
             for item in kube.get(f"{base}/{kind}webhookconfigurations")["items"] for webhook in item["webhooks"]]
    return bool(found) and all(webhook["clientConfig"].get("caBundle") for webhook in found)


def kill(name: str) -> None:
    """Kill a part of the control plane, as a lost node would: no goodbye to those who are connected."""
    processes.send(name, 9)
    wait_until(f"{name} gone", lambda: not processes.running(name))
    processes.stop(name)


def down() -> None:
    """End the control plane."""
    for name in ("kubernetes-service", "istiod", "kube-controller-manager", "kube-apiserver", "etcd"):
        processes.stop(name)


def root_certificate(namespace: str) -> str:
    """Istio's root certificate, as istiod hands it to every namespace."""
    def read() -> str:
        return kube.get(f"/api/v1/namespaces/{namespace}/configmaps/istio-ca-root-cert")["data"]["root-cert.pem"]
    return str(wait_until(f"istiod's root certificate in namespace {namespace}", read))
