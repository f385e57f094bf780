# The whole set-up of a fresh machine is one of these two: `make run` or `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test lint plugin bench sim
run: .venv/ready    ; @exec $(BIN)/volplug serve --dev
test: .venv/ready   ; $(BIN)/pytest -n 3
lint: .venv/ready   ; $(BIN)/ruff format --check . && $(BIN)/ruff check . && $(BIN)/mypy
plugin: .venv/ready ; $(BIN)/python -m deploy.plugin
bench: .venv/ready  ; for script in bench/*.py; do $(BIN)/python -m bench.$$(basename $$script .py) || exit; done

# A million schedules; what was run is named in each line, to go on with FROM=SEED.
SCHEDULES ?= 1000000
FROM ?= 0
sim: .venv/ready    ; $(BIN)/python -m tests.simulation --schedules $(SCHEDULES) --from $(FROM)

# A new entry point is seen only after a reinstall, so pyproject.toml is what the set-up hangs on.
.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
