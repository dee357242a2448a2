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

# What the lab's driver needs, in the repository's virtual environment.
MESH_PYTHON := $(VENV)/.mesh-requirements
$(MESH_PYTHON): tests/mesh/requirements.txt | $(VENV)
	$(PIP) install --requirement $<
	@touch $@

# First of all, so that nobody waits for twelve minutes of building to read that root is missing.
.PHONY: mesh-possible
mesh-possible:
	@cd tests/mesh && python3 -B -m lab missing >&2

MESH_ENV := FILTER=$(FILTER) FILTER_CRASH=$(FILTER_CRASH) COMMAND=$(COMMAND) ENVOY_BINARY=$(ENVOY_BINARY)
# All of it comes after the check.
MESH_NEEDS := $(MESH_KUBERNETES) $(MESH_ETCD) $(MESH_ISTIO) $(MESH_PYTHON) $(FILTER) $(FILTER_CRASH) $(COMMAND) $(ENVOY)
$(MESH_KUBERNETES) $(MESH_ETCD) $(MESH_ISTIO): | mesh-possible

.PHONY: mesh
mesh: mesh-possible $(MESH_NEEDS) ## A real Istio mesh on this machine, without a cluster (root and Go needed), with the filter's image in it
	@cd tests/mesh && $(MESH_ENV) $(CURDIR)/$(VENV)/bin/python -m lab up

.PHONY: test-mesh
test-mesh: mesh-possible $(MESH_NEEDS) ## The manifests and the filter on a real Istio control plane and real sidecars
	@cd tests/mesh && $(MESH_ENV) $(CURDIR)/$(VENV)/bin/python -m pytest $(PYTEST)

.PHONY: mesh-down
mesh-down: ## Take the mesh away, whole, also after a crash of it
	@cd tests/mesh && python3 -B -m lab down

# --- The filter's image -------------------------------------------------------------------------------------------

IMAGE_DIR := target/image
IMAGE_VERSION = $(shell sed -n 's/^version *= *"\(.*\)"/\1/p' Cargo.toml | head -1)

.PHONY: image
image: $(FILTER) ## The filter as an OCI image, with docker or buildah; prints its digest
	@istio/image/image.sh build $(FILTER) $(IMAGE_DIR) $(IMAGE_VERSION)

.PHONY: push
push: image ## Push the image: make push REGISTRY=ghcr.io/you; prints the lines for istio/demo/image.yaml
	@test -n "$(REGISTRY)" || { echo "push: say where to, e.g. make push REGISTRY=ghcr.io/you" >&2; exit 1; }
	@istio/image/image.sh push $(IMAGE_DIR) $(REGISTRY)/coalmine-filter:$(IMAGE_VERSION)
