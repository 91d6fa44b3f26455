"""``make check`` takes the first case of each technique; the others, which differ in arguments only, are slow."""

from collections.abc import Sequence

import pytest
from cases import Case, one_of_each


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    for item in items:
        callspec = getattr(item, "callspec", None)
        case = callspec.params.get("case") if callspec else None
        if isinstance(case, Case) and case not in one_of_each():
            item.add_marker(pytest.mark.slow)
