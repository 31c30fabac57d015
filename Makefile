# make demo                    photo -> scene on this machine, then how to walk in it
# make demo PHOTO=p.jpg OUT=d  the same for your photo
# make test                    format, lint, types, tests

PYTHON ?= python3
# Pinned because newer builds of torch may pull in gigabytes of CUDA; override it for a GPU: make demo TORCH=torch
TORCH ?= torch==2.13.0
PHOTO ?= assets/demo.jpg
OUT ?= scenes/$(basename $(notdir $(PHOTO)))
PRESET ?= standard
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint clean

demo: $(VENV)/.installed-demo
	$(BIN)/cosmorama make $(PHOTO) --out $(OUT) --preset $(PRESET) --force --no-view
	@echo "The scene is in $(OUT): open $(OUT)/preview.png, or walk in it with"
	@echo "    $(BIN)/cosmorama view $(OUT)"

test: $(VENV)/.installed-dev lint
	$(BIN)/pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/pyright

# A virtual environment needs no python3-venv package when pip comes from outside.
$(BIN)/pip:
	$(PYTHON) -m venv --without-pip $(VENV)
	$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check pip

$(VENV)/.installed-demo: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check "$(TORCH)" -e ".[photo,world,sfm]"
	$(BIN)/cosmorama setup
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --disable-pip-version-check "$(TORCH)" -e ".[photo,splats,mesh,sfm,world,dev]"
	@touch $@ $(VENV)/.installed-demo

clean:
	rm -rf $(VENV) build dist *.egg-info
