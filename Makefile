# Needs Python 3.10 or newer and make; everything else goes into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: fit test check test-gpu clean

fit: $(VENV)/installed  ## train the digits through the density GAN on the data that ships with scikit-learn
	$(BIN)/lightning-irl fit --config gan/digits
	$(BIN)/lightning-irl test --config gan/digits --ckpt_path last

test: $(VENV)/installed check  ## style, types, doctests and tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "not gpu and not slow"

check: $(VENV)/installed  ## what a contributor runs before a commit, without the tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test-gpu: $(VENV)/installed  ## what needs a CUDA device; skips without one
	$(BIN)/python -m pytest -m gpu -rs

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info
