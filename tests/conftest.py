def pytest_terminal_summary(terminalreporter):
    """Prints what tests have counted with ``record_property``, such as the cases of a law."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {value:,} {name}")
