PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# An environment of another Python is made anew.
INSTALLED = $(VENV)/.installed-$(subst /,_,$(PYTHON))
# Wheels only: building a package runs its code. Hydra's parser has never had a wheel, and the
# SQLAlchemy that Optuna 2.10 needs has none for Python 3.13.
PIP_INSTALL = $(BIN)/python -m pip install --quiet --constraint constraints.txt \
	--only-binary :all: --no-binary antlr4-python3-runtime --no-binary SQLAlchemy

.DEFAULT_GOAL := help
.PHONY: help install demo test parity lint docs audit dist clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

install: $(INSTALLED) ## make the environment in .venv

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	[ "$$($(BIN)/python -V 2>&1)" = "$$($(PYTHON) -V)" ] || $(PYTHON) -m venv --clear $(VENV)
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
	KERAS_BACKEND=torch $(BIN)/python -m pytest --numprocesses=0 tests/test_parity.py

lint: install ## check style, types and that every version is pinned
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	! $(BIN)/python -m pip freeze --exclude-editable | $(PINNED_BY_TORCH) | grep -vixFf constraints.txt

# Torch's wheel for CUDA names the exact versions of what comes with it.
PINNED_BY_TORCH = grep -viE '^(cuda|nvidia|triton)' | sed 's/+.*//'

docs: install ## build the documentation in site/, strictly and offline, from docs/ and docstrings
	$(PIP_INSTALL) --editable '.[docs]'
	$(BIN)/zensical build --clean --strict
	! grep -rnE '<(script|link)[^>]*(src|href)="?(https?:)?//|url\(["'\'']?(https?:)?//' site \
		--include='*.html' --include='*.css'

audit: ## look up the pinned versions among known vulnerabilities
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --only-binary :all: pip-audit==2.10.1
	.venv-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip

dist: ## build the wheel and the source archive, and check that PyPI would take them
	$(PYTHON) -m venv .venv-dist
	.venv-dist/bin/python -m pip install --quiet --constraint constraints.txt \
		--only-binary :all: build==1.6.1 setuptools twine==7.0.0
	rm -rf dist
	.venv-dist/bin/python -m build --quiet --no-isolation
	.venv-dist/bin/twine check --strict dist/*

clean: ## remove the environment, caches and build leftovers, but no outputs
	rm -rf $(VENV) .venv-audit .venv-dist build dist site .cache *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
