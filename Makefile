PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install demo test parity lint clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

install: $(VENV)/.installed ## make the environment in .venv

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) --editable '.[test,lint]'
	touch $@

demo: install ## train on the built-in simulated ratings, then recommend
	$(BIN)/python train.py
	$(BIN)/python recommend.py movie_id=4896

test: install ## run the tests
	$(BIN)/python -m pytest

parity: install ## compare the network and its steps with Keras', which it installs
	$(PIP_INSTALL) --editable '.[test,parity]'
	KERAS_BACKEND=torch $(BIN)/python -c 'import keras, scipy'
	KERAS_BACKEND=torch $(BIN)/python -m pytest tests/test_parity.py

lint: install ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean: ## remove the environment, caches and build leftovers, but no outputs
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
