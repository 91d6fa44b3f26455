# make demo   trains, prunes, quantises, exports, proves and costs a small network; writes out/
# make test   what must hold;  make check   the quick part of it (about three minutes)
# make evidence   every example, every pair of techniques, and the claims that take long to train (about six minutes)
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
SETUP  := $(VENV)/.installed
# Two cores are enough for everything here; override with JOBS=.
JOBS   ?= 2
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test evidence check lint types bench clean

demo: $(SETUP)
	$(BIN)/tfcompress demo

test: $(SETUP) lint types
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not evidence"

evidence: $(SETUP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m evidence

check: $(SETUP) lint types
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow" tests/laws tests/test_architecture.py

lint: $(SETUP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(SETUP)
	$(BIN)/mypy

bench: $(SETUP)
	$(BIN)/python benchmarks/step_time.py
	$(BIN)/python benchmarks/interpreter_speed.py

# Reinstalls only when what setup.py asks for has changed.
$(SETUP): setup.py pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[tests]"
	touch $@

clean:
	rm -rf $(VENV) out build *.egg-info
