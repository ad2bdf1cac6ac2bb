# The newcomer's verbs. Everything runs inside .venv/, made from the hashed locks in envs/.
SHELL := /bin/bash
PYTHON ?= python3
DATASET ?= plaza
BUDGET ?= quick
SEEDS ?= 0
# nproc would take OMP_NUM_THREADS for the number of cores.
CORES ?= $(shell env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)
DEVICE ?= auto
GPUS ?= 1
MIRROR ?=
SET ?=
CLUSTER ?=

# Figures show frames; benchmark video never enters the repository, not even one frame of it. Of other datasets than plaza: plots of numbers.
PUBLISHED_PICTURES := $(if $(filter plaza,$(DATASET)),-o -name '*.png',-o -path '*/fast_aed/figure2.png' -o -path '*/fast_aed/figure7.png')
BIN := .venv/bin
# On a cluster SLURM has the cores; see profiles/slurm.
# One training at a time on each GPU.
HOW := $(if $(CLUSTER),--workflow-profile profiles/slurm,--cores $(CORES) $(if $(filter cuda,$(DEVICE)),--resources gpu=$(GPUS)))
comma := ,
# SET holds quotes of its own.
WORKFLOW = workflow/alone.sh $(BIN)/snakemake $(HOW) --config "datasets=[$(subst +,$(comma),$(DATASET))]" "budget=$(BUDGET)" \
	"seeds=[$(SEEDS)]" "device=$(DEVICE)" "mirror=$(MIRROR)" 'set=[$(subst ','\'',$(SET))]'
EXCHANGE = workflow/alone.sh $(BIN)/python workflow/exchange.py
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python
COMPILE := UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --override envs/overrides.txt --extra ultralytics --extra workflow

.PHONY: help setup develop reproduce report publish pull push commit tables test faults lint format lock audit clean

help: ## show this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20
	@echo
	@echo "  make reproduce DATASET=plaza|ped2 BUDGET=smoke|quick|paper [MIRROR=folder or URL] [SEEDS=0,1,2]"
	@echo "                 [CORES=n] [DEVICE=auto|cpu|cuda] [GPUS=n] [SET=datasets.ped2.detection.backend=motion] [CLUSTER=1]"

setup: .venv/.runtime $(if $(CLUSTER),.venv/.cluster) ## make .venv/ with lightvad and snakemake (idempotent)

develop: .venv/.develop ## the same with the tools that tests and lint need

reproduce: report ## run everything from raw video to table, print the table
	@$(BIN)/lightvad show --datasets "$(DATASET)" --budget "$(BUDGET)"

report: setup ## the same without printing the table
	$(WORKFLOW)

publish: ## copy a finished run's tables, metrics and records to results/published/, which is in git
	mkdir -p results/published
	cd results && find "tables/$(DATASET)/$(BUDGET)" "figures/$(DATASET)/$(BUDGET)" "runs/$(DATASET)/$(BUDGET)" $(patsubst results/%,%,$(wildcard results/speed/$(DATASET)/$(BUDGET))) \
		\( -name '*.csv' -o -name '*.md' -o -name '*.json' $(PUBLISHED_PICTURES) \) \( -not -path 'runs/*/records/*' -o -name benchmark.json \) -not -name pseudo_abnormal.csv -print0 \
		| tar --null -cf - -T - | tar -xf - -C published

pull: .venv/.exchange ## fetch a finished run (DATASET, BUDGET) from the DVC remote; Snakemake then has nothing to do
	$(EXCHANGE) pull --dataset "$(DATASET)" --budget "$(BUDGET)"

push: .venv/.exchange ## send a finished run to the DVC remote and write dvc.lock
	$(EXCHANGE) push --dataset "$(DATASET)" --budget "$(BUDGET)"

commit: .venv/.exchange ## only write dvc.lock and DVC's cache from a finished run
	$(EXCHANGE) commit --dataset "$(DATASET)" --budget "$(BUDGET)"

tables: .venv/.exchange ## tables and figures anew from pulled scores; never trains
	PATH="$(CURDIR)/$(BIN):$$PATH" CORES="$(CORES)" workflow/alone.sh $(BIN)/dvc repro --single-item "tables@$(DATASET)-$(BUDGET)"

# One worker more than cores: the tests of the workflow wait for SLURM, DVC and ssh half of their time.
test: develop lint ## lint, types, all tests, the smoke pipeline
	$(BIN)/pytest --numprocesses $$(($(CORES) + 1)) --dist loadscope --no-loadscope-reorder

faults: develop ## kill and damage the smoke pipeline a hundred times and more, write docs/faults.md (stop and start it as you like)
	$(BIN)/python -m tests.faults --write docs/faults.md

lint: develop ## style, types, spelling, workflow style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/snakefmt --check Snakefile workflow

format: develop ## put the code into its style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

lock: develop ## write the hashed locks anew from pyproject.toml
	$(COMPILE) pyproject.toml -o envs/runtime.lock
	$(COMPILE) --extra dvc -c envs/runtime.lock pyproject.toml -o envs/dvc.lock
	$(COMPILE) --extra cluster -c envs/dvc.lock pyproject.toml -o envs/cluster.lock
	$(COMPILE) --extra dvc --extra cluster --group dev -c envs/dvc.lock -c envs/cluster.lock pyproject.toml -o envs/dev.lock

audit: develop ## look for known vulnerabilities in what the locks install (asks a service on the network)
	$(BIN)/python envs/audit.py envs/dev.lock

clean: ## remove results and logs (data/ stays)
	rm -rf results/boxes results/detectors results/runs results/tables results/figures results/speed results/report logs .snakemake

.venv/.uv: envs/bootstrap.lock
	$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "lightvad needs Python 3.11 to 3.13; run: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r envs/bootstrap.lock
	touch $@

.venv/.runtime: .venv/.uv envs/runtime.lock pyproject.toml
	$(UV) --require-hashes --no-deps -r envs/runtime.lock
	$(UV) --no-deps --no-build-isolation -e .
	touch $@

.venv/.exchange: .venv/.runtime envs/dvc.lock
	$(UV) --require-hashes --no-deps -r envs/dvc.lock
	touch $@

.venv/.cluster: .venv/.runtime envs/cluster.lock
	$(UV) --require-hashes --no-deps -r envs/cluster.lock
	touch $@

.venv/.develop: .venv/.runtime envs/dev.lock
	$(UV) --require-hashes --no-deps -r envs/dev.lock
	touch $@
