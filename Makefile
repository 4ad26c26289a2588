# One command per job, the same here and in CI. `make help` lists them.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
RUN ?=
BENCH ?=
TESTS ?= tests
WORKERS ?= 2
UV := .local/tools/bin/uv
UV_VERSION := 0.13.9
COMPILE := UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --generate-hashes --universal \
	--no-emit-index-url --no-emit-find-links $(UPGRADE) pyproject.toml

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: $(READY) ## engines, services, web chat and console on this machine (RUN="--split --port-base 9700" for options)
	@exec $(BIN)/relaydesk run $(RUN)

# In the order of the folders: the long rehearsals begin early, and the many short tests fill what is left at the end.
.PHONY: test
test: lint tools ## lint, types and every test that can run on this machine (WORKERS=0: one test at a time)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS)

.PHONY: test-s3
test-s3: $(READY) .local/tools/bin/versitygw ## the suites of the object store on another S3 server, too (needs Go)
	$(BIN)/python -m shared.testing.versitygw tests/integration/runtime/test_s3.py tests/integration/media

# Without Go the tests of the chart are skipped and say so. The first build takes some minutes, the next ones seconds.
.PHONY: tools
tools: ## helm, for the tests of the chart (needs Go)
	@command -v helm > /dev/null || [ -x .local/tools/bin/helm ] || { \
		command -v go > /dev/null && echo 'building helm (once; some minutes)' && \
		GOBIN=$(CURDIR)/.local/tools/bin go install helm.sh/helm/v3/cmd/helm@v3.22.0; } || \
		echo 'helm cannot be built here: install Go or helm to test the chart' >&2

.local/tools/bin/versitygw:
	@command -v go > /dev/null || { echo "versitygw is built with Go: install it first"; exit 1; }
	GOBIN=$(CURDIR)/.local/tools/bin go install github.com/versity/versitygw/cmd/versitygw@v1.8.0

.PHONY: prove
prove: $(READY) ## the proofs at full size, with their figures: 2,000 takeovers, 2 x 5,000 replies, 200 clients cut for a minute (7 minutes)
	PROVE=full $(BIN)/python -m pytest -q --log-cli-level=INFO tests/faults/test_takeovers.py tests/faults/test_stream_chaos.py tests/integration/dispatch/test_load.py

.PHONY: bench-pipeline
bench-pipeline: $(READY) ## what a message costs, beside floors on the same engines (BENCH="--quick --json FILE" for options)
	$(BIN)/python -m bench.pipeline $(BENCH)

.PHONY: bench-stream
bench-stream: $(READY) ## what the live stream costs, beside a C floor and bare picows (BENCH="--quick --only ROW --json FILE" for options)
	$(BIN)/python -m bench.stream $(BENCH)

.PHONY: bench-tracing
bench-tracing: $(READY) ## what traces cost, beside systems without them, in turns (BENCH="--rounds N --json FILE" for options)
	$(BIN)/python -m bench.tracing $(BENCH)

.PHONY: unit
unit: $(READY) ## only the tests that need no engines: seconds
	$(BIN)/python -m pytest -q tests/unit tests/contracts tests/architecture

.PHONY: lint
lint: $(READY) ## ruff and mypy, strict, over code and tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@for example in examples/*/; do MYPYPATH=$$example $(BIN)/mypy $$example*.py || exit 1; done

.PHONY: format
format: $(READY) ## put code into its form and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: setup
setup: $(READY) ## .venv/ with everything, the command `relaydesk` included

# Hashes of everything that is installed are in the lock file; the package itself is installed as a link to this folder.
$(READY): pyproject.toml requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo 'Python 3.11 or newer is needed: install it, or name it: make PYTHON=python3.12 $(MAKECMDGOALS)' >&2; exit 1; }
	@$(PYTHON) -m venv .venv || { \
		echo 'Python cannot make a virtual environment: install its venv module (Debian: python3-venv)' >&2; exit 1; }
	@echo 'setting up .venv/ (once; about a minute)'
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: lock
lock: $(UV) ## pin what pyproject.toml asks for, with hashes (UPGRADE=--upgrade: newest versions)
	$(COMPILE) --output-file requirements.lock
	$(COMPILE) --extra local --extra dev --extra bench --constraint requirements.lock --output-file requirements-dev.lock
	$(UV) pip compile --quiet --generate-hashes --universal --no-emit-index-url --no-emit-find-links --no-header \
		$(UPGRADE) deploy/image/sbom-requirements.in --output-file deploy/image/sbom-requirements.lock

.PHONY: image
image: ## build the container image (needs Docker): relaydesk:dev
	docker build --file deploy/image/Dockerfile --tag relaydesk:dev .

.PHONY: sbom
sbom: ## sbom.cdx.json: what is in the image, as CycloneDX (needs no Docker)
	@rm -rf .local/image && sh deploy/image/install.sh .local/image && sh deploy/image/sbom.sh .local/image sbom.cdx.json
	@echo "sbom.cdx.json"

$(UV):
	@$(PYTHON) -m venv .local/tools
	@.local/tools/bin/python -m pip install --quiet uv==$(UV_VERSION)

.PHONY: schemas
schemas: $(READY) ## write the JSON Schemas of shared/contracts anew after a change of the models
	$(BIN)/python -m shared.contracts.schema_files

.PHONY: clean-local
clean-local: ## drop the data of local runs and the fetched Kafka (.local/)
	@if [ -e .local/data/lock ] && ! flock --nonblock .local/data/lock true; then \
		echo 'a run still uses .local/: stop it first' >&2; exit 1; fi
	rm -rf .local

.PHONY: clean
clean: ## drop .venv/ and what tools left behind; data stays
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
