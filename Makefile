# make webui · make models · make test · make lint: from a fresh clone, and again at once when nothing has changed.
#   PYTHON=python3.12    the Python that .venv is made with (3.11 or newer)
#   TORCH=keep           leave torch to you: whatever version is in .venv stays, none is installed
#   ARGS="…"             passed on: make webui ARGS="--set webui.port=7861", make models ARGS="bert clap"
#   CHROMIUM=/path/to/it  the browser for the tests, where it is not found by itself
# make bench: how fast the backends are here. make test-ipex: the backend ipex, in an environment of its own.

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --no-input -qq
RUNTIME := $(VENV)/requirements.installed
DEV := $(VENV)/requirements-dev.installed

.PHONY: help webui models test lint bench test-ipex
.DELETE_ON_ERROR:

help:
	@echo "make webui   install what is needed into $(VENV) and open the page on http://127.0.0.1:7860"
	@echo "make models  list the large model files, or bring them: make models ARGS=\"bert clap\""
	@echo "make test    install that, the test tools and a browser for them, then run the tests"
	@echo "make bench   measure how fast the voices speak here; make bench ARGS=--quick takes a minute"
	@echo "make lint    check the code with ruff and its types with mypy"

webui: $(RUNTIME)
	@echo "make webui: starting the page (Ctrl+C ends it)"
	@$(VENV)/bin/python webui.py $(ARGS)

models: $(RUNTIME)
	@$(VENV)/bin/python -m infer.models $(ARGS)

test: $(RUNTIME) $(DEV)
	@$(VENV)/bin/python -m tests.needs
	@echo "make test: running the tests"
	@$(VENV)/bin/python -m pytest $(ARGS)

bench: $(RUNTIME)
	@$(VENV)/bin/python -m benchmarks.speed $(ARGS)

# Intel's extension fits torch 2.8 alone, which brings gigabytes: apart, and not in CI.
test-ipex:
	@test -x .venv-ipex/bin/pip || $(PYTHON) -m venv .venv-ipex
	@echo "make test-ipex: installing torch 2.8 and its extension into .venv-ipex, several GB the first time"
	@grep -v '^torch==' requirements.txt | .venv-ipex/bin/python -m pip install -qq -r /dev/stdin -r requirements-ipex.txt -r requirements-dev.txt
	@.venv-ipex/bin/python -m pytest tests/test_backends.py tests/test_pipeline.py tests/test_models.py tests/test_shapes.py $(ARGS)

# mypy looks into the packages that the code stands on, so they are installed, too.
lint: $(RUNTIME) $(DEV)
	@echo "make lint: ruff check, ruff format --check, mypy"
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy

# pip comes last in a new environment, so one that was interrupted is made again.
$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; name one: make webui PYTHON=python3.12")'
	@$(PYTHON) tests/needs.py venv
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

# A stamp is written only when everything is in, so an interrupted installation goes on next time.
$(RUNTIME): requirements.txt | $(VENV)/bin/pip
	@echo "Installing requirements.txt into $(VENV): minutes and up to several GB the first time, most of it torch"
ifeq ($(TORCH),keep)
	@$(VENV)/bin/python -c 'import torch; print("Keeping torch", torch.__version__)' 2>/dev/null || \
	 { echo "TORCH=keep, but no torch can be imported in $(VENV): install your build first with $(VENV)/bin/pip" >&2; exit 1; }
	@grep -v '^torch==' requirements.txt | $(PIP) install -r /dev/stdin
else
	@$(PIP) install -r requirements.txt
endif
	@touch $@

$(DEV): requirements-dev.txt | $(VENV)/bin/pip
	@echo "Installing requirements-dev.txt into $(VENV)"
	@$(PIP) install -r requirements-dev.txt
	@touch $@
