"""The control plane: etcd, kube-apiserver, kube-controller-manager and istiod, each a real one, on loopback.

Only istiod's discovery ports are on the bridge, where the proxies of the pods reach them.
"""

from __future__ import annotations

import subprocess
import urllib.request

from . import kube, processes
from .paths import BRIDGE_IP, KUBECONFIG, STATE, go_module, ports, tool
from .processes import await_ready, start, wait_until

PKI = STATE / "pki"
SERVICE_RANGE = "10.96.0.0/16"

MESH_CONFIG = f"""\
trustDomain: cluster.local
rootNamespace: istio-system
defaultConfig:
  discoveryAddress: "{BRIDGE_IP}:15010"
  terminationDrainDuration: 0s
  tracing: {{}}
"""


def up() -> None:
    """Bring up what is not up."""
    KUBECONFIG.parent.mkdir(parents=True, exist_ok=True)
    if not KUBECONFIG.exists():
        _make_certificates()
    if not processes.running("etcd"):
        _start_etcd()
    if not processes.running("kube-apiserver"):
        _start_apiserver()
    if not processes.running("kube-controller-manager"):
        _start_controller_manager()
    _install_istio_resources()
    if not processes.running("istiod"):
        start_istiod()


def _openssl(*argv: str) -> None:
    subprocess.run(["openssl", *argv], cwd=PKI, check=True, capture_output=True)


def _make_certificates() -> None:
    """One authority, one certificate that serves and administers, one key pair for service account tokens."""
    _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
             "-subj", "/CN=coalmine-mesh", "-keyout", "ca-key.pem", "-out", "ca.pem")
    _openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-subj", "/O=system:masters/CN=admin", "-addext", "subjectAltName=IP:127.0.0.1",
             "-keyout", "admin-key.pem", "-out", "admin.csr")
    _openssl("x509", "-req", "-in", "admin.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial",
             "-days", "30", "-copy_extensions", "copy", "-out", "admin.pem")
    _openssl("genrsa", "-out", "accounts-key.pem", "2048")
    _openssl("rsa", "-in", "accounts-key.pem", "-pubout", "-out", "accounts.pem")
    KUBECONFIG.write_text(f"""\
apiVersion: v1
kind: Config
current-context: coalmine-mesh
contexts: [{{name: coalmine-mesh, context: {{cluster: coalmine-mesh, user: admin}}}}]
clusters: [{{name: coalmine-mesh, cluster: {{server: "https://127.0.0.1:{ports()['apiserver']}", certificate-authority: {PKI}/ca.pem}}}}]
users: [{{name: admin, user: {{client-certificate: {PKI}/admin.pem, client-key: {PKI}/admin-key.pem}}}}]
""")


def _start_etcd() -> None:
    client, peer = ports()["etcd"], ports()["etcd-peer"]
    start("etcd", [
        tool("etcd"), "--data-dir", str(STATE / "etcd"), "--unsafe-no-fsync", "--log-level", "warn",
        "--listen-client-urls", f"http://127.0.0.1:{client}", "--advertise-client-urls", f"http://127.0.0.1:{client}",
        "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
        "--initial-cluster", f"default=http://127.0.0.1:{peer}",
    ])
    await_ready("etcd", lambda: urllib.request.urlopen(f"http://127.0.0.1:{client}/health", timeout=2))


def _start_apiserver() -> None:
    start("kube-apiserver", [
        tool("kube-apiserver"), "--bind-address=127.0.0.1", f"--secure-port={ports()['apiserver']}",
        f"--etcd-servers=http://127.0.0.1:{ports()['etcd']}", f"--client-ca-file={PKI}/ca.pem",
        f"--tls-cert-file={PKI}/admin.pem", f"--tls-private-key-file={PKI}/admin-key.pem",
        "--authorization-mode=RBAC", "--endpoint-reconciler-type=none", f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={PKI}/accounts.pem", f"--service-account-signing-key-file={PKI}/accounts-key.pem",
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


def _install_istio_resources() -> None:
    """Istio's custom resource definitions, and its namespace."""
    definitions = go_module("istio", "istio.io/api") / "kubernetes" / "customresourcedefinitions.gen.yaml"
    if kube.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]:
        return
    kube.kubectl("apply", "--server-side", "-f", str(definitions))
    kube.kubectl("wait", "--for=condition=Established", "customresourcedefinitions", "--all", "--timeout=60s")
    kube.kubectl("create", "namespace", "istio-system")


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
        "VALIDATION_WEBHOOK_CONFIG_NAME": "", "INJECTION_WEBHOOK_CONFIG_NAME": "", "INJECT_ENABLED": "false",
        "PILOT_ENABLE_GATEWAY_API": "false",
    })
    await_ready("istiod", lambda: urllib.request.urlopen(
        f"http://127.0.0.1:{port['istiod-http']}/ready", timeout=2))


def stop_istiod() -> None:
    """Kill istiod, as a lost node would: no goodbye to the proxies."""
    processes.send("istiod", 9)
    wait_until("istiod gone", lambda: not processes.running("istiod"))
    processes.stop("istiod")


def down() -> None:
    """End the control plane."""
    for name in ("istiod", "kube-controller-manager", "kube-apiserver", "etcd"):
        processes.stop(name)


def root_certificate(namespace: str) -> str:
    """Istio's root certificate, as istiod hands it to every namespace."""
    def read() -> str:
        return kube.get(f"/api/v1/namespaces/{namespace}/configmaps/istio-ca-root-cert")["data"]["root-cert.pem"]
    return str(wait_until(f"istiod's root certificate in namespace {namespace}", read))
