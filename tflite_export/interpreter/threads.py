"""How many threads NumPy's matrix products may use; those of int8 are not among them, see `linear`."""

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import ThreadpoolController


class Threads:
    """A limit on NumPy's BLAS, in force inside ``with threads.limit():``; None leaves BLAS as it is.

    Raises:
        ValueError: ``number`` is not a positive int, worded as LiteRT words it.
    """

    def __init__(self, number: int | None):
        if number is not None and not isinstance(number, int):
            raise ValueError(f"type of num_threads should be int. Received: num_threads={number!r}")
        if number is not None and number < 1:
            raise ValueError(f"num_threads should >= 1. Received: num_threads={number}")
        self.number = number
        self._libraries = ThreadpoolController().select(user_api="blas").lib_controllers if number else []

    @contextmanager
    def limit(self) -> Iterator[None]:
        """Puts the limit in force for a while. threadpoolctl's own context manager takes half a millisecond."""
        before = [library.get_num_threads() for library in self._libraries]
        self._set([self.number] * len(before))
        try:
            yield
        finally:
            self._set(before)

    def _set(self, numbers: list[int | None]) -> None:
        for library, number in zip(self._libraries, numbers):
            if library.get_num_threads() != number:
                library.set_num_threads(number)
