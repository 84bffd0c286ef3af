# Every target sets up .venv by itself, and again when what it is made from has changed.
PROFILE ?= auto
SWEEP ?= temperature
MODEL ?= tiny
SEEDS ?= 1
SEARCH ?= tpe
GPU ?=
GPUS ?= 1
PY := .venv/bin/python
READY := .venv/ready-$(PROFILE)
# MODEL=tiny is a laptop's size, MODEL=paper the paper's; any other is a file of conf/model/, a large one at the paper's.
LARGE := $(filter-out tiny%,$(MODEL))
SIZE := $(if $(LARGE),scale=paper) $(if $(filter-out tiny paper,$(MODEL)),model=$(MODEL))
unexport PYTHONDONTWRITEBYTECODE  # lanes start 5 s faster with cached bytecode

.DEFAULT_GOAL := help
.PHONY: help setup tiny paper smoke plan search select figures tables findings budget report notebook calibration power status watch pause resume stop add first failures show why doctor memory \
	cluster-submit cluster-follow cluster-status cluster-stop \
	check test test-slow test-hosts test-triton bench bench-sweep bench-cluster bench-eval bench-budget bench-power bench-quote bench-search bench-wandb bench-analysis bench-trainer gpu-check chaos clean wandb wandb-sync wandb-dashboard

help: ## list the targets
	@sed -nE 's/^([a-z -]+(-%)?):.*## /\1\t/p' $(MAKEFILE_LIST) | sed 's/%/NAME/' | expand -t 20
	@echo 'Options: SWEEP=$(SWEEP)  MODEL=tiny|paper|NAME  SEEDS=$(SEEDS) (of make paper)  PROFILE=auto|cpu|gpu  ARGS="further arguments, such as Hydra overrides"'

setup: $(READY) ## create .venv (PROFILE=cpu or gpu to choose)
$(READY): pyproject.toml cluster/setup.sh $(wildcard cluster/constraints-*.txt)
	@PROFILE=$(PROFILE) bash cluster/setup.sh

tiny: $(READY) ## pretrain the tiny model (once; sweeps do it when they need it)
	$(PY) -m em.tiny $(ARGS)

sweep-%: $(READY) ## plan, run and draw one sweep, such as sweep-temperature
	$(PY) -m sweeps sweep=$* $(SIZE) $(ARGS)

paper: $(READY) ## every sweep of the paper, with SEEDS seeds of each cell
	$(PY) -m sweeps sweep=paper sweep.seeds=$(SEEDS) $(SIZE) $(ARGS)

smoke: $(READY) ## the smallest sweep that touches every part
	$(PY) -m sweeps sweep=smoke $(ARGS)

plan: $(READY) ## what SWEEP would train, and what that would cost
	$(PY) -m sweeps.plan sweep=$(SWEEP) $(SIZE) $(ARGS)

search: SWEEP = search
search: $(READY) ## let Optuna choose what is tried of SWEEP's space: SEARCH=tpe, cmaes, gp, random, qmc or nsga2
	$(PY) -m sweeps sweep=$(SWEEP) search=$(SEARCH) $(SIZE) $(ARGS)

select: $(READY) ## rank a pool of prompts by the paper's rule: ARGS="prompts=jsonl prompts.path=..."
	$(PY) -m sweeps.select $(ARGS)

figures: $(READY) ## draw SWEEP from what is recorded
	$(PY) -m sweeps.figures sweep=$(SWEEP) $(SIZE) $(ARGS)

tables: SWEEP = paper
tables: $(READY) ## write Tables 1 and 2 from what is recorded, beside the paper's, or that of SWEEP
	$(PY) -m sweeps.tables sweep=$(SWEEP) $(SIZE) $(ARGS)

findings: SWEEP = paper
findings: $(READY) ## test each claim of the paper on what is recorded
	$(PY) -m sweeps.findings sweep=$(SWEEP) $(SIZE) $(ARGS)

budget: $(READY) ## what fewer problems, fewer answers and more seeds of SWEEP would save, from what is recorded
	$(PY) -m sweeps.budget sweep=$(SWEEP) $(SIZE) $(ARGS)

report: SWEEP = paper
report: $(READY) ## build the page of SWEEP, to open in a browser from disk
	$(PY) -m sweeps.report sweep=$(SWEEP) $(SIZE) $(ARGS)

notebook: $(READY) ## open docs/notebook.py in a browser: what a store holds, and how to ask it (ARGS=store=FOLDER)
	$(PY) -m marimo edit docs/notebook.py -- $(addprefix --,$(ARGS))

calibration: $(READY) ## confidence against accuracy in SWEEP, before and after EM: ARGS=eval.statistics=tokens
	$(PY) -m sweeps.calibration sweep=$(SWEEP) $(SIZE) $(ARGS)

power: $(READY) ## how many more seeds tell the cells of SWEEP apart: ARGS="compare.pairs=best compare.difference=0.01"
	$(PY) -m sweeps.power sweep=$(SWEEP) $(SIZE) $(ARGS)

status watch: $(READY) ## how SWEEP stands, from what is in the store: once, or live
	$(PY) -m sweeps.status $(filter watch,$@) sweep=$(SWEEP) $(SIZE) $(ARGS)

pause resume stop: $(READY) ## pause, resume or stop the running launch of SWEEP
	$(PY) -m sweeps.steer $@ sweep=$(SWEEP) $(SIZE) $(ARGS)

add first: $(READY) ## give the running launch more to do: ARGS="sweep.seeds=32", at the end or before all else
	$(PY) -m sweeps.steer $@ sweep=$(SWEEP) $(SIZE) $(ARGS)

cluster-submit cluster-follow cluster-status cluster-stop: $(READY) ## SWEEP as a job of a Ray cluster: ARGS="cluster=kuberay store=/store"
	$(PY) -m sweeps.submit $(patsubst cluster-%,%,$@) sweep=$(SWEEP) $(SIZE) $(ARGS)

failures: $(READY) ## what failed, by cause, and how to run it again
	$(PY) -m sweeps.failures $(ARGS)

wandb: $(READY) ## SWEEP as W&B runs, on disk or sent where there is an API key; follows a running launch
	$(PY) -m sweeps.wandb sweep=$(SWEEP) $(SIZE) $(ARGS)

wandb-sync: $(READY) ## send the W&B runs of SWEEP that wait on disk
	$(PY) -m sweeps.wandb sync sweep=$(SWEEP) $(SIZE) $(ARGS)

wandb-dashboard: $(READY) ## build W&B workspace and report of SWEEP
	$(PY) -m sweeps.wandb dashboard sweep=$(SWEEP) $(SIZE) $(ARGS)

show: $(READY) ## one trial: config, curves, scores, answers, where it was made, how to repeat it: TRIAL=id
	$(PY) -m analysis.show $(TRIAL) $(ARGS)

why: $(READY) ## how two trials or attempts differ: A=id B=id
	$(PY) -m analysis.why $(A) $(B) $(ARGS)

doctor: $(READY) ## check every node before a big launch of SWEEP
	$(PY) -m sweeps.doctor sweep=$(SWEEP) $(SIZE) $(ARGS)

memory: $(READY) ## what training MODEL takes of a GPU, phase by phase, and how it would be trained: GPU=h100 GPUS=1
	$(PY) -m em.memory model=$(if $(filter paper,$(MODEL)),qwen2.5-math-7b,$(MODEL)) gpu=$(GPU) gpus=$(GPUS) $(ARGS)

check: $(READY) ## lint, format, types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m pyright

test: check ## check, then the tests (without those of a minute: test-slow)
	$(PY) -m pytest -m "not slow" $(ARGS)

test-slow: $(READY) ## accidents, whole sweeps and whole data sets: some minutes
	$(PY) -m pytest -m "slow and not root" $(ARGS)

test-hosts: $(READY) ## a real Slurm, cut power and cables, Ceph's buckets, on hosts of one machine: needs root, takes minutes
	$(PY) -m pytest -m root tests/cluster $(ARGS)

test-triton: $(READY) ## the GPU kernels of the loss, by Triton's interpreter and compiler: downloads 0.2 GB once
	[ -d .venv/triton ] || $(PY) -m pip install -q --no-deps --target .venv/triton "$$(grep ^triton== cluster/constraints-gpu.txt)"
	PYTHONPATH=.venv/triton $(PY) -m pytest tests/train/test_fused.py -n 0 $(ARGS)

bench: $(READY) ## measure what README and log claim (ARGS=speed, gain or memory for a part)
	$(PY) -m bench $(ARGS)

bench-sweep: $(READY) ## what a sweep of 13,440 trials costs, beside an ActorPool and Tune alone
	$(PY) -m bench sweep $(ARGS)

bench-cluster: $(READY) ## a thousand lanes, simulated, and what driver and queue cost there
	$(PY) -m bench cluster $(ARGS)

bench-eval: $(READY) ## what grading costs, on real problems: EM_BENCHMARK_DATA=folder of their JSONL files
	$(PY) -m bench evaluation $(ARGS)

bench-budget: $(READY) ## whether eval=budget holds what it promises, and what each of its choices is worth
	$(PY) -m bench budget $(ARGS)

bench-power: $(READY) ## whether planned seeds suffice, how often always-valid intervals fail, what stopping=decided saves
	$(PY) -m bench power $(ARGS)

bench-quote: $(READY) ## whether sweeps take what their quotes said, after three pilots
	$(PY) -m bench quote $(ARGS)

bench-search: $(READY) ## what a search finds for its trials, beside random search and a grid
	$(PY) -m bench search $(ARGS)

bench-wandb: $(READY) ## what 13,440 trials cost as W&B runs, offline
	$(PY) -m bench wandb $(ARGS)

bench-analysis: $(READY) ## what figures and report of 13,440 trials cost, and how often intervals hold
	$(PY) -m bench analysis coverage $(ARGS)

bench-trainer: $(READY) ## what a training step and its loss cost on a CPU, beside loops of transformers
	$(PY) -m bench trainer $(ARGS)

gpu-check: $(READY) ## what a GPU of 80 GB or more has to reach
	$(PY) -m bench gpu $(ARGS)

chaos: $(READY) ## kill lanes, workers, drivers and nodes for minutes, and count the records
	$(PY) -m tests.chaos $(ARGS)

clean: ## remove .venv and caches (results/ stays)
	rm -rf .venv build *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
