# checklane: every target does its own set-up. On a fresh Debian 12 start with `make demo`.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
NPM := .cache/npm
BUF := $(NPM)/node_modules/.bin/buf

# Arguments for one run: make demo DEMO_ARGS="--baskets all", make test TEST_ARGS="-k journal".
DEMO_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=
LOAD_ARGS ?=
PEERS_ARGS ?=
SOAK_ARGS ?=
SOAK_MINUTES ?= 20
SERVE_ARGS ?=
DRILL_SEEDS ?= 20000
DRILL_ROUNDS ?= 500
FUZZ_SECONDS ?= 60
DATA ?= checklane-data

C_SOURCES := $(wildcard native/checklane/*.c native/generator/*.c)
NATIVE_SOURCES := $(C_SOURCES) $(wildcard native/*.py native/*/*.h \
	native/*/*.pxd native/*/*.pyx)
PROTOS := $(wildcard proto/checklane/v1/*.proto)
MACHINE_ARGS := $(if $(filter x86_64,$(shell uname -m)),-march=x86-64-v2)
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
C_STRICT := -std=c11 -D_GNU_SOURCE -O3 -UNDEBUG $(MACHINE_ARGS) -Inative \
	-Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror

.PHONY: help build demo test drill sanitize fuzz soak serve lint bench bench-load bench-peers \
	bench-evaluator bench-ledger wheel clean system-build system-npm system-peers \
	lint-python lint-c lint-proto

help: ## Show this list
	@echo 'checklane decides promotions and loyalty at the till, and records them durably.'
	@echo
	@echo '  make demo    replays real baskets and a day with every flow, and reconciles the books'
	@echo '  make test    builds everything and runs the tests'
	@echo
	@echo 'Each target installs what it needs (system packages by apt, the rest in $(VENV)).'
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) \
		| sed -E 's/^([a-z-]+):.*## (.*)$$/\1|\2/' \
		| while IFS='|' read -r target text; do printf '  %-15s %s\n' "$$target" "$$text"; done
	@echo
	@echo 'Arguments of one run: DEMO_ARGS="--baskets all" TEST_ARGS="-k journal" DATA=directory'

system-build:
	@.ci/system build

system-peers:
	@.ci/system peers

system-npm:
	@.ci/system npm

# The tools that build; the project is then built with them, not in a second environment.
$(VENV)/tools: | system-build
	python3 -m venv $(VENV)
	$(BIN)/pip install --quiet 'setuptools>=80' 'cython>=3.3,<4' 'numpy>=2.4' 'grpcio-tools>=1.85,<2'
	@touch $@

# An editable install compiles everything, so it counts as a build too.
$(VENV)/installed: pyproject.toml setup.py $(VENV)/tools
	$(BIN)/pip install --quiet --no-build-isolation --editable '.[bench,demo,dev,feeds]'
	@touch $@
	@touch $(VENV)/built

# Later only what changed is compiled. The test in the recipe is for the build that was just made
# by the rule above.
$(VENV)/built: $(NATIVE_SOURCES) $(PROTOS) $(VENV)/installed
	@if [ ! -e $@ ] || [ -n "$$(find $^ -newer $@ -print -quit)" ]; then \
		echo 'building what changed'; \
		$(BIN)/python setup.py --quiet build_ext --inplace; \
	fi
	@touch $@

build: $(VENV)/built ## Build the extensions and the generated code in place

demo: $(VENV)/built ## Replay real baskets and a day with every flow, and reconcile the books
	$(BIN)/checklane demo $(DEMO_ARGS)

# One file's tests stay with one worker: many of them share a server or a compiled harness.
test: $(VENV)/built $(NPM)/installed ## Run all tests
	$(BIN)/python -m pytest -n auto --dist loadfile $(TEST_ARGS)

drill: $(VENV)/built ## Long simulation and drills: kill -9, full disk, clock (DRILL_SEEDS, DRILL_ROUNDS)
	CHECKLANE_ROUNDS=$(DRILL_ROUNDS) CHECKLANE_SEEDS=$(DRILL_SEEDS) CHECKLANE_CASES=$(DRILL_SEEDS) $(BIN)/python -m pytest -s \
		tests/simulation tests/drills tests/differential

# Leaks are not looked for: the interpreter keeps what it has until the process ends. What a
# sanitizer says goes past pytest to standard error.
sanitize: $(VENV)/built ## Run the engine's tests in a build under ASan and UBSan
	CFLAGS="$(SANITIZE)" LDFLAGS="$(SANITIZE)" $(BIN)/python setup.py --quiet build \
		--build-base build/sanitize --build-lib build/sanitize/lib
	LD_PRELOAD="$$($(CC) -print-file-name=libasan.so) $$($(CC) -print-file-name=libubsan.so)" \
		PYTHONPATH=build/sanitize/lib ASAN_OPTIONS=detect_leaks=0 \
		UBSAN_OPTIONS=print_stacktrace=1 \
		$(BIN)/python -m pytest --capture=sys tests/semantics tests/differential tests/engine

fuzz: $(VENV)/built ## Fuzz what reads bytes from outside, FUZZ_SECONDS for each target
	@.ci/system fuzz
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) --crashes build/fuzz

serve: $(VENV)/built ## Serve the data directory DATA (default: checklane-data)
	$(BIN)/checklane serve --data $(DATA) $(SERVE_ARGS)

bench: $(VENV)/built ## Measure the evaluator, quotes and commits on this machine
	$(BIN)/checklane bench $(BENCH_ARGS)

bench-ledger: $(VENV)/built | system-peers ## Measure durable commits beside PostgreSQL and Redis; starts
	$(BIN)/checklane bench ledger $(BENCH_ARGS)

bench-load: $(VENV)/built ## Load a server with calls at fixed times (LOAD_ARGS="--mode mixed")
	$(BIN)/checklane bench load $(LOAD_ARGS)

bench-peers: $(VENV)/built ## Measure the lane port beside grpcio, PostgreSQL, Redis and C++ gRPC
	@.ci/system peers
	$(BIN)/checklane bench peers --chart docs/figures/peers.svg $(PEERS_ARGS)

soak: $(VENV)/built ## Soak a server with clients that come, go, stall and reset (SOAK_MINUTES)
	$(BIN)/checklane bench soak --minutes $(SOAK_MINUTES) $(SOAK_ARGS)

bench-evaluator: $(VENV)/built ## Measure decisions and best deals, beside HiGHS and rules engines
	$(BIN)/checklane bench --only evaluator --only deals --only others $(BENCH_ARGS)

lint: lint-python lint-c lint-proto ## Check style, types, C warnings, Cython hints, contract

lint-python: $(VENV)/built
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/house/cython_hints.py

lint-c: | system-build
	@for source in $(C_SOURCES); do \
		echo "cc -Werror $$source"; \
		$(CC) $(C_STRICT) -c -o /dev/null "$$source"; \
	done

lint-proto: $(NPM)/installed
	$(BUF) lint proto
	.ci/buf-breaking $(BUF)

# buf, and the clients that the tests of the lane port run.
$(NPM)/installed: tests/conformance/node/package.json | system-npm
	mkdir -p $(NPM)
	cp $< $(NPM)/
	npm install --silent --no-audit --no-fund --no-package-lock --prefix $(NPM)
	@touch $@

wheel: $(VENV)/built ## Build a wheel into dist/
	$(BIN)/python -m build --wheel

clean: ## Remove everything that was built, downloaded caches and the virtual environment
	rm -rf $(VENV) .cache build dist src/checklane.egg-info src/checklane/_layout.py
	rm -f src/checklane/*.so src/checklane/v1/*_pb2*
	find src tests bench native -name __pycache__ -type d -prune -exec rm -rf {} +
