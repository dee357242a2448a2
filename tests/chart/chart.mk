# The server's manifests and its chart, on a real kube-apiserver. Included by the Makefile at the repository's root; every
# path is relative to that root.

.PHONY: test-chart
test-chart: mesh-tools $(MESH_PYTHON) $(COMMAND_TESTED) ## The server's manifests and its chart: the same objects, admitted, and permissions that are what the server uses
	COMMAND=$(COMMAND_TESTED) \
		tests/kubernetes.sh $(CURDIR)/$(VENV)/bin/python -B -m pytest -c tests/chart/pytest.ini tests/chart $(PYTEST)
