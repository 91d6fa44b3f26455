# make demo   trains, prunes, quantises, exports, proves and costs a small network; writes out/
# make test   what must hold;  make check   the quick part of it (about three minutes)
# make evidence   every example, every pair of techniques, and the claims that take long to train (about as long again)
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
SETUP  := $(VENV)/.installed
PEERS  := $(VENV)/.peers
COMPARISONS := weight_techniques post_training multiplierless budget channels channel_gates recurrent structure_techniques lagrange_normalization npu_balance
# Two cores are enough for everything here; override with JOBS=.
JOBS   ?= 2
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: demo test evidence check lint types bench bench-quick clean

demo: $(SETUP)
	$(BIN)/tfcompress demo

test: $(SETUP) lint types
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not evidence"

evidence: $(SETUP)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m evidence
	$(BIN)/python -m pytest -n $(JOBS) --cases-times=2 tests/laws/test_g3_kernels.py

check: $(SETUP) lint types
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow" tests/laws tests/test_architecture.py

lint: $(SETUP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(SETUP)
	$(BIN)/mypy

# What counts most comes first. A finished row is kept and not made again, so make bench may be interrupted.
bench: $(SETUP) $(PEERS)
	$(BIN)/python benchmarks/front.py
	$(BIN)/python benchmarks/peers.py --seeds=1
	$(BIN)/python benchmarks/front_plot.py
	$(BIN)/python benchmarks/npu_validation.py
	$(BIN)/python benchmarks/step_time.py
	$(BIN)/python benchmarks/interpreter_speed.py
	$(BIN)/python benchmarks/winograd.py
	for name in $(COMPARISONS); do $(BIN)/python benchmarks/$$name.py --seeds=1 || exit 1; done
	$(BIN)/python benchmarks/tables.py

# The same scripts on ten batches of images: whether they work, not how good anything is.
bench-quick: $(SETUP) $(PEERS)
	$(BIN)/python benchmarks/front.py --images=1280 --seeds=1
	$(BIN)/python benchmarks/peers.py --images=1280 --seeds=1 --only="TFMOT PCQAT 90 %|TFLite.*|ai-edge.*W4.*|Keras.*"
	$(BIN)/python benchmarks/front_plot.py --images=1280

# Reinstalls only when what setup.py asks for has changed.
$(SETUP): setup.py pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[tests]"
	touch $@

$(PEERS): $(SETUP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[peers]"
	touch $@

clean:
	rm -rf $(VENV) out build *.egg-info
