# `make demo` and `make test` need nothing but Python 3.11 or newer: they make .venv and install into it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HFMEL := HF_HUB_OFFLINE=1 $(BIN)/hf-mel
MODEL := runs/emojimel
INDEX := runs/emojimel-index
DEMO_TEXT := The ship dropped its anchor in the harbour at dawn.
DEMO_MENTION := ship
NEW_TEXT := The marimba player used four mallets.

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

demo: $(VENV)/installed  ## Train on EmojiMEL, index, calibrate, link, explain, change the knowledge base: a few minutes on two cores
	$(HFMEL) train recipes/emojimel.yaml
	$(HFMEL) evaluate $(MODEL) --show 4
	$(HFMEL) index build $(MODEL) --kb emojimel --out $(INDEX) --overwrite
	$(HFMEL) calibrate $(MODEL) --index $(INDEX) --data emojimel --report test
	$(HFMEL) link $(MODEL) --index $(INDEX) --input examples/mentions.csv --output runs/mentions.jsonl --overwrite
	$(HFMEL) explain $(MODEL) --index $(INDEX) --text "$(DEMO_TEXT)" --mention "$(DEMO_MENTION)" --html runs/explanation.html
	@echo "--- the knowledge base has no marimba: NIL"
	$(HFMEL) link $(MODEL) --index $(INDEX) --text "$(NEW_TEXT)" --mention marimba --top_k 2
	@echo "--- it is added, without training, and linked to at once"
	$(HFMEL) index add $(INDEX) --model $(MODEL) --kb examples/marimba.csv
	$(HFMEL) link $(MODEL) --index $(INDEX) --text "$(NEW_TEXT)" --mention marimba --top_k 2
	@echo "--- and removed: NIL again"
	$(HFMEL) index remove $(INDEX) --ids marimba
	$(HFMEL) link $(MODEL) --index $(INDEX) --text "$(NEW_TEXT)" --mention marimba --top_k 2

test: $(VENV)/installed  ## All tests, offline, on the CPU
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

quality: $(VENV)/installed  ## What CI checks beside the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

style: $(VENV)/installed  ## Format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove what the targets above made
	rm -rf $(VENV) $(MODEL) $(INDEX) runs/mentions.jsonl* runs/explanation.html .pytest_cache .ruff_cache .hypothesis
