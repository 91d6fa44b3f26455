from collections import Counter

import keras
import pytest

EVIDENCE = (
    "test_examples.py",
    "end_to_end/test_balanced_pruning.py",
    "end_to_end/test_budget.py",
    "end_to_end/test_derived_network.py",
    "end_to_end/test_gate_pruning.py",
    "end_to_end/test_information_bottleneck.py",
    "end_to_end/test_joint_prune_quantize.py",
    "end_to_end/test_lagrange_normalization.py",
    "end_to_end/test_machine_budget.py",
    "end_to_end/test_relaxed_quantizer.py",
    "end_to_end/test_signed_perturbation.py",
    "end_to_end/test_soft_round.py",
    "laws/test_l3_time.py",
    "laws/test_pairs.py",
    "tfcompress/callbacks/test_budget.py",
    "tfcompress/callbacks/test_trail_and_warn_stall.py",
    "tfcompress/gating/test_information_bottleneck.py",
    "tfcompress/joint/test_prune_quantize.py",
    "tfcompress/normalization/test_lagrange.py",
    "tfcompress/normalization/test_power_of_two.py",
    "tfcompress/pruning/test_analytic_threshold.py",
    "tfcompress/pruning/test_balanced.py",
    "tfcompress/pruning/test_gates.py",
    "tfcompress/pruning/test_learned_threshold.py",
    "tfcompress/quantization/test_relaxed.py",
    "tfcompress/weight_tying/test_backends.py",
    "tfcompress/weight_tying/test_look_up_table.py",
)
"""Files whose slow tests train for long to show a claim; `make test` leaves them to `make evidence`."""


def pytest_addoption(parser):
    parser.addoption("--cases-times", type=int, default=1, help="how many times as many random single-op cases")


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("slow") and item.path.as_posix().endswith(EVIDENCE):
            item.add_marker(pytest.mark.evidence)


@pytest.fixture(autouse=True)
def names_start_at_one():
    """Keras numbers unnamed layers through a process: without this a test's names depend on the tests before it."""
    keras.utils.clear_session(free_memory=False)


def pytest_terminal_summary(terminalreporter):
    """Prints the sums of what tests have counted with ``record_property``, such as the cases of a law."""
    totals = Counter()
    for report in terminalreporter.getreports("passed"):
        totals.update(dict(report.user_properties))
    for name, total in totals.items():
        terminalreporter.write_line(f"{name}: {total:,}")
