# The mesh lab: a real Istio control plane, real sidecars and a real registry on this machine, without a
# cluster. Included by the Makefile at the repository's root; every path is relative to that root.

MESH_TOOLS := .tools/mesh
MESH_BUILT := $(addprefix $(MESH_TOOLS)/,etcd helm istioctl kube-apiserver kube-controller-manager kubectl pilot-agent pilot-discovery)
MESH_KUBERNETES = $(shell sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\).*/\1/p' tests/mesh/tools/go.mod)
# One module, so that what Istio, Kubernetes and etcd share is compiled once. The compilers have more garbage than time.
MESH_GO = GOGC=500 nice go build -C tests/mesh/tools -trimpath

# The tools are rebuilt only when the versions that they are made of have changed. go.sum changes with them.
$(MESH_BUILT) &: tests/mesh/tools/go.mod tests/mesh/tools/go.sum
	@echo "building the tools of the mesh from source: eight minutes on two cores"
	@mkdir -p $(MESH_TOOLS)
	$(MESH_GO) -o $(CURDIR)/$(MESH_TOOLS)/ \
		-ldflags "-s -w $(foreach part,component-base client-go/pkg,-X k8s.io/$(part)/version.gitVersion=$(MESH_KUBERNETES))" tool
	@mv $(MESH_TOOLS)/server $(MESH_TOOLS)/etcd
	@touch --no-create $(MESH_BUILT)

.PHONY: mesh-tools
mesh-tools: $(MESH_BUILT)

# What the lab's driver needs, in the repository's virtual environment.
MESH_PYTHON := $(VENV)/.mesh-requirements
$(MESH_PYTHON): tests/mesh/requirements.txt | $(VENV)
	$(PIP) install --requirement $<
	@touch $@

# First of all, so that nobody waits for minutes of building to read that root is missing.
.PHONY: mesh-possible
mesh-possible:
	@cd tests/mesh && python3 -B -m lab missing >&2

# Random routes, and what the command says of them.
MESH_ROUTES := target/debug/coalmine-mesh-routes
$(MESH_ROUTES): FORCE | toolchain
	@cargo build --quiet --locked --workspace --bin $(@F)

MESH_ENV := FILTER=$(FILTER) FILTER_CRASH=$(FILTER_CRASH) COMMAND=$(COMMAND_TESTED) ENVOY_BINARY=$(ENVOY_BINARY) \
	ROUTES=$(MESH_ROUTES)
# All of it comes after the check.
MESH_NEEDS := $(MESH_BUILT) $(MESH_PYTHON) $(FILTER) $(FILTER_CRASH) $(COMMAND_TESTED) $(MESH_ROUTES) $(ENVOY)
$(MESH_BUILT): | mesh-possible

.PHONY: mesh
mesh: mesh-possible $(MESH_NEEDS) ## A real Istio mesh on this machine, without a cluster (root and Go needed), with the filter's image in it
	@cd tests/mesh && $(MESH_ENV) $(CURDIR)/$(VENV)/bin/python -m lab up

.PHONY: test-mesh
test-mesh: mesh-possible $(MESH_NEEDS) ## The manifests and the filter on a real Istio control plane and real sidecars
	@cd tests/mesh && $(MESH_ENV) $(CURDIR)/$(VENV)/bin/python -m pytest $(PYTEST)

# The controllers of others that move a weight, which only the cases beside them need.
MESH_OTHERS := $(addprefix $(MESH_TOOLS)/,flagger rollouts-controller)
$(MESH_OTHERS) &: tests/mesh/others/go.mod tests/mesh/others/go.sum | $(MESH_BUILT)
	@echo "building the controllers of Flagger and Argo Rollouts from source: three minutes on two cores"
	GOGC=500 nice go build -C tests/mesh/others -trimpath -o $(CURDIR)/$(MESH_TOOLS)/ -ldflags "-s -w" tool
	@touch --no-create $(MESH_OTHERS)

.PHONY: test-mesh-judged
test-mesh-judged: mesh-possible $(MESH_NEEDS) $(MESH_OTHERS) ## The real controllers of Flagger and Argo Rollouts, which move while Coalmine judges
	@cd tests/mesh && $(MESH_ENV) $(CURDIR)/$(VENV)/bin/python -m pytest -m judged $(PYTEST)

.PHONY: proof-mesh-judged
proof-mesh-judged: AWAY ?= 120
proof-mesh-judged: mesh-possible $(MESH_NEEDS) $(MESH_OTHERS) ## The same, held and without a server for AWAY=.. seconds each
	@cd tests/mesh && $(MESH_ENV) MESH_AWAY=$(AWAY) $(CURDIR)/$(VENV)/bin/python -m pytest --capture=no -m judged

MESH_CASES ?= 300

.PHONY: proof-mesh-routes
proof-mesh-routes: mesh-possible $(MESH_NEEDS) ## What `validate` knows of routes, held against a real istiod on 300 random VirtualServices; SEED=.. for others
	@cd tests/mesh && $(MESH_ENV) MESH_CASES=$(MESH_CASES) MESH_SEED=$(SEED) $(CURDIR)/$(VENV)/bin/python -m pytest --capture=no test_routes.py

.PHONY: proof-mesh-away
proof-mesh-away: AWAY ?= 120
proof-mesh-away: mesh-possible $(MESH_NEEDS) ## The API of the cluster away for AWAY=.. seconds while a canary breaks, with users
	@cd tests/mesh && $(MESH_ENV) MESH_AWAY=$(AWAY) $(CURDIR)/$(VENV)/bin/python -m pytest --capture=no \
		test_steered_faults.py -k api_is_away

.PHONY: mesh-down
mesh-down: ## Take the mesh away, whole, also after a crash of it
	@cd tests/mesh && python3 -B -m lab down
