# Every target first brings the machine to where it needs it (`make setup` is idempotent and quick when nothing is missing).
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 2

.PHONY: setup demo test unit lint bench format fields check clean

setup:
	@PYTHON=$(PYTHON) bash tools/setup.sh

demo: setup
	@$(BIN)/python -m tools.demo

test: setup
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal tests

unit: setup
	@$(BIN)/python -m pytest -n $(WORKERS) tests/unit

lint: setup
	@$(BIN)/ruff format --check src tests bench tools
	@$(BIN)/ruff check src tests bench tools
	@$(BIN)/mypy
	@PYTHONPATH=src $(BIN)/lint-imports

format: setup
	@$(BIN)/ruff format src tests bench tools
	@$(BIN)/ruff check --fix src tests bench tools

# docs/pod-fields.md, from src/podspace/kube/fields
fields: setup
	@$(BIN)/python -m tools.gen_fields

check: lint test

bench:
	@PYTHON=$(PYTHON) bash tools/setup.sh bench
	@$(BIN)/python -m bench

clean:
	rm -rf .venv .cache build dist src/*.egg-info
