"""How many threads the matrix products may use."""

from contextlib import AbstractContextManager, nullcontext

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
        self._controller = ThreadpoolController() if number else None

    def limit(self) -> AbstractContextManager:
        """Puts the limit in force for a while."""
        if self._controller is None:
            return nullcontext()
        return self._controller.limit(limits=self.number, user_api="blas")
