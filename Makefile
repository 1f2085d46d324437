# `make demo` and `make test` need nothing but Python 3.11 or newer: they make .venv and install into it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODEL := runs/emojimel
DEMO_TEXT := The ship dropped its anchor in the harbour at dawn.
DEMO_MENTION := ship

.DEFAULT_GOAL := help
.PHONY: help install demo test quality style clean

help:  ## Show this help
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

install: $(VENV)/installed  ## Make .venv with the package and its tools

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,quality]'
	touch $@

demo: $(VENV)/installed  ## Train on EmojiMEL, load the checkpoint, link a mention: a few minutes on two cores
	HF_HUB_OFFLINE=1 $(BIN)/hf-mel train recipes/emojimel.yaml
	HF_HUB_OFFLINE=1 $(BIN)/hf-mel evaluate $(MODEL) --show 4
	HF_HUB_OFFLINE=1 $(BIN)/hf-mel link $(MODEL) --kb emojimel --text "$(DEMO_TEXT)" --mention "$(DEMO_MENTION)" --top_k 3

test: $(VENV)/installed  ## All tests, offline, on the CPU
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

quality: $(VENV)/installed  ## What CI checks beside the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

style: $(VENV)/installed  ## Format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove what the targets above made
	rm -rf $(VENV) $(MODEL) .pytest_cache .ruff_cache .hypothesis
