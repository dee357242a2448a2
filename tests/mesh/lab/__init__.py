"""A real Istio mesh on one machine, without a cluster.

The control plane is real: etcd, kube-apiserver, kube-controller-manager, istiod with its certificate authority, and
an image registry. The data plane is real: pilot-agent and a stock Envoy per pod, iptables interception, strict mTLS.
What is not real is the node: there is no container engine and no kubelet. A network namespace stands for a pod,
`node.py` stands for scheduler and kubelet, and `app.py` stands for the application's image.

Nothing here knows Coalmine but `scenario.py` and `users.py`, which the test cases are written with.
"""
