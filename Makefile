# `make demo` and `make test` need nothing but Python 3.11 or newer: they make .venv and install into it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
HFMEL := HF_HUB_OFFLINE=1 $(BIN)/hf-mel
RECIPE := emojimel
RUNS := runs
MODEL := $(RUNS)/$(RECIPE)
INDEX := $(MODEL)-index
LINK := $(HFMEL) link $(MODEL) --index $(INDEX) --top_k 3
# Absolute, for the Space runs in its own folder; empty where there is none.
SPACE_MODEL := $(abspath $(wildcard $(MODEL)))
SPACE_INDEX := $(if $(SPACE_MODEL),$(abspath $(wildcard $(INDEX))))
NEW_TEXT := The marimba player used four mallets.
SEAL_TEXT := A seal lay on the ice and dived for fish.

.DEFAULT_GOAL := help
.PHONY: help install demo demo-clip space card checkpoints keys test quality style clean

help:  ## Show this help
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

install: $(VENV)/installed  ## Make .venv with the package and its tools

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test,quality]'
	touch $@

demo: $(VENV)/installed  ## Train on EmojiMEL, index, link, change the knowledge base, calibrate, explain: a few minutes on two cores
	$(HFMEL) train $(RECIPE) --output_dir $(MODEL)
	$(HFMEL) index build $(MODEL) --kb emojimel --out $(INDEX) --overwrite
	@echo "--- the picture decides"
	$(LINK) --text "What a dish!" --mention dish --image examples/dish-satellite.png
	$(LINK) --text "What a dish!" --mention dish --image examples/dish-paella.png
	@echo "--- the sentence decides"
	$(LINK) --text "$(SEAL_TEXT)" --mention seal
	$(LINK) --text "He broke the red wax seal on the letter." --mention seal
	@echo "--- the knowledge base has no marimba: NIL"
	$(LINK) --text "$(NEW_TEXT)" --mention marimba
	@echo "--- it is added, without training, and linked to at once"
	$(HFMEL) index add $(INDEX) --model $(MODEL) --kb examples/marimba.csv
	$(LINK) --text "$(NEW_TEXT)" --mention marimba
	@echo "--- and removed: NIL again"
	$(HFMEL) index remove $(INDEX) --ids marimba
	$(LINK) --text "$(NEW_TEXT)" --mention marimba
	@echo "--- probabilities fitted on the validation split, instead of those of the prior"
	$(HFMEL) calibrate $(MODEL) --index $(INDEX) --data emojimel --report test
	$(HFMEL) link $(MODEL) --index $(INDEX) --input examples/mentions.csv --output $(RUNS)/mentions.jsonl --overwrite
	@echo "--- which words speak for an entity"
	$(HFMEL) explain $(MODEL) --index $(INDEX) --text "$(SEAL_TEXT)" --mention seal --html $(RUNS)/explanation.html

demo-clip:  ## The same with the towers of CLIP, which are downloaded the first time (600 MB)
	$(MAKE) demo RECIPE=emojimel-clip HFMEL=$(BIN)/hf-mel

space: $(VENV)/installed  ## The Space on http://127.0.0.1:7860, with what `make demo` left, or a small model that it trains
	cd spaces/demo && HF_HUB_OFFLINE=1 HF_MEL_MODEL="$(SPACE_MODEL)" HF_MEL_INDEX="$(SPACE_INDEX)" $(CURDIR)/$(BIN)/python app.py

card: $(VENV)/installed  ## Train EmojiMEL's model and three to compare it with; calibrate; its card and its report
	$(HFMEL) train $(RECIPE)
	$(HFMEL) train $(RECIPE) --output_dir $(MODEL)-text --evaluation.model_name text-only \
	    --model.vision false --model.image_size null --model.config.projection_size 192 --modality_weight 0.0
	$(HFMEL) train $(RECIPE) --output_dir $(MODEL)-image --evaluation.model_name image-only \
	    --model.config.fusion image --model.config.name_features false --modality_weight 0.0
	$(HFMEL) train $(RECIPE) --output_dir $(MODEL)-in-batch --evaluation.model_name in-batch \
	    --negatives in_batch
	$(BIN)/python benchmarks/emojimel.py --baselines $(MODEL)-baselines
	$(HFMEL) calibrate $(MODEL) --data emojimel --report test --output_dir $(MODEL)
	$(HFMEL) card $(MODEL) --beside $(MODEL)-text $(MODEL)-image $(MODEL)-in-batch $(MODEL)-baselines/bm25 $(MODEL)-baselines/bm25-pixels
	cp $(MODEL)/README.md model_cards/pgmel-emojimel.md
	$(HFMEL) report $(MODEL) --data emojimel

keys: $(VENV)/installed  ## The table of recipe keys and docs/recipes.md, after a change of a key, default or docstring
	$(BIN)/python docs/write_recipes.py

checkpoints: $(VENV)/installed  ## The text checkpoints of the three benchmarks: HF_MEL_DATA=FOLDER make checkpoints; hours, goes on where it stopped
	$(BIN)/python benchmarks/checkpoints.py

test: $(VENV)/installed  ## All tests, offline, on the CPU
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

quality: $(VENV)/installed  ## What CI checks beside the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

style: $(VENV)/installed  ## Format and fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove what the targets above made
	rm -rf $(VENV) $(MODEL) $(addprefix $(MODEL)-,text image in-batch baselines) $(INDEX) $(RUNS)/mentions.jsonl* $(RUNS)/explanation.html .pytest_cache .ruff_cache .hypothesis
