# Everything runs in .venv, which is made from the lock file at first use.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EDGEQUANT := $(BIN)/edgequant
# The pip beside PYTHON fills .venv: Debian's python3-venv, which has a pip of its own, is not needed.
PIP := $(PYTHON) -m pip --python $(BIN)/python --quiet --disable-pip-version-check install
READY := $(VENV)/.ready

MODEL ?= mobilenet_v2_small
DATA ?= fashion_mnist:test
RECIPE ?= tflite-int8
TRAIN_DATA ?= keras/fashion_mnist:train
# Options of the command that have no variable of their own, such as ARGS="--samples 200".
ARGS ?=
CALIBRATION ?=
PREPROCESSING ?=
OUTPUT ?=
# For bench-accuracy: files, names or folders, and modules of benchmarks/peers (all when empty).
MODELS ?=
PEERS ?=
SLOW ?=
# For test-slow: K/N, part K of N of the slow tests.
PART ?=
# For fuzz.
FUZZ_SECONDS ?= 3600
# For relu6-study: anything trains its networks again.
RETRAIN ?=

OPTIONS = --model $(MODEL) --data $(DATA) \
	$(if $(CALIBRATION),--calibration $(CALIBRATION)) \
	$(if $(PREPROCESSING),--preprocessing $(PREPROCESSING)) \
	$(if $(OUTPUT),--output $(OUTPUT)) $(ARGS)

RECIPES := tflite-float32 tflite-float16 tflite-dynamic tflite-int8 tflite-int8-per-tensor \
	tflite-int16x8 onnx-float32 onnx-float16 onnx-dynamic onnx-int8 onnx-int8-per-tensor \
	onnx-int8-full-range

.DEFAULT_GOAL := help
.PHONY: help setup quantize compare train ship ship-runtimes test test-slow test-ship test-browser fuzz verify-arm64 lint format \
	conformance bench peers bench-accuracy relu6-study costs digests docs lock clean $(RECIPES)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  make RECIPE           write and measure one of: $(RECIPES)"
	@echo "Variables: MODEL=$(MODEL) DATA=$(DATA) CALIBRATION= PREPROCESSING= OUTPUT= ARGS="

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if v >= (3, 11) else f"edgequant needs Python 3.11 or newer; received {v.major}.{v.minor}: run make PYTHON=python3.12, say.")'
	$(PYTHON) -m venv --without-pip $(VENV)
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $(READY)

setup: $(READY) ## make .venv from the lock file

$(RECIPES): $(READY)
	$(EDGEQUANT) quantize --recipe $@ $(OPTIONS)

quantize: $(READY) ## write and measure RECIPE= (tflite-int8 unless given) of MODEL=
	$(EDGEQUANT) quantize --recipe $(RECIPE) $(OPTIONS)

compare: $(READY) ## measure Keras float and every recipe on the same tensors
	$(EDGEQUANT) compare $(OPTIONS)

train: $(READY) ## train MODEL= on TRAIN_DATA=; goes on where a killed run was
	$(EDGEQUANT) train --model $(MODEL) --data $(TRAIN_DATA) $(ARGS)

# The platforms' runtimes, each in an environment of its own: they need not agree with ours.
FOR ?= android,microcontroller,ethos-u,onnx-mobile
SHIP_NODE := .venv-ship-onnx-mobile
SHIP_RUNTIMES = $(foreach pair,mediapipe=android tflite-micro=micro vela=ethos-u,$(call \
	found,$(firstword $(subst =, ,$(pair))),.venv-ship-$(lastword $(subst =, ,$(pair)))/bin/python)) \
	$(call found,onnxruntime-node,$(SHIP_NODE))
found = $(if $(wildcard $(2)),--runtime $(1)=$(2))

# Versions of npm's packages; those of Python's are in pyproject.toml.
ORT_NODE := 1.30.0
KOTLIN := 2.4.20
SHIP_KOTLIN := .venv-ship-kotlin

.venv-ship-%/.ready: pyproject.toml
	$(PYTHON) -m venv --without-pip .venv-ship-$*
	$(PYTHON) -m pip --python .venv-ship-$*/bin/python --quiet --disable-pip-version-check install \
		$$($(PYTHON) -c 'import tomllib; p = tomllib.load(open("pyproject.toml", "rb")); print("numpy>=2,<3", *{**p["project"]["optional-dependencies"], **p["dependency-groups"]}["$*"])')
	@touch $@

# Node, and Java for Kotlin's compiler, are not everywhere: what needs them is then said to be not proven.
$(SHIP_NODE)/.ready: Makefile
	@if command -v npm >/dev/null; then \
		npm install --prefix $(SHIP_NODE) --ignore-scripts --no-audit --no-fund --silent onnxruntime-node@$(ORT_NODE) && touch $@; \
	else echo "npm is not installed: onnxruntime-node cannot be proven here"; fi

$(SHIP_KOTLIN)/.ready: Makefile
	@if command -v npm >/dev/null && command -v java >/dev/null; then \
		npm install --prefix $(SHIP_KOTLIN) --ignore-scripts --no-audit --no-fund --silent kotlin-compiler@$(KOTLIN) && touch $@; \
	else echo "npm or java is not installed: the Kotlin lines are parsed and not compiled"; fi

ship-runtimes: .venv-ship-android/.ready .venv-ship-micro/.ready .venv-ship-ethos-u/.ready $(SHIP_NODE)/.ready ## install the platforms' runtimes, each beside .venv (npm for Node's)

ship: $(READY) ## write a bundle of MODEL= for the platforms FOR=, proven by what ship-runtimes installed
	$(EDGEQUANT) ship --for $(FOR) $(OPTIONS) $(SHIP_RUNTIMES)

# LiteRT 2.2 and later end with a segmentation fault under qemu-user 7.2.
ARM64 := .venv-ship-arm64
LITERT_ARM64 ?= 2.1.2
NUMPY_ARM64 ?= 2.4.6
BUNDLE ?= artifacts/$(MODEL)-ship

$(ARM64)/.ready:
	evaluation/proofs/workers/arm64_root.sh $(ARM64) "$(PYTHON) -m pip --disable-pip-version-check" $(LITERT_ARM64) $(NUMPY_ARM64)
	@touch $@

verify-arm64: $(READY) $(ARM64)/.ready ## run BUNDLE='s Android files on aarch64 (needs apt-get and qemu-user)
	$(EDGEQUANT) verify $(BUNDLE) --runtime litert-arm64=$(ARM64)/python $(SHIP_RUNTIMES)

# A worker a core, and no more than share the memory well: each loads TensorFlow. The order is random;
# ARGS=--randomly-seed=N repeats the one whose seed N was printed.
WORKERS := -n auto --maxprocesses 8 --dist worksteal
FAST := -m "not slow and not ship and not browser"

test: $(READY) ## run the fast tests
	$(BIN)/python -m pytest $(WORKERS) $(FAST) --durations 20 $(ARGS)

test-slow: $(READY) ## run the slow tests; PART=2/5, say, runs part 2 of 5
	$(BIN)/python -m pytest $(WORKERS) -m "slow and not ship and not browser" --durations 20 \
		$(if $(PART),--slow-part $(PART)) $(ARGS)

test-ship: $(READY) ship-runtimes .venv-ship-snippets/.ready $(SHIP_KOTLIN)/.ready ## prove a bundle with the platforms' runtimes
	$(BIN)/python -m pytest -m ship $(ARGS)

test-browser: $(READY) ## open the pages in headless Chromium (needs chromium and chromium-driver)
	$(BIN)/python -m pytest -m browser $(ARGS)

fuzz: $(READY) ## feed every parser with damaged files for FUZZ_SECONDS=
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) $(ARGS)

lint: $(READY) ## ruff, mypy --strict and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python -m benchmarks.sources

format: $(READY) ## let ruff format the code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

conformance: $(READY) ## write the conformance tables (tests/conformance/*.csv) anew
	$(BIN)/python -m tests.conformance.table

bench: $(READY) ## write benchmarks/results/*.csv
	$(BIN)/python -m benchmarks $(ARGS)

peers: $(READY) ## make an environment in .peers for each other quantizer that we compare with
	PYTHON=$(PYTHON) $(BIN)/python -m benchmarks.accuracy.environments $(PEERS)

bench-accuracy: $(READY) ## measure ours and other quantizers (PEERS=) on MODELS= in one run
	$(BIN)/python -m benchmarks.accuracy $(if $(MODELS),--models $(MODELS)) \
		$(if $(CALIBRATION),--calibration $(CALIBRATION) --data $(DATA)) \
		$(if $(PEERS),--peers $(PEERS)) $(if $(SLOW),--effort slow) $(ARGS)

relu6-study: $(READY) ## measure why ReLU6 quantizes well (RETRAIN=1 trains its networks again, for hours)
	$(EDGEQUANT) study relu6 $(if $(RETRAIN),--retrain --data $(TRAIN_DATA)) $(ARGS)

costs: $(READY) ## count every registered network again (models/costs.csv)
	$(BIN)/python -m models.cost.table

digests: $(READY) ## record anew what the shipped networks become
	$(BIN)/python -m edgequant.digest_record

docs: $(READY) ## write the generated parts of the docs again
	$(BIN)/python -m edgequant.docs

lock: ## resolve the newest versions into requirements.lock (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --upgrade --extra dev --extra weights pyproject.toml -o requirements.lock

clean: ## delete what was made, the environment included
	rm -rf $(VENV) .venv-ship-* .peers artifacts .mypy_cache .pytest_cache .ruff_cache .hypothesis
