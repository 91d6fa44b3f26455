# make demo   trains, prunes, quantises, exports, proves and costs a small network; writes out/
# make test   what must hold;  make check   the quick part of it (about three minutes)
# make evidence   every example, every pair of techniques, and the claims that take long to train (about as long again)
PYTHON ?= python3.11
VENV   := .venv
BIN    := $(VENV)/bin
SETUP  := $(VENV)/.installed
PEERS  := $(VENV)/.peers
COMPARISONS := weight_techniques post_training multiplierless budget channels channel_gates recurrent structure_techniques lagrange_normalization npu_balance
TIMINGS := npu_validation step_time peer_speed interpreter_speed winograd
ONE_THREAD := TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1
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

# What counts most comes first, JOBS scripts side by side on a thread each; what measures time has the machine to itself.
# Peers start from a network of the front, and so come later. A finished row is kept and not made again, so make bench may be
# interrupted. SEEDS=1,2,3: means and spreads of all rows.
SEEDS ?= 1
bench: $(SETUP) $(PEERS)
	$(MAKE) --jobs=$(JOBS) rows-front rows-weight_techniques rows-peers $(COMPARISONS:%=rows-%)
	for name in $(TIMINGS); do $(BIN)/python benchmarks/$$name.py || exit 1; done
	$(BIN)/python benchmarks/front_plot.py
	$(BIN)/python benchmarks/bench_time.py --jobs=$(JOBS) front peers $(COMPARISONS) $(TIMINGS)
	$(BIN)/python benchmarks/tables.py

rows-front: SEEDS = 1,2,3
rows-%:
	$(ONE_THREAD) $(BIN)/python benchmarks/$*.py --seeds=$(SEEDS)

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
