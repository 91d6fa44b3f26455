import pytest
from threadpoolctl import threadpool_info

from tflite_export.interpreter.threads import Threads


def blas_threads():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_limit_holds_inside_and_is_lifted_after():
    before = blas_threads()
    with Threads(1).limit():
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


def test_without_a_number_nothing_changes():
    before = blas_threads()
    with Threads(None).limit():
        assert blas_threads() == before


@pytest.mark.parametrize("number, message", [(0, "should >= 1"), (1.5, "type of num_threads should be int")])
def test_bad_numbers_are_refused_in_the_words_of_litert(number, message):
    with pytest.raises(ValueError, match=message):
        Threads(number)
