# What pipelines and other tools do with a server: delivery/. Included by the Makefile at the repository's root; every path is
# relative to that root.

DELIVERY_PYTHON := $(VENV)/.delivery-requirements
$(DELIVERY_PYTHON): tests/delivery/requirements.txt | $(VENV)
	@echo "fetching what tests/delivery needs (PyPI)"
	$(PIP) install --requirement $<
	@touch $@

ACT := .tools/act-0.2.89/act
$(ACT):
	@echo "fetching act (Go: github.com/nektos/act)"
	GOBIN=$(CURDIR)/$(@D) go install github.com/nektos/act@v0.2.89

ACTIONLINT := .tools/actionlint-1.7.12/actionlint
$(ACTIONLINT):
	@echo "fetching actionlint (Go: github.com/rhysd/actionlint)"
	GOBIN=$(CURDIR)/$(@D) go install github.com/rhysd/actionlint/cmd/actionlint@v1.7.12

# It does not run on Node 20.
DELIVERY_NODE := $(VENV)/node
GITLAB_CI_LOCAL := .tools/gitlab-ci-local-4.75.1/node_modules/gitlab-ci-local/dist/index.js
$(GITLAB_CI_LOCAL): | $(DELIVERY_NODE)
	@echo "fetching gitlab-ci-local (npm)"
	@$(DELIVERY_NODE)/bin/node $(DELIVERY_NODE)/lib/node_modules/npm/bin/npm-cli.js install --silent --no-audit --no-fund \
		--ignore-scripts --prefix .tools/gitlab-ci-local-4.75.1 gitlab-ci-local@4.75.1

.PHONY: delivery-possible
delivery-possible:
	@for program in go git curl rsync; do command -v $$program >/dev/null || { \
		echo "no $$program: apt-get install --no-install-recommends golang git curl rsync" >&2; exit 1; }; done

.PHONY: test-delivery
test-delivery: delivery-possible $(DELIVERY_PYTHON) $(ACT) $(ACTIONLINT) $(GITLAB_CI_LOCAL) $(FILTER) $(COMMAND_TESTED) $(ENVOY) ## Pipelines of GitHub (act) and GitLab (gitlab-ci-local), Spinnaker's, Flagger's and Argo's rules, on a real server; PYTEST=..
	@cd tests/delivery && $(call ENVOY_TESTS,$(ENVOY_VERSION)) ACT=$(CURDIR)/$(ACT) ACTIONLINT=$(CURDIR)/$(ACTIONLINT) \
		NODE=$(CURDIR)/$(DELIVERY_NODE)/bin/node GITLAB_CI_LOCAL=$(CURDIR)/$(GITLAB_CI_LOCAL) \
		$(CURDIR)/$(VENV)/bin/python -B -m pytest $(PYTEST)
