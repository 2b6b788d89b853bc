# Each wish is one command. `make help` lists them; .ci/run uses the same ones.
# Variables: PYTHON (the interpreter that .venv is made with), PIP_ARGS (say,
# --extra-index-url https://download.pytorch.org/whl/cpu), PYTEST_ARGS.

VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := packaging/constraints.txt

# The first Python on the path that is new enough.
new_enough = $(shell $(1) -c 'import sys; print(sys.version_info >= (3, 11))' 2>/dev/null)
candidates = python3 python python3.13 python3.12 python3.11 python3.14
PYTHON ?= $(firstword $(foreach p,$(candidates),$(if $(filter True,$(call new_enough,$(p))),$(p))))

PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) $(PIP_ARGS)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test test-gpu test-peers lint bench shots package clean

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

run: $(VENV)/.installed-run ## open the window (with no display: run a preset here, files in results/)
	$(BIN)/hogui

test: $(VENV)/.installed-test ## run every test
	QT_QPA_PLATFORM=offscreen OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)

test-gpu: $(VENV)/.installed-test $(VENV)/.installed-cuda ## the tests that need a CUDA device and its build of torch
	QT_QPA_PLATFORM=offscreen OMP_NUM_THREADS=1 $(BIN)/python -m pytest -o python_files='gpu_*.py' tests/gpu $(PYTEST_ARGS)

test-peers: $(VENV)/.installed-peers ## results against those of other programs, which this installs
	QT_QPA_PLATFORM=offscreen OMP_NUM_THREADS=1 $(BIN)/python -m pytest -o python_files='peers_*.py' tests/peers $(PYTEST_ARGS)

lint: $(VENV)/.installed-lint ## ruff, strict mypy on the core, who may import whom
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.installed-bench ## measure every promise and write docs/benchmarks.md (give it a quiet machine)
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m pytest -o python_files='bench_*.py' -o faulthandler_timeout=0 -s tests/bench $(PYTEST_ARGS)

shots: $(VENV)/.installed-test ## take the pictures in docs/pictures from the real window
	QT_QPA_PLATFORM=offscreen $(BIN)/python -m tests.shots docs/pictures

package: $(VENV)/.installed-package ## build dist/hogui, a folder that runs without Python
	$(BIN)/python -m PyInstaller --noconfirm --log-level WARN --distpath dist --workpath build packaging/hogui.spec
	@echo "Built dist/hogui; packaging/smoke.py tests it."

clean: ## remove .venv and everything that was built (not results/)
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A .venv of an older Python, of another place, or half made is made anew; one that is merely behind
# the pins is brought up to them.
ifneq (yes,$(shell $(BIN)/python packaging/check_venv.py 2>/dev/null && echo yes))
.PHONY: $(VENV)/pyvenv.cfg
endif

$(VENV)/pyvenv.cfg:
	@test -n "$(PYTHON)" || { echo "HoGUI needs Python 3.11 or newer; found: $$(python3 --version 2>&1). Name one: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed-run: $(VENV)/pyvenv.cfg pyproject.toml $(CONSTRAINTS)
	@echo "Installing into $(VENV) (the first time, several minutes) ..."
	$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.installed-%: $(VENV)/.installed-run
	$(PIP_INSTALL) -e '.[$*]'
	@touch $@
