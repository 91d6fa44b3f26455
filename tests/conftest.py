from collections import Counter

import keras
import pytest


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
