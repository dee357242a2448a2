# The mesh lab: a real Istio control plane, real sidecars and a real registry on this machine, without a
# cluster. Included by the Makefile at the repository's root; every path is relative to that root.

MESH_TOOLS := .tools/mesh
MESH_GO = nice go build -C tests/mesh/tools/$(1) -trimpath
MESH_KUBERNETES := $(addprefix $(MESH_TOOLS)/,kube-apiserver kube-controller-manager kubectl)
MESH_ETCD := $(MESH_TOOLS)/etcd
MESH_ISTIO := $(addprefix $(MESH_TOOLS)/,pilot-discovery pilot-agent istioctl)

# The tools are rebuilt only when the versions that they are made of have changed. go.sum changes with them.
$(MESH_KUBERNETES) &: tests/mesh/tools/kubernetes/go.mod tests/mesh/tools/kubernetes/go.sum
	@mkdir -p $(MESH_TOOLS)
	$(call MESH_GO,kubernetes) \
		-ldflags "-s -w -X k8s.io/component-base/version.gitVersion=v1.34.1 -X k8s.io/client-go/pkg/version.gitVersion=v1.34.1" \
		-o $(CURDIR)/$(MESH_TOOLS)/ tool
	@touch $(MESH_KUBERNETES)

$(MESH_ETCD): tests/mesh/tools/etcd/go.mod tests/mesh/tools/etcd/go.sum
	@mkdir -p $(MESH_TOOLS)
	$(call MESH_GO,etcd) -ldflags "-s -w" -o $(CURDIR)/$@ tool
	@touch $@

$(MESH_ISTIO) &: tests/mesh/tools/istio/go.mod tests/mesh/tools/istio/go.sum
	@mkdir -p $(MESH_TOOLS)
	$(call MESH_GO,istio) -ldflags "-s -w" -o $(CURDIR)/$(MESH_TOOLS)/ tool
	@touch $(MESH_ISTIO)

.PHONY: mesh-tools
mesh-tools: $(MESH_KUBERNETES) $(MESH_ETCD) $(MESH_ISTIO)
