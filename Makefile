# Two commands for a newcomer: `make demo` and `make test`. Each makes the .venv that it needs, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
DOCS_STAMP := $(VENV)/docs-installed
PACKAGES := agents cli client data envs evaluation fitting forecasting jobs optimum planning pricing privacy profiles scenarios serving

.PHONY: demo test check format acceptance bench docs release image clean help

help:
	@echo "make demo        the whole loop on a real shop's data, into ./demo"
	@echo "make test        the tests"
	@echo "make check       lint, types, import contract"
	@echo "make format      format the code"
	@echo "make acceptance  the long checks (ONLY=loop for a part, JSON=1)"
	@echo "make bench       speed on this machine (ONLY=gpu for a part)"
	@echo "make release     the wheel, bill of materials and hashes, signed with KEY=FILE.pem, into ./dist"
	@echo "make image       a container image of that release, by podman (ENGINE=docker)"
	@echo "make docs        update the generated parts of README and docs, build the site (NOTEBOOKS=1 runs the notebooks first)"

$(STAMP): pyproject.toml constraints.txt
	@echo "setting up $(VENV) (once, a few minutes)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "repricer needs Python 3.11 or newer; $(PYTHON) is older; name another: make PYTHON=python3.12"; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,serve,dev]'
	@touch $(STAMP)

$(DOCS_STAMP): $(STAMP)
	@echo "adding the documentation tools to $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[train,serve,dev,docs]'
	@touch $(DOCS_STAMP)

# Bytecode is kept even where the environment forbids it: else each command and each process compiles the package anew,
# and each worker rewrites the asserts of all test files.
export PYTHONDONTWRITEBYTECODE :=

demo: $(STAMP)
	@$(BIN)/repricer demo --out demo

# A worker a core: more threads would only wait for one another. `make acceptance ONLY=tests` runs those marked long.
test: $(STAMP)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not long" --numprocesses auto --dist loadfile --no-loadscope-reorder --quiet

check: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/basedpyright
	@$(BIN)/lint-imports

format: $(STAMP)
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

acceptance: $(STAMP)
	@$(BIN)/python -m tests.acceptance $(if $(ONLY),--only $(ONLY)) $(if $(JSON),--json)

bench: $(STAMP)
	@$(BIN)/repricer bench $(ONLY)

docs: $(DOCS_STAMP)
	@$(BIN)/python docs/generate.py $(if $(NOTEBOOKS),--notebooks)
	@echo "building the site"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "built: open site/index.html"

release: $(STAMP)
	@PYTHON=$(BIN)/python KEY=$(abspath $(KEY)) deploy/release.sh

ENGINE ?= podman
image: release
	@$(ENGINE) build -f deploy/Containerfile -t repricer dist

clean:
	rm -rf build dist site *.egg-info demo runs .pytest_cache .ruff_cache
	find $(PACKAGES) docs tests -name '*.nb[ic]' -delete
