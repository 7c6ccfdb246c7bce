# Needs Python 3.10 or newer and make; everything else goes into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: fit test test-quick check test-gpu test-lowest clean

fit: $(VENV)/installed  ## train the density GAN on the digits that ship with scikit-learn, then test it
	$(BIN)/lightning-irl fit --config gan/digits
	$(BIN)/lightning-irl test --config gan/digits --ckpt_path last

test: $(VENV)/installed check  ## style, types, doctests and tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "not gpu and not slow"

test-quick: $(VENV)/installed  ## tests that finish within two minutes: no long ones, none of the command line
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "not gpu and not slow and not long" \
		--ignore tests/integration

check: $(VENV)/installed  ## style and types, before a commit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-gpu: $(VENV)/installed  ## tests that need a CUDA device (skipped without one), then every shipped config
	$(BIN)/python -m pytest -rs tests/device/test_gpu.py
	$(BIN)/python -m pytest -rs tests/integration/test_every_config.py  # on the device, or an emulated one

test-lowest: $(VENV)-lowest/installed  ## unit tests with the lowest declared versions
	OMP_NUM_THREADS=1 $(VENV)-lowest/bin/python -m pytest -n auto --dist worksteal -m "not gpu and not slow" \
		tests/spaces tests/partition tests/samplers tests/environments tests/views tests/integration/test_configs.py tests/test_packaging.py

$(VENV)-lowest/installed: pyproject.toml tests/lowest-versions.txt
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install --disable-pip-version-check -q -r tests/lowest-versions.txt -e .
	touch $@

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) $(VENV)-lowest build dist *.egg-info
