# The fleet of envoy/fleet/docker-compose.yaml, as a user brings it up: the very file. Included by the Makefile at the
# repository's root; every path is relative to that root.

COMPOSE := $(VENV)/bin/docker-compose
COMPOSE_PYTHON := $(VENV)/.compose-requirements
$(COMPOSE_PYTHON): tests/compose/requirements.txt | $(VENV)
	$(PIP) install --requirement $<
	@touch $@

# What Grafana says of its dashboards' form.
GRAFANA_SCHEMA := $(VENV)/grafana-schema-13.2.3
$(GRAFANA_SCHEMA): | $(VENV) $(NODE_NEEDS)
	@echo "fetching Grafana's schema of dashboards (npm: @grafana/schema, typescript)"
	@rm -rf $@.part && mkdir $@.part
	@$(NPM) install --silent --no-audit --no-fund --ignore-scripts --prefix $@.part @grafana/schema@13.2.3 typescript@5.9.3
	@mv $@.part $@

# First of all, so that nobody waits for minutes of building to read it.
COMPOSE_PROGRAMS := docker curl musl-gcc $(if $(filter pull,$(COALMINE_IMAGES)),,dockerd ip nsenter iptables busybox prometheus)
COMPOSE_PACKAGES := docker.io iproute2 iptables busybox-static musl-tools prometheus curl
.PHONY: compose-possible
compose-possible:
	@test "$(COALMINE_IMAGES)" = pull || test "$$(id -u)" = 0 || { echo "test-compose needs root" >&2; exit 1; }
	@for program in $(COMPOSE_PROGRAMS); do command -v $$program >/dev/null || { \
		echo "no $$program: apt-get install --no-install-recommends $(COMPOSE_PACKAGES)" >&2; \
		exit 1; }; done

.PHONY: test-compose
test-compose: compose-possible server-image $(COMPOSE_PYTHON) $(GRAFANA_SCHEMA) $(ENVOY) ## The fleet of envoy/fleet/docker-compose.yaml (root, Debian's docker.io); COALMINE_IMAGES=pull for the real images
	@cd tests/compose && COMPOSE=$(COMPOSE) ENVOY_BINARY=$(ENVOY_BINARY) COALMINE_IMAGES=$(COALMINE_IMAGES) \
		NODE=$(NODE) GRAFANA_SCHEMA=$(CURDIR)/$(GRAFANA_SCHEMA) $(CURDIR)/$(VENV)/bin/python -B -m pytest $(PYTEST)
