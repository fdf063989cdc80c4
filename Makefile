# make demo   install samkit into .venv and segment a photograph, offline
# make test   install the test extra too, check the code and run every test, on up to four CPUs
# make test-browser  the page in Chromium; root on Debian gets it, others install it by themselves
# make test-ray  bulk runs on clusters of Ray, on this machine
# make examples/web/ort  onnxruntime-web, by npm, for the page in examples/web
# make check  only lint, formatting and types
# make bench  samkit beside other programs and the limit of this machine; BENCH=--full for all rows

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
OVERLAY := outputs/coffee.png
ORT := examples/web/ort
DEMO := samkit predict examples/coffee.jpg --box 172,18,424,285 --point 220,260 -o $(OVERLAY) --format overlay

.PHONY: demo test test-browser test-ray check bench

demo: $(VENV)/.installed
	@mkdir -p $(dir $(OVERLAY))
	@echo '$$ $(BIN)/$(DEMO)'
	@$(BIN)/$(DEMO)
	@echo 'The picture is $(CURDIR)/$(OVERLAY)'
	@echo "A page to click in: $(BIN)/pip install -e '.[serve]' && $(BIN)/samkit annotate examples"

test: check
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

test-browser: $(VENV)/.installed-browser
	@test -d $(ORT) || $(MAKE) $(ORT) || echo 'onnxruntime-web cannot be had by npm'
	$(BIN)/python -m pytest -m browser tests/browser

test-ray: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test,bulk]'
	$(BIN)/python -m pytest -m ray tests/bulk

check: $(VENV)/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.installed-test
	$(BIN)/python benchmarks/bench.py $(BENCH)

# The stamps are touched last, so an interrupted installation is done again.
$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test]'
	@# Its decoder of brush masks needs none of the tens of packages that the rest of it does.
	$(BIN)/python -m pip install --quiet --no-deps 'label-studio-sdk>=2.1'
	@touch $(VENV)/.installed $@

$(ORT):
	rm -rf $@.new && mkdir $@.new
	npm pack --silent --pack-destination $@.new 'onnxruntime-web@1'
	tar -xzf $@.new/onnxruntime-web-*.tgz -C $@.new --strip-components 2 package/dist/ort.wasm.min.mjs \
		package/dist/ort-wasm-simd-threaded.mjs package/dist/ort-wasm-simd-threaded.wasm
	rm $@.new/*.tgz
	mv $@.new $@

# Without Chromium the tests are skipped, and say so.
$(VENV)/.installed-browser: $(VENV)/.installed-test
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test,browser]'
	@command -v chromium || command -v chromium-browser || command -v google-chrome || test "$$(id -u)" != 0 || \
		{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install chromium; } || \
		echo 'Chromium cannot be installed by apt-get'
	@touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
