# Two commands: `make reproduce` and `make test`. Both need only Python 3.11+ with pip, git and make.

SHELL := /bin/bash
PYTHON ?= python3
TOOLS := .tools
UV_VERSION := 0.13.8
# The uv on the machine, or one installed into .tools by pip.
UV := $(shell command -v uv 2>/dev/null || echo $(TOOLS)/bin/uv)
export PATH := $(CURDIR)/$(TOOLS)/bin:$(PATH)
export PYTHONPATH :=

# A container may have a user id without a name or a home, which Snakemake and uv can't do without.
ifeq ($(origin USER),undefined)
export USER := $(firstword $(shell id -un 2>/dev/null || id -u))
endif
ifneq ($(shell test -d "$$HOME" -a -w "$$HOME" && echo writable),writable)
export HOME := $(CURDIR)/$(TOOLS)/home
$(shell mkdir -p '$(HOME)')
endif

# Bare `make` prints what there is to make.
.DEFAULT_GOAL := help

.PHONY: help targets reproduce evaluate compare status watch accept test check lint benchmark environment readme clean-state

help: ## this list
	@awk -F ': .*## ' '/^[a-z-]+: .*## / {printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

targets: environment ## every table, figure, ... that `uv run snakemake NAME` makes alone, with a sentence each
	@$(UV) run --locked snakemake $(SNAKEMAKE) --quiet all -- targets

reproduce: environment ## everything at the embedded scale; SNAKEMAKE="--config scale=..." adds arguments
	$(UV) run --locked snakemake $(SNAKEMAKE) --quiet host reason

# What belongs to a checkpoint of one's own reaches the script through the environment: only `$` is written twice, as ever.
OF_EVALUATE := WEIGHTS DATASET ATTACK ARCHITECTURE PART THREAT IMAGES SCALE CONFIGFILE SNAKEMAKE
ifneq ($(filter evaluate,$(MAKECMDGOALS)),)
ifeq ($(and $(WEIGHTS),$(DATASET),$(ATTACK)),)
$(error give all three: make evaluate WEIGHTS=my.pt DATASET=cifar10 ATTACK=autoattack)
endif
endif

evaluate: environment ## attack your own checkpoint: WEIGHTS=my.pt DATASET=cifar10 ATTACK=autoattack (docs/own-weights.md)
	@$(UV) run --locked python scripts/evaluate_weights.py --weights "$$WEIGHTS" --dataset "$$DATASET" --attack "$$ATTACK" \
		$(if $(ARCHITECTURE),--architecture "$$ARCHITECTURE") $(if $(PART),--part "$$PART") $(if $(THREAT),--threat "$$THREAT") \
		$(if $(IMAGES),--images "$$IMAGES") $(if $(SCALE),--scale "$$SCALE") $(if $(CONFIGFILE),--configfile $$CONFIGFILE) $(SNAKEMAKE)

compare: environment ## the finished run's tables and claims with the recorded ones, cell by cell
	@$(UV) run --locked python scripts/compare_recorded.py

status: environment ## what is done, running, failed and left; with the same SNAKEMAKE="..." as for reproduce
	@$(UV) run --locked python scripts/status.py $(SNAKEMAKE)

watch: environment ## a page that shows how a run goes, with the curves of trainings: SCALE=... PORT=... (docs/running.md)
	@$(UV) run --locked python scripts/watch.py $(if $(SCALE),--scale "$$SCALE") $(if $(PORT),--port "$$PORT")

accept: environment ## accept finished results of earlier code (docs/migration.md); SNAKEMAKE="-n ..." only lists them
	@$(UV) run --locked python scripts/accept_results.py $(SNAKEMAKE)

# Named where a run failed, as the command to resume with.
reproduce status accept: export ROBUSTLENS_COMMAND = make reproduce$(if $(SNAKEMAKE), SNAKEMAKE="$(SNAKEMAKE)")
evaluate: export ROBUSTLENS_COMMAND = make evaluate$(foreach name,$(OF_EVALUATE),$(if $($(name)), $(name)="$($(name))"))

PARALLEL_PYTEST = $(UV) run --locked pytest --dist loadscope --no-loadscope-reorder --numprocesses

test: environment lint ## linters and all tests; PYTEST="-k name" adds arguments
	$(PARALLEL_PYTEST) 3 $(PYTEST)

check: environment lint ## linters and the quick unit tests, within three minutes; PYTEST="-k name" adds arguments
	$(PARALLEL_PYTEST) 2 -m "not slow" tests/unit $(PYTEST)

lint: environment ## the linters alone
	$(UV) run --locked ruff check .
	$(UV) run --locked ruff format --check .
	$(UV) run --locked snakefmt --check Snakefile rules studies
	$(UV) run --locked snakemake --lint

benchmark: environment ## speed and memory against peers (docs/benchmarks.md); BENCHMARK="--quick" adds arguments
	$(UV) run --locked python tests/benchmark $(BENCHMARK)

# A LaTeX of the machine's own; where there is none, make provides tectonic, if it can.
LATEX := $(shell command -v latexmk pdflatex tectonic | grep -v '/$(TOOLS)/bin/')

environment: .venv/.synced ## .venv as uv.lock describes it
	@$(if $(LATEX),:,$(UV) run --locked --no-sync python scripts/provide_tectonic.py $(UV))

.venv/.synced: uv.lock pyproject.toml | $(UV)
	$(UV) sync --locked --compile-bytecode
	@touch $@

$(TOOLS)/bin/uv:
	PYTHONPATH= $(PYTHON) -m pip install --quiet --target $(TOOLS) uv==$(UV_VERSION)

readme: environment ## rewrite the README's numbers, and what `make compare` compares with, from the finished run; generated pages, too
	$(UV) run --locked python scripts/record_origin.py
	$(UV) run --locked python scripts/update_readme.py
	$(UV) run --locked python scripts/compare_recorded.py --record
	$(UV) run --locked python scripts/document_configuration.py
	$(UV) run --locked python scripts/document_data.py

clean-state: ## while nothing runs: forget unfinished work and what killed jobs left (finished results stay)
	rm -rf results/*/state
	if [ -d results ]; then find results/ \( -type f -regex '.*/\.[^/]+\.[0-9]+\.part[^/]*' -o -type d -name '.reading-*' \) \
		-prune -exec rm -rf {} +; fi
