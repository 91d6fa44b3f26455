from collections import Counter


def pytest_terminal_summary(terminalreporter):
    """Prints the sums of what tests have counted with ``record_property``, such as the cases of a law."""
    totals = Counter()
    for report in terminalreporter.getreports("passed"):
        totals.update(dict(report.user_properties))
    for name, total in totals.items():
        terminalreporter.write_line(f"{name}: {total:,}")
