# Many rollouts of many namespaces on a real Kubernetes API, with the server as it is shipped. Included by the Makefile at the
# repository's root; every path is relative to that root.

.PHONY: proof-cluster
proof-cluster: ROLLOUTS ?= 300
proof-cluster: NAMESPACES ?= 30
proof-cluster: RELEASES ?= 30
proof-cluster: mesh-tools $(MESH_PYTHON) $(COMMAND) ## ROLLOUTS=.. in NAMESPACES=.. on a real Kubernetes API, RELEASES=.. of them on their way, then all: requests, writes, processor time, memory
	COMMAND=$(COMMAND) tests/kubernetes.sh env PYTHONPATH=tests/mesh:tests/chart $(CURDIR)/$(VENV)/bin/python -B tests/cluster/scale.py \
		--rollouts $(ROLLOUTS) --namespaces $(NAMESPACES) --releases $(RELEASES)
